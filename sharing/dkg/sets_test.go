package dkg

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

func symmetricSession(t, h int) Session {
	s := testSession(t, h)
	s.Symmetric = &SymmetricKey{Key: [32]byte{8}, Version: 1}
	return s
}

func TestTheShapeOfASymmetricSession(t *testing.T) {
	if err := symmetricSession(5, 9).Validate(); err != nil {
		t.Error(err)
	}
	for name, row := range map[string]struct {
		alter func(*Session)
		want  error
	}{
		"10 holders":    {func(s *Session) { s.H = 10 }, tprf.ErrShape},
		"two keys":      {func(s *Session) { s.N = 2 }, ErrBatch},
		"an old epoch":  {func(s *Session) { s.Old = &Old{} }, ErrOld},
		"a threshold 1": {func(s *Session) { s.T = 1 }, sharing.ErrThreshold},
	} {
		s := symmetricSession(5, 9)
		row.alter(&s)
		if err := s.Validate(); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
	}
	s, o := symmetricSession(3, 5), testSession(3, 5)
	if s.Equal(o) || o.Equal(s) || !s.Equal(symmetricSession(3, 5)) {
		t.Error("a symmetric session is told from another by nothing")
	}
}

// R11: each field of what a set's key is derived from, and of what a dealer commits to,
// counts.
func TestEveryFieldOfASetKeyIsBound(t *testing.T) {
	contributions := bytes.Repeat([]byte{1}, 64)
	base := symmetricSession(3, 5)
	key := string(setKey(base, 7, contributions))
	hash := contributionHash(base, 1, 7, contributions[:32])
	if got := setKey(base, 11, contributions); string(got) == key {
		t.Error("the set is not bound")
	}
	if got := setKey(base, 7, contributions[:32]); string(got) == key {
		t.Error("the contributions are not bound")
	}
	if contributionHash(base, 2, 7, contributions[:32]) == hash || contributionHash(base, 1, 11, contributions[:32]) == hash ||
		contributionHash(base, 1, 7, make([]byte, 32)) == hash {
		t.Error("dealer, set or contribution is not bound")
	}
	for name, alter := range map[string]func(*Session){
		"cluster": func(s *Session) { s.Cluster[0]++ },
		"key":     func(s *Session) { s.Symmetric.Key[0]++ },
		"version": func(s *Session) { s.Symmetric.Version++ },
		"t":       func(s *Session) { s.T++ },
		"h":       func(s *Session) { s.H++ },
	} {
		s := symmetricSession(3, 5)
		alter(&s)
		if string(setKey(s, 7, contributions)) == key {
			t.Errorf("%s is not bound in the set key", name)
		}
		if contributionHash(s, 1, 7, contributions[:32]) == hash {
			t.Errorf("%s is not bound in the commitment", name)
		}
	}
	s := symmetricSession(3, 5)
	if s.ID[0]++; contributionHash(s, 1, 7, contributions[:32]) == hash { // R17
		t.Error("the session is not bound in the commitment")
	}
}

func TestAStoredSymmetricStateIsReadStrictly(t *testing.T) {
	d := deal(t, symmetricSession(3, 5))
	d.confirm(t)
	p := d.parts[1]
	ready, err := p.Step(d.view, testRand())
	if err != nil || ready.Sets == nil || ready.Shares != nil {
		t.Fatalf("%+v, %v", ready, err)
	}
	stored := p.State()
	if _, err := Restore(d.s, 2, stored); err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*state){
		"no contributions":      func(st *state) { st.Contributions = nil },
		"a contribution less":   func(st *state) { st.Contributions = st.Contributions[32:] },
		"a set key more":        func(st *state) { st.SetKeys = append(st.SetKeys, make([]byte, 32)...) },
		"another version":       func(st *state) { st.Version++ },
		"of no symmetric key":   func(st *state) { st.Key, st.Version = nil, 0 },
		"with a scalar as well": func(st *state) { st.Shares = [][]byte{group.SmallScalar(3).Bytes()} },
		"with a polynomial":     func(st *state) { st.Polynomials = [][]byte{make([]byte, 96)} },
	} {
		var st state
		if err := wire.Decode(stored.Reveal(), &st); err != nil {
			t.Fatal(err)
		}
		alter(&st)
		if _, err := Restore(d.s, 2, secret.New(wire.Encode(st))); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Restore(testSession(3, 5), 2, stored); !errors.Is(err, ErrState) {
		t.Errorf("as that of an asymmetric session: %v", err)
	}
	if got := fmt.Sprintf("%v %+v %#v", *p, *p, *p); bytes.Contains([]byte(got), []byte("sets")) {
		t.Errorf("a participant prints %s", got)
	}
}

func TestWipeLeavesNothingOfASymmetricKey(t *testing.T) {
	d := deal(t, symmetricSession(3, 5))
	d.confirm(t)
	p := d.parts[1]
	if _, err := p.Step(d.view, testRand()); err != nil {
		t.Fatal(err)
	}
	sets, keys := p.sets.Reveal(), p.setKeys
	p.Wipe()
	zero, err := tprf.NewShare(d.s.params(), 2, secret.New(make([]byte, len(sets))))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sets, make([]byte, len(sets))) || !keys.Equal(zero) {
		t.Error("contributions or set keys are still there")
	}
}
