package node

import (
	"crypto/rand"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
)

// adds is a change that custodians sign, by which a node comes.
func adds(t *testing.T, c *trial.Cluster, id string, base api.Digest) []byte {
	t.Helper()
	c.Keys[id] = c.NewKey()
	claim, err := authority.SignClaim(rand.Reader, c.Node(id), authority.AddressClaim{Node: id, Counter: 1, Client: "127.0.0.1:1", Peer: "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	line := authority.Node{ID: id, Region: "sg", Key: c.Node(id).PublicKey(), Claim: claim}
	return c.Change(authority.KindNodeAdd, wire.Encode(authority.Membership{Newcomer: &line}), base)
}

// chainOf is a chain of such changes.
func chainOf(t *testing.T, c *trial.Cluster, ids ...string) *authority.Succession {
	t.Helper()
	s := authority.Begin(c.Genesis)
	for _, id := range ids {
		next, err := s.Next(adds(t, c, id, s.Roll.Change))
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

// R31: those who were custodians sign what they like for a node that was away, and a
// member shows it. A change is known when t of those who were there before follow it.
func TestAChainIsKnownWhenEnoughMembersFollowIt(t *testing.T) {
	c := trial.New(t, 3, 5)
	none, truth := authority.Begin(c.Genesis), chainOf(t, c, "n6", "n7")
	first, err := none.Next(truth.Entries()[0])
	if err != nil {
		t.Fatal(err)
	}
	forged := chainOf(t, c, "m6", "m7", "m8")
	branch, err := first.Next(adds(t, c, "m9", first.Roll.Change))
	if err != nil {
		t.Fatal(err)
	}
	type shows map[string]*authority.Succession
	for sentence, tt := range map[string]struct {
		shown shows
		want  *authority.Succession
	}{
		"nobody answers":                         {nil, none},
		"three follow":                           {shows{"n2": truth, "n3": truth, "n4": truth}, truth},
		"two follow":                             {shows{"n2": truth, "n3": truth}, none},
		"one shows a longer one":                 {shows{"n2": forged}, none},
		"one shows a longer one beside the true": {shows{"n2": forged, "n3": truth, "n4": truth, "n5": truth}, truth},
		"as many as may lie":                     {shows{"n2": forged, "n3": forged, "n4": truth, "n5": truth}, none},
		"those whom it would bring follow it":    {shows{"m6": forged, "m7": forged, "m8": forged, "n2": forged, "n3": forged}, none},
		"two are behind":                         {shows{"n2": truth, "n3": first, "n4": first}, first},
		"it parts further on":                    {shows{"n2": branch, "n3": truth, "n4": truth}, first},
		"who has come by it says more":           {shows{"n2": first, "n3": truth, "n4": truth, "n6": truth}, truth},
	} {
		if got := followed(none, tt.shown, 3); got.Roll.Change != tt.want.Roll.Change || got.Len() != tt.want.Len() {
			t.Errorf("%s: %d changes are known, of %d", sentence, got.Len(), tt.want.Len())
		}
	}
	if got := followed(none, shows{"n2": forged, "n3": forged, "n4": truth, "n5": truth}, 2); got != none {
		t.Errorf("enough follow either side: %d changes are known", got.Len())
	}
}

// What is known beside the log goes on from it, or is known no longer.
func TestWhatPartsFromTheLogIsKnownNoLonger(t *testing.T) {
	c := trial.New(t, 2, 3)
	n, _ := nodeOf(c)
	n.joined.Store(true)
	truth, forged := adds(t, c, "n4", api.Digest{}), chainOf(t, c, "m4", "m5")
	n.pins.known.Store(forged)
	if n.chain() != forged || !n.isMember("m5") {
		t.Fatal("a chain that goes on from the log is not known")
	}
	if r := c.Apply(truth); r.Err != nil {
		t.Fatal(r.Err)
	}
	if n.chain().Len() != 1 || n.isMember("m5") || n.isMember("m4") || !n.isMember("n4") {
		t.Errorf("a chain that parts from the log is known: %d changes", n.chain().Len())
	}
}

// A snapshot holds its own roster. It is believed of those who are on the roster that is
// known here, not of whom it names itself (R40).
func TestASnapshotIsNotBelievedOfNodesThatItBrings(t *testing.T) {
	c := trial.New(t, 2, 3)
	n, _ := nodeOf(c)
	n.joined.Store(true)
	first := adds(t, c, "m4", api.Digest{})
	begun := ledger.New(c.Genesis)
	of, r := begun.Apply(1, first)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	link := api.Digest{7}
	sign := func(node string) consensus.Signature {
		b, err := authority.SignLink(rand.Reader, c.Node(node), c.Genesis.Cluster, node, 1, link)
		if err != nil {
			t.Fatal(err)
		}
		return consensus.Signature{Node: node, Bytes: b}
	}
	verify := n.endorsement().Verify
	if err := verify(of, sign("n2"), 1, link); err != nil {
		t.Errorf("of one who is known: %v", err)
	}
	if err := verify(of, sign("m4"), 1, link); err == nil {
		t.Error("of one whom it brings: it is believed")
	}
	known, err := authority.Begin(c.Genesis).Next(first)
	if err != nil {
		t.Fatal(err)
	}
	n.pins.known.Store(known)
	if err := verify(of, sign("m4"), 1, link); err != nil {
		t.Errorf("of one who has come: %v", err)
	}
	if err := verify(begun, sign("n2"), 1, link); err != nil {
		t.Errorf("taken before the change that is known: %v", err)
	}
	n.pins.known.Store(chainOf(t, c, "m5", "m6"))
	if err := verify(of, sign("n2"), 1, link); err == nil {
		t.Error("of a chain that parts from the one that is known: it is believed")
	}
}
