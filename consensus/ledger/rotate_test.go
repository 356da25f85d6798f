package ledger_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing/dkg"
)

// next is the order of a key's next version, or of another one.
func (w *world) next(id api.KeyID, version uint32, alter ...func(*authority.Order)) *authority.Entry {
	o := w.order("payroll")
	o.Key, o.Version = &id, version
	for _, a := range alter {
		a(&o)
	}
	return w.sign(w.orderChange(o), 0, 1)
}

// signedBy gives a record the signatures of these holders.
func (w *world) signedBy(k *ledger.Key, nodes ...string) {
	w.Helper()
	for _, n := range nodes {
		w.accept(w.say(n, authority.KindRecord, signedBy(w.recordSignature(n, k))))
	}
}

func TestTheNextVersionOfAKeyIsBornBesideTheOthers(t *testing.T) {
	w, id := born(t)
	first := w.s.Key(id)
	w.signedBy(first, "n1", "n2", "n3")
	order := w.next(id, 2)
	w.accept(order)
	second := w.birth(order.ID())
	if second.ID != id || second.Version != 2 || second.Number != 1 || w.s.Key(id) != second || w.s.KeyNamed("payroll") != second {
		t.Fatalf("%+v", second)
	}
	if k := w.s.KeyVersion(id, 1); k == nil || string(k.Record.Y) == string(second.Record.Y) || k.Session == second.Session {
		t.Error("the first version is gone, or has the same public key")
	}
	if got := w.s.Vouched(id); got.Version != 1 {
		t.Error("a version that nobody vouches for is served")
	}
	w.signedBy(second, "n1", "n2", "n3")
	if got := w.s.Vouched(id); got.Version != 2 {
		t.Error("the newest version is not served")
	}
	signed := w.s.SignedRecord(w.s.Key(id), &w.s.Key(id).Epoch)
	if r, err := signed.Verify(w.genesis); err != nil || r.Version != 2 || r.Key != id {
		t.Fatal(err)
	}
	// A record of another version than its order's, or of another key, is not believed.
	for sentence, alter := range map[string]func(*authority.KeyRecord){
		"another version": func(r *authority.KeyRecord) { r.Version = 3 },
		"the first":       func(r *authority.KeyRecord) { r.Version = 1 },
		"another key":     func(r *authority.KeyRecord) { r.Key = authority.KeyIDOf(second.Session) },
	} {
		bad := authority.SignedRecord{Record: signed.Record}
		alter(&bad.Record)
		for _, n := range []string{"n1", "n2", "n3"} { // t holders would sign it
			sig, err := authority.SignRecord(rand.Reader, w.nodes[n], &bad.Record)
			if err != nil {
				t.Fatal(err)
			}
			bad.Signatures = append(bad.Signatures, sig)
		}
		if _, err := bad.Verify(w.genesis); !errors.Is(err, authority.ErrRecord) {
			t.Errorf("%s is believed: %v", sentence, err)
		}
	}
	// The life is of all versions.
	w.accept(w.move(id, authority.Suspended, api.Digest{}))
	w.refuse(w.next(id, 3).Encode(), ledger.ErrMove)
	decodedAnywhere(t, w, 2)
}

func TestOrdersOfAVersionThatAreRefused(t *testing.T) {
	w, id := born(t)
	rename := func(o *authority.Order) { o.Name = "other" }
	dated := func(o *authority.Order) { o.NotBefore = created + 1 }
	root := w.s.RootKey().ID
	for _, tt := range []struct {
		sentence string
		entry    *authority.Entry
		want     error
	}{
		{"the one that there is", w.next(id, 1), authority.ErrOrder},
		{"one after the next", w.next(id, 3), ledger.ErrVersion},
		{"no number", w.next(id, 0), authority.ErrOrder},
		{"another name", w.next(id, 2, rename), authority.ErrOrder},
		{"a date of its own", w.next(id, 2, dated), authority.ErrOrder},
		{"a key that is not there", w.next(api.KeyID{9}, 2), ledger.ErrNoKey},
		{"the root key", w.next(root, 2), ledger.ErrNoKey},
		{"a number without a key", w.next(id, 2, func(o *authority.Order) { o.Key = nil }), authority.ErrOrder},
	} {
		if r := w.refuse(tt.entry.Encode(), tt.want); r.Err == nil {
			t.Errorf("%s was taken", tt.sentence)
		}
	}
}

// No two runs of one version: holders would have two shares of one name. An order that
// came to nothing is replaced, and never opened again.
func TestOnlyOneRunBearsAVersion(t *testing.T) {
	w, id := born(t)
	first, second := w.next(id, 2), w.next(id, 2)
	w.accept(first)
	w.open(first.ID())
	w.refuse(second.Encode(), ledger.ErrRotating)
	w.clock(1, created+authority.MaxPhaseSecond*1000) // its time is over
	late := w.orderChange(func() authority.Order {
		o := w.order("payroll")
		o.Key, o.Version = &id, 2
		return o
	}())
	late.NotAfter = w.s.Time() + 1000
	replaced := w.sign(late, 0, 1)
	w.accept(replaced)
	w.refuse(w.say("n1", authority.KindOpen, authority.Open{Order: first.ID(), Attempt: 2}).Encode(), ledger.ErrOutOfTurn)
	if k := w.birth(replaced.ID()); k.Version != 2 || k.Order != replaced.ID() {
		t.Fatalf("%+v", k)
	}
	if ses := w.s.Session(w.s.OrderByHash(replaced.ID()).Live); ses != nil && ses.Board.Phase() != dkg.PhaseConfirm {
		t.Error("a run goes on")
	}
	decodedAnywhere(t, w, 2)
}
