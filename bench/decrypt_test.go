package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
	_ "warifu.dev/node" // the daemon is built from it: a result of another node is never cached
)

// far is how far the nodes of the test are, from all others and from clients.
var far = map[string]time.Duration{"a": 2 * time.Millisecond, "b": 4 * time.Millisecond, "c": 6 * time.Millisecond}

// A small cluster is measured from end to end, and the report says so in both
// of its forms.
func TestAClusterIsMeasured(t *testing.T) {
	bin := t.TempDir()
	if err := cluster.BuildBinaries(bin); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: t.TempDir(), Bin: bin, HSM: cluster.HSMSoft, T: 2, AuditReserve: 1 << 20, Numbers: true,
		Nodes:    []cluster.Node{{ID: "a", Region: "here"}, {ID: "b", Region: "here"}, {ID: "c", Region: "there"}},
		Distance: func(a, b string) time.Duration { return far[a] + far[b] },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	key, err := c.Furnish(ctx, "payroll")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.NewIdentity(cluster.AppURI)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Client(cert)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	pids := map[string]int{}
	for _, id := range c.IDs() {
		pids[id] = c.PID(id)
	}
	r, err := bench.Decrypt(ctx, bench.Config{Client: cl, Key: key, N: 40, InFlight: 8, PIDs: pids, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Parts) != 2 || r.Threshold != 2 || r.Holders != 3 {
		t.Fatalf("report: %+v", r)
	}
	for _, p := range r.Parts {
		if p.Unwraps != 40 || p.P50 < far["b"] || p.P99 < p.P50 || p.Longest < p.P99 || p.Throughput <= 0 {
			t.Errorf("part: %+v", p)
		}
		if len(p.CPU) != 4 || p.CPU[0].Process != "client" || p.CPU[1].Process != "a" || len(p.Explained) != 2 {
			t.Errorf("CPU of the part %s: %+v", p.Name, p.CPU)
		}
	}
	for _, s := range r.Steps {
		if s.CPU <= 0 || s.Wall <= 0 || s.Ratio <= 0 {
			t.Errorf("step: %+v", s)
		}
	}
	t.Run("and held against its goals", func(t *testing.T) { holdAgainstGoals(t, ctx, c, key, pids) })
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"payroll, 2 of 3", "40, one at a time", "40, 8 in flight", "verify the envelope's proof", "each of 2 nodes"} {
		if !strings.Contains(text.String(), says) {
			t.Errorf("the report does not say %q:\n%s", says, &text)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back bench.Report
	if err := json.Unmarshal(b, &back); err != nil || len(back.Steps) != len(r.Steps) {
		t.Errorf("the report does not survive JSON: %v", err)
	}
}

func TestCountsOutOfBoundsAreRefused(t *testing.T) {
	for name, c := range map[string]bench.Config{
		"no unwraps":         {N: 0, InFlight: 1},
		"nothing in flight":  {N: 1, InFlight: 0},
		"too many unwraps":   {N: 1_000_001, InFlight: 1},
		"too many in flight": {N: 1, InFlight: 4097},
	} {
		if c.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	good := bench.Config{N: 1, InFlight: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	if _, err := bench.Decrypt(t.Context(), good); err == nil {
		t.Error("measured without a client")
	}
}
