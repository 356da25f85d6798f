package sharing

import (
	"errors"
	"fmt"
	"io"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
)

// ProofSize is the length of a Schnorr proof: challenge ‖ response.
const ProofSize = 2 * group.ScalarSize

// ErrProof means that a proof of knowledge does not verify.
var ErrProof = errors.New("sharing: the proof of knowledge does not verify")

// Prove makes a Schnorr proof of knowledge of x with X = x·G (Schnorr, 1991, made
// non-interactive as in RFC 8235), bound to every part of binding in its order.
// The nonce is hedged: see [group.HedgedScalar]. The caller vouches for X = x·G.
func Prove(rand io.Reader, tagNonce, tagChallenge tag.Tag, x *group.Scalar, X *group.Point, binding ...[]byte) ([]byte, error) {
	key := x.Bytes()
	defer clear(key)
	bound := append([][]byte{[]byte(tagChallenge), X.Bytes()}, binding...)
	k, err := group.HedgedScalar(rand, tagNonce, key, bound...)
	if err != nil {
		return nil, fmt.Errorf("prove knowledge: %w", err)
	}
	defer k.Wipe()
	c := schnorrChallenge(tagChallenge, X, group.BaseMul(k), binding)
	cx := c.Mul(x)
	defer cx.Wipe()
	return append(c.Bytes(), k.Add(cx).Bytes()...), nil
}

// VerifySchnorr checks a proof made by [Prove] under the same tag and binding. It
// returns [ErrProof] for any proof that does not verify and for X = identity.
func VerifySchnorr(tagChallenge tag.Tag, X *group.Point, proof []byte, binding ...[]byte) error {
	if len(proof) != ProofSize {
		return fmt.Errorf("verify a proof of %d bytes: %w", len(proof), ErrProof)
	}
	if X.IsIdentity() {
		return fmt.Errorf("verify a proof about the identity: %w", ErrProof)
	}
	c, err := group.DecodeScalar(proof[:group.ScalarSize])
	if err != nil {
		return fmt.Errorf("verify a proof: challenge: %w: %w", ErrProof, err)
	}
	z, err := group.DecodeScalar(proof[group.ScalarSize:])
	if err != nil {
		return fmt.Errorf("verify a proof: response: %w: %w", ErrProof, err)
	}
	commitment := group.BaseMul(z).Add(X.Mul(c).Neg())
	if !schnorrChallenge(tagChallenge, X, commitment, binding).Equal(c) {
		return fmt.Errorf("verify a proof: %w", ErrProof)
	}
	return nil
}

func schnorrChallenge(t tag.Tag, X, commitment *group.Point, binding [][]byte) *group.Scalar {
	parts := append([][]byte{X.Bytes(), commitment.Bytes()}, binding...)
	digest := tag.Hash(t, parts...)
	return group.ScalarFromHash(digest[:])
}
