package ledger_test

import (
	"bytes"
	"crypto/rand"
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
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: first}))
	if got := w.s.Lock("n1", 1); got == nil || !bytes.Equal(wire.Encode(got), first) {
		t.Fatal("generation 1 has another lock")
	}
	if w.s.Lock("n2", 1) != nil || w.s.Lock("n1", 2) != nil {
		t.Fatal("a lock of nobody")
	}
	// The seal was not written: another lock for the same generation takes its place.
	first = lock(1)
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: first}))

	// The lock of the seal on disk stays until the next seal is on disk.
	for range 2 {
		w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 2, Live: 1, Lock: lock(2)}))
		if got := w.s.Lock("n1", 1); got == nil || !bytes.Equal(wire.Encode(got), first) {
			t.Fatal("the live lock is gone, or another")
		}
	}
	third := lock(3)
	w.accept(w.say("n1", authority.KindLock, authority.Lock{Generation: 3, Live: 2, Lock: third}))
	if w.s.Lock("n1", 1) != nil || w.s.Lock("n1", 2) == nil || w.s.Lock("n1", 3) == nil {
		t.Fatal("generations 2 and 3 have locks, and no other")
	}

	refuse := func(sentence string, l authority.Lock, want error) {
		t.Run(sentence, func(t *testing.T) { w.refuse(w.say("n1", authority.KindLock, l).Encode(), want) })
	}
	refuse("the live one's place is not taken", authority.Lock{Generation: 3, Live: 3, Lock: third}, ledger.ErrOutOfTurn)
	refuse("an older generation", authority.Lock{Generation: 1, Live: 2, Lock: third}, ledger.ErrOutOfTurn)
	refuse("generation 0", authority.Lock{Lock: third}, ledger.ErrOutOfTurn)
	refuse("a live one that has no lock", authority.Lock{Generation: 9, Live: 8, Lock: third}, ledger.ErrOutOfTurn)
	refuse("no lock", authority.Lock{Generation: 4, Live: 3}, authority.ErrStatement)
	refuse("junk", authority.Lock{Generation: 4, Live: 3, Lock: []byte("junk")}, authority.ErrStatement)
	refuse("for one custodian alone", authority.Lock{Generation: 4, Live: 3, Lock: wire.Encode(unseal.Lock{Threshold: 1, Pieces: make([]unseal.Piece, 3)})}, authority.ErrStatement)
	refuse("for two custodians of three", authority.Lock{Generation: 4, Live: 3, Lock: wire.Encode(unseal.Lock{Threshold: 2, Pieces: make([]unseal.Piece, 2)})}, authority.ErrStatement)
	w.refuse(w.sayFor(w.genesis.Cluster, w.nodes["n2"], "n1", authority.KindLock, authority.Lock{Generation: 4, Live: 3, Lock: third}).Encode(), authority.ErrSignature)

	plain := newWorld(t)
	plain.refuse(plain.say("n1", authority.KindLock, authority.Lock{Generation: 1, Lock: first}).Encode(), ledger.ErrNoCustodians)

	back, err := ledger.Decode(w.genesis, bytes.NewReader(encode(t, w.s)))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a state with locks", w.s, back)
}
