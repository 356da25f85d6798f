package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/consensus"
)

// R32, R35: a node that met another history, or another membership, neither
// releases nor submits, says so, and writes it down once.
func TestANodeThatStoppedServingSaysSo(t *testing.T) {
	for why, state := range map[error]string{
		consensus.ErrFork: "fork", consensus.ErrMembership: "membership", consensus.ErrFloor: "floor",
	} {
		t.Run(state, func(t *testing.T) {
			n, r := fakeNode(t)
			_, log, closeLog := newTestJournal(t, t.TempDir())
			defer closeLog()
			n.audit, n.device = log, openSoft(t, t.TempDir())
			r.BearRoot()
			n.fresh.confirmed = BootTime() // fresh for the next seconds
			if e := n.freshEnough(); e != nil || n.servingState() == state {
				t.Fatalf("before: %v, %s", e, n.servingState())
			}
			entry := caChange(r, "apps", newPKI(t).cert, api.Digest{})

			r.stopped = fmt.Errorf("%w: as a test", why)
			if e := n.freshEnough(); e == nil || e.Code != api.CodeFork || !strings.Contains(e.Sentence, state) {
				t.Errorf("the gate hears %v", e)
			}
			if got := n.status().State; got != state {
				t.Errorf("status says %q, want %q", got, state)
			}
			if _, err := n.submit(t.Context(), entry, nil); codeOf(err) != api.CodeFork || r.submitted != 0 {
				t.Errorf("an entry was handed on: %v", err)
			}
			ctx, stop := context.WithTimeout(t.Context(), ceremonyTick+ceremonyTick/2) // two rounds
			defer stop()
			n.runCeremonies(ctx)
			records, err := log.Tail(10)
			if err != nil {
				t.Fatal(err)
			}
			var forks []audit.Record
			for _, r := range records {
				if r.Kind == audit.Fork {
					forks = append(forks, r.Record)
				}
			}
			if len(forks) != 1 || forks[0].Action != state || !strings.Contains(forks[0].Why, "as a test") || forks[0].Node != "n1" {
				t.Errorf("written down: %v", forks)
			}
			if age := time.Since(time.UnixMilli(forks[0].Time)); age < 0 || age > time.Minute {
				t.Errorf("at another time: %v ago", age)
			}
		})
	}
}
