package board

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// everyBoard is a birth's boards, one after each entry, and then a reshare's and an
// import's.
func everyBoard(t *testing.T) []*Board {
	birth := begin(t, session(2, 4, "encoded"))
	birth.silent[4] = true
	_, reshare := leavers(t, 2)
	reshare.silent[4] = true
	owned, _ := imported(t, 2, 4, whole(t, []byte("whole")))
	owned.silent[4] = true
	symmetric := begin(t, symmetricSession(2, 4, "encoded too"))
	symmetric.silent[4] = true
	return slices.Concat(boardsOf(birth), boardsOf(reshare), boardsOf(owned), boardsOf(symmetric))
}

func boardsOf(c *ceremony) []*Board {
	c.Helper()
	boards := []*Board{c.b}
	for c.b.Phase() < dkg.PhaseConfirm {
		phase := c.b.Phase()
		for _, i := range c.everyone() {
			if c.silent[i] || c.b.Phase() != phase {
				continue
			}
			if ready := c.step(i); ready.Post != nil {
				c.accept(i, ready.Post.Kind, ready.Post.Body)
				boards = append(boards, c.b)
			}
		}
		if c.b.Phase() == phase {
			c.late()
			boards = append(boards, c.b)
		}
	}
	for i := sharing.Index(1); i <= 3; i++ {
		c.accept(i, dkg.KindReceipt, c.body(i))
	}
	c.late()
	done, err := c.b.Activate()
	if err != nil {
		c.Fatal(err)
	}
	gone, err := c.b.Expire()
	if err != nil {
		c.Fatal(err)
	}
	return append(boards, c.b, done, gone)
}

func TestABoardComesBackAsItWas(t *testing.T) {
	for k, b := range everyBoard(t) {
		again, err := Decode(b.session.ID, b.session.Cluster, b.Encode())
		if err != nil {
			t.Fatalf("board %d, in the %v phase: %v", k, b.Phase(), err)
		}
		if again.Digest() != b.Digest() || fmt.Sprint(again.Receipts(), again.Struck(), again.Late(), again.Accused()) != fmt.Sprint(b.Receipts(), b.Struck(), b.Late(), b.Accused()) {
			t.Errorf("board %d, in the %v phase, is another one", k, b.Phase())
		}
		v, w := b.View(), again.View()
		if !v.Session.Equal(w.Session) {
			t.Errorf("board %d is of another session", k)
		}
		v.Outcome, w.Outcome = nil, nil // points compare by Equal; the digest covers them
		v.Session.Old, w.Session.Old = nil, nil
		if !reflect.DeepEqual(v, w) {
			t.Errorf("board %d, in the %v phase, shows %+v, was %+v", k, b.Phase(), w, v)
		}
	}
}

// What is altered anywhere in a board does not decode, or gives another digest:
// nothing of a board stands outside what the ledger's root covers.
func TestTheDigestCoversTheWholeBoard(t *testing.T) {
	for k, b := range everyBoard(t) {
		good := b.Encode()
		for i := range 40 {
			i = (i*len(good) + k) / 40 // not the same places in every board
			bad := bytes.Clone(good)
			bad[i] ^= 1
			again, err := Decode(b.session.ID, b.session.Cluster, bad)
			if err != nil && !errors.Is(err, ErrEncoding) {
				t.Fatalf("board %d, byte %d: %v", k, i, err)
			}
			if err == nil && again.Digest() == b.Digest() {
				t.Fatalf("board %d, in the %v phase: byte %d of %d does not count", k, b.Phase(), i, len(good))
			}
		}
		if again, err := Decode(b.session.ID, [32]byte{1}, good); err == nil && again.Digest() == b.Digest() {
			t.Errorf("board %d: another cluster has the same digest", k)
		}
	}
}

// What a flipped bit hardly ever leaves readable: points, and who dealt.
func TestTheDigestCoversThePublicPoints(t *testing.T) {
	_, c := leavers(t, 2)
	c.finish(c.dealers()...)
	covered := func(b *Board, name string, alter func(e *encoded)) {
		t.Helper()
		var e encoded
		if err := wire.Decode(b.Encode(), &e); err != nil {
			t.Fatal(err)
		}
		alter(&e)
		again, err := Decode(c.s.ID, c.s.Cluster, wire.Encode(&e))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again.Digest() == b.Digest() {
			t.Errorf("%s does not count", name)
		}
	}
	covered(c.b, "two new verification keys swapped", func(e *encoded) { yi := e.Outcome.Keys[1].YI; yi[0], yi[1] = yi[1], yi[0] })
	covered(c.b, "another public key", func(e *encoded) { e.Outcome.Keys[0].Y = e.Outcome.Keys[1].Y })
	covered(c.b, "a dealer fewer", func(e *encoded) { e.Outcome.Qual = e.Outcome.Qual[1:] })
	fresh := New(c.s) // nothing yet stands on the old epoch
	covered(fresh, "two old verification keys swapped", func(e *encoded) { yi := e.Old.Keys[1].YI; yi[0], yi[1] = yi[1], yi[0] })
	covered(fresh, "another old key's name", func(e *encoded) { e.Old.Keys[0].Key = make([]byte, 32) })
	covered(fresh, "another old epoch", func(e *encoded) { e.Old.Keys[0].Epoch++ })
	covered(fresh, "two places swapped", func(e *encoded) { h := e.Old.Holders; h[5], h[6] = h[6], h[5] })
}

func TestABoardThatCannotBeIsRefused(t *testing.T) {
	boards := boardsOf(begin(t, session(2, 3, "refused")))
	last := boards[len(boards)-3] // in the confirm phase, with all posts
	_, c := leavers(t, 2)
	boards = boardsOf(c)
	reshare := boards[len(boards)-3]
	type alteration struct {
		sentence string
		alter    func(e *encoded)
	}
	refuse := func(b *Board, tt alteration) {
		t.Helper()
		var e encoded
		if err := wire.Decode(b.Encode(), &e); err != nil {
			t.Fatal(err)
		}
		tt.alter(&e)
		if _, err := Decode(b.session.ID, b.session.Cluster, wire.Encode(&e)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", tt.sentence, err)
		}
	}
	for _, tt := range []alteration{
		{"a threshold above the holders", func(e *encoded) { e.T = 9 }},
		{"no such phase", func(e *encoded) { e.Phase = 8 }},
		{"no outcome where there must be one", func(e *encoded) { e.Outcome = nil }},
		{"an outcome where there can be none", func(e *encoded) { e.Phase = dkg.PhaseDeal }},
		{"a point that is none", func(e *encoded) { e.Outcome.Keys[0].Y = []byte{4} }},
		{"too few verification keys", func(e *encoded) { e.Outcome.Keys[0].YI = e.Outcome.Keys[0].YI[1:] }},
		{"a holder that is none is late", func(e *encoded) { e.Late = []sharing.Index{5} }},
		{"a holder that is none has abandoned it", func(e *encoded) { e.Abandon = []sharing.Index{0} }},
		{"a post of a kind that is none", func(e *encoded) { e.Posts[0].Kind = 9 }},
		{"a post of a holder that is none", func(e *encoded) { e.Posts[0].Author = 0 }},
		{"a post twice", func(e *encoded) { e.Posts = append(e.Posts[:1:1], e.Posts...) }},
		{"a post that does not fit its hash", func(e *encoded) { e.Posts[0].Raw = append([]byte{0}, e.Posts[0].Raw...) }},
		{"a post that has been let go", func(e *encoded) { e.Posts[0].Raw = nil }},
		{"a deal whose commit is gone", func(e *encoded) { e.Posts = e.Posts[6:] }},
		{"a receipt kept whole", func(e *encoded) { e.Posts[len(e.Posts)-1].Raw = []byte{1} }},
		{"a birth of more keys than a batch has", func(e *encoded) { e.N = dkg.MaxBatch + 1 }},
		{"a birth of no key", func(e *encoded) { e.N = 0 }},
		{"an outcome of fewer keys", func(e *encoded) { e.Outcome.Keys = nil }},
	} {
		refuse(last, tt)
	}
	for _, tt := range []alteration{
		{"a birth where a reshare was", func(e *encoded) { e.Old = nil }},
		{"fewer old keys than keys", func(e *encoded) { e.Old.Keys = e.Old.Keys[1:] }},
		{"an old key that is none", func(e *encoded) { e.Old.Keys[0].YI[4] = []byte{0} }},
		{"an old key with a short name", func(e *encoded) { e.Old.Keys[0].Key = e.Old.Keys[0].Key[1:] }},
		{"an old key with a long name", func(e *encoded) { e.Old.Keys[0].Key = append(e.Old.Keys[0].Key, 0) }},
		{"an old verification key too many", func(e *encoded) { e.Old.Keys[0].YI = append(e.Old.Keys[0].YI, e.Old.Keys[0].Y) }},
		{"as many as no epoch has", func(e *encoded) {
			for range sharing.MaxHolders {
				e.Old.Keys[0].YI = append(e.Old.Keys[0].YI, e.Old.Keys[0].Y)
			}
		}},
		{"more old keys than a batch has", func(e *encoded) {
			for len(e.Old.Keys) <= dkg.MaxBatch {
				e.Old.Keys = append(e.Old.Keys, e.Old.Keys...)
			}
		}},
		{"an old index twice", func(e *encoded) { e.Old.Holders[0] = e.Old.Holders[1] }},
		{"a place without a part", func(e *encoded) { e.Old.Holders = append(e.Old.Holders, 0) }},
		{"a name in an outcome", func(e *encoded) { e.Outcome.Keys[0].Version = 1 }},
		{"a dealer in QUAL who deals nothing", func(e *encoded) { e.Outcome.Qual[0] = 3 }},
		{"a statement of nobody", func(e *encoded) { e.Late = []sharing.Index{8} }},
	} {
		refuse(reshare, tt)
	}
	if _, err := Decode(last.session.ID, last.session.Cluster, make([]byte, MaxEncoding+1)); !errors.Is(err, ErrEncoding) {
		t.Errorf("too long: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	s := session(2, 3, "fuzz")
	f.Add(New(s).Encode())
	p := dkg.Public{Y: group.Generator(), YI: []*group.Point{group.Generator(), group.SecondGenerator(), group.Generator()}}
	old, err := dkg.NewOld(2, 3, []sharing.Index{3, 0, 1}, []dkg.OldKey{{Key: [32]byte{1}, Version: 1, Epoch: 1, Public: p}})
	if err != nil {
		f.Fatal(err)
	}
	again := s
	again.Old = old
	f.Add(New(again).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Decode(s.ID, s.Cluster, b); err == nil && !bytes.Equal(d.Encode(), b) {
			t.Error("encoded again, it is other bytes")
		}
	})
}
