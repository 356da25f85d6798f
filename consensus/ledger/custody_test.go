package ledger_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// custodyOf names so many of w's custodians, and requires this count for everything.
func (w *world) custodyOf(count uint32, custodians ...int) authority.Custody {
	var c authority.Custody
	for _, i := range custodians {
		c.Custodians = append(c.Custodians, authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: w.custodians[i].PublicKey(), Open: "age1test"})
	}
	for _, kind := range authority.ChangeKinds() {
		c.Required = append(c.Required, authority.RequiredCount{Kind: kind, Count: count})
	}
	return c
}

func (w *world) replacing(c authority.Custody) authority.Change {
	change := w.changeOf(authority.KindCustodians, c)
	change.Base = w.s.CustodyChange()
	return change
}

// The old custodians replace themselves; afterwards the new ones hold authority, and
// the old ones none: not for a change, a proposal or a vote, and not to come back.
func TestReplacedCustodiansHoldNoAuthority(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.custodians = append(w.custodians, newSigner(t))
	}
	before := w.orderChange(w.order("before"))
	w.accept(w.sign(before, 0, 1))
	mine, theirs := w.orderChange(w.order("mine")), w.orderChange(w.order("theirs"))
	w.accept(w.propose(mine, 2, true))
	w.accept(w.propose(theirs, 0, true))

	change := w.replacing(w.custodyOf(2, 2, 3, 4, 5))
	w.refuse(w.sign(change, 0).Encode(), authority.ErrTooFewSignatures)
	w.refuse(w.sign(change, 0, 3).Encode(), authority.ErrNotCustodian)
	w.accept(w.propose(change, 0, true))
	w.accept(w.approve(change, 1))
	w.proposalIs(change, ledger.ProposalPassed, 2, 0)
	if w.s.CustodyChange() != authority.NewChange(change).ID() || len(w.s.Successors()) != 1 || len(w.s.Custody().Custodians) != 4 {
		t.Fatalf("in force is %+v", w.s.Custody().Custodians)
	}

	// What a replaced custodian had proposed is gone; an approval of one counts no more.
	w.refuse(w.approve(theirs, 3).Encode(), ledger.ErrNoProposal)
	w.proposalIs(mine, ledger.ProposalOpen, 1, 0)
	old := w.orderChange(w.order("old"))
	for _, e := range []*authority.Entry{
		w.sign(old, 0, 1), w.sign(old, 0, 3), w.propose(old, 0, true), w.approve(mine, 1), w.cancel(mine, 0),
		w.sign(w.changeOf(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectCluster}}), 0),
		w.sign(w.replacing(w.custodyOf(2, 0, 1, 2)), 0, 1),
	} {
		w.refuse(e.Encode(), authority.ErrSignature, authority.ErrNotCustodian)
	}
	if _, _, err := w.s.Denies(w.sign(w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice}), 0, 1).Encode()); err == nil {
		t.Error("a node would keep what they deny")
	}
	w.accept(w.approve(mine, 4))
	after := w.orderChange(w.order("after"))
	w.accept(w.sign(after, 3, 5))

	// The old ones cannot come back by what they signed before, and the new ones can be
	// replaced in turn.
	w.refuse(w.sign(change, 0, 1).Encode(), authority.ErrNotCustodian)
	again := w.replacing(w.custodyOf(1, 5))
	w.accept(w.sign(again, 4, 5))
	w.accept(w.sign(w.orderChange(w.order("last")), 5))

	// Each order is verified under those who were in force when it was taken.
	for name, replaced := range map[string]uint64{"before": 0, "mine": 1, "after": 1, "last": 2} {
		o := w.s.OrderNamed(name)
		if o.Custody != replaced {
			t.Errorf("%s was taken after %d replacements, it says %d", name, replaced, o.Custody)
		}
		e, err := authority.ParseEntry(o.Entry)
		if err != nil {
			t.Fatal(err)
		}
		held, err := authority.Follow(w.genesis, w.s.Succession(int(o.Custody)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authority.VerifyChange(held.Genesis, e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	decodedAnywhere(t, w, 2)
}

// An approval of one who was replaced since does not count towards the new count.
func TestAnApprovalOfAReplacedCustodianDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.custodians = append(w.custodians, newSigner(t))
	c := w.orderChange(w.order("payroll"))
	w.accept(w.propose(c, 1, false))
	w.accept(w.approve(c, 0))
	w.accept(w.cancel(c, 0))
	w.accept(w.sign(w.replacing(w.custodyOf(2, 1, 2, 3)), 0, 1))
	w.accept(w.cancel(c, 1))
	w.proposalIs(c, ledger.ProposalOpen, 1, 2)
	w.accept(w.approve(c, 1))
	w.proposalIs(c, ledger.ProposalOpen, 2, 2)
	r := w.accept(w.approve(c, 3))
	w.proposalIs(c, ledger.ProposalPassed, 3, 2)
	e, err := authority.ParseEntry(r.Passed)
	if err != nil || len(e.Signatures) != 2 {
		t.Fatalf("it passed with %d signatures, %v", len(e.Signatures), err)
	}
}

func TestCustodiansWhoCouldNotHoldAuthority(t *testing.T) {
	w := newWorld(t)
	good := func() authority.Custody { return w.custodyOf(2, 0, 1, 2) }
	for sentence, alter := range map[string]func(*authority.Custody){
		"nobody":                               func(c *authority.Custody) { c.Custodians = nil },
		"one of them twice":                    func(c *authority.Custody) { c.Custodians[0] = c.Custodians[1] },
		"two of one name":                      func(c *authority.Custody) { c.Custodians[0].Name = c.Custodians[1].Name },
		"a node":                               func(c *authority.Custody) { c.Custodians[0].Sign = w.nodes["n1"].PublicKey() },
		"a key that is none":                   func(c *authority.Custody) { c.Custodians[0].Sign = []byte{4} },
		"a name that is a path":                func(c *authority.Custody) { c.Custodians[0].Name = "../a" },
		"one without an opening key":           func(c *authority.Custody) { c.Custodians[0].Open = "" },
		"more signatures than custodians":      func(c *authority.Custody) { c.Required[5].Count = 4 },
		"no signature":                         func(c *authority.Custody) { c.Required[5].Count = 0 },
		"no count for a kind":                  func(c *authority.Custody) { c.Required = c.Required[:4] },
		"a count for a kind that is not there": func(c *authority.Custody) { c.Required[7].Kind = "zeal" },
		"counts out of order":                  func(c *authority.Custody) { c.Required[0], c.Required[1] = c.Required[1], c.Required[0] },
		"fewer to replace them than to sign":   func(c *authority.Custody) { c.Required[2].Count = 1 },
	} {
		c := good()
		alter(&c)
		w.TB = under(t, sentence)
		w.refuse(w.sign(w.replacing(c), 0, 1).Encode(), authority.ErrCustody)
		w.TB = t
	}
	stale := w.replacing(good())
	stale.Base = api.Digest{1}
	w.refuse(w.sign(stale, 0, 1).Encode(), ledger.ErrStaleBase)
	first, second := w.replacing(good()), w.replacing(good())
	w.accept(w.sign(first, 0, 1))
	w.refuse(w.sign(second, 0, 1).Encode(), ledger.ErrStaleBase)
	garbage := w.replacing(good())
	garbage.Body = []byte{0xff}
	w.refuse(w.sign(garbage, 0, 1).Encode(), authority.ErrCustody)
	if len(w.s.Successors()) != 1 {
		t.Error("another one was taken")
	}
}

// keepersOf is custodyOf where so many of the custodians open a seal.
func (w *world) keepersOf(count uint32, custodians ...int) authority.Custody {
	c := w.custodyOf(2, custodians...)
	c.UnsealCount = count
	for i := range c.Custodians {
		if was := w.genesis.CustodianByKey(authority.FingerprintOf(c.Custodians[i].Sign)); was != nil {
			c.Custodians[i] = *was
		}
	}
	return c
}

// Where custodians open the nodes' seals, those who come after can open them too: enough
// of them, and at least two.
func TestCustodiansWhoCouldNotOpenSeals(t *testing.T) {
	w := newWorldOf(t, 5, 5, 3, func(g *authority.Genesis) { g.Unseal, g.UnsealCount = authority.UnsealCustodians, 2 })
	w.custodians = append(w.custodians, newSigner(t))
	for _, c := range []authority.Custody{w.keepersOf(0, 0, 1, 3), w.keepersOf(1, 0, 1, 3), w.keepersOf(4, 0, 1, 3), w.keepersOf(3, 0, 1), w.keepersOf(1<<31+2, 0, 1)} {
		w.refuse(w.sign(w.replacing(c), 0, 1).Encode(), authority.ErrStranded)
		w.refuse(w.propose(w.replacing(c), 0, true).Encode(), authority.ErrStranded)
	}
	w.accept(w.sign(w.replacing(w.keepersOf(3, 0, 1, 3)), 0, 1))
	if g := w.s.Custody(); g.UnsealCount != 3 || g.CustodianByKey(authority.FingerprintOf(w.custodians[3].PublicKey())) == nil {
		t.Errorf("in force: %+v", g)
	}
	plain := newWorld(t)
	plain.refuse(plain.sign(plain.replacing(plain.keepersOf(2, 0, 1, 2)), 0, 1).Encode(), authority.ErrStranded)
}

// A decoded state whose replacements do not follow each other is none, whatever root
// its head has.
func TestCustodyIsWorkedOutOfTheState(t *testing.T) {
	w := newWorld(t)
	w.accept(w.sign(w.replacing(w.custodyOf(1, 0, 1)), 0, 1))
	w.accept(w.sign(w.replacing(w.custodyOf(1, 1)), 0))
	b := encode(t, w.s)
	d, err := ledger.Decode(w.genesis, bytes.NewReader(b))
	if err != nil || d.CustodyChange() != w.s.CustodyChange() || len(d.Custody().Custodians) != 1 {
		t.Fatalf("decoded: %v", err)
	}
	for range authority.MaxSuccession - 2 {
		w.accept(w.sign(w.replacing(w.custodyOf(1, 1)), 1))
	}
	w.refuse(w.sign(w.replacing(w.custodyOf(1, 1)), 1).Encode(), ledger.ErrTooOften)
	if _, err := authority.Follow(w.genesis, w.s.Succession(authority.MaxSuccession)); err != nil {
		t.Error(err)
	}
}

// A record of a key that later custodians ordered brings the chain that led to them.
func TestARecordBringsTheSuccession(t *testing.T) {
	w := newWorld(t)
	w.custodians = append(w.custodians, newSigner(t))
	w.birth(w.rootOrder())
	w.accept(w.sign(w.replacing(w.custodyOf(1, 3)), 0, 1))
	c := w.orderChange(w.order("payroll"))
	w.accept(w.sign(c, 3))
	k := w.birth(authority.NewChange(c).ID())
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.say(n, authority.KindRecord, signedBy(w.recordSignature(n, k))))
	}
	k = w.s.Key(k.ID)
	ordered := w.s.OrderByHash(k.Order).Custody
	r := authority.SignedRecord{Record: k.Record, Signatures: k.Signatures, Succession: w.s.SuccessionTo(ordered, k.Record.RosterVersion), Ordered: ordered}
	back, err := authority.ParseSignedRecord(r.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := back.Verify(w.genesis); err != nil {
		t.Error(err)
	}
	back.Succession = nil
	if _, err := back.Verify(w.genesis); err == nil {
		t.Error("it is believed without the chain")
	}
	// A chain that a stranger made up leads nowhere.
	stranger := newSigner(t)
	forged := authority.NewChange(w.replacing(w.custodyOf(1, 3)))
	if err := authority.SignChange(rand.Reader, forged, stranger); err != nil {
		t.Fatal(err)
	}
	back.Succession = [][]byte{forged.Encode()}
	if _, err := back.Verify(w.genesis); err == nil {
		t.Error("a forged chain is believed")
	}
	if !bytes.Equal(wire.Encode(w.s.OrderNamed("payroll").Order), wire.Encode(w.order("payroll"))) {
		t.Error("another order")
	}
}
