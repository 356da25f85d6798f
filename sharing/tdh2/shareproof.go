package tdh2

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// ShareProofSize is the length of a share proof: challenge ‖ response.
const ShareProofSize = 2 * group.ScalarSize

var (
	// ErrShareProof means that a partial is not proven: whoever sent it lies, or
	// speaks of another key, epoch, index or envelope.
	ErrShareProof = errors.New("tdh2: the share proof does not verify")
	// ErrPublicShares means that public shares do not belong to the public key.
	ErrPublicShares = errors.New("tdh2: the public shares are not of this key")
)

// ShareID says which share a proof speaks of.
type ShareID struct {
	Cluster, KeyID [32]byte
	Version        uint32
	Epoch          uint64
	Index          sharing.Index
}

// VerifiedPartial is a partial whose proof verified. Only [VerifyShare] makes one.
type VerifiedPartial struct {
	id       ShareID
	yi, di   *group.Point
	envelope [32]byte
}

// ID returns the share the partial was made with.
func (p VerifiedPartial) ID() ShareID { return p.id }

// Point returns D_i.
func (p VerifiedPartial) Point() *group.Point { return p.di }

// dst is the context string of RFC 9497 for one partial; all that a proof is
// bound to is in it.
func (id ShareID) dst(yi, di *group.Point, e *Envelope) [32]byte {
	envelope := e.Hash()
	return tag.Hash(tag.ShareProof, []byte{suite}, id.Cluster[:], id.KeyID[:], uint32Bytes(id.Version),
		tag.Uint64(id.Epoch), tag.Uint64(uint64(id.Index)), yi.Bytes(), di.Bytes(), envelope[:])
}

func (id ShareID) check(yi, di *group.Point, e *Envelope) error {
	if err := id.Index.Validate(); err != nil {
		return fmt.Errorf("share proof: %w: %w", ErrShareProof, err)
	}
	if id.Cluster != e.Cluster() || id.KeyID != e.KeyID() || id.Version != e.Version() {
		return fmt.Errorf("share proof for an envelope of another key: %w", ErrShareProof)
	}
	if yi.IsIdentity() || di.IsIdentity() {
		return fmt.Errorf("share proof about the identity: %w", ErrShareProof)
	}
	return nil
}

// ProveShare proves that di = x·u and yi = x·G have one x, the share: the DLEQ
// proof of RFC 9497 section 2.2.1, of 64 bytes, with a batch of one. The caller vouches that yi
// and di are what they should be; for others the proof does not verify. The nonce
// is hedged with the share. The arithmetic on the share is constant time.
func ProveShare(rand io.Reader, share *group.Scalar, id ShareID, yi, di *group.Point, e *Envelope) ([]byte, error) {
	if err := id.check(yi, di, e); err != nil {
		return nil, err
	}
	dst := id.dst(yi, di, e)
	m, z := composites(dst[:], yi, e.u, di)
	key := share.Bytes()
	defer clear(key)
	r, err := group.HedgedScalar(rand, tag.ShareProofNonce, key, dst[:], m.Bytes(), z.Bytes())
	if err != nil {
		return nil, fmt.Errorf("share proof: %w", err)
	}
	defer r.Wipe()
	c := dleqChallenge(dst[:], yi, m, z, group.BaseMul(r), m.Mul(r))
	cx := c.Mul(share)
	defer cx.Wipe()
	return append(c.Bytes(), r.Sub(cx).Bytes()...), nil
}

// VerifyShare checks a proof of [ProveShare] (RFC 9497 section 2.2.2). yi comes
// from the key record, never from the one who proves. Every refusal is an
// [ErrShareProof].
func VerifyShare(id ShareID, yi, di *group.Point, e *Envelope, proof []byte) (VerifiedPartial, error) {
	if err := id.check(yi, di, e); err != nil {
		return VerifiedPartial{}, err
	}
	if len(proof) != ShareProofSize {
		return VerifiedPartial{}, fmt.Errorf("share proof of %d bytes: %w", len(proof), ErrShareProof)
	}
	c, err := group.DecodeScalar(proof[:group.ScalarSize])
	if err != nil {
		return VerifiedPartial{}, fmt.Errorf("share proof: challenge: %w: %w", ErrShareProof, err)
	}
	s, err := group.DecodeScalar(proof[group.ScalarSize:])
	if err != nil {
		return VerifiedPartial{}, fmt.Errorf("share proof: response: %w: %w", ErrShareProof, err)
	}
	dst := id.dst(yi, di, e)
	m, z := composites(dst[:], yi, e.u, di)
	t2 := group.BaseMul(s).Add(yi.Mul(c))
	t3 := m.Mul(s).Add(z.Mul(c))
	if !dleqChallenge(dst[:], yi, m, z, t2, t3).Equal(c) {
		return VerifiedPartial{}, fmt.Errorf("share proof of index %d: %w", int(id.Index), ErrShareProof)
	}
	return VerifiedPartial{id: id, yi: yi, di: di, envelope: e.Hash()}, nil
}

// prefixed appends b after its length in two bytes, as RFC 9497 does.
func prefixed(list []byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(list, uint16(len(b))), b...)
}

// composites is ComputeComposites of RFC 9497 section 2.2.1 for a batch of one:
// M = d·C and Z = d·D with a d that depends on everything. All of it is public.
func composites(context []byte, b, c, d *group.Point) (m, z *group.Point) {
	transcript := prefixed(nil, b.Compressed())
	transcript = prefixed(transcript, append([]byte("Seed-"), context...))
	seed := sha256.Sum256(transcript)
	transcript = prefixed(nil, seed[:])
	transcript = append(transcript, 0, 0) // the place in the batch
	transcript = prefixed(transcript, c.Compressed())
	transcript = prefixed(transcript, d.Compressed())
	transcript = append(transcript, "Composite"...)
	factor := group.HashToScalar(transcript, append([]byte("HashToScalar-"), context...))
	return c.Mul(factor), d.Mul(factor)
}

// dleqChallenge is the challenge of RFC 9497 section 2.2.1.
func dleqChallenge(context []byte, b, m, z, t2, t3 *group.Point) *group.Scalar {
	var transcript []byte
	for _, p := range []*group.Point{b, m, z, t2, t3} {
		transcript = prefixed(transcript, p.Compressed())
	}
	transcript = append(transcript, "Challenge"...)
	return group.HashToScalar(transcript, append([]byte("HashToScalar-"), context...))
}
