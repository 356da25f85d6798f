package tprf

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

const (
	// SetKeySize is the length of the key of one set.
	SetKeySize = 32
	// ValueSize is the length of a value of the function, and of each part of it.
	ValueSize = sha256.Size
)

var (
	// ErrShare means that bytes are not the share of this holder: one key of 32 bytes for
	// each of its sets.
	ErrShare = errors.New("tprf: not the share of this holder")
	// ErrNotHeld means that a holder is asked for a set that it is not a member of.
	ErrNotHeld = errors.New("tprf: the holder is not a member of this set")
)

// Value is what one set's key gives for an input, or the XOR of several.
type Value [ValueSize]byte

// XOR returns the XOR of both.
func (v Value) XOR(o Value) (sum Value) {
	subtle.XORBytes(sum[:], v[:], o[:])
	return sum
}

// SetKeyHash is what the ledger keeps of the key of one set, for its members to hold
// their copies against. 32 random bytes are not found by their hash.
func SetKeyHash(session [32]byte, s Set, key secret.Bytes) [32]byte {
	return tag.Hash(tag.SetKey, session[:], tag.Uint64(uint64(s)), key.Reveal())
}

// Share is what one holder has of a key: the keys of its sets. It never prints.
type Share struct {
	params sharing.Params
	index  sharing.Index
	sets   []Set
	keys   []secret.Bytes // by the place in sets
}

// NewShare takes the bytes of [Share.Bytes], which the caller wipes.
func NewShare(p sharing.Params, i sharing.Index, b secret.Bytes) (*Share, error) {
	if err := CheckShape(p); err != nil {
		return nil, err
	}
	if err := p.CheckIndex(i); err != nil {
		return nil, fmt.Errorf("read a share: %w", err)
	}
	s := &Share{params: p, index: i, sets: Held(p, i)}
	if b.Len() != len(s.sets)*SetKeySize {
		return nil, fmt.Errorf("read a share of %d bytes for %d sets: %w", b.Len(), len(s.sets), ErrShare)
	}
	for k := range s.sets {
		s.keys = append(s.keys, secret.Clone(b.Reveal()[k*SetKeySize:(k+1)*SetKeySize]))
	}
	return s, nil
}

// Bytes returns the keys of the holder's sets, in the order of [Held]: 32 bytes each.
// The caller wipes them.
func (s *Share) Bytes() secret.Bytes {
	out := make([]byte, 0, len(s.keys)*SetKeySize)
	for _, k := range s.keys {
		out = append(out, k.Reveal()...)
	}
	return secret.New(out)
}

// Params are the t and h of the key.
func (s *Share) Params() sharing.Params { return s.params }

// Index is the holder's.
func (s *Share) Index() sharing.Index { return s.index }

// Equal reports, in constant time in the keys, whether o is the same share.
func (s *Share) Equal(o *Share) bool {
	a, b := s.Bytes(), o.Bytes()
	defer a.Wipe()
	defer b.Wipe()
	return s.params == o.params && s.index == o.index && a.Equal(b)
}

// Clone returns a copy of its own; of nil, nil.
func (s *Share) Clone() *Share {
	if s == nil {
		return nil
	}
	c := &Share{params: s.params, index: s.index, sets: s.sets}
	for _, k := range s.keys {
		c.keys = append(c.keys, secret.Clone(k.Reveal()))
	}
	return c
}

// Hashes are those of the set keys, in the order of [Held]: see [SetKeyHash].
func (s *Share) Hashes(session [32]byte) [][32]byte {
	out := make([][32]byte, len(s.keys))
	for k, set := range s.sets {
		out[k] = SetKeyHash(session, set, s.keys[k])
	}
	return out
}

// Fits reports whether the set keys have the hashes that a record lists, one of 32 bytes
// for each of [Sets].
func (s *Share) Fits(session [32]byte, record [][]byte) bool {
	all := Sets(s.params)
	if len(record) != len(all) {
		return false
	}
	for k, h := range s.Hashes(session) {
		at, _ := slices.BinarySearch(all, s.sets[k])
		if !bytes.Equal(record[at], h[:]) {
			return false
		}
	}
	return true
}

// Wipe overwrites the keys; the share must not be used afterwards.
func (s *Share) Wipe() {
	for _, k := range s.keys {
		k.Wipe()
	}
}

// String implements [fmt.Stringer].
func (s Share) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (s Share) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (s Share) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// Values evaluates the function of each of these sets at x: what is asked for where
// answers are to be compared.
func (s *Share) Values(sets []Set, x Input) ([]Value, error) {
	e, err := s.Evaluator(sets)
	if err != nil {
		return nil, err
	}
	return e.Values(x), nil
}

// Sum is the XOR of [Share.Values]: the partial of an opening.
func (s *Share) Sum(sets []Set, x Input) (sum Value, err error) {
	e, err := s.Evaluator(sets)
	if err != nil {
		return Value{}, err
	}
	return e.Sum(x), nil
}

func (s *Share) key(set Set) (secret.Bytes, error) {
	for k, held := range s.sets {
		if held == set {
			return s.keys[k], nil
		}
	}
	return secret.Bytes{}, fmt.Errorf("evaluate set %b as holder %d: %w", set, s.index, ErrNotHeld)
}
