package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// owner is who has a key that is whole, or the seed of one, and the order of its import.
type owner struct {
	*world
	key    *group.Scalar
	seed   secret.Bytes // in the place of key
	dealer *authority.Signer
	order  api.Digest
}

// own makes a key, and orders its import with a root key there.
func own(tb testing.TB) *owner {
	tb.Helper()
	w := newWorld(tb)
	w.birth(w.rootOrder())
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	o := &owner{world: w, key: x, dealer: newSigner(tb)}
	o.orders()
	return o
}

// ownSeed makes a seed, and orders the import of a symmetric key.
func ownSeed(tb testing.TB) *owner {
	tb.Helper()
	w := newWorld(tb)
	w.birth(w.rootOrder())
	o := &owner{world: w, seed: secret.New(bytes.Repeat([]byte{5, 6}, 16)), dealer: newSigner(tb)}
	o.orders()
	return o
}

// orders orders the import, of payroll.
func (o *owner) orders() {
	o.Helper()
	e := o.sign(o.orderChange(o.imports("payroll")), 0, 1)
	o.accept(e)
	o.order = e.ID()
}

// imports is an order that names this owner and its key.
func (o *owner) imports(name string) authority.Order {
	o.Helper()
	order := o.world.order(name)
	if o.key == nil {
		symmetric(&order)
		c, err := dkg.SeedCommitment(o.genesis.Cluster, name, int(order.T), int(order.H()), o.seed)
		if err != nil {
			o.Fatal(err)
		}
		order.Import = &authority.Import{Dealer: o.dealer.PublicKey(), Seed: c[:]}
		return order
	}
	order.Import = &authority.Import{Y: group.BaseMul(o.key).Bytes(), Dealer: o.dealer.PublicKey()}
	return order
}

// part is what the owner signs.
func (o *owner) part(kind string, body any) *authority.Entry {
	o.Helper()
	return o.partBy(o.dealer, o.genesis.Cluster, o.order, kind, body)
}

func (o *owner) partBy(s *authority.Signer, cluster api.ClusterID, order api.Digest, kind string, body any) *authority.Entry {
	o.Helper()
	e, err := authority.SignImport(rand.Reader, s, cluster, order, kind, body)
	if err != nil {
		o.Fatal(err)
	}
	return e
}

// openRun opens the next run, in which the owner and all holders take part.
func (o *owner) openRun() *ledger.Session {
	o.Helper()
	o.accept(o.part(authority.KindImportOpen, authority.Open{Order: o.order, Attempt: o.s.OrderByHash(o.order).Attempt + 1}))
	ses := o.s.Session(o.s.OrderByHash(o.order).Live)
	if ses == nil {
		o.Fatal("no run is open")
	}
	parts := map[string]*dkg.Participant{}
	for i, name := range ses.Participants {
		var old []*group.Scalar
		if name == ledger.Owner && o.key != nil {
			old = []*group.Scalar{o.key}
		}
		p, err := dkg.NewParticipant(ses.Board.Session(), sharing.Index(i+1), old, rand.Reader)
		if name == ledger.Owner && o.key == nil {
			p, err = dkg.NewOwner(ses.Board.Session(), "payroll", o.seed)
		}
		if err != nil {
			o.Fatal(err)
		}
		parts[name] = p
	}
	o.parts[ses.ID] = parts
	return ses
}

// owns is what the owner would post now.
func (o *owner) owns(ses api.Digest) authority.Post {
	o.Helper()
	ready, err := o.parts[ses][ledger.Owner].Step(o.s.Session(ses).Board.View(), rand.Reader)
	if err != nil || ready.Post == nil {
		o.Fatalf("the owner has nothing to post: %v", err)
	}
	return authority.Post{Session: ses, Kind: uint32(ready.Post.Kind), Body: ready.Post.Body}
}

// bring runs the import to its end.
func (o *owner) bring() *ledger.Key {
	o.Helper()
	ses := o.openRun()
	o.postAll(ses.ID)
	for range 3 {
		o.accept(o.part(authority.KindImportPost, o.owns(ses.ID)))
	}
	o.postAll(ses.ID) // verdicts
	o.postAll(ses.ID) // receipts
	o.accept(o.say("n2", authority.KindActivate, authority.Activate{Session: ses.ID}))
	return o.s.Key(o.s.OrderByHash(o.order).Key)
}

// A key that is whole outside becomes one among holders, with its public key and with a
// record that says so; its shares are refreshed like any other's.
func TestAKeyIsImported(t *testing.T) {
	o := own(t)
	if o.s.Bearing() || len(o.s.OrdersOf("n1")) != 0 {
		t.Error("an import waits for its holders before its owner opens it")
	}
	k := o.bring()
	y := group.BaseMul(o.key).Bytes()
	if k == nil || !bytes.Equal(k.Record.Y, y) || k.Version != 1 || k.Number != 1 || k.Struck != nil || !slices.Equal(k.Holders, o.imports("").Holders) {
		t.Fatalf("%+v", k)
	}
	if !o.s.Imported(k.ID) || o.s.ImportOf(k) == nil || o.s.Imported(o.s.RootKey().ID) || o.s.Imported(api.KeyID{9}) {
		t.Error("the state does not say which key is imported")
	}
	if ses := o.s.Session(k.Session); ses.Joins != nil {
		t.Error("the joins of a run that is over are kept")
	}
	o.signedBy(k, "n1", "n2", "n3")
	signed := o.s.SignedRecord(o.s.Key(k.ID), &o.s.Key(k.ID).Epoch)
	r, err := signed.Verify(o.genesis)
	if err != nil || r.Birth().Import == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	// The order says which key it is: of another one t holders vouch in vain.
	bad := authority.SignedRecord{Record: signed.Record}
	bad.Record.Y = o.dealer.PublicKey()
	for _, n := range []string{"n1", "n2", "n3"} {
		sig, err := authority.SignRecord(rand.Reader, o.nodes[n], &bad.Record)
		if err != nil {
			t.Fatal(err)
		}
		bad.Signatures = append(bad.Signatures, sig)
	}
	if _, err := bad.Verify(o.genesis); !errors.Is(err, authority.ErrRecord) {
		t.Errorf("a record of another public key: %v", err)
	}
	// Its next version is born here, and a copy of the first stays outside.
	next := o.next(k.ID, 2)
	o.accept(next)
	if second := o.birth(next.ID()); o.s.ImportOf(second) != nil || !o.s.Imported(k.ID) {
		t.Error("the next version is imported, or the first is not any more")
	}
	decodedAnywhere(t, o.world, 2)
}

// Nobody but the owner that the order names opens a run and deals in it, and what it
// signs is for one order of one cluster.
func TestOnlyTheOwnerDeals(t *testing.T) {
	o := own(t)
	stranger := newSigner(t)
	first := authority.Open{Order: o.order, Attempt: 1}
	o.refuse(o.say("n1", authority.KindOpen, first).Encode(), ledger.ErrOwner)
	o.refuse(o.partBy(stranger, o.genesis.Cluster, o.order, authority.KindImportOpen, first).Encode(), authority.ErrSignature)
	o.refuse(o.partBy(o.custodians[0], o.genesis.Cluster, o.order, authority.KindImportOpen, first).Encode(), authority.ErrSignature)
	o.refuse(o.partBy(o.dealer, api.ClusterID{9}, o.order, authority.KindImportOpen, first).Encode(), authority.ErrImport)
	o.refuse(o.partBy(o.dealer, o.genesis.Cluster, api.Digest{9}, authority.KindImportOpen, first).Encode(), ledger.ErrNoOrder)
	o.refuse(o.partBy(o.dealer, o.genesis.Cluster, o.rootOrder(), authority.KindImportOpen, first).Encode(), authority.ErrImport)
	o.refuse(o.part(authority.KindImportOpen, authority.Open{Order: o.rootOrder(), Attempt: 1}).Encode(), authority.ErrImport)
	o.refuse(o.part(authority.KindImportOpen, authority.Open{Order: o.order, Attempt: 2}).Encode(), ledger.ErrOutOfTurn)
	o.refuse(o.part(authority.KindImportOpen, "no open").Encode(), authority.ErrImport)
	o.refuse(o.part(authority.KindImportPost, "no post").Encode(), authority.ErrImport)
	reframed := o.part(authority.KindImportOpen, first)
	reframed.Kind = authority.KindImportPost
	o.refuse(reframed.Encode(), authority.ErrImport)
	twice := o.part(authority.KindImportOpen, first)
	twice.Signatures = append(twice.Signatures, twice.Signatures[0])
	o.refuse(twice.Encode(), authority.ErrSignature)

	ses := o.openRun()
	o.refuse(o.part(authority.KindImportOpen, authority.Open{Order: o.order, Attempt: 2}).Encode(), ledger.ErrOutOfTurn)
	o.postAll(ses.ID)
	join := o.owns(ses.ID)
	o.refuse(o.partBy(stranger, o.genesis.Cluster, o.order, authority.KindImportPost, join).Encode(), authority.ErrSignature)
	o.refuse(o.say("n1", authority.KindPost, join).Encode(), board.ErrTwice)
	o.accept(o.part(authority.KindImportPost, join))
	commit := o.owns(ses.ID)
	o.refuse(o.say("n1", authority.KindPost, commit).Encode(), board.ErrNotTakingPart)
	o.refuse(o.partBy(stranger, o.genesis.Cluster, o.order, authority.KindImportPost, commit).Encode(), authority.ErrSignature)

	// Another owner has no part in it.
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := &owner{world: o.world, key: x, dealer: newSigner(t)}
	e := o.sign(o.orderChange(other.imports("other")), 0, 1)
	o.accept(e)
	other.order = e.ID()
	o.refuse(other.part(authority.KindImportPost, commit).Encode(), authority.ErrImport)
	o.accept(o.part(authority.KindImportPost, commit))
}

func TestOrdersOfAnImportThatAreRefused(t *testing.T) {
	o := own(t)
	root := o.s.RootKey()
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fresh := &owner{world: o.world, key: x, dealer: newSigner(t)}
	for sentence, tt := range map[string]struct {
		alter func(*authority.Order)
		want  error
	}{
		"the key of another import": {func(i *authority.Order) { i.Import.Y = group.BaseMul(o.key).Bytes() }, ledger.ErrImported},
		"the key of a key":          {func(i *authority.Order) { i.Import.Y = root.Record.Y }, ledger.ErrImported},
		"no point":                  {func(i *authority.Order) { i.Import.Y = make([]byte, 65) }, authority.ErrOrder},
		"a compressed point":        {func(i *authority.Order) { i.Import.Y = i.Import.Y[:33] }, authority.ErrOrder},
		"nobody who deals":          {func(i *authority.Order) { i.Import.Dealer = nil }, authority.ErrOrder},
		"one key for two purposes":  {func(i *authority.Order) { i.Import.Dealer = i.Import.Y }, authority.ErrOrder}, // R16
		"a next version":            {func(i *authority.Order) { i.Key, i.Version = &root.ID, 2 }, authority.ErrOrder},
		"a lower threshold":         {func(i *authority.Order) { i.T = 2 }, authority.ErrOrder},
		"a holder that is not here": {func(i *authority.Order) { i.Holders[4] = "n9" }, ledger.ErrNoNode},
	} {
		order := fresh.imports("fresh")
		tt.alter(&order)
		if r := o.refuse(o.sign(o.orderChange(order), 0, 1).Encode(), tt.want); r.Err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	o.refuse(o.sign(o.orderChange(fresh.imports("fresh")), 0).Encode(), authority.ErrTooFewSignatures)
	o.accept(o.sign(o.orderChange(fresh.imports("fresh")), 0, 1))
}

// An import that nobody has dealt gives its name to another order, the same key included;
// one whose run is live, and a key that is there, do not.
func TestAnImportThatWasNotDealtGivesWay(t *testing.T) {
	o := own(t)
	again := func() *authority.Entry { return o.sign(o.orderChange(o.imports("payroll")), 0, 1) }
	e, before := again(), o.order
	o.accept(e)
	if o.s.OrderByHash(before) != nil || o.s.OrderNamed("payroll").Hash != e.ID() {
		t.Error("the order that nobody has dealt stands")
	}
	o.refuse(o.part(authority.KindImportOpen, authority.Open{Order: before, Attempt: 1}).Encode(), ledger.ErrNoOrder)
	o.order = e.ID()
	ses := o.openRun()
	o.refuse(again().Encode(), ledger.ErrNameTaken)
	o.clock(1, created+authority.MaxPhaseSecond*1000) // its time is over
	late := o.orderChange(o.imports("payroll"))
	late.NotAfter = o.s.Time() + 1000
	e = o.sign(late, 0, 1)
	o.accept(e)
	if gone := o.s.Session(ses.ID); o.s.Runs(gone) || gone.Board.Phase() != dkg.PhaseAbandoned {
		t.Error("its run goes on")
	}
	o.refuse(o.say("n1", authority.KindPost, authority.Post{Session: ses.ID, Kind: uint32(dkg.KindJoin)}).Encode(), ledger.ErrNoSession)
	o.order = e.ID()
	if k := o.bring(); k == nil || k.Order != e.ID() {
		t.Fatalf("%+v", k)
	}
	late = o.orderChange(o.world.order("payroll"))
	late.NotAfter = o.s.Time() + 1000
	o.refuse(o.sign(late, 0, 1).Encode(), ledger.ErrNameTaken)
	decodedAnywhere(t, o.world, 2)
}

// Another key than the ordered one is refused when it is dealt, and the run comes to
// nothing; the next one is open to the owner. What was joined goes with the run.
func TestAnotherKeyThanTheOrderedIsRefused(t *testing.T) {
	o := own(t)
	ses := o.openRun()
	o.postAll(ses.ID)
	o.accept(o.part(authority.KindImportPost, o.owns(ses.ID)))
	joins := o.s.Session(ses.ID).Joins
	for i, h := range o.imports("").Holders {
		e, err := authority.ParseEntry(joins[i])
		if err != nil {
			t.Fatal(err)
		}
		if st, err := authority.VerifyStatement(&o.genesis.Genesis, e); err != nil || st.Node != h || st.Kind != authority.KindPost {
			t.Errorf("what %s has joined with: %+v, %v", h, st, err)
		}
	}
	// The machine deals no other key; so its polynomial is put in its place.
	other, err := sharing.NewPolynomial(rand.Reader, 3)
	if err != nil {
		t.Fatal(err)
	}
	st := steal(t, o.parts[ses.ID][ledger.Owner].State().Reveal())
	st.Polynomials[0] = other.Bytes().Reveal()
	if o.parts[ses.ID][ledger.Owner], err = dkg.Restore(ses.Board.Session(), 6, secret.New(wire.Encode(st))); err != nil {
		t.Fatal(err)
	}
	o.accept(o.part(authority.KindImportPost, o.owns(ses.ID)))
	o.refuse(o.part(authority.KindImportPost, o.owns(ses.ID)).Encode(), dkg.ErrKeyChanged)
	o.late(ses.ID, dkg.PhaseDeal)
	if after := o.s.Session(ses.ID); after.Board.Phase() != dkg.PhaseAbandoned || after.Joins != nil || !o.s.OrderByHash(o.order).Live.IsZero() {
		t.Errorf("the run is in its %v phase", after.Board.Phase())
	}
	if k := o.bring(); k.Record.Attempt != 2 {
		t.Errorf("%+v", k.Record)
	}
}

// Who has left since the order was taken is dealt no share: it is ordered again.
func TestAnImportToOneWhoHasLeftIsOrderedAgain(t *testing.T) {
	w := newWorldOf(t, 6, 5, 3)
	w.birth(w.rootOrder())
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{world: w, key: x, dealer: newSigner(t)}
	order := o.imports("payroll")
	order.Holders = []string{"n1", "n2", "n3", "n4", "n6"}
	e := w.sign(w.orderChange(order), 0, 1)
	w.accept(e)
	o.order = e.ID()
	w.accept(w.sign(w.removing("n6"), 0, 1))
	if w.s.NodeByID("n6") != nil {
		t.Fatal("who has no share has not left: an order that nobody opens holds it")
	}
	o.refuse(o.part(authority.KindImportOpen, authority.Open{Order: o.order, Attempt: 1}).Encode(), ledger.ErrNoNode)
	e = w.sign(w.orderChange(o.imports("payroll")), 0, 1)
	w.accept(e)
	o.order = e.ID()
	o.bring()
}

// A seed becomes a symmetric key among holders, whose record and order say so; its next
// version is born here, and has nothing of the seed.
func TestASeedIsImported(t *testing.T) {
	o := ownSeed(t)
	k := o.bring()
	if k == nil || !k.Symmetric() || k.Version != 1 || k.Struck != nil || len(k.Record.Y) != 0 || len(k.Record.Sets) != 10 {
		t.Fatalf("%+v", k)
	}
	if !o.s.Imported(k.ID) || o.s.ImportOf(k) == nil {
		t.Error("the state does not say that it is imported")
	}
	for _, n := range k.Holders {
		if !o.shareOf(k, n).Fits(k.Session, k.Record.Sets) {
			t.Errorf("the share of %s is not of this record", n)
		}
	}
	o.signedBy(k, "n1", "n2", "n3")
	r, err := o.s.SignedRecord(o.s.Key(k.ID), &o.s.Key(k.ID).Epoch).Verify(o.genesis)
	if err != nil || r.Birth().Import == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	next := o.next(k.ID, 2, symmetric)
	o.accept(next)
	second := o.birth(next.ID())
	if o.s.ImportOf(second) != nil || !o.s.Imported(k.ID) {
		t.Error("the next version is imported, or the first is not any more")
	}
	decodedAnywhere(t, o.world, 2)

	// Under another name the same seed is another key.
	other := &owner{world: o.world, seed: o.seed, dealer: newSigner(t)}
	if again := other.imports("payroll2"); bytes.Equal(again.Import.Seed, other.imports("payroll").Import.Seed) {
		t.Error("two names of one seed look alike")
	}
}

// The state comes back whole from every step of the import of a seed, and a run that its
// owner leaves gives way to the next.
func TestTheImportOfASeedIsDecodedAtEachStep(t *testing.T) {
	o := ownSeed(t)
	o.refuse(o.say("n1", authority.KindOpen, authority.Open{Order: o.order, Attempt: 1}).Encode(), ledger.ErrOwner)
	ses := o.openRun()
	o.postAll(ses.ID)
	decodedAnywhere(t, o.world, 2)
	if joins := o.s.Session(ses.ID).Joins; len(joins) != 5 || slices.ContainsFunc(joins, func(b []byte) bool { return len(b) == 0 }) {
		t.Errorf("%d joins are kept as they were signed", len(joins))
	}
	for range 2 {
		o.accept(o.part(authority.KindImportPost, o.owns(ses.ID)))
		decodedAnywhere(t, o.world, 2)
	}
	o.late(ses.ID, dkg.PhaseDeal)
	if after := o.s.Session(ses.ID); after.Board.Phase() != dkg.PhaseAbandoned || !o.s.OrderByHash(o.order).Live.IsZero() {
		t.Errorf("without its owner the run is in its %v phase", after.Board.Phase())
	}
	if k := o.bring(); k == nil || k.Record.Attempt != 2 {
		t.Errorf("%+v", k)
	}
}

func TestOrdersOfASeedThatAreRefused(t *testing.T) {
	o := ownSeed(t)
	y := newSigner(t).PublicKey()
	for sentence, alter := range map[string]func(*authority.Order){
		"no hash of a seed":            func(i *authority.Order) { i.Import.Seed = nil },
		"half of one":                  func(i *authority.Order) { i.Import.Seed = i.Import.Seed[:16] },
		"zeros":                        func(i *authority.Order) { i.Import.Seed = make([]byte, 32) },
		"a public key as well":         func(i *authority.Order) { i.Import.Y = y },
		"a public key in its place":    func(i *authority.Order) { i.Import.Y, i.Import.Seed = y, nil },
		"nobody who deals":             func(i *authority.Order) { i.Import.Dealer = nil },
		"of a key that unwraps":        func(i *authority.Order) { i.Purpose = authority.PurposeUnwrap },
		"of one with a public key too": func(i *authority.Order) { i.Purpose, i.Import.Y = authority.PurposeUnwrap, y },
		"with a period":                func(i *authority.Order) { i.RotateEvery = authority.MinEvery },
		"ten holders":                  func(i *authority.Order) { i.Holders = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} },
	} {
		order := o.imports("fresh")
		alter(&order)
		if r := o.refuse(o.sign(o.orderChange(order), 0, 1).Encode(), authority.ErrOrder); r.Err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	o.accept(o.sign(o.orderChange(o.imports("fresh")), 0, 1))
}
