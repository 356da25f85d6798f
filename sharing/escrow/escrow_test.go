package escrow_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"filippo.io/age"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/escrow"
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

func aShare() escrow.Share {
	return escrow.Share{Cluster: [32]byte{1}, Order: [32]byte{2}, Key: [32]byte{3}, Version: 4, Epoch: 5, Index: 2}
}

func theShare() secret.Bytes { return secret.New(bytes.Repeat([]byte{7}, escrow.ShareSize)) }

func sealed(t testing.TB, recipients []string, m int) *escrow.Sealed {
	t.Helper()
	b, err := escrow.Seal(rand.Reader, aShare(), theShare(), recipients, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(len(recipients), m); err != nil {
		t.Fatal(err)
	}
	return b
}

func pieceOf(t testing.TB, b *escrow.Sealed, place int, id age.Identity) secret.Bytes {
	t.Helper()
	p, err := b.OpenPiece(aShare(), place, id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnyThresholdOfCustodiansOpensAShare(t *testing.T) {
	for _, tt := range []struct{ k, m int }{{2, 2}, {3, 2}, {5, 3}} {
		ids, recipients := people(t, tt.k)
		b := sealed(t, recipients, tt.m)
		if bytes.Contains(wire.Encode(b), theShare().Reveal()) {
			t.Fatal("the share stands in the open")
		}
		for first := range tt.k {
			got := map[int]secret.Bytes{}
			for j := range tt.m {
				if _, err := b.Open(aShare(), got); !errors.Is(err, escrow.ErrTooFew) {
					t.Fatalf("%d of %d, with %d: %v", tt.m, tt.k, j, err)
				}
				place := (first + j) % tt.k
				got[place] = pieceOf(t, b, place, ids[place])
			}
			share, err := b.Open(aShare(), got)
			if err != nil || !share.Equal(theShare()) {
				t.Fatalf("any %d of %d from %d: %v", tt.m, tt.k, first, err)
			}
		}
	}
}

// others are the shares that differ in one field each.
func others() map[string]escrow.Share {
	out := map[string]escrow.Share{}
	for sentence, alter := range map[string]func(*escrow.Share){
		"of another cluster":  func(s *escrow.Share) { s.Cluster[0]++ },
		"by another order":    func(s *escrow.Share) { s.Order[0]++ },
		"of another key":      func(s *escrow.Share) { s.Key[0]++ },
		"of another version":  func(s *escrow.Share) { s.Version++ },
		"of another epoch":    func(s *escrow.Share) { s.Epoch++ },
		"at another index":    func(s *escrow.Share) { s.Index++ },
		"of none of all that": func(s *escrow.Share) { *s = escrow.Share{} },
	} {
		s := aShare()
		alter(&s)
		out[sentence] = s
	}
	return out
}

// R11: each field of what a share is stands in its boxes, commitments and key.
func TestASealedShareIsOfOneShareAlone(t *testing.T) {
	ids, recipients := people(t, 3)
	b := sealed(t, recipients, 2)
	pieces := map[int]secret.Bytes{0: pieceOf(t, b, 0, ids[0]), 2: pieceOf(t, b, 2, ids[2])}
	for sentence, of := range others() {
		if _, err := b.OpenPiece(of, 0, ids[0]); !errors.Is(err, escrow.ErrBox) {
			t.Errorf("%s: %v", sentence, err)
		}
		if err := b.CheckPiece(of, 0, pieces[0]); !errors.Is(err, escrow.ErrPiece) {
			t.Errorf("%s: %v", sentence, err)
		}
		if _, err := b.Open(of, pieces); err == nil {
			t.Errorf("%s: it opens", sentence)
		}
	}
	for place := range 3 {
		if _, err := b.OpenPiece(aShare(), place, ids[(place+1)%3]); !errors.Is(err, escrow.ErrBox) {
			t.Errorf("by another custodian: %v", err)
		}
	}
	for _, place := range []int{-1, 3} {
		if _, err := b.OpenPiece(aShare(), place, ids[0]); !errors.Is(err, escrow.ErrBox) {
			t.Errorf("at place %d: %v", place, err)
		}
	}
	swapped := *b
	swapped.Pieces = slices.Clone(b.Pieces)
	swapped.Pieces[0], swapped.Pieces[1] = swapped.Pieces[1], swapped.Pieces[0]
	if _, err := swapped.OpenPiece(aShare(), 0, ids[1]); !errors.Is(err, escrow.ErrBox) {
		t.Errorf("at another place: %v", err)
	}
	// What one sealing committed to is not another's.
	again := sealed(t, recipients, 2)
	if err := again.CheckPiece(aShare(), 0, pieces[0]); !errors.Is(err, escrow.ErrPiece) {
		t.Errorf("a piece of another sealing: %v", err)
	}
	mixed := *b
	mixed.Share = again.Share
	if _, err := mixed.Open(aShare(), pieces); !errors.Is(err, escrow.ErrSealed) {
		t.Errorf("the share of another sealing: %v", err)
	}
	mixed = *b
	mixed.Commitment = again.Commitment
	if _, err := mixed.Open(aShare(), pieces); !errors.Is(err, escrow.ErrPiece) {
		t.Errorf("the commitment of another sealing: %v", err)
	}
}

func TestWhatIsNotSealed(t *testing.T) {
	_, recipients := people(t, 3)
	for sentence, tt := range map[string]struct {
		share      secret.Bytes
		recipients []string
		m          int
	}{
		"to one who suffices":        {theShare(), recipients, 1},
		"to more than there are":     {theShare(), recipients, 4},
		"a share that is short":      {secret.New(make([]byte, 31)), recipients, 2},
		"to a key that is none":      {theShare(), []string{recipients[0], "age1test"}, 2},
		"to nobody":                  {theShare(), nil, 2},
		"to more than have a place ": {theShare(), make([]string, 256), 2},
	} {
		if _, err := escrow.Seal(rand.Reader, aShare(), tt.share, tt.recipients, tt.m); !errors.Is(err, escrow.ErrSealed) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := escrow.Seal(bytes.NewReader(nil), aShare(), theShare(), recipients, 2); err == nil {
		t.Error("without randomness")
	}
	good := sealed(t, recipients, 2)
	for sentence, alter := range map[string]func(*escrow.Sealed){
		"another threshold": func(b *escrow.Sealed) { b.Threshold = 3 },
		"a piece too few":   func(b *escrow.Sealed) { b.Pieces = b.Pieces[:2] },
		"an empty box":      func(b *escrow.Sealed) { b.Pieces = slices.Clone(b.Pieces); b.Pieces[1].Box = nil },
		"a large box": func(b *escrow.Sealed) {
			b.Pieces = slices.Clone(b.Pieces)
			b.Pieces[1].Box = make([]byte, escrow.MaxBox+1)
		},
		"no share": func(b *escrow.Sealed) { b.Share = nil },
	} {
		b := *good
		alter(&b)
		if err := b.Check(3, 2); !errors.Is(err, escrow.ErrSealed) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if err := good.Check(3, 1); !errors.Is(err, escrow.ErrSealed) {
		t.Errorf("any one: %v", err)
	}
}

// A custodian hands its pieces to one other, for one order.
func TestPiecesAreHandedToOneCustodian(t *testing.T) {
	ids, recipients := people(t, 3)
	b := sealed(t, recipients, 2)
	of := escrow.Opening{Cluster: [32]byte{1}, Order: [32]byte{2}, From: 0, To: 2}
	box, err := escrow.HandOver(of, map[uint32]secret.Bytes{2: pieceOf(t, b, 0, ids[0])}, recipients[2])
	if err != nil {
		t.Fatal(err)
	}
	from, pieces, err := escrow.Receive(of.Cluster, of.Order, 2, box, ids[2])
	if err != nil || from != 0 || len(pieces) != 1 {
		t.Fatalf("from %d, %d pieces: %v", from, len(pieces), err)
	}
	share, err := b.Open(aShare(), map[int]secret.Bytes{int(from): pieces[2], 2: pieceOf(t, b, 2, ids[2])})
	if err != nil || !share.Equal(theShare()) {
		t.Errorf("with what was handed over: %v", err)
	}
	for sentence, get := range map[string]func() (uint32, map[uint32]secret.Bytes, error){
		"by another custodian": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive(of.Cluster, of.Order, 2, box, ids[1])
		},
		"at another place": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive(of.Cluster, of.Order, 1, box, ids[2])
		},
		"by another order": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive(of.Cluster, [32]byte{9}, 2, box, ids[2])
		},
		"of another cluster": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive([32]byte{9}, of.Order, 2, box, ids[2])
		},
		"a box of the escrow": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive(of.Cluster, of.Order, 2, b.Pieces[2].Box, ids[2])
		},
		"too large": func() (uint32, map[uint32]secret.Bytes, error) {
			return escrow.Receive(of.Cluster, of.Order, 2, make([]byte, escrow.MaxHanded+1), ids[2])
		},
	} {
		if _, got, err := get(); !errors.Is(err, escrow.ErrHanded) || got != nil {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	for sentence, pieces := range map[string]map[uint32]secret.Bytes{
		"no pieces":      nil,
		"of no holder":   {17: pieceOf(t, b, 0, ids[0])},
		"too many by it": many(),
	} {
		if _, err := escrow.HandOver(of, pieces, recipients[2]); !errors.Is(err, escrow.ErrHanded) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func many() map[uint32]secret.Bytes {
	out := map[uint32]secret.Bytes{}
	for i := range uint32(17) {
		out[i] = theShare()
	}
	return out
}

func FuzzReceive(f *testing.F) {
	ids, recipients := people(f, 2)
	b := sealed(f, recipients, 2)
	box, err := escrow.HandOver(escrow.Opening{To: 1}, map[uint32]secret.Bytes{2: pieceOf(f, b, 0, ids[0])}, recipients[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box)
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, box []byte) {
		if _, pieces, err := escrow.Receive([32]byte{}, [32]byte{}, 1, box, ids[1]); err == nil && len(pieces) == 0 || err != nil && !errors.Is(err, escrow.ErrHanded) {
			t.Fatalf("%d pieces, %v", len(pieces), err)
		}
	})
}
