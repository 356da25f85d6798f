package tprf

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
)

// ErrSelfTest means this build does not compute what it must: nothing of it is to be
// used.
var ErrSelfTest = errors.New("tprf: self-test failed")

//go:embed testdata/vectors.json
var frozen []byte

//go:embed testdata/branches.json
var frozenBranches []byte

// knownAnswer is what the self-test reads of a frozen vector, in hexadecimal; all of it is
// public.
type knownAnswer struct {
	Threshold, Holders         int
	Cluster, KeyID, Session    string
	Version                    uint32
	SetKeys, SetKeyHashes      []string // by ascending set
	Context, Principal, Secret string
	Values                     []string
	Value, Item, ItemHash      string
}

// SelfTest computes the known answers of the first frozen vector: the input, the value of
// every set at each of its members, the hashes of the set keys, the opening by what t
// holders share out, and its refusal under another context; and the same of a branch and
// an item of it. Failures wrap [ErrSelfTest].
func SelfTest() error { return selfTest(frozen, frozenBranches) }

func selfTest(vectors, branches []byte) error {
	var all []knownAnswer
	if err := json.Unmarshal(vectors, &all); err != nil || len(all) == 0 {
		return fmt.Errorf("%w: no vectors: %w", ErrSelfTest, err)
	}
	var known []knownBranch
	if err := json.Unmarshal(branches, &known); err != nil || len(known) == 0 {
		return fmt.Errorf("%w: no vectors of branches: %w", ErrSelfTest, err)
	}
	if err := errors.Join(all[0].check(), known[0].check()); err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	return nil
}

func (k *knownAnswer) check() error {
	var r hexReader
	p := sharing.Params{T: k.Threshold, H: k.Holders}
	if err := CheckShape(p); err != nil {
		return err
	}
	sets := Sets(p)
	if len(k.SetKeys) != len(sets) || len(k.SetKeyHashes) != len(sets) || len(k.Values) != len(sets) {
		return errors.New("not one key, hash and value for each set")
	}
	for i, s := range sets {
		if SetKeyHash(r.read32(k.Session), s, secret.New(r.read(k.SetKeys[i]))) != r.read32(k.SetKeyHashes[i]) {
			return fmt.Errorf("the hash of the key of %b differs", s)
		}
	}
	c, err := Parse(r.read(k.Item))
	if err != nil {
		return err
	}
	if c.Key() != (Key{r.read32(k.Cluster), r.read32(k.KeyID), k.Version}) || c.Principal() != k.Principal {
		return errors.New("the item names another key or principal")
	}
	context := r.read(k.Context)
	x := c.Input(context)
	if x.Hash() != r.read32(k.ItemHash) {
		return errors.New("the input differs")
	}
	var quorum Set
	for i := range k.Threshold {
		quorum |= 1 << i
	}
	work, err := Assign(p, quorum, 1)
	if err != nil {
		return err
	}
	var f, other Value
	for i := sharing.Index(1); int(i) <= p.H; i++ {
		var keys []byte
		for _, s := range Held(p, i) {
			keys = append(keys, r.read(k.SetKeys[slices.Index(sets, s)])...)
		}
		share, err := NewShare(p, i, secret.New(keys))
		if err != nil {
			return err
		}
		for _, s := range Held(p, i) {
			values, err := share.Values([]Set{s}, x)
			if err != nil {
				return err
			}
			if values[0] != Value(r.read32(k.Values[slices.Index(sets, s)])) {
				return fmt.Errorf("holder %d has another value of %b", i, s)
			}
			if !slices.Contains(work[i], s) {
				continue
			}
			f = f.XOR(values[0])
			if values, err = share.Values([]Set{s}, c.Input(append(bytes.Clone(context), 0))); err != nil {
				return err
			}
			other = other.XOR(values[0])
		}
	}
	if f != Value(r.read32(k.Value)) {
		return errors.New("the function has another value")
	}
	if _, err := c.Open(other); !errors.Is(err, ErrNotOpened) {
		return errors.New("an item opens under another context")
	}
	dek, err := c.Open(f)
	if err != nil {
		return err
	}
	if !bytes.Equal(dek.Reveal(), r.read(k.Secret)) {
		return errors.New("the item opens to another secret")
	}
	return r.err
}

// knownBranch is what the self-test reads of a frozen branch, in hexadecimal; all of it
// is public.
type knownBranch struct {
	Threshold, Holders          int
	Cluster, KeyID              string
	Version                     uint32
	SetKeys                     []string // by ascending set
	NamedCanonical              string
	ContextCanonical            string
	From                        int64
	Seconds                     uint32
	Principal, Secret           string
	BranchKey, BranchHash, Item string
}

func (k *knownBranch) check() error {
	var r hexReader
	p := sharing.Params{T: k.Threshold, H: k.Holders}
	if err := CheckShape(p); err != nil {
		return err
	}
	sets := Sets(p)
	if len(k.SetKeys) != len(sets) {
		return errors.New("not one key for each set of a branch")
	}
	c, err := ParseBranched(r.read(k.Item))
	if err != nil {
		return err
	}
	b := Branch{
		Key: Key{r.read32(k.Cluster), r.read32(k.KeyID), k.Version}, Context: r.read(k.NamedCanonical),
		Interval: Interval{k.From, k.Seconds}, Principal: k.Principal,
	}
	x := b.Input()
	if x.Hash() != r.read32(k.BranchHash) {
		return errors.New("the input of a branch differs")
	}
	var f Value
	for i, s := range sets {
		member := sharing.Index(bits.TrailingZeros16(uint16(s)) + 1)
		var keys []byte
		for _, held := range Held(p, member) {
			keys = append(keys, r.read(k.SetKeys[slices.Index(sets, held)])...)
		}
		share, err := NewShare(p, member, secret.New(keys))
		if err != nil {
			return err
		}
		values, err := share.Values(sets[i:i+1], x)
		if err != nil {
			return err
		}
		f = f.XOR(values[0])
	}
	if f != Value(r.read32(k.BranchKey)) {
		return errors.New("the branch key differs")
	}
	branch, whole := NewBranchKey(b, f), r.read(k.ContextCanonical)
	if _, err := branch.Open(c, append(bytes.Clone(whole), 0)); !errors.Is(err, ErrNotOpened) {
		return errors.New("an item of a branch opens under another context")
	}
	dek, err := branch.Open(c, whole)
	if err != nil {
		return err
	}
	if !bytes.Equal(dek.Reveal(), r.read(k.Secret)) {
		return errors.New("the item of a branch opens to another secret")
	}
	return r.err
}

// hexReader keeps the first error.
type hexReader struct{ err error }

func (r *hexReader) read(s string) []byte {
	b, err := hex.DecodeString(s)
	r.err = errors.Join(r.err, err)
	return b
}

func (r *hexReader) read32(s string) [32]byte {
	var out [32]byte
	copy(out[:], r.read(s))
	return out
}
