package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

var lieEvery = flag.Int("lie-every", 40, "the bench must notice a node of which every so manieth partial is wrong")

// Of three nodes, of which two are asked, two give a wrong partial now and then. The
// client does without, and every data key is right; a run of the bench ends with an error
// all the same, and says who it was. (R14)
func TestANodeThatLiesNowAndThenIsNoticed(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("GOFLAGS", strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+plantLiar(t, *lieEvery)))
	if err := cluster.BuildBinaries(bin); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Duration(*lieEvery)*10*time.Millisecond)
	defer cancel()
	noticed := bench.NewNoticed()
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: t.TempDir(), Bin: bin, HSM: cluster.HSMSoft, T: 2, AuditReserve: 1 << 20, Log: slog.New(noticed),
		Nodes: []cluster.Node{{ID: "a", Region: "here"}, {ID: "liar-1", Region: "here"}, {ID: "liar-2", Region: "there"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := c.Furnish(ctx, "payroll")
	if err != nil {
		t.Fatal(err)
	}
	s := subjectOf(t, c, key, nil, noticed, 1)
	shape := bench.Shape{Name: "asked", Load: bench.Load{N: 4 * *lieEvery, InFlight: 8}, Batch: 1, Clients: 1}
	run, err := bench.MeasureOne(ctx, s, shape, nil)
	if err != nil {
		t.Fatal(err)
	}
	if taken := run.Shapes[0].Taken; taken.Wrong > 0 || taken.Failures() > 4 { // both may lie about one envelope
		t.Errorf("the client does not do without the liars: %+v", taken)
	}
	if err := run.Err(); err == nil || !strings.Contains(err.Error(), "a node gave a false partial node=liar-") {
		t.Errorf("the run ends with %v", err)
	}
}

// plantLiar makes an overlay in which the nodes "liar-1" and "liar-2" give another point
// than their partials, every so manieth time, half as many apart.
func plantLiar(t *testing.T, every int) string {
	t.Helper()
	const honest = "partial := it.verified.Partial(it.share.Scalar)"
	at, err := filepath.Abs("../node/gate")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := os.ReadFile(filepath.Join(at, "gate.go"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(gate), honest) != 1 {
		t.Fatalf("the gate does not make partials by %q", honest)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range map[string]string{
		"gate.go": strings.Replace(string(gate), honest, honest+"\n\tpartial = nowAndThenAnother(g.cfg.Node, partial)", 1),
		"liar.go": fmt.Sprintf(`package gate

import (
	"sync/atomic"

	"warifu.dev/sharing/group"
)

var given atomic.Uint64

func nowAndThenAnother(node string, p *group.Point) *group.Point {
	n := given.Add(1)
	if node == "liar-1" && n%%%[1]d == 0 || node == "liar-2" && n%%%[1]d == %[2]d {
		return p.Add(p)
	}
	return p
}
`, every, every/2),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(at, name)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
