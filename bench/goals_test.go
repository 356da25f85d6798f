package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
)

// subjectOf makes clients of a cluster, each with an identity of its own.
func subjectOf(t *testing.T, c *cluster.Cluster, key *client.Key, pids map[string]int, noticed *bench.Noticed, clients int) *bench.Subject {
	t.Helper()
	s := &bench.Subject{Key: key, PIDs: pids, Dir: t.TempDir(), Noticed: noticed}
	for range clients {
		cert, err := c.NewIdentity(cluster.AppURI)
		if err != nil {
			t.Fatal(err)
		}
		cl, err := client.New(client.Config{Genesis: c.Genesis(), Certificate: cert, Log: slog.New(s.Noticed)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		s.Clients = append(s.Clients, cl)
	}
	return s
}

// holdAgainstGoals runs the goals with few unwraps, and every shape of load.
func holdAgainstGoals(t *testing.T, ctx context.Context, c *cluster.Cluster, key *client.Key, pids map[string]int) {
	s := subjectOf(t, c, key, pids, bench.NewNoticed(), 3)
	s.Numbers = map[string]string{}
	for _, id := range c.IDs() {
		s.Numbers[id] = c.Numbers(id)
	}
	conf := bench.GoalsConfig{
		N: 16, InFlight: 8, Rounds: 2, Echo: os.Args[:1], EchoEnvironment: []string{echoVariable + "=1"},
	}
	s.Symmetric = key
	if _, err := bench.Goals(ctx, s, conf); !errors.Is(err, client.ErrAsymmetric) {
		t.Errorf("an asymmetric key for a symmetric one: %v", err)
	}
	var err error
	if s.Symmetric, err = c.CreateSymmetricKey(ctx, "sessions"); err != nil {
		t.Fatal(err)
	}
	run, err := bench.Goals(ctx, s, conf)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Floors) != 2 || len(run.Shapes) != 14 || run.Warnings != 0 {
		t.Fatalf("run: %+v", run)
	}
	f := run.Floors[0]
	for name, d := range map[string]time.Duration{
		"multiplication": f.Multiplication, "fixed-base": f.FixedBase, "client": f.Client, "decision": f.Decision,
		"sync": f.Sync, "CPU of a sync": f.SyncCPU, "echo": f.Echo, "round trip": f.RoundTrip, "symmetric echo": f.SymmetricEcho,
		"echo of a batch": f.BatchEcho, "pseudo-random function": f.PRF, "opened envelope": f.Opened,
	} {
		if d <= 0 {
			t.Errorf("the floor has no %s", name)
		}
	}
	measured := 0
	for _, g := range run.Goals {
		switch {
		case g.Verdict == bench.NotMeasured && (g.Why == "" || g.Ratio != 0 || g.Measured != 0):
			t.Errorf("%s is not measured, and says %+v", g.Shape, g)
		case g.Verdict == bench.NotMeasured:
		case g.Ratio <= 0 || len(g.Ratios) != 2 || g.Limit <= 0 || len(g.Base) == 0:
			t.Errorf("goal: %+v", g)
		default:
			measured++
		}
	}
	if measured != 6 {
		t.Errorf("%d goals are measured", measured)
	}
	for _, shape := range []bench.Shape{
		{Name: "open", Load: bench.Load{N: 8, InFlight: 8, Rate: 200}, Batch: 1, Clients: 1},
		{Name: "batches", Load: bench.Load{N: 3, InFlight: 2}, Batch: 20, Clients: 1},
		{Name: "many clients", Load: bench.Load{N: 9, InFlight: 3}, Batch: 1, Clients: 3, Envelopes: 2},
	} {
		m, err := s.Measure(ctx, shape, run.Idle)
		if err != nil {
			t.Fatal(err)
		}
		if m.Taken.Failures() > 0 || m.Items <= 0 || m.Used <= 0 || len(m.CPU) != 4 || m.Taken.Latency.P50 <= 0 || len(m.Taken.Latency.Curve) == 0 {
			t.Errorf("%s: %+v", shape.Name, m)
		}
		run.Shapes = append(run.Shapes, *m)
	}
	if _, err := s.Measure(ctx, bench.Shape{Load: bench.Load{N: 1, InFlight: 1}, Batch: 1, Clients: 4}, nil); err == nil {
		t.Error("four clients ask where there are three")
	}
	if _, err := s.Measure(ctx, bench.Shape{Load: bench.Load{N: 1, InFlight: 1}, Batch: 1, Clients: 1, Encrypts: true}, nil); !errors.Is(err, client.ErrAsymmetric) {
		t.Errorf("an asymmetric key encrypts: %v", err)
	}
	for _, key := range []*client.Key{key, s.Symmetric} {
		other := *s
		other.Key = key
		if err := bench.UnwrapAnother(ctx, &other); !errors.Is(err, bench.ErrWrong) {
			t.Errorf("another data key of %s than the one that went in: %v", key.Name(), err)
		}
		if err := bench.EncryptAnother(ctx, &other); key.Symmetric() && !errors.Is(err, bench.ErrWrong) {
			t.Errorf("another data key than the encrypted one: %v", err)
		}
	}
	askForTooMuch(t, ctx, s, run)
	measureOnOneCore(t, ctx, s)
	holdLoadsAgainstTheirFloors(t, ctx, c, s, conf)
	failUnderLoad(t, ctx, c, s, run)
	sufferFarAway(t, ctx, c, s, run)
	var text bytes.Buffer
	if err := run.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"payroll, 2 of 3", "symmetric, encrypted, 8 in flight", "symmetric, one at a time, batches of 100", "FLOOR OF EACH ROUND, SYMMETRIC", "--peer vault=URL", "batches of 20", "3 clients", "200 a second", "client floor", "t-th nearest that is well", "SYNCS OF THE AUDIT", "WHILE NODES FAIL", "b is in no CPU", "ON THE WIRE EACH", "OVERLOAD"} {
		if !strings.Contains(text.String(), says) {
			t.Errorf("the run does not say %q:\n%s", says, &text)
		}
	}
	b, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	var back bench.Run
	if err := json.Unmarshal(b, &back); err != nil || len(back.Shapes) != len(run.Shapes) || back.Shapes[0].Taken.N != 16 || back.Shapes[0].Shape.N != 16 {
		t.Errorf("the run does not survive JSON: %v: %s", err, b)
	}
}

// holdLoadsAgainstTheirFloors puts in loads, one of two keys that take turns and one in
// batches of a symmetric key, and has each say how many times its floor it took.
func holdLoadsAgainstTheirFloors(t *testing.T, ctx context.Context, c *cluster.Cluster, s *bench.Subject, conf bench.GoalsConfig) {
	two, tally := *s, *s
	another, err := c.CreateKey(ctx, "payroll-2")
	if err != nil {
		t.Fatal(err)
	}
	two.More, tally.Key = []*client.Key{another}, s.Symmetric
	for _, row := range []struct {
		of    *bench.Subject
		shape bench.Shape
		says  []string
	}{
		{&two, bench.Shape{Name: "two keys", Load: bench.Load{N: 16, InFlight: 8}, Batch: 1, Clients: 1, Envelopes: 8}, []string{"payroll and 1 more, 2 of 3", " x (echo ", " + 2 x multiplication ", "client floor"}},
		{&tally, bench.Shape{Name: "tally", Load: bench.Load{N: 4, InFlight: 2}, Batch: 10, Clients: 1}, []string{"sessions, 2 of 3", " x (0.1 x echo ", "pseudo-random function"}},
	} {
		run, err := bench.MeasureOne(ctx, row.of, row.shape, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := run.Shapes[0].Taken.Failures(); n > 0 {
			t.Errorf("%s: %d failed: %s", row.shape.Name, n, run.Shapes[0].Taken.First)
		}
		if err := run.Hold(ctx, row.of, conf.Echo, conf.EchoEnvironment); err != nil {
			t.Fatal(err)
		}
		var text, page bytes.Buffer
		if err := errors.Join(run.Write(&text), run.Page(&page)); err != nil {
			t.Fatal(err)
		}
		for _, says := range row.says {
			if !strings.Contains(text.String(), says) || !strings.Contains(page.String(), says) || run.Held.Ratio <= 0 {
				t.Errorf("%s: %q is missing from\n%s", row.shape.Name, says, &text)
			}
		}
	}
	run := &bench.Run{Shapes: []bench.Measured{{Shape: bench.Shape{Encrypts: true}}}}
	if run.Hold(ctx, s, conf.Echo, conf.EchoEnvironment) == nil {
		t.Error("what it takes to encrypt at the least is known")
	}
}

// askForTooMuch measures an overload. What it comes to hangs on the machine.
func askForTooMuch(t *testing.T, ctx context.Context, s *bench.Subject, run *bench.Run) {
	for name, bad := range map[string]bench.OverloadConfig{
		"too short": {For: time.Millisecond, InFlight: 8}, "too long": {For: time.Hour, InFlight: 8}, "nothing in flight": {For: time.Second},
	} {
		if run.Overload(ctx, s, bad) == nil || run.Loaded != nil {
			t.Errorf("%s: measured", name)
		}
	}
	goals := len(run.Goals)
	if err := run.Overload(ctx, s, bench.OverloadConfig{For: time.Second, InFlight: 8}); err != nil {
		t.Fatal(err)
	}
	o := run.Loaded
	if o.Peak.Items <= 0 || o.Load.Shape.Rate < 2.9*o.Peak.Items || o.Load.Taken.Wrong > 0 || o.Late.P50 <= 0 || o.Elections < 0 {
		t.Errorf("%+v", o)
	}
	if cpuIsKnown && len(o.Memory) != 3 {
		t.Errorf("the memory of three nodes: %+v", o.Memory)
	}
	if len(run.Goals) != goals {
		t.Errorf("%d goals have become %d", goals, len(run.Goals))
	}
	for _, m := range run.Shapes {
		syncs, sent := 0.0, 0.0
		for _, c := range m.Counts {
			syncs, sent = syncs+c.Syncs, sent+c.Sent
		}
		if len(m.Counts) != 4 || m.Counts[0].Allocations <= 0 || m.Counts[0].Sent <= 0 || m.Counts[1].Process != "a" || m.Counts[1].Allocated <= 0 || syncs <= 0 || m.Sent != sent || sent <= m.Counts[0].Sent {
			t.Errorf("%s: %+v", m.Shape, m.Counts)
		}
	}
}

// measureOnOneCore measures the points of one cluster, where cores can be chosen.
func measureOnOneCore(t *testing.T, ctx context.Context, s *bench.Subject) {
	conf := bench.ScaleConfig{N: 8, InFlight: 4, Cores: []int{1}, Echo: os.Args[:1], EchoEnvironment: []string{echoVariable + "=1"}}
	if !cpuIsKnown {
		if (&bench.Scale{}).Measure(ctx, s, conf) == nil {
			t.Error("kept to one core, where cores cannot be chosen")
		}
		return
	}
	before, err := bench.CoresOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var scale bench.Scale
	if err := scale.Measure(ctx, s, conf); err != nil {
		t.Fatal(err)
	}
	for _, p := range scale.Points {
		if p.Nodes != 3 || p.Threshold != 2 || p.Cores != 1 || p.Items <= 0 || p.Client <= 0 || p.Answer <= 0 || p.Echo <= 0 {
			t.Errorf("%+v", p)
		}
	}
	if len(scale.Points) != 2 || len(scale.Costs) != 2 {
		t.Errorf("%d points, %d costs", len(scale.Points), len(scale.Costs))
	}
	for name, pid := range s.PIDs {
		if after, err := bench.CoresOf(pid); err != nil || !slices.Equal(after, before) {
			t.Errorf("%s is left on the cores %v of %v: %v", name, after, before, err)
		}
	}
	conf.Cores = []int{len(before) + 1}
	if scale.Measure(ctx, s, conf) == nil {
		t.Error("kept to more cores than there are")
	}
}

// failUnderLoad has a node die and come back while a load runs: any two open.
func failUnderLoad(t *testing.T, ctx context.Context, c *cluster.Cluster, s *bench.Subject, run *bench.Run) {
	conf := bench.FailingConfig{For: 300 * time.Millisecond, Quiet: 300 * time.Millisecond, Failures: []bench.Failure{{
		Name: "b is killed", Dies: "b",
		Strike: func(context.Context) (string, error) { return "", c.Kill("b") },
		Heal: func(ctx context.Context) error {
			err := errors.Join(c.Restart("b"), c.WaitServing(ctx))
			s.PIDs["b"] = c.PID("b")
			return err
		},
	}}}
	busy, err := s.Busy(ctx)
	if err != nil || len(busy) != 3 {
		t.Errorf("busy are %q, %v", busy, err)
	}
	failed, err := bench.MeasureFailing(ctx, s, bench.Shape{Name: "failing", Load: bench.Load{InFlight: 64, N: 1, Rate: 30}, Batch: 1, Clients: 1, Envelopes: 4}, conf)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, spell := range failed.Failing.Spells {
		asked += spell.Asked
	}
	if m := failed.Shapes[0]; m.Taken.N != asked || m.Taken.Wrong > 0 || m.Shape.N != asked || len(failed.Failing.Spells) != 3 || len(m.CPU) != 3 {
		t.Errorf("%d are asked for: %+v, %+v", asked, failed.Failing.Spells, m)
	}
	run.Failing = failed.Failing
	conf.Failures[0].Strike = func(context.Context) (string, error) { return "", errors.New("it does not") }
	if _, err := bench.MeasureFailing(ctx, s, bench.Shape{Name: "failing", Load: bench.Load{InFlight: 64, N: 1, Rate: 30}, Batch: 1, Clients: 1, Envelopes: 4}, conf); err == nil || !strings.Contains(err.Error(), "b is killed: it does not") {
		t.Errorf("what does not fail: %v", err)
	}
}

// sufferFarAway measures a cluster whose nodes are far away, until one dies.
func sufferFarAway(t *testing.T, ctx context.Context, c *cluster.Cluster, s *bench.Subject, run *bench.Run) {
	died := false
	conf := bench.RegionsConfig{
		N: 8, Distances: far, Dead: "c", Slow: "b", Slowed: 2 * far["b"],
		Suffer: func() error { died = true; return c.Kill("c") },
		Behind: func(addr string, roundTrip time.Duration) (string, error) {
			r, err := cluster.Behind(addr, roundTrip)
			if err != nil {
				return "", err
			}
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			return r.Address(), nil
		},
		Echo: os.Args[:1], EchoEnvironment: []string{echoVariable + "=1"},
	}
	for name, change := range map[string]func(*bench.RegionsConfig){
		"nobody dies":               func(c *bench.RegionsConfig) { c.Dead = "nobody" },
		"who is dead is not slow":   func(c *bench.RegionsConfig) { c.Slow = c.Dead },
		"nothing befalls them":      func(c *bench.RegionsConfig) { c.Suffer = nil },
		"none is left for a quorum": func(c *bench.RegionsConfig) { c.Distances = map[string]time.Duration{"b": 1, "c": 1} },
	} {
		bad := conf
		if change(&bad); run.Regions(ctx, s, bad) == nil || died {
			t.Errorf("%s: measured", name)
		}
	}
	goals := len(run.Goals)
	if err := run.Regions(ctx, s, conf); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, g := range run.Goals {
		if !strings.HasPrefix(g.Shape, "five regions") {
			continue
		}
		if found++; g.Base[0].Each < far["b"] || g.Measured < far["b"] || g.Limit <= g.Base[0].Each {
			t.Errorf("goal: %+v", g)
		}
	}
	if found != 2 || len(run.Goals) != goals || !died {
		t.Errorf("%d goals of %d are about regions", found, len(run.Goals))
	}
}
