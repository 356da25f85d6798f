package dkg

import (
	"errors"
	"testing"

	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// R1, R3: what is said of a key that is whole.
func TestAnImportThatCannotBe(t *testing.T) {
	y := newElder(t, 1).keys[0].Y
	for _, h := range []int{-1, 0, 1, sharing.MaxHolders + 1, 1 << 31} {
		if _, err := NewImport(h, [32]byte{1}, y); !errors.Is(err, sharing.ErrHolders) {
			t.Errorf("%d holders: %v", h, err)
		}
	}
	if _, err := NewImport(3, [32]byte{1}, nil); !errors.Is(err, ErrOld) {
		t.Errorf("no public key: %v", err)
	}
	whole, err := NewImport(3, [32]byte{1}, y)
	if err != nil {
		t.Fatal(err)
	}
	if !whole.imported() || newElder(t, 1).session(t).Old.imported() || (*Old)(nil).imported() {
		t.Error("an import is what has one share, and nothing else is")
	}
	for name, tt := range map[string]struct {
		change func(*Session)
		want   error
	}{
		"as it is":                {func(*Session) {}, nil},
		"to fewer holders":        {func(s *Session) { s.T, s.H, s.F = 2, 2, 0 }, ErrOld},
		"the owner as a holder":   {func(s *Session) { s.H = 4 }, ErrOld},
		"to more than there are":  {func(s *Session) { s.H = 5 }, ErrOld},
		"two keys":                {func(s *Session) { s.N = 2 }, ErrBatch},
		"a threshold of one":      {func(s *Session) { s.T, s.F = 1, 0 }, sharing.ErrThreshold},
		"a threshold above all h": {func(s *Session) { s.T = 4 }, sharing.ErrThreshold},
	} {
		s := testSession(2, 3)
		s.Old = whole
		tt.change(&s)
		if err := s.Validate(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// Key, public key and holders of an import make another session each (R11, R17).
func TestEveryFieldOfAnImportIsBound(t *testing.T) {
	keys := newElder(t, 2).keys
	digest := func(h int, key [32]byte, y *group.Point) [32]byte {
		o, err := NewImport(h, key, y)
		if err != nil {
			t.Fatal(err)
		}
		return o.Digest()
	}
	seen := map[[32]byte]string{}
	for name, d := range map[string][32]byte{
		"as it is":           digest(3, [32]byte{1}, keys[0].Y),
		"for a holder more":  digest(4, [32]byte{1}, keys[0].Y),
		"of another key id":  digest(3, [32]byte{2}, keys[0].Y),
		"of another key":     digest(3, [32]byte{1}, keys[1].Y),
		"a birth, of no key": (*Old)(nil).Digest(),
	} {
		if seen[d] != "" {
			t.Errorf("%q has the digest of %q", name, seen[d])
		}
		seen[d] = name
	}
}

// Who has not the key cannot take the owner's part (the machine says so before the
// board does), and a holder has no share to bring.
func TestOnlyTheKeyItselfIsDealt(t *testing.T) {
	poly := newElder(t, 1).polys[0]
	x := poly.Constant()
	whole, err := NewImport(3, [32]byte{1}, group.BaseMul(x))
	if err != nil {
		t.Fatal(err)
	}
	s := testSession(2, 3)
	s.Old = whole
	for name, tt := range map[string]struct {
		place sharing.Index
		old   []*group.Scalar
		want  error
	}{
		"the owner with the key":     {4, []*group.Scalar{x}, nil},
		"a holder":                   {3, nil, nil},
		"the owner with another key": {4, []*group.Scalar{poly.Eval(1)}, ErrOldShares},
		"the owner with nothing":     {4, nil, ErrOldShares},
		"a holder with the key":      {3, []*group.Scalar{x}, ErrOldShares},
		"another beside the owner":   {5, []*group.Scalar{x}, sharing.ErrIndex},
	} {
		if _, err := NewParticipant(s, tt.place, tt.old, testRand()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
