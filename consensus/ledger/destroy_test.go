package ledger_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// destroy is the order to destroy a key, signed by these custodians.
func (w *world) destroy(id api.KeyID, wait int64, by ...int) *authority.Entry {
	return w.sign(w.changeOf(authority.KindKeyDestroy, authority.KeyDestroy{Key: id, Wait: wait}), by...)
}

func (w *world) keep(id api.KeyID, order api.Digest) *authority.Entry {
	c := w.changeOf(authority.KindKeyKeep, authority.KeyKeep{Key: id})
	c.Base, c.NotAfter = order, w.s.Time()+1000
	return w.sign(c, 0, 1)
}

func (w *world) beginEnd(id api.KeyID) *authority.Entry {
	return w.say("n2", authority.KindDestroy, authority.Destroy{Key: id})
}

func (w *world) erased(node string, epochs ...authority.LiveEpoch) *authority.Entry {
	return w.say(node, authority.KindErased, authority.ErasureReceipt{Through: epochs, Generation: 3, Label: "warifu-3", Serial: "00aa", Time: created})
}

// From when it is ordered a key is denied; when the wait is over its epochs are, and
// every holder is asked for a receipt.
func TestAKeyIsDestroyedAfterItsWait(t *testing.T) {
	w, id := born(t)
	order := w.destroy(id, authority.DestroyWait, 0, 1)
	w.accept(order)
	sub := authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}
	if by, is := w.s.Revoked(sub); !is || by != order.ID() {
		t.Fatal("what is ordered to be destroyed is not denied")
	}
	if s := w.s.KeyState(id, w.s.Time()); s != authority.Suspended {
		t.Errorf("it is %s while it waits", s)
	}
	w.refuse(w.beginEnd(id).Encode(), ledger.ErrWaits)
	w.clock(1, w.s.Life(id).Destroy.After-1)
	w.refuse(w.beginEnd(id).Encode(), ledger.ErrWaits)
	if len(w.s.DestroyNow(1<<60)) != 0 {
		t.Error("it may be destroyed before ledger time says so")
	}
	after := w.s.Life(id).Destroy.After
	w.clock(2, after)
	if !slices.Equal(w.s.DestroyNow(after), []api.KeyID{id}) || len(w.s.DestroyNow(after-1)) != 0 {
		t.Error("a node's own clock is not asked")
	}
	w.accept(w.beginEnd(id))
	switch d := w.s.Life(id).Destroy; {
	case w.s.KeyState(id, w.s.Time()) != authority.Destroyed, !w.s.Destroyed(id), len(w.s.Dying()) != 0:
		t.Error("it is not destroyed")
	case !slices.Equal(d.Epochs, []uint64{1}) || d.Begun == 0:
		t.Errorf("%+v", d)
	case len(w.s.LiveEpochs()) != 0:
		t.Errorf("epochs that release: %v", w.s.LiveEpochs())
	case w.s.LastEnded() != d.Begun:
		t.Error("no node compacts for it")
	}
	if _, is := w.s.Revoked(sub); !is {
		t.Error("it is denied no more")
	}
	w.refuse(w.beginEnd(id).Encode(), ledger.ErrNoDestroy)
	w.refuse(w.keep(id, order.ID()).Encode(), ledger.ErrNoDestroy)
	if w.s.MayErase(id, after-1) || !w.s.MayErase(id, after) {
		t.Error("a node erases before its own clock says so")
	}
	k := w.s.Key(id)
	e := authority.LiveEpoch{Key: id, Version: 1, Epoch: 1}
	for i, n := range k.Holders {
		if !slices.Equal(w.s.Unerased(n, 9), []authority.LiveEpoch{e}) {
			t.Fatalf("%s is asked for nothing", n)
		}
		if gone := w.s.Erased(e); gone.Gone() != (i >= gone.Need()) {
			t.Errorf("after %d receipts of at least %d it is gone: %v", i, gone.Need(), gone.Gone())
		}
		w.accept(w.erased(n, e))
	}
	decodedAnywhere(t, w, 2)
}

// Less than the whole wait takes all custodians, in a file and in the ledger.
func TestAShortWaitTakesAllCustodians(t *testing.T) {
	for _, wait := range []int64{0, authority.DestroyWait - 1} {
		w, id := born(t)
		w.refuse(w.destroy(id, wait, 0, 1).Encode(), authority.ErrTooFewSignatures)
		w.accept(w.destroy(id, wait, 0, 1, 2))
	}
	w, id := born(t)
	c := w.changeOf(authority.KindKeyDestroy, authority.KeyDestroy{Key: id})
	w.accept(w.propose(c, 0, true))
	p := authority.NewChange(c).ID()
	w.accept(w.approve(c, 1))
	if w.s.Proposal(p).State != ledger.ProposalOpen {
		t.Fatal("two of three custodians destroy a key at once")
	}
	w.accept(w.approve(c, 2))
	if w.s.Proposal(p).State != ledger.ProposalPassed || w.s.Life(id).Destroy == nil {
		t.Fatalf("%+v", w.s.Proposal(p))
	}
	w.accept(w.beginEnd(id))
}

// While it waits it can be taken back, by a change that names the order; then the key
// stands where it stood.
func TestAKeyThatIsToBeDestroyedIsKept(t *testing.T) {
	w, id := born(t)
	w.refuse(w.keep(id, api.Digest{1}).Encode(), ledger.ErrNoDestroy)
	w.accept(w.move(id, authority.Deactivated, api.Digest{}))
	order := w.destroy(id, authority.DestroyWait, 0, 1)
	w.accept(order)
	w.refuse(w.destroy(id, authority.DestroyWait, 0, 1).Encode(), ledger.ErrDying)
	w.refuse(w.move(id, authority.Compromised, api.Digest{}).Encode(), ledger.ErrDying)
	w.refuse(w.keep(id, api.Digest{1}).Encode(), ledger.ErrStaleBase)
	w.refuse(w.keep(id, api.Digest{}).Encode(), authority.ErrDestroy)
	lift := w.changeOf(authority.KindLift, authority.Lift{Lifts: order.ID()})
	w.refuse(w.sign(lift, 0, 1).Encode(), ledger.ErrByState)
	w.accept(w.keep(id, order.ID()))
	if _, is := w.s.Revoked(authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}); is || w.s.KeyState(id, w.s.Time()) != authority.Deactivated {
		t.Error("it does not stand where it stood")
	}
	w.refuse(order.Encode(), ledger.ErrTaken)
	w.clock(1, created+authority.DestroyWait)
	w.refuse(w.beginEnd(id).Encode(), ledger.ErrNoDestroy)
	decodedAnywhere(t, w, 2)
}

// A node that is handed the order directly keeps it as a denial, if the ledger would
// take it.
func TestAnOrderToDestroyDeniesWhereverItIsHandedIn(t *testing.T) {
	w, id := born(t)
	e := w.destroy(id, authority.DestroyWait, 0, 1)
	got, sub, err := w.s.Denies(e.Encode())
	if err != nil || got != e.ID() || sub != (authority.Subject{Kind: authority.SubjectKeyState, Name: id.String()}) {
		t.Fatalf("%v %v %v", got, sub, err)
	}
	if _, _, err := w.s.Denies(w.destroy(id, 0, 0, 1).Encode()); !errors.Is(err, authority.ErrTooFewSignatures) {
		t.Errorf("too few: %v", err)
	}
	if _, _, err := w.s.Denies(w.destroy(api.KeyID{9}, authority.DestroyWait, 0, 1).Encode()); !errors.Is(err, ledger.ErrNoKey) {
		t.Errorf("no such key: %v", err)
	}
	w.accept(e)
	if _, _, err := w.s.Denies(w.destroy(id, authority.DestroyWait, 0, 1).Encode()); !errors.Is(err, ledger.ErrDying) {
		t.Errorf("a second order: %v", err)
	}
}

// Clients are shown the order, and wrap nothing more.
func TestTheOrderToDestroyIsShownToClients(t *testing.T) {
	w, id := born(t)
	w.accept(w.destroy(id, authority.DestroyWait, 0, 1))
	shown := w.s.SignedLife(id)
	o := &w.s.OrderNamed("payroll").Order
	if v, err := shown.Verify(w.genesis, id, o); err != nil || !v.Dying {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := shown.Verify(w.genesis, api.KeyID{9}, o); !errors.Is(err, authority.ErrKeyLife) {
		t.Errorf("of another key: %v", err)
	}
	shown.Destroy = bytes.Replace(shown.Destroy, []byte(authority.KindKeyDestroy), []byte("key-destroi"), 1)
	if _, err := shown.Verify(w.genesis, id, o); !errors.Is(err, authority.ErrKeyLife) {
		t.Errorf("altered: %v", err)
	}
}

// A version that is being born is no way round: its run ends first, and no other begins.
func TestNoVersionIsBornOfAKeyThatIsDestroyed(t *testing.T) {
	w, id := born(t)
	next := w.next(id, 2)
	w.accept(next)
	w.open(next.ID())
	w.accept(w.destroy(id, 0, 0, 1, 2))
	w.refuse(w.beginEnd(id).Encode(), ledger.ErrRotating)
	w.clock(1, created+authority.MaxPhaseSecond*1000)
	w.accept(w.beginEnd(id))
	w.refuse(w.say("n1", authority.KindOpen, authority.Open{Order: next.ID(), Attempt: 2}).Encode(), ledger.ErrOutOfTurn)
	decodedAnywhere(t, w, 2)
}

// What was ordered while a key waited for its end never counted that key: its end takes
// no other out of the order.
func TestADestructionLeavesTheOtherKeysOfAnOrder(t *testing.T) {
	w, id := born(t)
	c := w.orderChange(w.order("photos"))
	w.accept(w.sign(c, 0, 1))
	photos := w.birth(authority.NewChange(c).ID())
	w.accept(w.destroy(id, 0, 0, 1, 2))
	r := w.sign(w.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30}), 0, 1)
	w.accept(r)
	w.accept(w.beginEnd(id))
	if got := w.s.Renewal(r.ID()); got.Total != 1 || got.Left != 1 || len(w.s.Renewals()) != 1 {
		t.Fatalf("%+v", got)
	}
	if b := w.s.NextBatch(w.s.Renewal(r.ID())); b == nil || len(b.Keys) != 1 || b.Keys[0].ID != photos.ID {
		t.Errorf("the next run is about %+v", b)
	}
}
