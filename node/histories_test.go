package node

import (
	"errors"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// chained is a node that has committed 10, 20, 30 and knows that it has come to 35.
func chained(index uint64) (consensus.Position, bool) {
	if index > 35 || index < 10 {
		return consensus.Position{}, false
	}
	return link(index / 10 * 10), true
}

func link(index uint64) consensus.Position {
	return consensus.Position{Index: index, Link: api.Digest{byte(index)}}
}

func other(index uint64) consensus.Position {
	return consensus.Position{Index: index, Link: api.Digest{byte(index), 1}}
}

func TestASignedLinkIsHeldAgainstOurs(t *testing.T) {
	type said = consensus.Position
	const huge = 1 << 60
	for _, tt := range []struct {
		sentence string
		said     []said
		want     uint64 // the index that contradicts; 0: none
	}{
		{"the same links", []said{link(10), link(20), link(30)}, 0},
		{"another link", []said{other(20)}, 20},
		{"another link after the same", []said{link(10), other(20)}, 20},
		{"a command where we have none", []said{link(25)}, 25},
		{"a link of long ago is not compared", []said{other(5)}, 0},
		{"what is still to come is not compared", []said{other(40)}, 0},
		{"another link after one of long ago", []said{other(5), other(20)}, 20},
		{"an index that never comes", []said{link(huge), link(10)}, 0},
		{"an index that never comes hides nothing", []said{link(huge), other(10)}, 10},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			h := histories{enough: 2}
			var found *contradiction
			for _, s := range tt.said {
				if c := h.hear("n2", s, chained); c != nil {
					found = c
				}
			}
			if (found != nil) != (tt.want > 0) || found != nil && found.said.Index != tt.want {
				t.Fatalf("found %v", found)
			}
			if h.contradicts("n2") != (tt.want > 0) || h.contradicts("n3") {
				t.Error("it is not remembered, or of another")
			}
			if c := h.hear("n2", other(30), chained); found != nil && c != nil {
				t.Error("it is said twice")
			}
		})
	}
	t.Run("what was to come is compared when it has come", func(t *testing.T) {
		h := histories{enough: 2}
		before := func(index uint64) (consensus.Position, bool) {
			p, known := chained(index)
			return p, known && index < 20
		}
		if c := h.hear("n2", other(20), before); c != nil {
			t.Fatalf("too early: %v", c)
		}
		if c := h.hear("n2", link(40), chained); c == nil || c.said != other(20) || c.ours != link(20) {
			t.Errorf("found %v", c)
		}
	})
	t.Run("a node stops when t members contradict it", func(t *testing.T) {
		h := histories{enough: 2}
		h.hear("n2", other(20), chained)
		if list, stop := h.found(); stop || len(list) != 1 {
			t.Errorf("by one: %v, %v", list, stop)
		}
		h.hear("n2", other(30), chained)
		h.hear("n3", link(30), chained)
		if _, stop := h.found(); stop {
			t.Error("by one, twice")
		}
		h.hear("n4", other(10), chained)
		if list, stop := h.found(); !stop || len(list) != 2 || list[0].member != "n2" || list[1].member != "n4" {
			t.Errorf("by two: %v, %v", list, stop)
		}
	})
}

// One member that signs a false link is named in status and audit, and this node
// goes on; t of them stop it.
func TestAForkIsSaidByName(t *testing.T) {
	n, r := fakeNode(t)
	_, log, closeLog := newTestJournal(t, t.TempDir())
	defer closeLog()
	n.audit, n.device = log, openSoft(t, t.TempDir())
	r.BearRoot()
	n.histories.enough = 2
	r.links = map[uint64]consensus.Position{20: link(20)}
	n.fresh.confirmed = n.boot()
	if !n.hearHistory(t.Context(), "n2", link(20)) || len(warned(n, "fork:")) != 0 {
		t.Fatal("the same history is taken for another")
	}
	if n.hearHistory(t.Context(), "n2", other(20)) || n.hearHistory(t.Context(), "n2", link(20)) {
		t.Error("a member of another history still counts")
	}
	if w := warned(n, "fork:"); len(w) != 1 || !strings.Contains(w[0], "n2 signs another history: at 20") || !strings.Contains(w[0], other(20).Link.String()) {
		t.Errorf("status says %v", w)
	}
	if e := n.freshEnough(); e != nil {
		t.Errorf("one liar stopped the node: %v", e)
	}
	if n.hearHistory(t.Context(), "n3", other(20)) {
		t.Error("n3 still counts")
	}
	if e := n.freshEnough(); e == nil || e.Code != api.CodeFork || n.status().State != "fork" {
		t.Errorf("two of another history: %v, %s", e, n.status().State)
	}
	if why := n.consensus.Stopped(); !errors.Is(why, consensus.ErrFork) || !strings.Contains(why.Error(), "n2, n3") {
		t.Errorf("stopped by %v", why)
	}
	records, err := log.Tail(10)
	if err != nil {
		t.Fatal(err)
	}
	var forks []string
	for _, r := range records {
		if r.Kind == audit.Fork {
			forks = append(forks, r.Action+": "+r.Why)
		}
	}
	if len(forks) != 2 || !strings.HasPrefix(forks[0], "member: n2 signs") || !strings.HasPrefix(forks[1], "member: n3 signs") {
		t.Errorf("written down: %q", forks)
	}
}

func warned(n *Node, with string) (out []string) {
	for _, w := range n.status().Warnings {
		if strings.Contains(w, with) {
			out = append(out, w)
		}
	}
	return out
}

// What a node signs about its history is what it has committed, not what it has
// stored: two honest tails may differ at an index, and are no fork.
func TestANodeSignsWhatItHasCommitted(t *testing.T) {
	n, r := fakeNode(t)
	before := r.State()
	r.Apply([]byte("an entry"))
	n.consensus = &stuck{fakeReplica: &fakeReplica{Cluster: r.Cluster, tail: r.State()}, committed: before}
	answer, err := n.answerFresh(wire.Encode(api.FreshRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	a, err := verifyFresh(r.Genesis.Cluster, r.Genesis.NodeByID("n1"), [16]byte{}, answer)
	if err != nil {
		t.Fatal(err)
	}
	if a.Index != 1 || a.Link != r.State().Position().Link || a.Committed != 0 || a.CommittedLink != before.Position().Link {
		t.Errorf("it signs %+v", a)
	}
	// An answer in the form of before, without the committed position, is none.
	old := *a
	sig, err := r.Node("n1").Sign(zeros{}, tag.FreshAnswer, r.Genesis.Cluster[:], []byte("n1"), make([]byte, 16), tag.Uint64(a.Index), a.Link[:])
	if err != nil {
		t.Fatal(err)
	}
	old.Signature = sig.ASN1
	if _, err := verifyFresh(r.Genesis.Cluster, r.Genesis.NodeByID("n1"), [16]byte{}, wire.Encode(old)); !errors.Is(err, authority.ErrSignature) {
		t.Errorf("unsigned fields were taken: %v", err)
	}
}

// zeros is randomness for a signature that nobody relies on.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
