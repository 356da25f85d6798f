package board

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// everyBoard is a ceremony's boards, one after each entry.
func everyBoard(t *testing.T) []*Board {
	c := begin(t, session(2, 4, "encoded"))
	c.silent[4] = true
	boards := []*Board{c.b}
	for c.b.Phase() < dkg.PhaseConfirm {
		phase := c.b.Phase()
		for i := sharing.Index(1); i <= 3 && c.b.Phase() == phase; i++ {
			c.accept(i, dkg.Kind(phase), c.body(i))
			boards = append(boards, c.b)
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
		t.Fatal(err)
	}
	gone, err := c.b.Expire()
	if err != nil {
		t.Fatal(err)
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
		v.Outcome, w.Outcome = nil, nil // points compare by Equal; the digest covers them
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

func TestABoardThatCannotBeIsRefused(t *testing.T) {
	boards := everyBoard(t)
	last := boards[len(boards)-3] // in the confirm phase, with all posts
	for _, tt := range []struct {
		sentence string
		alter    func(e *encoded)
	}{
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
	} {
		var e encoded
		if err := wire.Decode(last.Encode(), &e); err != nil {
			t.Fatal(err)
		}
		tt.alter(&e)
		if _, err := Decode(last.session.ID, last.session.Cluster, wire.Encode(&e)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", tt.sentence, err)
		}
	}
	if _, err := Decode(last.session.ID, last.session.Cluster, make([]byte, MaxEncoding+1)); !errors.Is(err, ErrEncoding) {
		t.Errorf("too long: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	s := session(2, 3, "fuzz")
	f.Add(New(s).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Decode(s.ID, s.Cluster, b); err == nil && !bytes.Equal(d.Encode(), b) {
			t.Error("encoded again, it is other bytes")
		}
	})
}
