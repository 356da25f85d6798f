package ledger_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/escrow"
	"warifu.dev/sharing/group"
)

// escrowing is a world with a key whose record its holders have signed.
func escrowing(tb testing.TB) (*world, api.KeyID) {
	tb.Helper()
	w, id := born(tb)
	w.signedBy(w.s.Key(id), "n1", "n2", "n3")
	return w, id
}

// escrow is the order to seal the shares of a key's current epoch so that any of the
// custodians open them.
func (w *world) escrow(id api.KeyID, open uint32, by ...int) *authority.Entry {
	w.Helper()
	k := w.s.Key(id)
	return w.sign(w.changeOf(authority.KindEscrow, authority.Escrow{Record: w.s.SignedRecord(k, &k.Epoch).Encode(), Open: open}), by...)
}

// sealing is what a holder signs by an order, in the form that it must have.
func (w *world) sealing(node string, id api.KeyID, order api.Digest, index uint32, open int) *authority.Entry {
	w.Helper()
	var recipients []string
	for range w.custodians {
		who, err := age.GenerateX25519Identity()
		if err != nil {
			w.Fatal(err)
		}
		recipients = append(recipients, who.Recipient().String())
	}
	sealed, err := escrow.Seal(rand.Reader, escrow.Share{Index: index}, secret.New(group.SmallScalar(9).Bytes()), recipients, open)
	if err != nil {
		w.Fatal(err)
	}
	return w.say(node, authority.KindEscrowed, authority.Escrowed{Key: id, Order: order, Index: index, Sealed: wire.Encode(sealed)})
}

// An order of escrow waits for every holder; each seals once, at its own index. What it is
// stays for ever, also when the epoch is over.
func TestSharesAreEscrowedByAnOrder(t *testing.T) {
	w, id := escrowing(t)
	if len(w.s.AllEscrows()) != 0 || len(w.s.EscrowsOf("n1")) != 0 {
		t.Fatal("without an order something waits to be sealed")
	}
	e := w.escrow(id, 2, 0, 1)
	w.accept(e)
	for _, n := range []string{"n1", "n5"} {
		if of := w.s.EscrowsOf(n); len(of) != 1 || of[0].By.Change != e.ID() || of[0].Version != 1 || of[0].Epoch != 1 || of[0].T != 3 || of[0].Open != 2 {
			t.Fatalf("%s seals by %+v", n, of)
		}
	}
	w.refuse(w.escrow(id, 2, 1, 2).Encode(), ledger.ErrEscrowed)
	w.refuse(w.sealing("n1", id, e.ID(), 2, 2).Encode(), ledger.ErrNotHolder)
	w.refuse(w.sealing("n1", id, e.ID(), 0, 2).Encode(), ledger.ErrNotHolder)
	w.refuse(w.sealing("n1", id, e.ID(), 6, 2).Encode(), ledger.ErrNotHolder)
	w.refuse(w.sealing("n1", id, e.ID(), 1, 3).Encode(), authority.ErrStatement) // all three open it
	w.refuse(w.sealing("n1", id, api.Digest{9}, 1, 2).Encode(), ledger.ErrNoOrder)
	w.refuse(w.say("n1", authority.KindEscrowed, authority.Escrowed{Key: id, Order: e.ID(), Index: 1}).Encode(), authority.ErrStatement)
	for i, n := range []string{"n1", "n2", "n3"} {
		if w.s.Escrow(id, e.ID()).Opens() {
			t.Errorf("%d shares open it", i)
		}
		w.accept(w.sealing(n, id, e.ID(), uint32(i+1), 2))
		w.refuse(w.sealing(n, id, e.ID(), uint32(i+1), 2).Encode(), ledger.ErrNotHolder)
	}
	of := w.s.Escrow(id, e.ID())
	if !of.Opens() || !slices.Equal(of.Nodes(), []string{"n1", "n2", "n3"}) || len(w.s.EscrowsOf("n1")) != 0 || len(w.s.EscrowsOf("n4")) != 1 {
		t.Errorf("%+v", of)
	}
	if w.s.SealedShare(e.ID(), 2) == nil || w.s.SealedShare(e.ID(), 4) != nil || w.s.Life(id).Escrows != 1 {
		t.Error("what was sealed is not kept, or is where nothing was")
	}

	// Nobody seals to custodians who are none any more; what was sealed stays theirs.
	replaced := w.fork()
	replaced.custodians = append(slices.Clone(w.custodians), newSigner(t))
	replaced.genesis = w.genesis
	c := replaced.custodyOf(2, 0, 1, 3)
	replaced.accept(replaced.sign(replaced.replacing(c), 0, 1))
	replaced.custodians = []*authority.Signer{replaced.custodians[0], replaced.custodians[1], replaced.custodians[3]}
	if len(replaced.s.EscrowsOf("n4")) != 0 {
		t.Error("a share waits to be sealed to those who were replaced")
	}
	replaced.refuse(replaced.sealing("n4", id, e.ID(), 4, 2).Encode(), ledger.ErrOtherKeepers)
	replaced.accept(replaced.escrow(id, 2, 0, 2)) // once more, to those in force
	if len(replaced.s.EscrowsOf("n4")) != 1 || replaced.s.Life(id).Escrows != 2 {
		t.Error("an order for other custodians is another one")
	}

	// Of a key that is to be destroyed nothing more is sealed, and its proof names the door.
	w.accept(w.destroy(id, 0, 0, 1, 2))
	w.refuse(w.sealing("n4", id, e.ID(), 4, 2).Encode(), ledger.ErrDying)
	w.refuse(w.escrow(id, 3, 0, 1).Encode(), ledger.ErrDying)
	w.accept(w.beginEnd(id))
	for _, n := range w.s.Key(id).Holders {
		w.accept(w.erased(n, authority.LiveEpoch{Key: id, Version: 1, Epoch: 1}))
	}
	for _, size := range []int{1 << 20, 1} {
		d, err := ledger.ReadDestroyed(id, w.proofsOf(id, size))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Escrows) != 1 || d.Escrows[0].By.Change != e.ID() || len(d.Escrows[0].Sealed) != 3 {
			t.Errorf("%+v", d.Escrows)
		}
	}
	decodedAnywhere(t, w, 2)
}

// Each rule of an order of escrow has one that breaks it.
func TestOrdersOfEscrowThatAreRefused(t *testing.T) {
	w, id := escrowing(t)
	k := w.s.Key(id)
	good := func() authority.Escrow {
		return authority.Escrow{Record: w.s.SignedRecord(k, &k.Epoch).Encode(), Open: 2}
	}
	other := *w.s.SignedRecord(k, &k.Epoch)
	other.Record.YI = append([][]byte{k.Record.YI[1]}, k.Record.YI[1:]...)
	later := *w.s.SignedRecord(k, &k.Epoch)
	later.Record.Epoch = 2
	for sentence, tt := range map[string]struct {
		alter func(*authority.Escrow)
		want  error
	}{
		"one who opens it":            {func(e *authority.Escrow) { e.Open = 1 }, authority.ErrEscrow},
		"more than there are open it": {func(e *authority.Escrow) { e.Open = 4 }, authority.ErrEscrow},
		"a record that too few signed": {func(e *authority.Escrow) {
			few := *w.s.SignedRecord(k, &k.Epoch)
			few.Signatures = few.Signatures[:2]
			e.Record = few.Encode()
		}, authority.ErrTooFewSignatures},
		"no record":                     {func(e *authority.Escrow) { e.Record = nil }, authority.ErrEscrow},
		"a record that is too large":    {func(e *authority.Escrow) { e.Record = make([]byte, authority.MaxEscrowRecord+1) }, authority.ErrEscrow},
		"a record with another point":   {func(e *authority.Escrow) { e.Record = other.Encode() }, authority.ErrEscrow},
		"an epoch that is not there":    {func(e *authority.Escrow) { e.Record = later.Encode() }, ledger.ErrNoKey},
		"the root key":                  {func(e *authority.Escrow) { r := w.s.RootKey(); e.Record = w.s.SignedRecord(r, &r.Epoch).Encode() }, ledger.ErrNoKey},
		"a key that is not in this one": {func(e *authority.Escrow) { x := other; x.Record.Key = api.KeyID{9}; e.Record = x.Encode() }, ledger.ErrNoKey},
	} {
		e := good()
		tt.alter(&e)
		if r := w.refuse(w.sign(w.changeOf(authority.KindEscrow, e), 0, 1).Encode(), tt.want); r.Err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	w.refuse(w.sign(w.changeOf(authority.KindEscrow, good()), 0).Encode(), authority.ErrTooFewSignatures)
	c := w.changeOf(authority.KindEscrow, good())
	c.Base = api.Digest{1}
	w.refuse(w.sign(c, 0, 1).Encode(), authority.ErrEscrow)
	// Fewer would open it than sign the order.
	strict := newWorldOf(t, 5, 5, 3, func(g *authority.Genesis) { g.Required[1].Count = 3 })
	if err := (&authority.EscrowOrder{Open: 2}).AllowedBy(&strict.genesis.Genesis); !errors.Is(err, authority.ErrEscrow) {
		t.Errorf("fewer open it than sign: %v", err)
	}

	sym, symID := bornSymmetric(t)
	sk := sym.s.Key(symID)
	sym.refuse(sym.sign(sym.changeOf(authority.KindEscrow, authority.Escrow{Record: sym.s.SignedRecord(sk, &sk.Epoch).Encode(), Open: 2}), 0, 1).Encode(), authority.ErrEscrow)
}
