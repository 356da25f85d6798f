package ledger_test

import (
	"crypto/rand"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// keyed is a world with a key, and ledger time.
func keyed(tb testing.TB) (*world, *ledger.Key) {
	tb.Helper()
	w := newWorld(tb)
	w.birth(w.rootOrder())
	order := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(order)
	return w, w.birth(order.ID())
}

func (w *world) grant(key api.KeyID) authority.Grant {
	w.nonce++
	return authority.Grant{
		Cluster: w.genesis.Cluster, Key: key, Principal: alice.Name, Action: authority.ActionUnwrap, Reason: "case 4711",
		NotBefore: created, NotAfter: created + 1_000_000, Uses: 2, Nonce: [16]byte{w.nonce},
	}
}

// granting is the statement by which a node puts a grant that so many have signed,
// approvers or not: the ledger does not know.
func (w *world) granting(node string, g authority.Grant, signers ...*authority.Signer) (*authority.Entry, api.Digest) {
	w.Helper()
	e := authority.NewGrant(g)
	for _, s := range signers {
		if err := authority.SignGrant(rand.Reader, e, s); err != nil {
			w.Fatal(err)
		}
	}
	return w.say(node, authority.KindGrant, authority.GrantPost{Entry: e.Encode()}), e.ID()
}

// at moves ledger time: three anchors say so.
func (w *world) at(time int64) {
	w.Helper()
	for _, n := range []string{"n1", "n2", "n3"} {
		counter := uint64(1)
		if a := w.s.Anchor(n); a != nil {
			counter = a.Anchor.Counter + 1
		}
		w.accept(w.say(n, authority.KindAnchor, authority.Anchor{Counter: counter, Time: time}))
	}
}

func TestAGrantStandsInTheLedgerUntilItExpires(t *testing.T) {
	w, key := keyed(t)
	g := w.grant(key.ID)
	put, id := w.granting("n1", g, w.custodians[0])
	w.accept(put)
	index := w.index
	got := w.s.GrantsNamed(id)
	if len(got) != 1 || got[0].Index != index || got[0].NotAfter != g.NotAfter || len(w.s.Grants()) != 1 {
		t.Fatalf("it has %+v", got)
	}
	if e, err := authority.ParseEntry(got[0].Entry); err != nil || e.ID() != id {
		t.Fatalf("not the entry that was signed: %v", err)
	}
	if r := w.refuse(put.Encode(), ledger.ErrTaken); r.Index != index {
		t.Errorf("it was taken at %d, not %d", index, r.Index)
	}
	more, _ := w.granting("n1", g, w.custodians[0], w.custodians[1])
	w.accept(more) // with another signature
	if got := w.s.GrantsNamed(id); len(got) != 1 || got[0].Index != w.index {
		t.Fatalf("it has %+v", got)
	}
	again, _ := w.granting("n2", g, w.custodians[1])
	w.accept(again) // what one node put does not stand in the way of another
	if got := w.s.GrantsNamed(id); len(got) != 2 {
		t.Fatalf("%d of two nodes", len(got))
	}
	w.at(g.NotAfter + 1)
	if got := w.s.Grants(); len(got) != 0 {
		t.Fatalf("%d have not expired", len(got))
	}
	late, _ := w.granting("n3", g, w.custodians[0])
	w.refuse(late.Encode(), ledger.ErrExpired)
	next := w.grant(key.ID)
	next.NotBefore, next.NotAfter = g.NotAfter, g.NotAfter+1_000_000
	fresh, _ := w.granting("n1", next, w.custodians[0])
	w.accept(fresh)
	if got := w.s.GrantsNamed(id); len(got) != 1 {
		t.Fatalf("the expired one was not taken out: %d", len(got))
	}
	decodedAnywhere(t, w, 2)
}

func TestGrantsThatAreNotTaken(t *testing.T) {
	w, key := keyed(t)
	root := w.s.RootKey()
	for _, tt := range []struct {
		sentence string
		spoil    func(*authority.Grant)
		want     error
	}{
		{"another cluster's", func(g *authority.Grant) { g.Cluster[0]++ }, authority.ErrGrant},
		{"a key that is not", func(g *authority.Grant) { g.Key[0]++ }, ledger.ErrNoKey},
		{"the root key", func(g *authority.Grant) { g.Key = root.ID }, ledger.ErrNoKey}, // R16
		{"one that has expired", func(g *authority.Grant) { g.NotBefore, g.NotAfter = created-1000, created-1 }, ledger.ErrExpired},
		{"one that lasts too long", func(g *authority.Grant) {
			g.NotBefore, g.NotAfter = created+1, created+authority.MaxGrantWindow+1
		}, authority.ErrGrant},
		{"one of bad form", func(g *authority.Grant) { g.Uses = 0 }, authority.ErrGrant},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			w := w.fork()
			w.TB = t
			g := w.grant(key.ID)
			tt.spoil(&g)
			e := authority.NewGrant(g)
			if _, err := authority.ParseGrant(e); err == nil {
				if err := authority.SignGrant(rand.Reader, e, w.custodians[0]); err != nil {
					t.Fatal(err)
				}
			}
			if e.Signatures == nil { // of bad form: nothing signs it
				e.Signatures = []authority.Signature{{ASN1: []byte{1}}}
			}
			w.refuse(w.say("n1", authority.KindGrant, authority.GrantPost{Entry: e.Encode()}).Encode(), tt.want)
		})
	}
	unsigned, _ := w.granting("n1", w.grant(key.ID))
	w.refuse(unsigned.Encode(), authority.ErrGrant)
	e := authority.NewGrant(w.grant(key.ID))
	if err := authority.SignGrant(rand.Reader, e, w.custodians[0]); err != nil {
		t.Fatal(err)
	}
	w.refuse(e.Encode(), authority.ErrChange) // in no node's name
	w.refuse(w.say("n1", authority.KindGrant, authority.GrantPost{Entry: []byte("noise")}).Encode(), authority.ErrEntry)
	if len(w.s.Grants()) != 0 {
		t.Error("one was taken")
	}
}

// A member that puts grants nobody approved fills its own list, and nobody else's.
func TestALiarCannotFillTheLedgerWithGrants(t *testing.T) {
	w, key := keyed(t)
	stranger := newSigner(t)
	for range ledger.MaxGrantsOfNode {
		put, _ := w.granting("n2", w.grant(key.ID), stranger)
		w.accept(put)
	}
	more, _ := w.granting("n2", w.grant(key.ID), stranger)
	w.refuse(more.Encode(), ledger.ErrManyGrants)
	honest, id := w.granting("n1", w.grant(key.ID), w.custodians[0])
	w.accept(honest)
	if len(w.s.GrantsNamed(id)) != 1 {
		t.Error("another node's has no room")
	}
	if b := encode(t, w.s); len(b) > 1<<20 {
		t.Errorf("the state has %d bytes", len(b))
	}
	w.at(created + 1_000_001)
	late := w.grant(key.ID)
	late.NotBefore, late.NotAfter = created+1_000_000, created+2_000_000
	room, _ := w.granting("n2", late, stranger)
	w.accept(room)
	if got := len(w.s.Grants()); got != 1 {
		t.Errorf("%d are left", got)
	}
}
