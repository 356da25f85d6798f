package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tprf"
)

func symmetric(o *authority.Order) { o.Purpose = authority.PurposeEncrypt }

// orderSymmetric is a cluster in which a symmetric key is ordered, payroll.
func orderSymmetric(t *testing.T) (*world, api.Digest) {
	t.Helper()
	w := newWorld(t)
	w.birth(w.rootOrder())
	return w, w.ordered("payroll", symmetric)
}

// ordered orders a key, and returns the order.
func (w *world) ordered(name string, alter ...func(*authority.Order)) api.Digest {
	w.Helper()
	o := w.order(name)
	for _, a := range alter {
		a(&o)
	}
	e := w.sign(w.orderChange(o), 0, 1)
	w.accept(e)
	return e.ID()
}

// bornSymmetric is a cluster with a symmetric key, payroll.
func bornSymmetric(t *testing.T, silent ...string) (*world, api.KeyID) {
	t.Helper()
	w, order := orderSymmetric(t)
	return w, w.birth(order, silent...).ID
}

// shareOf is what a holder has in the end.
func (w *world) shareOf(k *ledger.Key, node string) *tprf.Share {
	w.Helper()
	ready, err := w.parts[k.Session][node].Step(w.s.Session(k.Session).Board.View(), nil)
	if err != nil || ready.Sets == nil {
		w.Fatalf("%s: %+v, %v", node, ready, err)
	}
	return ready.Sets
}

func TestASymmetricKeyIsBornAndItsRecordIsBelieved(t *testing.T) {
	w, id := bornSymmetric(t)
	k := w.s.Key(id)
	if !k.Symmetric() || k.Number != 1 || k.T != 3 || w.s.RootKey().Symmetric() {
		t.Fatalf("%+v", k)
	}
	if r := k.Record; len(r.Y)+len(r.W)+len(r.YI) != 0 || len(r.Sets) != len(tprf.Sets(sharing.Params{T: 3, H: 5})) {
		t.Errorf("its record is %+v", r)
	}
	if id != authority.KeyIDOf(k.Session) {
		t.Error("its id is not that of its session")
	}
	for _, n := range k.Holders {
		if !w.shareOf(k, n).Fits(k.Session, k.Record.Sets) {
			t.Errorf("the share of %s is not of this record", n)
		}
	}
	if _, err := k.Public(w.genesis.Cluster, &k.Epoch); !errors.Is(err, ledger.ErrSymmetric) {
		t.Errorf("its public half: %v", err)
	}
	if r, err := signedRecord(k).Verify(w.genesis); !errors.Is(err, authority.ErrTooFewSignatures) {
		t.Errorf("nobody has signed it: %v, %v", r, err)
	}
	w.signedBy(k, "n1", "n4", "n5")
	if r, err := w.s.SignedRecord(w.s.Key(id), &w.s.Key(id).Epoch).Verify(w.genesis); err != nil || !r.Order().Symmetric() {
		t.Errorf("the record is not believed: %v", err)
	}
	if got := w.s.LiveEpochs(); !slices.Equal(got, []authority.LiveEpoch{{Key: id, Version: 1, Epoch: 1}}) {
		t.Errorf("what can release: %v", got)
	}
	decodedAnywhere(t, w, 2)
}

// The state comes back whole from every step of a symmetric birth.
func TestASymmetricBirthIsDecodedAtEachStep(t *testing.T) {
	w, order := orderSymmetric(t)
	ses := w.open(order)
	for w.phase(ses.ID) < dkg.PhaseConfirm {
		w.postAll(ses.ID)
		decodedAnywhere(t, w, 2)
	}
	w.accept(w.post(ses.ID, "n2"))
	decodedAnywhere(t, w, 2)
}

// Its shares are never made anew: such an order is refused by name, and one of all keys
// leaves it out.
func TestTheSharesOfASymmetricKeyAreNeverMadeAnew(t *testing.T) {
	w, id := bornSymmetric(t, "n5")
	if got := w.s.Key(id).Struck; !slices.Equal(got, []string{"n5"}) {
		t.Fatalf("struck: %v", got)
	}
	refresh := authority.Renewal{Keys: []api.KeyID{id}, PhaseSeconds: 30}
	w.refuse(w.sign(w.changeOf(authority.KindRefresh, refresh), 0, 1).Encode(), ledger.ErrSymmetric)
	reshare := refresh
	reshare.T, reshare.F, reshare.Holders = 3, 1, w.s.Key(id).Holders
	w.refuse(w.sign(w.changeOf(authority.KindReshare, reshare), 0, 1).Encode(), ledger.ErrSymmetric)
	if err := w.s.MayRepair("n5"); !errors.Is(err, ledger.ErrNoRepair) {
		t.Errorf("a repair of it: %v", err)
	}
	all := w.sign(w.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30}), 0, 1)
	w.accept(all)
	if r := w.s.Renewal(all.ID()); r.Total != 0 || r.Ended == 0 {
		t.Errorf("a refresh of all keys: %+v", r)
	}
}

func TestTheNextVersionOfASymmetricKeyIsIndependent(t *testing.T) {
	w, id := bornSymmetric(t)
	w.refuse(w.next(id, 2).Encode(), ledger.ErrNoKey) // R16: of another purpose
	order := w.next(id, 2, symmetric)
	w.accept(order)
	second := w.birth(order.ID())
	if second.ID != id || second.Version != 2 || !second.Symmetric() || second.Number != 1 {
		t.Fatalf("%+v", second)
	}
	first := w.s.KeyVersion(id, 1)
	for _, hash := range second.Record.Sets {
		if slices.ContainsFunc(first.Record.Sets, func(b []byte) bool { return slices.Equal(b, hash) }) {
			t.Error("both versions have a set key in common")
		}
	}
	if w.shareOf(first, "n2").Equal(w.shareOf(second, "n2")) {
		t.Error("both versions have the same keys")
	}
	w.signedBy(second, "n1", "n2", "n3")
	if r, err := w.s.SignedRecord(w.s.Key(id), &w.s.Key(id).Epoch).Verify(w.genesis); err != nil || r.Version != 2 {
		t.Error(err)
	}
	decodedAnywhere(t, w, 2)
}

// A receipt that differs from the others ends the session, frees its order, and leaves
// nothing that is used; the next attempt has another id.
func TestAWrongReceiptOfASymmetricKeyEndsTheAttempt(t *testing.T) {
	w, order := orderSymmetric(t)
	ses := w.open(order)
	w.run(ses.ID, dkg.PhaseConfirm)
	ready, err := w.parts[ses.ID]["n3"].Step(w.s.Session(ses.ID).Board.View(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := dkg.DecodeReceipt(ready.Post.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Sets[1][5] ^= 1
	w.accept(w.say("n3", authority.KindPost, authority.Post{Session: ses.ID, Kind: uint32(dkg.KindReceipt), Body: wire.Encode(r)}))
	for _, n := range []string{"n1", "n2", "n4", "n5"} {
		w.accept(w.post(ses.ID, n))
	}
	reason, abandoned := w.s.Session(ses.ID).Board.Abandoned()
	if want := "of the set of holders 1, 3, 4"; !abandoned || len(reason) < len(want) {
		t.Errorf("%q, %v", reason, abandoned)
	}
	w.refuse(w.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID}).Encode(), ledger.ErrNoSession)
	if w.s.KeyNamed("payroll") != nil || len(w.s.Keys()) != 1 {
		t.Error("a key came of it")
	}
	if k := w.birth(order); k.Session == ses.ID || k.ID == authority.KeyIDOf(ses.ID) {
		t.Error("the second attempt is the first")
	}
}

// A symmetric key is gone when every member of some one set has erased: so many as a set
// has are always all of one.
func TestASymmetricKeyIsGoneWithOneSet(t *testing.T) {
	w, id := bornSymmetric(t)
	w.accept(w.destroy(id, authority.DestroyWait, 0, 1))
	w.clock(1, w.s.Life(id).Destroy.After)
	w.accept(w.beginEnd(id))
	e := authority.LiveEpoch{Key: id, Version: 1, Epoch: 1}
	var by tprf.Set
	for i, n := range w.s.Key(id).Holders {
		whole := slices.ContainsFunc(tprf.Sets(sharing.Params{T: 3, H: 5}), func(s tprf.Set) bool { return s&^by == 0 })
		if w.s.Erased(e).Gone() != whole {
			t.Errorf("after %d receipts it is gone: %v", i, !whole)
		}
		w.accept(w.erased(n, e))
		by |= 1 << i
	}
}

// A holder of a symmetric key leaves when a newer version, that clients believe, is
// without it, and enough are left to open what is under the older one.
func TestAHolderOfASymmetricKeyLeavesByANewVersion(t *testing.T) {
	w := newWorldOf(t, 6, 5, 3)
	w.birth(w.rootOrder())
	id := w.birth(w.ordered("payroll", symmetric, func(o *authority.Order) { o.Holders = []string{"n6", "n1", "n2", "n3"} })).ID
	holds := func(want bool, when string) {
		t.Helper()
		if got := slices.Contains(w.s.Holding("n6"), "payroll"); got != want {
			t.Errorf("%s it holds payroll: %v", when, got)
		}
	}
	holds(true, "at first")
	without := func(o *authority.Order) { symmetric(o); o.Holders = []string{"n1", "n2", "n3", "n4"} }
	next := w.next(id, 2, without)
	w.accept(next)
	second := w.birth(next.ID())
	holds(true, "while nobody believes the new version")
	w.signedBy(second, "n1", "n2", "n3")
	holds(false, "when clients believe the new version")
	if k := w.s.KeyVersion(id, 1); len(w.s.Outlived(k)) != 0 {
		t.Error("it has left")
	}
	w.accept(w.sign(w.removing("n6"), 0, 1))
	if w.s.NodeByID("n6") != nil {
		t.Error("it is still there")
	}
	if got := w.s.Outlived(w.s.KeyVersion(id, 1)); !slices.Equal(got, []string{"n6"}) || len(w.s.Outlived(second)) != 0 {
		t.Errorf("left with a share: %v", got)
	}
	// Of the first version three are left, which it takes.
	third := w.next(id, 3, symmetric, func(o *authority.Order) { o.Holders = []string{"n2", "n3", "n4", "n5"} })
	w.accept(third)
	w.signedBy(w.birth(third.ID()), "n2", "n3", "n4")
	if !slices.Contains(w.s.Holding("n1"), "payroll") {
		t.Error("it leaves, and what is under the first version opens no more")
	}
}

func TestOrdersOfASymmetricKeyThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	o := w.order("payroll")
	symmetric(&o)
	o.T = 2
	w.refuse(w.sign(w.orderChange(o), 0, 1).Encode(), authority.ErrOrder)
	o = w.order("payroll")
	symmetric(&o)
	o.Import = &authority.Import{Y: w.nodes["n1"].PublicKey(), Dealer: w.nodes["n2"].PublicKey()}
	w.refuse(w.sign(w.orderChange(o), 0, 1).Encode(), authority.ErrOrder)
}
