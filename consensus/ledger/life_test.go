package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// born is a world with a named key, whose order may be altered.
func born(tb testing.TB, alter ...func(*authority.Order)) (*world, api.KeyID) {
	tb.Helper()
	w := newWorld(tb)
	w.birth(w.rootOrder())
	o := w.order("payroll")
	for _, a := range alter {
		a(&o)
	}
	e := w.sign(w.orderChange(o), 0, 1)
	w.accept(e)
	return w, w.birth(e.ID()).ID
}

// move is the change that puts a key into a state, against base.
func (w *world) move(id api.KeyID, to authority.KeyState, base api.Digest) *authority.Entry {
	c := w.changeOf(authority.KindKeyState, authority.KeyStateChange{Key: id, To: to})
	c.Base = base
	return w.sign(c, 0, 1)
}

func (w *world) label(k authority.KeyLabels, base api.Digest) *authority.Entry {
	c := w.changeOf(authority.KindKeyLabels, k)
	c.Base = base
	return w.sign(c, 0, 1)
}

// clock moves ledger time.
func (w *world) clock(counter uint64, at int64) {
	w.Helper()
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.anchor(n, counter, at))
	}
}

// Each pair of states: the ledger takes what the table has, and refuses the rest.
func TestTheLedgerMovesAKeyByTheTable(t *testing.T) {
	ways := map[authority.KeyState][]authority.KeyState{ // to each state that custodians can put a key into
		authority.Active:      nil,
		authority.Suspended:   {authority.Suspended},
		authority.Deactivated: {authority.Deactivated},
		authority.Compromised: {authority.Suspended, authority.Compromised},
	}
	base, id := born(t)
	early, earlyID := born(t, func(o *authority.Order) { o.NotBefore = created + 500 })
	try := func(w *world, id api.KeyID, from, to authority.KeyState) {
		if got := w.s.KeyState(id, w.s.Time()); got != from {
			t.Fatalf("the key is %s, not %s", got, from)
		}
		var undoes api.Digest
		if authority.Widens(from, to) {
			undoes = w.s.Life(id).State.Change
		}
		e := w.move(id, to, undoes)
		switch {
		case to == authority.PreActive || to == authority.Destroyed:
			w.refuse(e.Encode(), authority.ErrKeyLife)
		case authority.MayMove(from, to, authority.ByCustodians):
			w.accept(e)
			if got := w.s.KeyState(id, w.s.Time()); got != to {
				t.Errorf("from %s to %s it is %s", from, to, got)
			}
			sub := authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}
			w.denied(!to.Unwraps(), sub)
		default:
			w.refuse(e.Encode(), ledger.ErrMove)
		}
	}
	for from, way := range ways {
		at := base.fork()
		for _, step := range way {
			at.accept(at.move(id, step, api.Digest{}))
		}
		for _, to := range authority.KeyStates() {
			try(at.fork(), id, from, to)
		}
	}
	for _, to := range authority.KeyStates() {
		try(early.fork(), earlyID, authority.PreActive, to)
	}
}

// What stops a key needs no base and denies beside its state; what undoes it names it,
// and its id is never taken again.
func TestAStopIsADenialUntilTheChangeThatUndoesIt(t *testing.T) {
	w, id := born(t)
	sub := authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}
	stop := w.move(id, authority.Suspended, api.Digest{})
	at := w.accept(stop).Index
	if d := w.s.DenialBy(stop.ID()); d == nil || d.Subject != sub || d.Index != at {
		t.Errorf("it denies as %+v", d)
	}
	w.refuse(w.move(id, authority.Suspended, api.Digest{9}).Encode(), authority.ErrKeyLife)
	w.refuse(w.move(id, authority.Active, api.Digest{}).Encode(), ledger.ErrStaleBase)
	w.refuse(w.move(id, authority.Deactivated, api.Digest{}).Encode(), ledger.ErrStaleBase)
	w.refuse(w.lift(stop.ID()).Encode(), ledger.ErrByState)
	w.denied(true, sub)
	alone := w.changeOf(authority.KindKeyState, authority.KeyStateChange{Key: id, To: authority.Active})
	alone.Base = stop.ID()
	w.refuse(w.sign(alone, 0).Encode(), authority.ErrTooFewSignatures)
	undo := w.move(id, authority.Active, stop.ID())
	w.accept(undo)
	w.denied(false, sub)
	if l := w.s.LiftOf(stop.ID()); l == nil || l.Lift != undo.ID() {
		t.Errorf("it is undone as %+v", l)
	}
	w.refuse(stop.Encode(), ledger.ErrTaken)
	w.refuse(w.move(id, authority.Deactivated, undo.ID()).Encode(), ledger.ErrStaleBase) // it undoes nothing
	w.accept(w.move(id, authority.Suspended, api.Digest{}))
	second := w.s.Life(id).State.Change
	w.refuse(w.move(id, authority.Active, stop.ID()).Encode(), ledger.ErrStaleBase)
	w.accept(w.move(id, authority.Deactivated, second))
	w.denied(false, sub)
	w.accept(w.move(id, authority.Compromised, api.Digest{}))
	w.denied(true, sub)

	// A stop that nodes were handed and nobody ordered is lifted, as a revoke is.
	other, otherID := born(t)
	kept := other.move(otherID, authority.Suspended, api.Digest{})
	other.accept(other.lift(kept.ID()))
	other.refuse(kept.Encode(), ledger.ErrLifted)
	decodedAnywhere(t, w, 3)
}

func TestDeniesTakesAStopAndNothingElseOfAKeysState(t *testing.T) {
	w, id := born(t)
	stop := w.move(id, authority.Suspended, api.Digest{})
	denies := func(e *authority.Entry, want error) {
		t.Helper()
		got, sub, err := w.s.Denies(e.Encode())
		if want == nil && (err != nil || got != e.ID() || sub != authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}) || !errors.Is(err, want) {
			t.Errorf("%v, %v, want %v", sub, err, want)
		}
	}
	denies(stop, nil)
	denies(w.move(id, authority.Compromised, api.Digest{}), nil)
	denies(w.move(id, authority.Active, api.Digest{}), authority.ErrRevoke)
	denies(w.move(id, authority.Deactivated, api.Digest{}), authority.ErrRevoke)
	denies(w.move(api.KeyID{9}, authority.Suspended, api.Digest{}), ledger.ErrNoKey)
	denies(w.label(authority.KeyLabels{Key: id}, api.Digest{}), authority.ErrRevoke)
	denies(w.sign(w.changeOf(authority.KindKeyState, authority.KeyStateChange{Key: id, To: authority.Suspended}), 0), authority.ErrTooFewSignatures)
	w.accept(stop)
	denies(stop, nil) // handed over once more: it is in force
	denies(w.move(id, authority.Suspended, api.Digest{}), ledger.ErrMove)
	if sub, err := w.s.DeniedBy(stop.Encode()); err != nil || sub.Kind != authority.SubjectKeyState {
		t.Error(sub, err)
	}
}

func TestAKeyIsBornPreActiveWhenItsOrderSaysSo(t *testing.T) {
	w, id := born(t, func(o *authority.Order) { o.NotBefore = created + 500 })
	late := int64(created + 10_000)
	if got := w.s.KeyState(id, late); got != authority.PreActive {
		t.Errorf("by the node's clock alone it is %s", got)
	}
	w.clock(1, created+500)
	if got := w.s.KeyState(id, created+499); got != authority.PreActive {
		t.Errorf("by ledger time alone it is %s", got)
	}
	if got := w.s.KeyState(id, created+500); got != authority.Active {
		t.Errorf("by both it is %s", got)
	}
	w.accept(w.move(id, authority.Suspended, api.Digest{})) // ledger time has activated it
	decodedAnywhere(t, w, 2)

	w, id = born(t, func(o *authority.Order) { o.NotBefore = created + 500 })
	w.accept(w.move(id, authority.Active, api.Digest{})) // custodians do not wait
	if got := w.s.KeyState(id, 0); got != authority.Active {
		t.Errorf("it is %s", got)
	}
}

func TestWhatIsSaidOfAKeyReplacesWhatWas(t *testing.T) {
	w, id := born(t)
	first := w.label(authority.KeyLabels{Key: id, Owner: "ops", Labels: map[string]string{"env": "prod"}}, api.Digest{})
	w.accept(first)
	if l := w.s.Life(id); l.Owner != "ops" || l.Labels["env"] != "prod" || l.Said.Change != first.ID() {
		t.Errorf("%+v", l)
	}
	w.refuse(w.label(authority.KeyLabels{Key: id}, api.Digest{}).Encode(), ledger.ErrStaleBase)
	w.refuse(w.label(authority.KeyLabels{Key: api.KeyID{9}}, api.Digest{}).Encode(), ledger.ErrNoKey)
	w.refuse(w.label(authority.KeyLabels{Key: w.s.RootKey().ID}, api.Digest{}).Encode(), ledger.ErrNoKey)
	w.refuse(w.move(w.s.RootKey().ID, authority.Suspended, api.Digest{}).Encode(), ledger.ErrNoKey)
	w.refuse(w.label(authority.KeyLabels{Key: id, Owner: "\n"}, first.ID()).Encode(), authority.ErrKeyLife)
	w.accept(w.move(id, authority.Suspended, api.Digest{})) // beside it
	if l := w.s.Life(id); l.Owner != "ops" || l.Put != authority.Suspended {
		t.Errorf("%+v", l)
	}
	second := w.label(authority.KeyLabels{Key: id, NotAfter: created + 500}, first.ID())
	w.accept(second)
	if l := w.s.Life(id); l.Owner != "" || len(l.Labels) != 0 || l.NotAfter != created+500 || l.Put != authority.Suspended {
		t.Errorf("%+v", l)
	}
	decodedAnywhere(t, w, 3)
}

// An expiry deactivates, by either clock, for good; it frees no key that is suspended.
func TestAnExpiryDeactivates(t *testing.T) {
	w, id := born(t)
	first := w.label(authority.KeyLabels{Key: id, NotAfter: created + 500}, api.Digest{})
	w.accept(first)
	stopped := w.fork()
	stopped.accept(stopped.move(id, authority.Suspended, api.Digest{}))
	states := []authority.KeyState{w.s.KeyState(id, created+500), w.s.KeyState(id, created+501)}
	w.clock(1, created+501)
	states = append(states, w.s.KeyState(id, created))
	if !slices.Equal(states, []authority.KeyState{authority.Active, authority.Deactivated, authority.Deactivated}) {
		t.Error(states)
	}
	w.refuse(w.label(authority.KeyLabels{Key: id}, first.ID()).Encode(), ledger.ErrOver)
	w.refuse(w.label(authority.KeyLabels{Key: id, NotAfter: created + 900}, first.ID()).Encode(), ledger.ErrOver)
	w.accept(w.label(authority.KeyLabels{Key: id, Owner: "archive", NotAfter: created + 500}, first.ID()))
	w.refuse(w.move(id, authority.Suspended, api.Digest{}).Encode(), ledger.ErrMove)
	w.refuse(w.move(id, authority.Active, api.Digest{}).Encode(), ledger.ErrMove)
	w.accept(w.move(id, authority.Compromised, api.Digest{}))

	stopped.clock(1, created+501)
	if got := stopped.s.KeyState(id, created+501); got != authority.Suspended {
		t.Errorf("its expiry has made a suspended key %s", got)
	}
}

func TestALifeIsShownWithTheCustodiansSignatures(t *testing.T) {
	w, id := born(t)
	order := w.order("payroll")
	if w.s.SignedLife(id) != nil {
		t.Error("there is nothing to show")
	}
	w.accept(w.move(id, authority.Suspended, api.Digest{}))
	w.accept(w.label(authority.KeyLabels{Key: id, Owner: "ops"}, api.Digest{}))
	v, err := w.s.SignedLife(id).Verify(w.genesis, id, &order)
	if err != nil || v.At(0, 0) != authority.Suspended || v.Owner != "ops" {
		t.Fatalf("%+v, %v", v, err)
	}
	// Passed by votes, it is shown alike.
	p := w.changeOf(authority.KindKeyState, authority.KeyStateChange{Key: id, To: authority.Active})
	p.Base = w.s.Life(id).State.Change
	w.accept(w.propose(p, 0, true))
	w.accept(w.approve(p, 1))
	if v, err := w.s.SignedLife(id).Verify(w.genesis, id, &order); err != nil || v.At(0, 0) != authority.Active {
		t.Fatalf("%+v, %v", v, err)
	}
}
