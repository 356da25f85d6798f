package gate

import (
	"context"
	"testing"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/consensus/ledger"
	"warifu.dev/policy"
)

// forgetful takes records and keeps none.
type forgetful struct{}

func (forgetful) Append(context.Context, ...audit.Record) (uint64, error) { return 1, nil }

// precompiled is the gate as a node has it: with a policy that is compiled once. It keeps
// no records.
func (w *world) precompiled(t *testing.T) {
	t.Helper()
	p, err := w.gate.cfg.Policy(w.committed)
	if err != nil {
		t.Fatal(err)
	}
	w.gate.cfg.Policy = func(*ledger.State) (*policy.Policy, error) { return p, nil }
	w.gate.cfg.Audit = forgetful{}
}

// What an item allocates in the gate, from the request to the answer, is bounded: what
// thousands a second leave behind somebody has to collect. Bounds are a third above what it
// was when they were set.
func TestWhatAnItemAllocatesIsBounded(t *testing.T) {
	w, y := newWorld(t), newTally(t)
	w.precompiled(t)
	y.precompiled(t)
	const runs = 50
	seen, unseen := w.item(t), make([]api.UnwrapItem, runs+1) // AllocsPerRun begins with one that does not count
	for i := range unseen {
		unseen[i] = w.item(t)
	}
	batch := make([]api.UnwrapItem, 100)
	for i := range batch {
		batch[i] = api.UnwrapItem{Envelope: y.made(t, writer, fileA), Context: fileA}
	}
	next := 0
	for _, row := range []struct {
		name  string
		world *world
		sets  []uint16
		items func() []api.UnwrapItem
		most  float64 // for each item
	}{
		{"a repeated envelope", w, nil, func() []api.UnwrapItem { return []api.UnwrapItem{seen} }, 65},
		{"at first sight", w, nil, func() []api.UnwrapItem { next++; return unseen[next-1 : next] }, 97},
		{"symmetric, one item", y.world, wired(y.part(1)), func() []api.UnwrapItem { return batch[:1] }, 45},
		{"symmetric, of a batch of 100", y.world, wired(y.part(1)), func() []api.UnwrapItem { return batch }, 33},
	} {
		caller := &Caller{Principal: app, Standing: row.world.standing}
		items := 0
		ask := func() {
			req := &api.UnwrapRequest{RequestID: api.RequestID{9}, Reason: "a test", Sets: row.sets, Items: row.items()}
			items = len(req.Items)
			a, err := row.world.gate.Unwrap(t.Context(), caller, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range a.Items {
				if it.Refusal != nil {
					t.Fatalf("%s: %v", row.name, it.Refusal)
				}
			}
		}
		if row.name == "a repeated envelope" {
			ask()
		}
		n := testing.AllocsPerRun(runs, ask) / float64(items)
		if n > row.most {
			t.Errorf("%s: %.1f allocations, at most %.0f", row.name, n, row.most)
		}
		t.Logf("%s: %.1f allocations", row.name, n)
	}
}
