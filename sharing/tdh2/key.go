package tdh2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// ErrPublicKey means that values do not make a public key.
var ErrPublicKey = errors.New("tdh2: not a public key")

// PublicKey is one version of an asymmetric key. Make it with [NewPublicKey] and
// do not change it.
type PublicKey struct {
	Cluster, KeyID [32]byte
	Version        uint32
	// T and H are the threshold and the number of holders. A reshare changes them.
	T, H int
	// Y is the public key, W = Δ·Y.
	Y, W *group.Point
	// Delta is born with the version and outlives every reshare.
	Delta uint64
}

// NewPublicKey makes the public key of a version born with t of h holders: it
// computes Δ and W. Y must not be the identity.
func NewPublicKey(cluster, keyID [32]byte, version uint32, t, h int, y *group.Point) (*PublicKey, error) {
	if err := (sharing.Params{T: t, H: h}).Validate(); err != nil {
		return nil, fmt.Errorf("make a public key: %w: %w", ErrPublicKey, err)
	}
	if y == nil || y.IsIdentity() {
		return nil, fmt.Errorf("make a public key from the identity: %w", ErrPublicKey)
	}
	delta := sharing.Delta(t, h)
	return &PublicKey{
		Cluster: cluster, KeyID: keyID, Version: version, T: t, H: h,
		Y: y, W: y.Mul(group.SmallScalar(delta)), Delta: delta,
	}, nil
}

// Reshared is the same key with the threshold and the number of holders that a
// reshare has given it: Y, W and Δ stay those of its birth, so every envelope opens.
func (pk *PublicKey) Reshared(p sharing.Params) (*PublicKey, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("reshare a public key: %w: %w", ErrPublicKey, err)
	}
	next := *pk
	next.T, next.H = p.T, p.H
	return &next, nil
}

func uint32Bytes(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
