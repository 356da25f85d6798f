package tdh2

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/internal/slow"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors.json")

var vectorFile = filepath.Join("testdata", "vectors.json")

// vector is one key with its secrets, one envelope and everything that is
// computed from it. All bytes are in hexadecimal.
type vector struct {
	Name           string
	Threshold      int
	Holders        int
	Cluster        string
	KeyID          string
	Version        uint32
	Delta          uint64
	Y, W           string
	Shares         []string // of index 1, 2, ...
	Context        string
	DEK            string
	R, S, Nonce    string // what the envelope was made with
	Envelope       string
	EnvelopeHash   string
	Partials       []string // of index 1, 2, ...
	Epoch          uint64
	ShareProofs    []string // of index 1, 2, ...
	Node           string
	EndorsementKey string
	Endorsement    string
}

// makeVectors computes all vectors anew, from fixed seeds: envelopes by the slow
// implementation, whose nonces are arguments, proofs by the fast one.
func makeVectors(t *testing.T) []vector {
	var list []vector
	for _, shape := range []struct {
		name       string
		t, h       int
		dek        int
		context    string
		version    uint32
		epoch      uint64
		secretSeed string
	}{
		{"two of three, a key of 32 bytes", 2, 3, 32, "app=billing", 1, 1, "a"},
		{"three of five, an empty context, one byte", 3, 5, 1, "", 2, 9, "b"},
		{"five of nine, the longest secret", 5, 9, 64, "env=prod\x00team=core", 4294967295, 1 << 40, "c"},
		{"all of four", 4, 4, 16, "x", 0, 0, "d"},
	} {
		rand := seeded("vectors " + shape.secretSeed)
		draw := func(n int) []byte {
			b := make([]byte, n)
			if _, err := io.ReadFull(rand, b); err != nil {
				t.Fatal(err)
			}
			return b
		}
		number := func() *big.Int { x := new(big.Int).SetBytes(draw(40)); return x.Mod(x, slow.Q) }
		var coefficients []*big.Int
		for range shape.t {
			coefficients = append(coefficients, number())
		}
		k := newSlowKey([32]byte(draw(32)), [32]byte(draw(32)), shape.version, shape.t, shape.h, coefficients)
		dek, r, s, nonce := draw(shape.dek), number(), number(), draw(12)
		raw := k.wrap([]byte(shape.context), dek, r, s, nonce, nil)
		e, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		hash := e.Hash()
		v := vector{
			Name: shape.name, Threshold: shape.t, Holders: shape.h, Version: shape.version, Epoch: shape.epoch,
			Cluster: hex.EncodeToString(k.cluster[:]), KeyID: hex.EncodeToString(k.keyID[:]), Delta: k.delta.Uint64(),
			Y: hex.EncodeToString(k.y().Bytes()), W: hex.EncodeToString(k.w().Bytes()),
			Context: hex.EncodeToString([]byte(shape.context)), DEK: hex.EncodeToString(dek),
			R: hex.EncodeToString(r.FillBytes(make([]byte, 32))), S: hex.EncodeToString(s.FillBytes(make([]byte, 32))),
			Nonce: hex.EncodeToString(nonce), Envelope: hex.EncodeToString(raw), EnvelopeHash: hex.EncodeToString(hash[:]),
			Node: "node-" + shape.secretSeed, EndorsementKey: hex.EncodeToString(draw(EndorsementKeySize)),
		}
		for i := 1; i <= shape.h; i++ {
			share, err := group.DecodeScalar(k.share(i).FillBytes(make([]byte, 32)))
			if err != nil {
				t.Fatal(err)
			}
			id := ShareID{Cluster: k.cluster, KeyID: k.keyID, Version: k.version, Epoch: shape.epoch, Index: sharing.Index(i)}
			proof, err := ProveShare(rand, share, id, group.BaseMul(share), e.U().Mul(share), e)
			if err != nil {
				t.Fatal(err)
			}
			v.Shares = append(v.Shares, hex.EncodeToString(share.Bytes()))
			v.Partials = append(v.Partials, hex.EncodeToString(k.partial(i, raw).Bytes()))
			v.ShareProofs = append(v.ShareProofs, hex.EncodeToString(proof))
		}
		label := k.label([]byte(shape.context))
		v.Endorsement = hex.EncodeToString(slowHMAC(unhex(t, v.EndorsementKey), slowList("warifu/v1/envelope/endorsement",
			[]byte{0, 0, 0, 0, 0, 0, 0, 1}, k.cluster[:], []byte(v.Node), k.keyID[:], k.versionBytes(), label, raw))[:EndorsementSize])
		list = append(list, v)
	}
	return list
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What was wrapped once must open for ever: the file changes only with a new
// format version.
func TestFrozenVectors(t *testing.T) {
	fresh, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fresh = append(fresh, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, fresh) {
		t.Error("the vectors come out otherwise than they were frozen")
	}
	var list []vector
	if err := json.Unmarshal(stored, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) { checkVector(t, v) })
	}
}

func checkVector(t *testing.T, v vector) {
	point := func(s string) *group.Point {
		p, err := group.DecodePoint(unhex(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pk, err := NewPublicKey([32]byte(unhex(t, v.Cluster)), [32]byte(unhex(t, v.KeyID)), v.Version, v.Threshold, v.Holders, point(v.Y))
	if err != nil {
		t.Fatal(err)
	}
	if pk.Delta != v.Delta || !pk.W.Equal(point(v.W)) {
		t.Error("Δ or W differs")
	}
	context := unhex(t, v.Context)
	e, verified := mustVerify(t, pk, unhex(t, v.Envelope), context)
	if hash := e.Hash(); hex.EncodeToString(hash[:]) != v.EnvelopeHash {
		t.Error("the envelope's hash differs")
	}
	partials := map[sharing.Index]*group.Point{}
	var proven []VerifiedPartial
	for k := v.Holders - v.Threshold; k < v.Holders; k++ {
		i := sharing.Index(k + 1)
		share, err := group.DecodeNonZeroScalar(unhex(t, v.Shares[k]))
		if err != nil {
			t.Fatal(err)
		}
		partials[i] = verified.Partial(share)
		if !partials[i].Equal(point(v.Partials[k])) {
			t.Errorf("partial %d differs", i)
		}
		id := ShareID{Cluster: pk.Cluster, KeyID: pk.KeyID, Version: pk.Version, Epoch: v.Epoch, Index: i}
		p, err := VerifyShare(id, group.BaseMul(share), partials[i], e, unhex(t, v.ShareProofs[k]))
		if err != nil {
			t.Fatal(err)
		}
		proven = append(proven, p)
	}
	for name, open := range map[string]func() (secret.Bytes, error){
		"open":   func() (secret.Bytes, error) { return pk.Open(verified, partials) },
		"proven": func() (secret.Bytes, error) { return pk.OpenProven(verified, proven) },
	} {
		if dek, err := open(); err != nil || hex.EncodeToString(dek.Reveal()) != v.DEK {
			t.Errorf("%s: %v", name, err)
		}
	}
	key := secret.New(unhex(t, v.EndorsementKey))
	if _, ok := Endorse(key, v.Node, pk, context, e).Accept(unhex(t, v.Endorsement)); !ok {
		t.Error("the endorsement missed")
	}
	if _, err := pk.Verify(e, fmt.Append(context, "x")); err == nil {
		t.Error("taken with another context")
	}
}
