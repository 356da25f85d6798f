package dkg

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

func testSeed() secret.Bytes { return secret.New(bytes.Repeat([]byte{5, 6}, 16)) }

// seededSession is the import of a seed under the name "tallies".
func seededSession(tb testing.TB, t, h int) Session {
	tb.Helper()
	s := symmetricSession(t, h)
	var err error
	if s.Symmetric.Seed, err = SeedCommitment(s.Cluster, "tallies", t, h, testSeed()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestTheShapeOfAnImportOfASeed(t *testing.T) {
	s := seededSession(t, 5, 9)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if !s.Imported() || s.Participants() != 10 || s.MinDealers() != 1 || s.Statements() != 5 || symmetricSession(5, 9).Imported() {
		t.Errorf("%d participants, %d dealers, %d statements", s.Participants(), s.MinDealers(), s.Statements())
	}
	for i := sharing.Index(0); i <= 11; i++ {
		owner := i == 10
		if holder := i >= 1 && i <= 9; s.Deals(i) != owner || s.Receives(i) != holder || s.States(i) != holder {
			t.Errorf("place %d deals %v, receives %v, states %v", i, s.Deals(i), s.Receives(i), s.States(i))
		}
	}
	o := s
	k := *s.Symmetric
	if o.Symmetric = &k; !o.Equal(s) {
		t.Error("not the same session")
	}
	if k.Seed[31] ^= 1; o.Equal(s) { // R17
		t.Error("of another seed, and the same session")
	}
}

// R11: each field counts, and the parts of two names, or shapes, have nothing in common.
func TestEveryFieldOfASeedIsBound(t *testing.T) {
	seen, parts := map[[32]byte]string{}, map[[32]byte]string{}
	for name, of := range map[string]struct {
		cluster [32]byte
		name    string
		t, h    int
		seed    secret.Bytes
	}{
		"as it is":         {[32]byte{1}, "tallies", 3, 5, testSeed()},
		"another cluster":  {[32]byte{2}, "tallies", 3, 5, testSeed()},
		"another name":     {[32]byte{1}, "tallie", 3, 5, testSeed()},
		"a lower t":        {[32]byte{1}, "tallies", 2, 5, testSeed()},
		"a holder more":    {[32]byte{1}, "tallies", 3, 6, testSeed()},
		"another seed":     {[32]byte{1}, "tallies", 3, 5, secret.New(bytes.Repeat([]byte{5, 7}, 16))},
		"one bit of it on": {[32]byte{1}, "tallies", 3, 5, secret.New(append(bytes.Repeat([]byte{5, 6}, 15), 5, 7))},
	} {
		c, err := SeedCommitment(of.cluster, of.name, of.t, of.h, of.seed)
		if err != nil {
			t.Fatal(err)
		}
		if seen[c] != "" {
			t.Errorf("%q has the commitment of %q", name, seen[c])
		}
		seen[c] = name
		p := sharing.Params{T: of.t, H: of.h}
		all, err := seedParts(of.cluster, of.name, p, of.seed)
		if err != nil {
			t.Fatal(err)
		}
		for k := range tprf.Sets(p) {
			part := [32]byte(all.Reveal()[k*32 : (k+1)*32])
			if parts[part] != "" {
				t.Errorf("%q has a part of %q", name, parts[part])
			}
			parts[part] = name
		}
	}
	for name, tt := range map[string]struct {
		t, h int
		seed secret.Bytes
		want error
	}{
		"no seed":       {3, 5, secret.Bytes{}, ErrSeed},
		"a short seed":  {3, 5, secret.New(make([]byte, 31)), ErrSeed},
		"a long seed":   {3, 5, secret.New(make([]byte, 33)), ErrSeed},
		"ten holders":   {5, 10, testSeed(), tprf.ErrShape},
		"a t above h":   {6, 5, testSeed(), tprf.ErrShape},
		"a threshold 1": {1, 5, testSeed(), tprf.ErrShape},
	} {
		if _, err := SeedCommitment([32]byte{1}, "tallies", tt.t, tt.h, tt.seed); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// Who has not the seed that was ordered cannot take its owner's part.
func TestOnlyTheOrderedSeedIsDealt(t *testing.T) {
	s := seededSession(t, 3, 5)
	if _, err := NewParticipant(s, 6, nil, testRand()); !errors.Is(err, ErrSeed) {
		t.Errorf("an owner without a seed: %v", err)
	}
	if _, err := NewParticipant(s, 7, nil, testRand()); !errors.Is(err, sharing.ErrIndex) {
		t.Errorf("another beside the owner: %v", err)
	}
	for name, tt := range map[string]struct {
		session Session
		name    string
		seed    secret.Bytes
		want    error
	}{
		"the seed":         {s, "tallies", testSeed(), nil},
		"another seed":     {s, "tallies", secret.New(make([]byte, 32)), ErrSeed},
		"another name":     {s, "payroll", testSeed(), ErrSeed},
		"half of it":       {s, "tallies", secret.New(testSeed().Reveal()[:16]), ErrSeed},
		"where one is not": {symmetricSession(3, 5), "tallies", testSeed(), ErrSeed},
		"to two keys":      {func() Session { two := s; two.N = 2; return two }(), "tallies", testSeed(), ErrBatch},
	} {
		p, err := NewOwner(tt.session, tt.name, tt.seed)
		if !errors.Is(err, tt.want) || (err == nil) != (p != nil) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// What an owner, or a holder, of an import rests as is read strictly.
func TestAStoredStateOfASeedIsReadStrictly(t *testing.T) {
	s := seededSession(t, 3, 5)
	owner, err := NewOwner(s, "tallies", testSeed())
	if err != nil {
		t.Fatal(err)
	}
	holder, err := NewParticipant(s, 2, nil, testRand())
	if err != nil {
		t.Fatal(err)
	}
	for me, p := range map[sharing.Index]*Participant{6: owner, 2: holder} {
		stored := p.State()
		if _, err := Restore(s, me, stored); err != nil {
			t.Errorf("place %d: %v", me, err)
		}
		for name, alter := range map[string]func(*state){
			"of another seed":       func(st *state) { st.Seed[0] ^= 1 },
			"of a birth":            func(st *state) { st.Seed = nil },
			"with half of a hash":   func(st *state) { st.Seed = st.Seed[:16] },
			"with too much of one":  func(st *state) { st.Seed = append(st.Seed, 0) },
			"with a contribution":   func(st *state) { st.Contributions = append(st.Contributions, make([]byte, 32)...) },
			"with a share of a set": func(st *state) { st.SetKeys = make([]byte, 32) },
		} {
			var st state
			if err := wire.Decode(stored.Reveal(), &st); err != nil {
				t.Fatal(err)
			}
			alter(&st)
			if _, err := Restore(s, me, secret.New(wire.Encode(st))); !errors.Is(err, ErrState) {
				t.Errorf("place %d, %s: %v", me, name, err)
			}
		}
	}
	parts := owner.sets.Reveal()
	if owner.Wipe(); !bytes.Equal(parts, make([]byte, len(parts))) {
		t.Error("what was dealt is still there")
	}
}
