package consensus

import (
	"testing"
	"testing/synctest"

	"warifu.dev/api"
)

func TestTheTrailNamesTheLastPositionAtOrBelowAnIndex(t *testing.T) {
	link := func(i uint64) api.Digest { return api.Digest{byte(i), byte(i >> 8), byte(i >> 16)} }
	tr := trail{{Link: link(0)}}
	for i := uint64(1); i <= 5*remembered; i++ {
		tr = tr.add(Position{Index: 3 * i, Link: link(3 * i)})
		if len(tr) > 2*remembered {
			t.Fatalf("%d positions are remembered", len(tr))
		}
	}
	end := uint64(15 * remembered)
	for _, tt := range []struct {
		index, want uint64
		known       bool
	}{
		{end, end, true},
		{end + 100, end, true}, // what comes after is the caller's to know
		{end - 1, end - 3, true},
		{end - 3*(remembered-1), end - 3*(remembered-1), true},
		{1, 0, false},
		{0, 0, false},
	} {
		p, known := tr.at(tt.index)
		if known != tt.known || known && (p.Index != tt.want || p.Link != link(tt.want)) {
			t.Errorf("at %d: %v, %v", tt.index, p, known)
		}
	}
	if p, known := (trail{{Link: link(7)}}).at(0); !known || p.Link != link(7) {
		t.Errorf("genesis: %v, %v", p, known)
	}
}

// Every node names the same link at an index that it has committed, and none at
// one that it has not.
func TestNodesNameTheSameLinkAtAnIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "one")
		c.submit(leader, "two")
		c.agree("two")
		end := c.nodes[leader].AppliedIndex()
		for id, n := range c.nodes {
			for i := range end + 1 {
				p, known := n.At(i)
				if want, _ := c.nodes[leader].At(i); !known || p != want || p.Index > i {
					t.Errorf("%s at %d: %v, %v, the leader %v", id, i, p, known, want)
				}
			}
			if p, _ := n.At(end); p.Link != chain.Link(n.Committed()) {
				t.Errorf("%s at its end: %v", id, p)
			}
			if _, known := n.At(end + 1); known {
				t.Errorf("%s names what it has not committed", id)
			}
		}
	})
}
