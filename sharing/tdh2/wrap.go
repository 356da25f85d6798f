package tdh2

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
)

// ErrDEK means that a secret is not of 1 to 64 bytes.
var ErrDEK = errors.New("tdh2: a wrapped secret has 1 to 64 bytes")

// Wrap makes an envelope around dek that t holders of pk open, and only for the
// same context. context is the canonical encoding made by the caller, who bounds
// its length. dek has 1 to [MaxDEK] bytes; its length shows in the envelope.
//
// r and s are hedged with the DEK, and s besides with every byte it will be
// proved over: with a stuck rand no two envelopes share s unless they are equal,
// which is what would give r away.
func Wrap(rand io.Reader, pk *PublicKey, context []byte, dek secret.Bytes) ([]byte, error) {
	if dek.Len() < 1 || dek.Len() > MaxDEK {
		return nil, fmt.Errorf("wrap %d bytes: %w", dek.Len(), ErrDEK)
	}
	label := pk.label(context)
	r, err := group.HedgedScalar(rand, tag.EnvelopeNonce, dek.Reveal(), []byte("r"), label[:], pk.W.Bytes())
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	defer r.Wipe()

	b := make([]byte, 0, MaxEnvelope)
	b = append(b, formatVersion, suite)
	b = append(b, pk.Cluster[:]...)
	b = append(b, pk.KeyID[:]...)
	b = append(b, uint32Bytes(pk.Version)...)
	b = append(b, group.BaseMul(r).Bytes()...)
	b = append(b, group.SecondGenerator().Mul(r).Bytes()...)
	kek, commitment := deriveKEK(pk.W.Mul(r), label, b[offU:offUBar], pk.W)
	defer clear(kek)
	b = append(b, commitment...)
	b = newAEAD(kek).Seal(b, nil, dek.Reveal(), tag.List(tag.EnvelopeAAD, label[:]))

	encoded := r.Bytes()
	defer clear(encoded)
	key := slices.Concat(encoded, dek.Reveal())
	defer clear(key)
	s, err := group.HedgedScalar(rand, tag.EnvelopeNonce, key, []byte("s"), label[:], pk.W.Bytes(), b)
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	defer s.Wipe()
	e := pk.challenge(context, b, group.BaseMul(s), group.SecondGenerator().Mul(s))
	er := e.Mul(r)
	defer er.Wipe()
	b = append(b, e.Bytes()...)
	return append(b, s.Add(er).Bytes()...), nil
}

// label is the label L of TDH2: what an envelope is for.
func (pk *PublicKey) label(context []byte) [32]byte {
	return tag.Hash(tag.EnvelopeLabel, []byte{suite}, []byte{formatVersion},
		pk.Cluster[:], pk.KeyID[:], uint32Bytes(pk.Version), context)
}

// challenge is the Fiat-Shamir challenge over the statement and everything else
// in the envelope; unproved is the envelope without its proof.
func (pk *PublicKey) challenge(context, unproved []byte, w, wBar *group.Point) *group.Scalar {
	digest := tag.Hash(tag.EnvelopeChallenge, unproved[1:2], unproved[0:1],
		unproved[offCluster:offKeyID], unproved[offKeyID:offVersion], unproved[offVersion:offU],
		pk.W.Bytes(), context, unproved[offU:offUBar], unproved[offUBar:offCommitment],
		w.Bytes(), wBar.Bytes(), unproved[offCommitment:])
	return group.ScalarFromHash(digest[:])
}

// deriveKEK makes, from the KEM point, the key that wraps the DEK and the
// commitment to it (RFC 5869). AES-GCM alone commits to nothing: one ciphertext
// can open under two keys.
func deriveKEK(point *group.Point, label [32]byte, u []byte, w *group.Point) (kek, commitment []byte) {
	shared := point.Bytes()
	defer clear(shared)
	info := tag.List(tag.EnvelopeKEK, []byte{suite}, label[:], u, w.Bytes())
	out, err := hkdf.Key(sha256.New, shared, nil, string(info), 32+commitmentSize)
	if err != nil {
		panic("tdh2: derive a wrapping key: " + err.Error())
	}
	return out[:32:32], out[32:]
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("tdh2: make a cipher: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("tdh2: make an AEAD: " + err.Error())
	}
	return aead
}
