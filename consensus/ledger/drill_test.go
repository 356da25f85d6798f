package ledger_test

import (
	"crypto/rand"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// drill is what a node says of a custodian who answered at a position.
func (w *world) drill(node string, s *authority.Signer, cluster api.ClusterID, at ledger.Position) authority.Drill {
	w.Helper()
	d, err := authority.SignDrill(rand.Reader, s, cluster, node, authority.Drill{Index: at.Index, Link: at.Link, Answer: api.Digest{7}})
	if err != nil {
		w.Fatal(err)
	}
	return d
}

func TestTheLastDrillOfACustodianIsKept(t *testing.T) {
	w := newWorld(t)
	w.accept(w.sign(w.orderChange(w.order("payroll")), 0, 1))
	here := w.genesis.Cluster
	first := w.s.Position()
	good := w.drill("n1", w.custodians[1], here, first)
	w.accept(w.say("n1", authority.KindDrill, good))
	past := w.s.Position()
	w.past(500)
	second := w.drill("n2", w.custodians[1], here, past)
	w.accept(w.say("n2", authority.KindDrill, second))
	w.accept(w.say("n2", authority.KindDrill, w.drill("n2", w.custodians[0], here, past)))
	drills := w.s.Drills()
	if len(drills) != 2 {
		t.Fatalf("%d are kept", len(drills))
	}
	for _, d := range drills {
		if d.Node != "n2" || d.Challenge != past.Index || d.Time != created+500 {
			t.Errorf("it is kept as %+v", d)
		}
	}
	stranger := newSigner(t)
	at := func(alter func(*ledger.Position)) ledger.Position {
		p := w.s.Position()
		alter(&p)
		return p
	}
	altered := func(alter func(*authority.Drill)) authority.Drill {
		d := w.drill("n1", w.custodians[2], here, w.s.Position())
		alter(&d)
		return d
	}
	for _, tt := range []struct {
		sentence string
		drill    func() authority.Drill
		want     error
	}{
		{"the same again", func() authority.Drill { return w.drill("n1", w.custodians[1], here, past) }, ledger.ErrOutOfTurn},
		{"one that is older than the last", func() authority.Drill { return w.drill("n1", w.custodians[1], here, first) }, ledger.ErrOutOfTurn},
		{"one of a position that was not yet", func() authority.Drill {
			return w.drill("n1", w.custodians[2], here, at(func(p *ledger.Position) { p.Index++ }))
		}, ledger.ErrOutOfTurn},
		{"one of another history", func() authority.Drill {
			return w.drill("n1", w.custodians[2], here, at(func(p *ledger.Position) { p.Link = api.Digest{9} }))
		}, ledger.ErrOutOfTurn},
		{"of a stranger", func() authority.Drill { return w.drill("n1", stranger, here, w.s.Position()) }, authority.ErrNotCustodian},
		{"of a node", func() authority.Drill { return w.drill("n1", w.nodes["n1"], here, w.s.Position()) }, authority.ErrNotCustodian},
		{"for another cluster", func() authority.Drill { return w.drill("n1", w.custodians[2], api.ClusterID{9}, w.s.Position()) }, authority.ErrSignature},
		{"shown to another node", func() authority.Drill { return w.drill("n2", w.custodians[2], here, w.s.Position()) }, authority.ErrSignature},
		{"with another answer", func() authority.Drill { return altered(func(d *authority.Drill) { d.Answer[0]++ }) }, authority.ErrSignature},
		{"with another position", func() authority.Drill { return altered(func(d *authority.Drill) { d.Index-- }) }, authority.ErrSignature},
		{"with another link", func() authority.Drill { return altered(func(d *authority.Drill) { d.Link[0]++ }) }, authority.ErrSignature},
		{"in another custodian's name", func() authority.Drill {
			return altered(func(d *authority.Drill) { d.Custodian = authority.FingerprintOf(w.custodians[0].PublicKey()) })
		}, authority.ErrSignature},
	} {
		w.TB = under(t, tt.sentence)
		w.refuse(w.say("n1", authority.KindDrill, tt.drill()).Encode(), tt.want)
		w.TB = t
	}
	if len(w.s.Drills()) != 2 {
		t.Error("another one is kept")
	}
	decodedAnywhere(t, w, 2)
}
