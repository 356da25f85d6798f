package gate

import (
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// revoked is the state after the key was revoked.
func (w *world) revoked(s *ledger.State) *ledger.State {
	sub := authority.Subject{Kind: authority.SubjectKey, Name: w.born.Key.ID.String()}
	next, r := s.Apply(s.Position().Index+1, w.Revoke(sub))
	if r.Err != nil {
		panic(r.Err)
	}
	return next
}

// R20, R28, R30: a revoked key is one that nobody has heard of, in whichever state
// it is revoked, and beside them.
func TestARevokedKeyIsDeniedInEitherState(t *testing.T) {
	for sentence, deny := range map[string]func(*world){
		"committed": func(w *world) { w.committed = w.revoked(w.committed) },
		"the tail":  func(w *world) { w.tail = w.revoked(w.committed) },
		"both":      func(w *world) { w.committed = w.revoked(w.committed); w.tail = w.committed },
		"beside them": func(w *world) {
			w.tail = w.tail.Denying(map[api.Digest]authority.Subject{{1}: {Kind: authority.SubjectKey, Name: w.born.Key.ID.String()}})
		},
	} {
		w := newWorld(t)
		item := w.item(t)
		first := w.one(t, app, item)
		if first.Refusal != nil {
			t.Fatal(first.Refusal)
		}
		item.Endorsement = first.Endorsement // what the node remembers of its own answer changes nothing
		deny(w)
		got := w.one(t, app, item).Refusal
		if got == nil || *got != *denied() {
			t.Errorf("%s: %+v", sentence, got)
		}
		r := w.recorder.records[len(w.recorder.records)-1]
		if r.Kind != audit.Refusal || !strings.HasPrefix(r.Why, "key: revoked by ") {
			t.Errorf("%s: recorded %+v", sentence, r)
		}
	}
}
