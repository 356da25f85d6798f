package ledger_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

func daily(o *authority.Order) { o.RotateEvery = authority.MinEvery }

// due is what a node says when a period is over.
func (w *world) due(node string, id api.KeyID, version uint32) *authority.Entry {
	return w.say(node, authority.KindNextVersion, authority.NextVersion{Key: id, Version: version})
}

// believed is the record of a key's newest version, as a client verifies it.
func (w *world) believed(id api.KeyID) *authority.SignedRecord {
	w.Helper()
	k := w.s.Key(id)
	w.signedBy(k, "n1", "n2", "n3")
	k = w.s.Key(id)
	signed := w.s.SignedRecord(k, &k.Epoch)
	if r, err := signed.Verify(w.genesis); err != nil || r.Key != id || r.Version != k.Version || r.Order().T != k.T {
		w.Fatalf("version %d: %v", k.Version, err)
	}
	return signed
}

// disbelieved has t holders sign an altered record, which no client may believe.
func (w *world) disbelieved(sentence string, r authority.KeyRecord) {
	w.Helper()
	bad := authority.SignedRecord{Record: r}
	for _, n := range []string{"n1", "n2", "n3"} {
		sig, err := authority.SignRecord(rand.Reader, w.nodes[n], &bad.Record)
		if err != nil {
			w.Fatal(err)
		}
		bad.Signatures = append(bad.Signatures, sig)
	}
	if _, err := bad.Verify(w.genesis); !errors.Is(err, authority.ErrRecord) {
		w.Errorf("%s is believed: %v", sentence, err)
	}
}

// When the period of the order that custodians signed is over by ledger time, any node
// may order the next version, and nothing else: the record shows the custodians' order.
func TestTheNextVersionComesByThePeriodOfTheOrder(t *testing.T) {
	w, id := born(t, daily, func(o *authority.Order) { o.Owner, o.NotBefore = "ops", created })
	first := w.s.Key(id)
	w.believed(id)
	stopped := w.fork()
	stopped.accept(stopped.move(id, authority.Suspended, api.Digest{}))
	stopped.clock(1, created+day)
	stopped.refuse(stopped.due("n1", id, 2).Encode(), ledger.ErrMove)

	w.refuse(w.due("n1", id, 2).Encode(), ledger.ErrVersionNotDue)
	w.clock(1, created+day-1)
	if due := w.s.VersionDue(id); due != created+day || len(w.s.VersionsDue(9)) != 0 {
		t.Fatalf("it is due at %d", due)
	}
	w.refuse(w.due("n1", id, 2).Encode(), ledger.ErrVersionNotDue)
	w.clock(2, created+day)
	if due := w.s.VersionsDue(9); len(due) != 1 || due[0] != (authority.NextVersion{Key: id, Version: 2}) {
		t.Fatalf("due are %v", due)
	}
	for sentence, e := range map[string]*authority.Entry{
		"the version that there is": w.due("n1", id, 1),
		"one after the next":        w.due("n1", id, 3),
	} {
		if r := w.refuse(e.Encode(), ledger.ErrVersion); r.Err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	w.refuse(w.due("n1", w.s.RootKey().ID, 2).Encode(), ledger.ErrNoKey)
	w.refuse(w.due("n1", api.KeyID{9}, 1).Encode(), ledger.ErrNoKey)
	w.accept(w.due("n3", id, 2))
	w.refuse(w.due("n1", id, 2).Encode(), ledger.ErrRotating)
	if len(w.s.VersionsDue(9)) != 0 {
		t.Error("it is due while it is being born")
	}
	second := w.birth(authority.NextHash(first.Order, 2))
	if second.ID != id || second.Version != 2 || string(second.Record.Y) == string(first.Record.Y) || w.s.VersionDue(id) != w.s.Time()+day {
		t.Fatalf("%+v", second)
	}
	signed := w.believed(id)
	for sentence, alter := range map[string]func(*authority.KeyRecord){
		"of a key without its first run":  func(r *authority.KeyRecord) { r.First = nil },
		"of another first run":            func(r *authority.KeyRecord) { f := *r.First; f.Attempt++; r.First = &f },
		"of the key that its run makes":   func(r *authority.KeyRecord) { r.Key = authority.KeyIDOf(second.Session) },
		"of the first version with a run": func(r *authority.KeyRecord) { r.Version = 1 },
	} {
		r := signed.Record
		alter(&r)
		w.disbelieved("a record "+sentence, r)
	}

	// By hand in between: its order has the word from then on.
	o := w.order("payroll")
	o.Key, o.Version, o.RotateEvery = &id, 3, 2*authority.MinEvery
	c := w.orderChange(o)
	c.NotAfter = w.s.Time() + 1000
	hand := w.sign(c, 0, 1)
	w.accept(hand)
	w.birth(hand.ID())
	w.clock(3, w.s.Time()+day)
	w.refuse(w.due("n1", id, 4).Encode(), ledger.ErrVersionNotDue)
	w.clock(4, w.s.Time()+day)
	w.accept(w.due("n2", id, 4))
	w.birth(authority.NextHash(hand.ID(), 4))
	if r := w.believed(id).Record; r.First != nil || r.Version != 4 {
		t.Errorf("%+v", r.First)
	}
	decodedAnywhere(t, w, 2)
}

// Without a period in a custodian's order there is no next version but by custodians,
// whatever t holders sign.
func TestNoVersionComesWithoutAPeriod(t *testing.T) {
	w, id := born(t)
	signed := w.believed(id)
	w.clock(1, created+10*day)
	w.refuse(w.due("n1", id, 2).Encode(), ledger.ErrVersionNotDue)
	r := signed.Record
	r.Version = 2
	w.disbelieved("a version that no order brings", r)
	r.First = &authority.FirstRun{RosterVersion: r.RosterVersion, Attempt: r.Attempt, LinkBefore: r.LinkBefore}
	w.disbelieved("a version that no order brings, with the first run", r)
}

func TestPeriodsThatNoOrderHas(t *testing.T) {
	w := newWorld(t)
	for sentence, alter := range map[string]func(*authority.Order){
		"less than a day": func(o *authority.Order) { o.RotateEvery = authority.MinEvery - 1 },
		"a lifetime":      func(o *authority.Order) { o.RotateEvery = authority.MaxRotate + 1 },
		"of the root key": func(o *authority.Order) {
			o.Purpose, o.Name, o.RotateEvery = authority.PurposeRoot, "", authority.MinEvery
		},
		"of an imported key": func(o *authority.Order) { o.RotateEvery, o.Import = authority.MinEvery, &authority.Import{} },
		"more than a date":   func(o *authority.Order) { o.RotateEvery = 1 << 63 },
	} {
		o := w.order("payroll")
		alter(&o)
		if err := o.Check(); !errors.Is(err, authority.ErrOrder) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	o := w.order("payroll")
	daily(&o)
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}

// Keys that were born together are due together, and come a few at a time.
func TestFewVersionsAreOnTheirWayByTheirPeriods(t *testing.T) {
	w := newWorldOf(t, 3, 3, 2)
	w.birth(w.rootOrder())
	var ids []api.KeyID
	for i := range ledger.MaxRotating + 1 {
		o := w.order(fmt.Sprintf("key%d", i))
		o.T, o.Holders, o.RotateEvery = 2, []string{"n1", "n2", "n3"}, authority.MinEvery
		e := w.sign(w.orderChange(o), 0, 1)
		w.accept(e)
		ids = append(ids, w.birth(e.ID()).ID)
	}
	w.clock(1, created+day)
	for _, id := range ids[:ledger.MaxRotating] {
		w.accept(w.due("n1", id, 2))
	}
	last := ids[ledger.MaxRotating]
	w.refuse(w.due("n1", last, 2).Encode(), ledger.ErrTooManyRotations)
	w.birth(authority.NextHash(w.s.Key(ids[0]).Order, 2))
	w.accept(w.due("n1", last, 2))
}
