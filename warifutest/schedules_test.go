package warifutest_test

import (
	"flag"
	"fmt"
	"testing"

	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

var (
	schedules = flag.Int("schedules", 20, "how many random schedules")
	seed      = flag.Uint64("seed", 1, "of the first schedule")
	verbose   = flag.Bool("trace", false, "the nodes' debug lines are in the trace too")
)

// Any faults, of any nodes at a time, under load: all nodes keep one history,
// nothing acknowledged is lost, nothing is released that was denied, and what has
// healed serves.
func TestSchedules(t *testing.T) {
	t.Parallel()
	faults, acked, unwraps, refusals, violations := schedule.NewTally(nil), 0, 0, 0, 0
	for i := range *schedules {
		s := *seed + uint64(i)
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			warifutest.Run(t, warifutest.Options{Seed: s, Verbose: *verbose, KeepLog: true}, func(t *testing.T, c *warifutest.Cluster) {
				v, err := warifutest.Suffer(t.Context(), c, s, warifutest.Enough)
				if err != nil {
					t.Error(err)
				}
				v.Report(t)
				faults.Add(v.Faults)
				acked, unwraps, refusals = acked+v.Acked, unwraps+v.Unwraps, refusals+v.Refusals
				violations += len(v.Violations)
				t.Logf("%v of simulated time, %d changes acknowledged, %v", v.Took, v.Acked, v.Faults)
			})
		})
	}
	fmt.Printf("schedules: %d, %v, %d changes acknowledged, %d unwraps, %d refusals, %d violations\n",
		*schedules, faults, acked, unwraps, refusals, violations)
}
