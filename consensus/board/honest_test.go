package board

import (
	"errors"
	"fmt"
	"testing"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// Every participant is restarted from its state at each step on the way.
func TestAnHonestCeremonyGivesEveryHolderItsShare(t *testing.T) {
	for h := 3; h <= 9; h++ {
		for threshold := 2; threshold <= h; threshold++ {
			t.Run(fmt.Sprintf("%d-of-%d", threshold, h), func(t *testing.T) {
				c := begin(t, session(threshold, h, "honest"))
				c.finish(all(h)...)
				if struck := c.b.Struck(); struck != nil {
					t.Errorf("%v were struck", struck)
				}
				// The same entries give the same board on another node.
				again := New(c.s)
				for _, e := range c.posts {
					next, err := again.Post(e.author, e.kind, e.body)
					if err != nil {
						t.Fatal(err)
					}
					again = next
				}
				if again, err := again.Activate(); err != nil || again.Digest() != c.b.Digest() {
					t.Errorf("the same entries gave another board (%v)", err)
				}
			})
		}
	}
}

// R9, R45: with fewer than R receipts of the holders, or without the deadline,
// nothing is activated.
func TestActivateNeedsReceipts(t *testing.T) {
	for _, tt := range []struct{ t, h, receipts int }{{3, 5, 4}, {2, 3, 3}, {2, 5, 4}, {3, 3, 3}, {5, 9, 6}, {4, 5, 5}} {
		t.Run(fmt.Sprintf("%d-of-%d", tt.t, tt.h), func(t *testing.T) {
			c := begin(t, session(tt.t, tt.h, "receipts")).until(dkg.PhaseConfirm)
			if got := c.s.Receipts(); got != tt.receipts {
				t.Fatalf("R is %d, want %d", got, tt.receipts)
			}
			for i := 1; i <= tt.h; i++ {
				if _, err := c.b.Activate(); !errors.Is(err, ErrNotReady) {
					t.Errorf("with %d receipts: got %v, want %v", i-1, err, ErrNotReady)
				}
				overdue := c.b
				for k := 1; k <= tt.t; k++ {
					if _, err := overdue.Activate(); !errors.Is(err, ErrNotReady) {
						t.Errorf("with %d receipts and %d statements: got %v, want %v", i-1, k-1, err, ErrNotReady)
					}
					next, err := overdue.PastDeadline(sharing.Index(k), dkg.PhaseConfirm)
					if err != nil {
						t.Fatal(err)
					}
					overdue = next
				}
				done, err := overdue.Activate()
				if want := i-1 >= tt.receipts; (err == nil) != want || overdue.ReadyToActivate() != want {
					t.Errorf("with %d receipts, past the deadline: %v", i-1, err)
				} else if want && len(done.Struck()) != tt.h-(i-1) {
					t.Errorf("struck %v with %d receipts", done.Struck(), i-1)
				}
				c.accept(sharing.Index(i), dkg.KindReceipt, c.body(sharing.Index(i)))
			}
			if _, err := c.b.Activate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABoardNeverChanges(t *testing.T) {
	c := begin(t, session(2, 3, "value"))
	type old struct {
		b      *Board
		digest [32]byte
		view   string
	}
	show := func(b *Board) string {
		v := b.View()
		return fmt.Sprint(v.Phase, v.Previous, v.Posted, v.Joins, v.Commits, b.Receipts(), b.Late())
	}
	var olds []old
	for c.b.Phase() < dkg.PhaseConfirm || !c.b.ReadyToActivate() {
		for i := sharing.Index(1); i <= 3; i++ {
			olds = append(olds, old{c.b, c.b.Digest(), show(c.b)})
			c.accept(i, dkg.Kind(c.b.Phase()), c.body(i))
		}
	}
	for k, o := range olds {
		if o.b.Digest() != o.digest || show(o.b) != o.view {
			t.Errorf("board %d was changed by what came after it", k)
		}
		for l := range k {
			if olds[l].digest == o.digest {
				t.Errorf("boards %d and %d have one digest", l, k)
			}
		}
	}
}

func TestTheDigestHoldsEveryEntryInItsOrder(t *testing.T) {
	c := begin(t, session(2, 3, "digest"))
	other := begin(t, c.s) // the same randomness up to here
	fresh, err := dkg.NewParticipant(c.s, 2, nil, c.rand)
	if err != nil {
		t.Fatal(err)
	}
	other.parts[2] = fresh
	take := func(b *Board, entries ...entry) [32]byte {
		t.Helper()
		for _, e := range entries {
			next, err := b.Post(e.author, e.kind, e.body)
			if err != nil {
				t.Fatal(err)
			}
			b = next
		}
		return b.Digest()
	}
	one := entry{1, dkg.KindJoin, c.body(1)}
	two := entry{2, dkg.KindJoin, c.body(2)}
	two2 := entry{2, dkg.KindJoin, other.body(2)}
	elsewhere := New(session(2, 3, "another"))
	seen := map[[32]byte]bool{}
	for k, digest := range [][32]byte{
		take(c.b), elsewhere.Digest(), take(c.b, one), take(c.b, two), take(c.b, two2), take(c.b, one, two), take(c.b, two, one), take(c.b, one, two2),
	} {
		if seen[digest] {
			t.Errorf("digest %d stands for something else already", k)
		}
		seen[digest] = true
	}
	if take(c.b, one, two) != take(New(c.s), one, two) {
		t.Error("the same entries have two digests")
	}
}

// What is sealed is let go of when nobody needs it any more.
func TestAFinishedBoardForgetsTheDeals(t *testing.T) {
	c := begin(t, session(2, 3, "forget"))
	c.finish(1, 2, 3)
	v := c.b.View()
	for k := range v.Joins {
		if v.Joins[k] != nil || v.Commits[k] != nil || v.Deals[k] != nil {
			t.Errorf("the posts of holder %d are still there", k+1)
		}
	}
	if o, ok := c.b.Outcome(); !ok || v.Outcome != o || len(c.b.Receipts()) != 3 {
		t.Error("the outcome or the receipts are gone")
	}
}
