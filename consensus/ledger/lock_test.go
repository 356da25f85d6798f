package ledger_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"filippo.io/age"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
)

// sealedWorld is a cluster in which two of three custodians open the seals.
func sealedWorld(tb testing.TB) (w *world, lock func(generation uint64) []byte) {
	var recipients []string
	for range 3 {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			tb.Fatal(err)
		}
		recipients = append(recipients, id.Recipient().String())
	}
	w = newWorldOf(tb, 5, 5, 3, func(g *authority.Genesis) {
		g.Unseal, g.UnsealCount = authority.UnsealCustodians, 2
		for i := range g.Custodians {
			g.Custodians[i].Open = recipients[i]
		}
	})
	return w, func(generation uint64) []byte {
		s := unseal.Seal{Cluster: w.genesis.Cluster, Node: "n1", Generation: generation}
		_, l, err := unseal.Split(rand.Reader, s, recipients, 2)
		if err != nil {
			tb.Fatal(err)
		}
		return wire.Encode(l)
	}
}

func TestLocks(t *testing.T) {
	w, lock := sealedWorld(t)
	first := lock(1)
	has := func(generation uint64, want []byte) bool {
		got := w.s.Lock("n1", generation)
		return got != nil && got.Generation == generation && got.Custody == 0 && bytes.Equal(wire.Encode(got.Lock), want)
	}
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: first}))
	if !has(1, first) {
		t.Fatal("generation 1 has another lock")
	}
	if w.s.Lock("n2", 1) != nil || w.s.Lock("n1", 2) != nil {
		t.Fatal("a lock of nobody")
	}
	// A statement that was given up comes late: the seal may be written by now.
	w.refuse(w.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: lock(1)}).Encode(), ledger.ErrOutOfTurn)
	// The seal was not written: a later generation's lock takes its place.
	first = lock(2)
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 2, Lock: first}))
	if w.s.Lock("n1", 1) != nil {
		t.Fatal("generation 1 was given up, and has a lock")
	}

	// The lock of the seal on disk stays until the next seal is on disk.
	for g := range uint64(2) {
		w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 3 + g, Live: 2, Lock: lock(3 + g)}))
		w.refuse(w.say("n1", authority.KindLock, authority.Lock{Generation: 3, Live: 2, Lock: lock(3)}).Encode(), ledger.ErrOutOfTurn)
		if !has(2, first) {
			t.Fatal("the live lock is gone, or another")
		}
	}
	w.refuse(w.say("n1", authority.KindLock, authority.Lock{Live: 2}).Encode(), ledger.ErrOutOfTurn)
	third := lock(5)
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 5, Live: 4, Lock: third}))
	if w.s.Lock("n1", 2) != nil || w.s.Lock("n1", 3) != nil || w.s.Lock("n1", 4) == nil || !has(5, third) {
		t.Fatal("generations 4 and 5 have locks, and no other")
	}
	// The older seal is destroyed. What is said of it late changes nothing.
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Live: 5}))
	if len(w.s.Locks("n1")) != 1 || !has(5, third) {
		t.Fatal("generation 5 has a lock, and no other")
	}
	for _, late := range []authority.Lock{{Live: 5}, {Live: 4}, {}, {Generation: 6, Live: 4, Lock: lock(6)}, {Generation: 4, Lock: lock(4)}} {
		w.refuse(w.say("n1", authority.KindLock, late).Encode(), ledger.ErrOutOfTurn)
	}
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 6, Live: 5, Lock: lock(6)}))

	refuse := func(sentence string, l authority.Lock, want error) {
		t.Run(sentence, func(t *testing.T) { w.refuse(w.say("n1", authority.KindLock, l).Encode(), want) })
	}
	refuse("the live one's place is not taken", authority.Lock{Generation: 5, Live: 5, Lock: third}, ledger.ErrOutOfTurn)
	refuse("an older generation", authority.Lock{Generation: 4, Live: 5, Lock: third}, ledger.ErrOutOfTurn)
	refuse("generation 0", authority.Lock{Lock: third}, ledger.ErrOutOfTurn)
	refuse("a live one that has no lock", authority.Lock{Generation: 9, Live: 8, Lock: third}, ledger.ErrOutOfTurn)
	refuse("no lock", authority.Lock{Generation: 7, Live: 6}, authority.ErrStatement)
	refuse("junk", authority.Lock{Generation: 7, Live: 6, Lock: []byte("junk")}, authority.ErrStatement)
	refuse("for one custodian alone", authority.Lock{Generation: 7, Live: 6, Lock: wire.Encode(unseal.Lock{Threshold: 1, Pieces: make([]unseal.Piece, 3)})}, authority.ErrStatement)
	refuse("for two custodians of three", authority.Lock{Generation: 7, Live: 6, Lock: wire.Encode(unseal.Lock{Threshold: 2, Pieces: make([]unseal.Piece, 2)})}, authority.ErrStatement)
	w.refuse(w.sayFor(w.genesis.Cluster, w.nodes["n2"], "n1", authority.KindLock, authority.Lock{Generation: 7, Live: 6, Lock: third}).Encode(), authority.ErrSignature)

	plain := newWorld(t)
	plain.refuse(plain.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: first}).Encode(), ledger.ErrNoCustodians)

	back, err := ledger.Decode(w.genesis, bytes.NewReader(encode(t, w.s)))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a state with locks", w.s, back)
}

// What a node's seal takes is for the custodians in force when it is locked. When they
// are replaced, the ledger says which nodes are still locked for those before, until each
// has said that its old seal is destroyed.
func TestLocksOfCustodiansWhoWereReplaced(t *testing.T) {
	w, lock := sealedWorld(t)
	for _, n := range []string{"n1", "n2"} {
		w.accept(w.say(n, authority.KindLock, authority.Lock{Generation: 1, Lock: lock(1)}))
	}
	former := func(want ...ledger.FormerLock) {
		t.Helper()
		if got := w.s.FormerLocks(); !slices.Equal(got, want) {
			t.Fatalf("locked for former custodians: %+v, not %+v", got, want)
		}
	}
	// Only what it takes to sign is replaced: the pieces stay who they are of.
	counts := w.keepersOf(2, 0, 1, 2)
	counts.Required[len(counts.Required)-1].Count = 1
	w.accept(w.sign(w.replacing(counts), 0, 1))
	former()
	w.custodians = append(w.custodians, newSigner(t))
	w.accept(w.sign(w.replacing(w.keepersOf(2, 3, 1, 2)), 0, 1))
	former(ledger.FormerLock{Node: "n1"}, ledger.FormerLock{Node: "n2"})
	if first, now := w.s.CustodyAt(0), w.s.CustodyAt(2); first.Custodians[0].Name != "custodian1" || now != w.s.Custody() || w.s.CustodyAt(3) != nil {
		t.Error("other custodians than those before")
	}

	next := authority.Lock{Generation: 2, Live: 1, Lock: lock(2)}
	for custody, want := range map[uint64]error{0: ledger.ErrOutOfTurn, 1: ledger.ErrOutOfTurn, 3: ledger.ErrOutOfTurn} {
		next.Custody = custody
		w.refuse(w.say("n1", authority.KindLock, next).Encode(), want)
	}
	next.Custody = 2
	w.accept(w.say("n1", authority.KindLock, next))
	former(ledger.FormerLock{Node: "n1"}, ledger.FormerLock{Node: "n2"}) // the old seal may still be there
	if l := w.s.Lock("n1", 2); l == nil || l.Custody != 2 {
		t.Fatalf("%+v", l)
	}
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Live: 2}))
	former(ledger.FormerLock{Node: "n2"})
	decodedAnywhere(t, w, 3)

	// A lock has the shape that the custodians in force demand.
	w.accept(w.sign(w.replacing(w.keepersOf(3, 3, 1, 2)), 3, 1))
	former(ledger.FormerLock{Node: "n1", Custody: 2}, ledger.FormerLock{Node: "n2"})
	w.refuse(w.say("n1", authority.KindLock, authority.Lock{Generation: 3, Live: 2, Lock: lock(3), Custody: 3}).Encode(), authority.ErrStatement)
}
