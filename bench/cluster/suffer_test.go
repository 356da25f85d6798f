package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"warifu.dev/bench/cluster"
	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

var (
	runs    = flag.Int("runs", 1, "how many random schedules of SIGKILL and SIGSTOP")
	faults  = flag.Int("faults", 6, "how many of them must fire in each")
	seed    = flag.Uint64("seed", 1, "of the first schedule")
	revokes = flag.Int("revokes", 40, "how many revokes must be done, across SIGKILL and SIGSTOP")
	unwraps = flag.Int("unwraps", 400, "how many unwraps must have ended meanwhile")
	changes = flag.Int("changes", 500, "how many acknowledged changes, across crashes")
	every   = flag.Duration("crash-every", 2*time.Second, "how long after one node is killed another one is")
)

// prepared is a cluster with what the load of warifutest needs.
func prepared(t *testing.T, cfg cluster.Config) *cluster.Cluster {
	t.Helper()
	c, _, _ := start(t, cfg)
	if err := c.PutPolicy(within(t, patience), warifutest.Policy(0, true)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Real processes are killed and stopped by the same schedules as the simulated
// ones, and judged by the same judge. He replays whole logs: these nodes keep theirs.
func TestRealProcessesSuffer(t *testing.T) {
	tally, acked, unwraps, refusals, violations := schedule.NewTally(nil), 0, 0, 0, 0
	for i := range *runs {
		s := *seed + uint64(i)
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			c := prepared(t, cluster.Config{
				Bin:         faultyBin(t),
				Environment: func(string) []string { return []string{"WARIFU_FAILPOINT_OFF=compaction"} },
			})
			v, err := warifutest.Suffer(t.Context(), c, s, *faults, cluster.Kinds()...)
			if err != nil {
				t.Error(err)
			}
			v.Report(t)
			tally.Add(v.Faults)
			acked, unwraps, refusals = acked+v.Acked, unwraps+v.Unwraps, refusals+v.Refusals
			violations += len(v.Violations)
			t.Logf("%v, %d changes acknowledged, %v", v.Took, v.Acked, v.Faults)
		})
	}
	fmt.Printf("runs on real processes: %d, %v, %d changes acknowledged, %d unwraps, %d refusals, %d violations\n",
		*runs, tally, acked, unwraps, refusals, violations)
}

// R20: the same race as in the simulated cluster, while real processes are killed and
// stopped: after a revoke is done, no request that begins later is released.
func TestRevokesRaceUnwrapsOnRealProcesses(t *testing.T) {
	c, _, _ := start(t, cluster.Config{})
	race := c.Race(*seed)
	race.Revokes, race.Unwraps, race.Faults = *revokes, *unwraps, *faults
	r, err := race.Run(t.Context())
	if err != nil {
		t.Error(err)
	}
	for i, v := range r.Violations {
		if i < 20 {
			t.Error(v)
		}
	}
	if r.Opened*5 < r.Unwraps || r.Denied*5 < r.Unwraps {
		t.Errorf("of %d unwraps %d opened and %d were denied", r.Unwraps, r.Opened, r.Denied)
	}
	fmt.Printf("races on real processes: 1, in %v: %v\n", r.Took.Round(time.Second), r)
}

// What was acknowledged is in the ledger of every node, whoever was killed
// meanwhile.
func TestAcknowledgedChangesSurviveCrashes(t *testing.T) {
	c := prepared(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*changes)*50*time.Millisecond)
	defer cancel()
	r, err := c.Changes(ctx, cluster.ChangesConfig{Count: *changes, Carriers: 48, CrashEvery: *every, Seed: *seed})
	if err != nil {
		t.Error(err)
	}
	if r.Acked != *changes || r.Asked != r.Acked*len(c.IDs()) || len(r.Lost) > 0 {
		t.Errorf("of %d changes: %v %.20q", *changes, r, r.Lost)
	}
	fmt.Println(r)
}

// What real processes cannot be made to suffer is refused by name.
func TestKindsThatRealProcessesDoNotKnow(t *testing.T) {
	known := map[schedule.Kind]bool{}
	for _, k := range cluster.Kinds() {
		known[k] = true
	}
	for _, k := range schedule.Kinds() {
		if known[k] {
			continue
		}
		if _, err := (&cluster.Cluster{}).Inflict(schedule.Fault{Kind: k}); err == nil {
			t.Errorf("%s is inflicted", k)
		}
	}
}
