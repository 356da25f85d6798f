package client

import (
	"fmt"
	"hash/maphash"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tdh2"
)

func given(nodes ...string) map[string]partial {
	out := map[string]partial{}
	for _, n := range nodes {
		out[n] = partial{endorsement: fmt.Appendf(nil, "%-*s", tdh2.EndorsementSize, n)}
	}
	return out
}

// An endorsement is of one epoch: in another it is not shown, and the first of the next
// epoch takes the place of them all.
func TestEndorsementsAreOfOneEpoch(t *testing.T) {
	var none *endorsements
	if none.of("n1", 1) != nil || none.with(1, given()) != nil {
		t.Fatal("something of nothing")
	}
	e := none.with(1, given("n1", "n2")).with(1, given("n3"))
	if len(e.Given) != 3 || e.of("n1", 1) == nil || e.of("n4", 1) != nil || e.of("n1", 2) != nil {
		t.Fatalf("%+v", e)
	}
	if e.with(1, given("n2")) != e {
		t.Error("what is known already makes another")
	}
	next := e.with(2, given("n1"))
	if next.of("n1", 2) == nil || next.of("n2", 2) != nil || next.of("n1", 1) != nil || len(e.Given) != 3 {
		t.Errorf("%+v, %+v", e, next)
	}
}

// What was kept last is found, what is found is kept, and no more is kept than twice the
// bound; of one envelope no more than a key has holders.
func TestTheEndorsementsThatAreKeptAreBounded(t *testing.T) {
	m := endorsed{seed: maphash.MakeSeed()}
	keep := func(id uint64) {
		p := &pending{id: id, partials: given("n1"), endorsed: m.find(id)}
		m.keep(p, 1)
	}
	for i := range uint64(5 * maxEndorsed) {
		keep(i)
		keep(0) // used all the time
		if m.find(i) == nil || m.find(0) == nil {
			t.Fatalf("forgotten too early, at %d", i)
		}
		if n := len(m.newer) + len(m.older); n > 2*maxEndorsed {
			t.Fatalf("%d are kept", n)
		}
	}
	if m.find(1) != nil {
		t.Error("the first is never forgotten")
	}
	var e *endorsements
	for i := range 3 * sharing.MaxHolders {
		if e = e.with(1, given(fmt.Sprint(i))); len(e.Given) > sharing.MaxHolders || e.of(fmt.Sprint(i), 1) == nil {
			t.Fatalf("%d of one envelope", len(e.Given))
		}
	}
}

func FuzzParseEndorsements(f *testing.F) {
	var e *endorsements
	f.Add(wire.Encode(e.with(1, given("n1", "n2", "n3"))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e := parseEndorsements(b)
		if e == nil {
			return
		}
		if got := wire.Encode(e); string(got) != string(b) {
			t.Fatalf("a second encoding was read: %x", got)
		}
		if len(e.with(e.Epoch, given("n1")).Given) > sharing.MaxHolders {
			t.Fatal("too many")
		}
	})
}
