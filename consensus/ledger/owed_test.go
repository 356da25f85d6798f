package ledger_test

import (
	"bytes"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing/dkg"
)

// waitsSlowly looks at every order and every key.
func waitsSlowly(s *ledger.State, node string) (orders []*ledger.Ordered, unsigned []*ledger.Key) {
	for _, o := range s.Orders() {
		if o.Key == (api.KeyID{}) && o.Order.IndexOf(node) != 0 {
			orders = append(orders, o)
		}
	}
	for _, k := range s.Keys() {
		if k.Purpose != authority.PurposeRoot && k.IndexOf(node) != 0 && !slices.Contains(k.Signed, node) {
			unsigned = append(unsigned, k)
		}
	}
	return orders, unsigned
}

// What waits for a node is what looking at everything finds, in every state of births
// with a holder that is struck and one that never signs, decoded or not.
func TestWhatWaitsForANodeIsKnown(t *testing.T) {
	w := newWorld(t)
	order := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(order)
	w.birth(w.rootOrder(), "n3")
	w.birth(order.ID(), "n2")
	w.accept(w.sign(w.orderChange(w.order("waits")), 0, 1))
	s := ledger.New(w.genesis)
	some := 0
	s.LiveKeys()
	for i, e := range w.log {
		s, _ = s.Apply(uint64(i+1), e)
		d, err := ledger.Decode(w.genesis, bytes.NewReader(encode(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		bearing := false
		for _, state := range []*ledger.State{s, d} {
			for n := range w.nodes {
				orders, unsigned := waitsSlowly(state, n)
				if got := state.OrdersOf(n); !slices.Equal(got, orders) {
					t.Errorf("after %d entries %d orders wait for %s, want %d", i+1, len(got), n, len(orders))
				}
				if got := state.Unsigned(n); !slices.Equal(got, unsigned) {
					t.Errorf("after %d entries %d records wait for %s, want %d", i+1, len(got), n, len(unsigned))
				}
				if got, want := state.LiveKeys(), authority.LiveKeys(state.LiveEpochs()); got != want {
					t.Errorf("after %d entries the live keys are those of another state", i+1)
				}
				bearing = bearing || len(orders) > 0
				some += len(unsigned)
			}
			if state.Bearing() != bearing {
				t.Errorf("after %d entries a key is being born: %v", i+1, state.Bearing())
			}
		}
	}
	if some == 0 {
		t.Error("no record ever waited: this shows nothing")
	}
}

// The state says up to where the log may hold sealed dealings: to the entry that ended
// the last run, whether a key came of it or not.
func TestTheLastRunThatEndedIsKnown(t *testing.T) {
	w := newWorld(t)
	if w.s.LastEnded() != 0 {
		t.Error("before any run one has ended")
	}
	ses := w.open(w.rootOrder())
	w.run(ses.ID, dkg.PhaseDeal)
	for _, n := range []string{"n1", "n2"} {
		w.accept(w.say(n, authority.KindAbandon, authority.Abandon{Session: ses.ID}))
	}
	if w.s.LastEnded() != 0 {
		t.Error("a run has ended that goes on")
	}
	w.accept(w.say("n3", authority.KindAbandon, authority.Abandon{Session: ses.ID}))
	if w.s.LastEnded() != w.index {
		t.Errorf("the last run ended with entry %d, want %d", w.s.LastEnded(), w.index)
	}
	key := w.birth(w.rootOrder())
	at := slices.IndexFunc(w.log, func(e []byte) bool {
		parsed, err := authority.ParseEntry(e)
		return err == nil && parsed.Kind == authority.KindActivate
	})
	if key == nil || w.s.LastEnded() != uint64(at+1) {
		t.Errorf("the last run ended with entry %d, want %d", w.s.LastEnded(), at+1)
	}
}
