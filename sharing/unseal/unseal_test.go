package unseal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"filippo.io/age"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/unseal"
)

// people are custodians: identities and recipients.
func people(t testing.TB, k int) (ids []age.Identity, recipients []string) {
	t.Helper()
	for range k {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		ids, recipients = append(ids, id), append(recipients, id.Recipient().String())
	}
	return ids, recipients
}

var seal7 = unseal.Seal{Cluster: [32]byte{1}, Node: "tokyo", Generation: 7}

// hand gives one custodian's piece to a door, as the custodian's tool does.
func hand(t testing.TB, s unseal.Seal, d *unseal.Door, l *unseal.Lock, ids []age.Identity, i int) []byte {
	t.Helper()
	piece, err := unseal.OpenBox(s, i, l.Pieces[i].Box, ids[i])
	if err != nil {
		t.Fatal(err)
	}
	handed, err := unseal.HandOver(s, d.Attempt(), d.PublicKey(), i, piece)
	if err != nil {
		t.Fatal(err)
	}
	return handed
}

func TestAnyThresholdOfCustodiansOpensASeal(t *testing.T) {
	for _, tt := range []struct{ k, m int }{{2, 2}, {3, 2}, {5, 3}} {
		ids, recipients := people(t, tt.k)
		u, l, err := unseal.Split(rand.Reader, seal7, recipients, tt.m)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Check(tt.k, tt.m); err != nil {
			t.Fatal(err)
		}
		d, err := unseal.NewDoor(rand.Reader, seal7)
		if err != nil {
			t.Fatal(err)
		}
		for first := range tt.k {
			got := map[int]secret.Bytes{}
			for j := range tt.m {
				i := (first + j) % tt.k
				if _, err := l.Combine(seal7, got); !errors.Is(err, unseal.ErrTooFew) {
					t.Fatalf("%d of %d, with %d: %v", tt.m, tt.k, j, err)
				}
				piece, err := d.Receive(i, hand(t, seal7, d, l, ids, i))
				if err != nil {
					t.Fatal(err)
				}
				if err := l.CheckPiece(seal7, i, piece); err != nil {
					t.Fatal(err)
				}
				got[i] = piece
			}
			if again, err := l.Combine(seal7, got); err != nil || !again.Equal(u) {
				t.Fatalf("%d of %d from %d: %v", tt.m, tt.k, first, err)
			}
		}
	}
}

// A box, a piece and a hand-over are of one seal, one attempt and one custodian.
func TestAPieceFitsNowhereElse(t *testing.T) {
	ids, recipients := people(t, 3)
	_, l, err := unseal.Split(rand.Reader, seal7, recipients, 2)
	if err != nil {
		t.Fatal(err)
	}
	others := map[string]unseal.Seal{
		"another cluster":    {Cluster: [32]byte{2}, Node: "tokyo", Generation: 7},
		"another node":       {Cluster: [32]byte{1}, Node: "osaka", Generation: 7},
		"another generation": {Cluster: [32]byte{1}, Node: "tokyo", Generation: 8},
	}
	piece, err := unseal.OpenBox(seal7, 0, l.Pieces[0].Box, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	d, err := unseal.NewDoor(rand.Reader, seal7)
	if err != nil {
		t.Fatal(err)
	}
	handed := hand(t, seal7, d, l, ids, 0)
	for name, s := range others {
		if _, err := unseal.OpenBox(s, 0, l.Pieces[0].Box, ids[0]); !errors.Is(err, unseal.ErrBox) {
			t.Errorf("a box, %s: %v", name, err)
		}
		if err := l.CheckPiece(s, 0, piece); !errors.Is(err, unseal.ErrPiece) {
			t.Errorf("a piece, %s: %v", name, err)
		}
		lied, err := unseal.HandOver(s, d.Attempt(), d.PublicKey(), 0, piece)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Receive(0, lied); !errors.Is(err, unseal.ErrHanded) {
			t.Errorf("handed over, %s: %v", name, err)
		}
	}
	if _, err := unseal.OpenBox(seal7, 1, l.Pieces[0].Box, ids[0]); !errors.Is(err, unseal.ErrBox) {
		t.Errorf("a box of another place: %v", err)
	}
	if _, err := unseal.OpenBox(seal7, 0, l.Pieces[0].Box, ids[1]); !errors.Is(err, unseal.ErrBox) {
		t.Errorf("another custodian's box: %v", err)
	}
	if err := l.CheckPiece(seal7, 1, piece); !errors.Is(err, unseal.ErrPiece) {
		t.Errorf("a piece in another place: %v", err)
	}
	for _, place := range []int{-1, 3} {
		if err := l.CheckPiece(seal7, place, piece); !errors.Is(err, unseal.ErrPiece) {
			t.Errorf("place %d: %v", place, err)
		}
	}
	if _, err := d.Receive(1, handed); !errors.Is(err, unseal.ErrHanded) {
		t.Errorf("handed over in another's name: %v", err)
	}
	next, err := unseal.NewDoor(rand.Reader, seal7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Receive(0, handed); !errors.Is(err, unseal.ErrHanded) {
		t.Errorf("replayed in the next attempt: %v", err)
	}
	for i := range handed {
		altered := slices.Clone(handed)
		altered[i] ^= 1
		if _, err := d.Receive(0, altered); !errors.Is(err, unseal.ErrHanded) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	if _, err := d.Receive(0, handed[:len(handed)-1]); !errors.Is(err, unseal.ErrHanded) {
		t.Errorf("cut: %v", err)
	}
	if _, err := unseal.HandOver(seal7, d.Attempt(), []byte("door"), 0, piece); !errors.Is(err, unseal.ErrHanded) {
		t.Errorf("to no door: %v", err)
	}
}

// vault/shamir gives wrong bytes for wrong pieces; the commitment to the secret notices.
func TestPiecesThatDoNotBelongTogether(t *testing.T) {
	ids, recipients := people(t, 3)
	_, a, err := unseal.Split(rand.Reader, seal7, recipients, 2)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := unseal.Split(rand.Reader, seal7, recipients, 2)
	if err != nil {
		t.Fatal(err)
	}
	open := func(l *unseal.Lock, i int) secret.Bytes {
		p, err := unseal.OpenBox(seal7, i, l.Pieces[i].Box, ids[i])
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := a.Combine(seal7, map[int]secret.Bytes{0: open(a, 0), 1: open(b, 1)}); !errors.Is(err, unseal.ErrPiece) {
		t.Errorf("of two splits: %v", err)
	}
	if err := a.CheckPiece(seal7, 1, open(b, 1)); !errors.Is(err, unseal.ErrPiece) {
		t.Errorf("on arrival: %v", err)
	}
}

func TestALockHasItsForm(t *testing.T) {
	_, recipients := people(t, 3)
	for _, tt := range []struct{ k, m int }{{3, 1}, {3, 0}, {3, 4}, {1, 1}, {0, 0}} {
		if _, _, err := unseal.Split(rand.Reader, seal7, recipients[:tt.k], tt.m); !errors.Is(err, unseal.ErrLock) {
			t.Errorf("any %d of %d: %v", tt.m, tt.k, err)
		}
	}
	if _, _, err := unseal.Split(rand.Reader, seal7, []string{"age1x", recipients[0]}, 2); !errors.Is(err, unseal.ErrLock) {
		t.Errorf("a recipient that is none: %v", err)
	}
	if _, _, err := unseal.Split(bytes.NewReader(nil), seal7, recipients, 2); err == nil {
		t.Error("without randomness")
	}
	_, good, err := unseal.Split(rand.Reader, seal7, recipients, 2)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, spoil := range map[string]func(*unseal.Lock){
		"another threshold": func(l *unseal.Lock) { l.Threshold = 3 },
		"threshold 0":       func(l *unseal.Lock) { l.Threshold = 0 },
		"a piece too few":   func(l *unseal.Lock) { l.Pieces = l.Pieces[:2] },
		"no pieces":         func(l *unseal.Lock) { l.Pieces = nil },
		"an empty box":      func(l *unseal.Lock) { l.Pieces[1].Box = nil },
		"a large box":       func(l *unseal.Lock) { l.Pieces[1].Box = make([]byte, unseal.MaxBox+1) },
	} {
		bad := *good
		bad.Pieces = slices.Clone(good.Pieces)
		spoil(&bad)
		if err := bad.Check(3, 2); !errors.Is(err, unseal.ErrLock) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if err := good.Check(3, 2); err != nil {
		t.Error(err)
	}
	for i, p := range good.Pieces {
		if len(p.Box) > unseal.MaxBox/2 {
			t.Errorf("box %d has %d bytes", i, len(p.Box))
		}
		if bytes.Contains(p.Box, []byte("tokyo")) {
			t.Errorf("box %d says whose it is: %s", i, fmt.Sprintf("%q", p.Box))
		}
	}
}

func FuzzOpenBox(f *testing.F) {
	ids, recipients := people(f, 2)
	_, l, err := unseal.Split(rand.Reader, seal7, recipients, 2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(l.Pieces[0].Box)
	f.Add(l.Pieces[1].Box)
	f.Fuzz(func(t *testing.T, box []byte) {
		piece, err := unseal.OpenBox(seal7, 0, box, ids[0])
		if (err == nil) == errors.Is(err, unseal.ErrBox) {
			t.Errorf("%v", err)
		}
		if err == nil && !errors.Is(l.CheckPiece(seal7, 1, piece), unseal.ErrPiece) {
			t.Error("the piece of another place")
		}
	})
}

func FuzzReceive(f *testing.F) {
	d, err := unseal.NewDoor(rand.Reader, seal7)
	if err != nil {
		f.Fatal(err)
	}
	handed, err := unseal.HandOver(seal7, d.Attempt(), d.PublicKey(), 0, secret.New(make([]byte, unseal.Size+1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(handed)
	f.Fuzz(func(t *testing.T, handed []byte) {
		if _, err := d.Receive(0, handed); err != nil && !errors.Is(err, unseal.ErrHanded) {
			t.Errorf("%v", err)
		}
	})
}
