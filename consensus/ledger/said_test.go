package ledger_test

import (
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// What an order says of its key holds from the birth on, in all versions, until a change
// that names the order replaces it.
func TestWhatAnOrderSaysHoldsFromTheBirthOn(t *testing.T) {
	w, id := born(t, func(o *authority.Order) {
		o.Owner, o.Labels, o.NotAfter = "ops", map[string]string{"env": "prod"}, created+500
	})
	l := w.s.Life(id)
	order := w.s.Key(id).Order
	if l.Owner != "ops" || l.Labels["env"] != "prod" || l.NotAfter != created+500 || l.Said.Change != order || l.Put != authority.Active {
		t.Fatalf("%+v", l)
	}
	e := w.next(id, 2)
	w.accept(e)
	w.birth(e.ID())
	for version := uint32(1); version <= 2; version++ {
		o := w.s.OrderByHash(w.s.KeyVersion(id, version).Order).Order
		v, err := w.s.SignedLife(id).Verify(w.genesis, id, &o)
		if err != nil || v.Owner != "ops" || v.Labels["env"] != "prod" || v.Life.NotAfter != created+500 {
			t.Errorf("beside the record of version %d: %+v, %v", version, v, err)
		}
	}
	expired := w.fork()
	expired.clock(1, created+501)
	if got := expired.s.KeyState(id, created+501); got != authority.Deactivated {
		t.Errorf("past its expiry it is %s", got)
	}
	w.refuse(w.label(authority.KeyLabels{Key: id}, api.Digest{}).Encode(), ledger.ErrStaleBase)
	w.accept(w.label(authority.KeyLabels{Key: id}, order))
	if l := w.s.Life(id); l.Owner != "" || l.Labels != nil || l.NotAfter != 0 {
		t.Errorf("%+v", l)
	}
	decodedAnywhere(t, w, 2)
}
