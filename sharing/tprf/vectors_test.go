package tprf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

// vector is a key and one item, in hexadecimal. docs/envelope.py made them, and opens them.
type vector struct {
	Name               string
	Threshold, Holders int
	Cluster, KeyID     string
	Version            uint32
	Session            string
	SetKeys            []string // by ascending set
	SetKeyHashes       []string
	Context, Principal string
	Secret, Rho, Alpha string
	Values             []string
	Value, Nonce, Item string
	ItemHash           string
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What was encrypted once must open for ever: the vectors change only with a new format
// version, and another program made them.
func TestFrozenVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(b, &list); err != nil || len(list) != 3 {
		t.Fatalf("%d vectors, %v", len(list), err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) { v.check(t) })
	}
}

func (v *vector) check(t *testing.T) {
	p := sharing.Params{T: v.Threshold, H: v.Holders}
	k := Key{Cluster: [32]byte(unhex(t, v.Cluster)), ID: [32]byte(unhex(t, v.KeyID)), Version: v.Version}
	context, dek := unhex(t, v.Context), secret.New(unhex(t, v.Secret))
	c, err := Parse(unhex(t, v.Item))
	if err != nil {
		t.Fatal(err)
	}
	if c.Key() != k || c.Principal() != v.Principal || c.Commitment() != [32]byte(unhex(t, v.Alpha)) {
		t.Errorf("it names %+v, %s and %x", c.Key(), c.Principal(), c.Commitment())
	}
	x := c.Input(context)
	if x.Hash() != [32]byte(unhex(t, v.ItemHash)) {
		t.Errorf("its hash is %x", x.Hash())
	}

	// Each holder, from the keys of its sets.
	all := Sets(p)
	keys := map[Set]secret.Bytes{}
	for i, s := range all {
		keys[s] = secret.New(unhex(t, v.SetKeys[i]))
		if got := SetKeyHash([32]byte(unhex(t, v.Session)), s, keys[s]); got != [32]byte(unhex(t, v.SetKeyHashes[i])) {
			t.Errorf("the hash of the key of %b is %x", s, got)
		}
	}
	for i := sharing.Index(1); int(i) <= p.H; i++ {
		var mine []byte
		for _, s := range Held(p, i) {
			mine = append(mine, keys[s].Reveal()...)
		}
		share, err := NewShare(p, i, secret.New(mine))
		if err != nil {
			t.Fatal(err)
		}
		values, err := share.Values(Held(p, i), x)
		if err != nil {
			t.Fatal(err)
		}
		for n, s := range Held(p, i) {
			if want := unhex(t, v.Values[slices.Index(all, s)]); !bytes.Equal(values[n][:], want) {
				t.Errorf("holder %d gives %x for %b, want %x", i, values[n], s, want)
			}
		}
	}
	var f Value
	for _, one := range v.Values {
		f = f.XOR(Value(unhex(t, one)))
	}
	if f != Value(unhex(t, v.Value)) {
		t.Errorf("F is %x", f)
	}
	if got, err := c.Open(f); err != nil || !got.Equal(dek) {
		t.Errorf("it opens to another data key: %v", err)
	}

	// And made again, but for the nonce.
	s, err := Begin(bytes.NewReader(unhex(t, v.Rho)), k, v.Principal, context, dek)
	if err != nil {
		t.Fatal(err)
	}
	if s.Commitment() != c.Commitment() || s.input.Hash() != x.Hash() || !bytes.Equal(s.header, c.header()) {
		t.Error("it is begun otherwise")
	}
	again, err := Parse(s.Finish(f))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(f); err != nil || !got.Equal(dek) || len(again.Bytes()) != len(c.Bytes()) {
		t.Errorf("made again, it opens to another data key: %v", err)
	}
}

// branchVector is a branch and one item of it, in hexadecimal. docs/envelope.py made them.
type branchVector struct {
	Name               string
	Threshold, Holders int
	Cluster, KeyID     string
	Version            uint32
	SetKeys            []string // by ascending set
	Named, Context     map[string]string
	NamedCanonical     string
	ContextCanonical   string
	From               int64
	Seconds            uint32
	Principal          string
	Secret, Rho, Alpha string
	BranchKey, Nonce   string
	BranchHash, Item   string
}

func canonical(pairs map[string]string) []byte {
	var parts [][]byte
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		parts = append(parts, []byte(k), []byte(pairs[k]))
	}
	return tag.List(tag.Context, parts...)
}

func TestFrozenBranches(t *testing.T) {
	b, err := os.ReadFile("testdata/branches.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []branchVector
	if err := json.Unmarshal(b, &list); err != nil || len(list) != 2 {
		t.Fatalf("%d vectors, %v", len(list), err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) { v.check(t) })
	}
}

func (v *branchVector) check(t *testing.T) {
	c, err := ParseBranched(unhex(t, v.Item))
	if err != nil {
		t.Fatal(err)
	}
	want := Branch{
		Key:     Key{Cluster: [32]byte(unhex(t, v.Cluster)), ID: [32]byte(unhex(t, v.KeyID)), Version: v.Version},
		Context: canonical(v.Named), Interval: Interval{From: v.From, Seconds: v.Seconds}, Principal: v.Principal,
	}
	if !bytes.Equal(canonical(v.Named), unhex(t, v.NamedCanonical)) || !bytes.Equal(canonical(v.Context), unhex(t, v.ContextCanonical)) {
		t.Error("the contexts are encoded otherwise")
	}
	x := c.Branch(canonical(v.Named)).Input()
	names := slices.Sorted(maps.Keys(v.Named))
	if x.Hash() != want.Input().Hash() || x.Hash() != [32]byte(unhex(t, v.BranchHash)) || !slices.Equal(c.Names(), names) || c.Commitment() != [32]byte(unhex(t, v.Alpha)) {
		t.Errorf("it is of %+v, which hashes to %x", c.Branch(nil), x.Hash())
	}
	var f Value
	for i := range Sets(sharing.Params{T: v.Threshold, H: v.Holders}) {
		mac := hmac.New(sha256.New, unhex(t, v.SetKeys[i]))
		mac.Write(x.bytes)
		f = f.XOR(Value(mac.Sum(nil)))
	}
	if f != Value(unhex(t, v.BranchKey)) {
		t.Errorf("the branch key is %x", f)
	}
	k := NewBranchKey(want, f)
	if got, err := k.Open(c, canonical(v.Context)); err != nil || !got.Equal(secret.New(unhex(t, v.Secret))) {
		t.Errorf("it opens to another data key: %v", err)
	}
	// And made again, but for the nonce.
	again, err := k.Seal(bytes.NewReader(unhex(t, v.Rho)), names, canonical(v.Context), secret.New(unhex(t, v.Secret)))
	if err != nil || len(again) != len(c.raw) || !bytes.Equal(again[:c.end], c.raw[:c.end]) {
		t.Errorf("it is made otherwise: %v", err)
	}
}
