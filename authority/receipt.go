package authority

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// ErrReceipt is returned, wrapped, for a revoke receipt that must not be counted.
var ErrReceipt = errors.New("not a believable revoke receipt")

// RevokeReceipt is what a node says of a revoke or a seal: that it is in force and
// durable there. It stays true until a lift is committed.
type RevokeReceipt struct {
	Cluster api.ClusterID `cbor:"1,keyasint"`
	Node    string        `cbor:"2,keyasint"`
	Revoke  api.Digest    `cbor:"3,keyasint"` // id of the change
	Subject Subject       `cbor:"4,keyasint"` // what it denies
	Index   uint64        `cbor:"5,keyasint"` // Raft index where this node has it committed; 0: kept, and not committed here
	Keys    api.Digest    `cbor:"6,keyasint"` // [LiveKeys] as this node has them committed
	Roster  uint64        `cbor:"7,keyasint"` // version of the roster as this node has it committed
	Roll    api.Digest    `cbor:"8,keyasint"` // the change that made it, or zero
}

// SignedReceipt is a receipt with its node's signature.
type SignedReceipt struct {
	Receipt   RevokeReceipt `cbor:"1,keyasint"`
	Signature Signature     `cbor:"2,keyasint"`
}

// SignReceipt signs r in the name of the node whose signer s is.
func SignReceipt(rand io.Reader, s *Signer, r RevokeReceipt) (*SignedReceipt, error) {
	sig, err := s.Sign(rand, tag.RevokeReceipt, wire.Encode(r))
	if err != nil {
		return nil, err
	}
	return &SignedReceipt{Receipt: r, Signature: sig}, nil
}

// Encode returns the canonical encoding.
func (s *SignedReceipt) Encode() []byte { return wire.Encode(s) }

// ParseSignedReceipt reads a receipt; it believes nothing. Failures wrap [ErrReceipt].
func ParseSignedReceipt(b []byte) (*SignedReceipt, error) {
	var s SignedReceipt
	if err := wire.Decode(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return &s, nil
}

// ErrRosterUnknown is returned, wrapped, for a receipt that was given under a roster to
// which no change leads that is known here. It also wraps [ErrReceipt].
var ErrRosterUnknown = fmt.Errorf("%w: it was given under a roster that is not known here", ErrReceipt)

// Verify checks that a node of the known roster gave this receipt, under that roster or
// an earlier one of its chain, for its cluster and about the change id. Under a later one
// other nodes may hold shares: whoever counts needs the changes that lead there. A
// receipt of an earlier one stands, since it is true until a lift is committed.
func (s *SignedReceipt) Verify(known *Succession, id api.Digest) error {
	r, g := &s.Receipt, known.Genesis
	n := g.NodeByID(r.Node)
	switch made, is := known.RosterMadeBy(r.Roster); {
	case r.Cluster != g.Cluster:
		return fmt.Errorf("%w: it is for the cluster %s", ErrReceipt, r.Cluster)
	case n == nil:
		return fmt.Errorf("%w: %.64q is not on the roster", ErrReceipt, r.Node)
	case r.Revoke != id:
		return fmt.Errorf("%w: it is about the change %s", ErrReceipt, r.Revoke)
	case !is || made != r.Roll:
		return fmt.Errorf("%w: of %s, version %d; known is %d", ErrRosterUnknown, r.Node, r.Roster, known.Roll.Version)
	}
	if err := r.Subject.Check(); err != nil {
		return fmt.Errorf("%w: of %s: %w", ErrReceipt, r.Node, err)
	}
	if err := s.Signature.Verify(n.Key, tag.RevokeReceipt, wire.Encode(r)); err != nil {
		return fmt.Errorf("%w: of %s: %w", ErrReceipt, r.Node, err)
	}
	return nil
}

// LiveEpoch is one epoch of a key that can release.
type LiveEpoch struct {
	Key     api.KeyID `cbor:"1,keyasint"`
	Version uint32    `cbor:"2,keyasint"`
	Epoch   uint64    `cbor:"3,keyasint"`
}

// Compare orders epochs by key, version and number.
func (e LiveEpoch) Compare(o LiveEpoch) int {
	return cmp.Or(bytes.Compare(e.Key[:], o.Key[:]), cmp.Compare(e.Version, o.Version), cmp.Compare(e.Epoch, o.Epoch))
}

// LiveKeys identifies a list of live epochs, which is sorted.
func LiveKeys(list []LiveEpoch) api.Digest {
	var parts [][]byte
	for _, e := range list {
		parts = append(parts, e.Key[:], tag.Uint64(uint64(e.Version)), tag.Uint64(e.Epoch))
	}
	return tag.Hash(tag.LiveKeys, parts...)
}
