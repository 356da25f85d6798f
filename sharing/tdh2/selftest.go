package tdh2

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// ErrSelfTest means this build does not compute what it must: nothing of it is
// to be used.
var ErrSelfTest = errors.New("tdh2: self-test failed")

//go:embed testdata/vectors.json
var frozen []byte

// knownAnswer is what the self-test reads of a frozen vector; all of it is public.
type knownAnswer struct {
	Threshold, Holders                int
	Cluster, KeyID                    string
	Version                           uint32
	Y, W                              string
	Shares, Partials, ShareProofs     []string
	Context, DEK, Envelope            string
	Epoch                             uint64
	Node, EndorsementKey, Endorsement string
}

// SelfTest computes the known answers of the first frozen vector: the public
// key, the proof and its refusal under another context, every partial and share
// proof, the opening and the endorsement. It takes a few milliseconds. Failures
// wrap [ErrSelfTest].
func SelfTest() error { return selfTest(frozen) }

func selfTest(vectors []byte) error {
	var all []knownAnswer
	if err := json.Unmarshal(vectors, &all); err != nil || len(all) == 0 {
		return fmt.Errorf("%w: no vectors: %w", ErrSelfTest, err)
	}
	if err := all[0].check(); err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	return nil
}

func (k *knownAnswer) check() error {
	var r hexReader
	y, err := group.DecodePoint(r.read(k.Y))
	if err != nil {
		return err
	}
	pk, err := NewPublicKey(r.read32(k.Cluster), r.read32(k.KeyID), k.Version, k.Threshold, k.Holders, y)
	if err != nil {
		return err
	}
	if !bytes.Equal(pk.W.Bytes(), r.read(k.W)) {
		return errors.New("the point W is not Δ·Y")
	}
	e, err := Parse(r.read(k.Envelope))
	if err != nil {
		return err
	}
	context := r.read(k.Context)
	if _, err := pk.Verify(e, append(bytes.Clone(context), 0)); err == nil {
		return errors.New("an envelope is taken under another context")
	}
	v, err := pk.Verify(e, context)
	if err != nil {
		return err
	}
	quorum := map[sharing.Index]*group.Point{}
	for i := range k.Shares {
		share, err := group.DecodeScalar(r.read(k.Shares[i]))
		if err != nil {
			return err
		}
		partial := v.Partial(share)
		if !bytes.Equal(partial.Bytes(), r.read(k.Partials[i])) {
			return fmt.Errorf("partial %d differs", i+1)
		}
		id := ShareID{Cluster: pk.Cluster, KeyID: pk.KeyID, Version: pk.Version, Epoch: k.Epoch, Index: sharing.Index(i + 1)}
		if _, err := VerifyShare(id, group.BaseMul(share), partial, e, r.read(k.ShareProofs[i])); err != nil {
			return err
		}
		if len(quorum) < k.Threshold {
			quorum[id.Index] = partial
		}
	}
	dek, err := pk.Open(v, quorum)
	if err != nil {
		return err
	}
	if !bytes.Equal(dek.Reveal(), r.read(k.DEK)) {
		return errors.New("the envelope opens to another secret")
	}
	endorsement := Endorse(secret.New(r.read(k.EndorsementKey)), k.Node, pk, context, e).MAC()
	if !bytes.Equal(endorsement[:], r.read(k.Endorsement)) {
		return errors.New("the endorsement differs")
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
