package ledger_test

import (
	"crypto/rand"
	"testing"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Whatever bytes Raft delivers: no panic, the old state as it was, a link, and a
// root that moves only when the entry was taken.
func FuzzApply(f *testing.F) {
	w := newWorld(f).eventful()
	for _, e := range w.log {
		f.Add(e)
	}
	for _, h := range w.hostiles() {
		f.Add(h.entry)
	}
	revoke := w.revoke(alice)
	for _, e := range []*authority.Entry{revoke, w.seal(authority.Subject{Kind: authority.SubjectCluster}), w.lift(revoke.ID())} {
		f.Add(e.Encode())
	}
	order := w.orderChange(w.order("proposed"))
	w.accept(w.propose(order, 0, false))
	for _, e := range []*authority.Entry{w.propose(w.orderChange(w.order("other")), 1, true), w.approve(order, 1), w.cancel(order, 2)} {
		f.Add(e.Encode())
	}
	f.Fuzz(func(t *testing.T, entry []byte) { check(t, w.s, w.index+1, entry) })
}

// The same behind a node's good signature: what one bad member can say.
func FuzzApplyOfAMember(f *testing.F) {
	w := newWorld(f).eventful()
	for _, raw := range w.log {
		e, err := authority.ParseEntry(raw)
		if err != nil {
			f.Fatal(err)
		}
		if e.Author == "" {
			continue
		}
		var st authority.Statement
		if err := wire.Decode(e.Body, &st); err != nil {
			f.Fatal(err)
		}
		f.Add(st.Kind, st.Body)
	}
	live := w.s.OrderNamed("payroll").Live
	f.Add(authority.KindPost, wire.Encode(authority.Post{Session: live, Kind: 2, Body: []byte("x")}))
	for _, k := range w.s.Keys() {
		g := authority.NewGrant(w.grant(k.ID))
		if err := authority.SignGrant(rand.Reader, g, w.custodians[0]); err != nil {
			f.Fatal(err)
		}
		f.Add(authority.KindGrant, wire.Encode(authority.GrantPost{Entry: g.Encode()}))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		if len(kind) > authority.MaxKindLength || len(body) > authority.MaxEntrySize-1024 {
			return
		}
		b := wire.Encode(authority.Statement{Cluster: w.genesis.Cluster, Node: "n2", Kind: kind, Body: body})
		sig, err := w.nodes["n2"].Sign(nil, tag.NodeSignature, b)
		if err != nil {
			t.Fatal(err)
		}
		e := authority.Entry{Author: "n2", Kind: kind, Signatures: []authority.Signature{sig}, Body: b}
		check(t, w.s, w.index+1, e.Encode())
	})
}

func check(t *testing.T, s *ledger.State, index uint64, entry []byte) {
	root, at := s.Root(), s.Position()
	next, r := s.Apply(index, entry)
	again, r2 := s.Apply(index, entry)
	if s.Root() != root || s.Position() != at {
		t.Error("the old state has changed")
	}
	if r.Err != nil && next.Root() != root {
		t.Errorf("refused (%v) and the root has moved", r.Err)
	}
	if r.Err == nil && next.Root() == root {
		t.Error("taken and the root has not moved")
	}
	if next.Position() != again.Position() || next.Root() != again.Root() || (r.Err == nil) != (r2.Err == nil) { // R7
		t.Error("the same entry gave two states")
	}
	if next.Position().Link == at.Link || next.Position().Index != index {
		t.Error("it was not chained")
	}
}
