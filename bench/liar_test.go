package bench_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
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
	if err := cluster.BuildLiar(bin); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Duration(*lieEvery)*10*time.Millisecond)
	defer cancel()
	noticed := bench.NewNoticed()
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: t.TempDir(), Bin: bin, HSM: cluster.HSMSoft, T: 2, AuditReserve: 1 << 20, Log: slog.New(noticed),
		Nodes: []cluster.Node{{ID: "a", Region: "here"}, {ID: "liar-1", Region: "here"}, {ID: "liar-2", Region: "there"}},
		Environment: func(node string) []string {
			return map[string][]string{
				"liar-1": {fmt.Sprintf("%s=%d 0", cluster.LiesVariable, *lieEvery)},
				"liar-2": {fmt.Sprintf("%s=%d %d", cluster.LiesVariable, *lieEvery, *lieEvery/2)}, // half as many apart
			}[node]
		},
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
