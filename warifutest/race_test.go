package warifutest_test

import (
	"flag"
	"fmt"
	"runtime/debug"
	"testing"

	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

var (
	races       = flag.Int("races", 1, "how many races of revokes against unwraps")
	raceRevokes = flag.Int("revokes", 2000, "how many revokes must be done in each; a tenth under the race detector")
	raceUnwraps = flag.Int("unwraps", 20000, "how many unwraps must have ended in each; likewise")
	raceFaults  = flag.Int("race-faults", 50, "how many faults must have fired in each; likewise")
)

// R20: after a revoke is done, no request that begins later is released, whatever
// the network, the disks, the clocks and the nodes suffer meanwhile; and no node
// that has given its receipt releases its own partial.
func TestRevokesRaceUnwraps(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the heap is small, and turns over fast
	total := warifutest.RaceReport{Faults: schedule.NewTally(nil)}
	part := 1
	if raceDetector {
		part = 10
	}
	for i := range *races {
		s := *seed + uint64(i)
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			o := warifutest.Options{Seed: s, Verbose: *verbose, Snapshots: warifutest.RaceSnapshots}
			warifutest.Run(t, o, func(t *testing.T, c *warifutest.Cluster) {
				race, err := c.Race(s)
				if err != nil {
					t.Fatal(err)
				}
				race.Revokes, race.Unwraps, race.Faults, race.Installs = *raceRevokes/part, *raceUnwraps/part, *raceFaults/part, 1
				r, err := race.Run(t.Context())
				if err != nil {
					t.Error(err)
				}
				for i, v := range r.Violations {
					if i < 20 {
						t.Error(v)
					}
				}
				t.Logf("%v of simulated time: %v", r.Took, r)
				total.Add(r)
			})
		})
	}
	if total.Racing*10 < total.Unwraps*3 {
		t.Errorf("%d of %d unwraps were in flight while their subject's revoke was", total.Racing, total.Unwraps)
	}
	if total.Unavailable*5 >= total.Unwraps {
		t.Errorf("%d of %d unwraps were refused for overload or staleness", total.Unavailable, total.Unwraps)
	}
	if total.Opened*5 < total.Unwraps || total.Denied*5 < total.Unwraps {
		t.Errorf("of %d unwraps %d opened and %d were denied", total.Unwraps, total.Opened, total.Denied)
	}
	fmt.Printf("races: %d, %v\n", *races, total)
}
