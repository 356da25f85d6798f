package authority

import (
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// ErrKeyAt is returned, wrapped, for a node's word about a key that must not be believed
// to be that node's.
var ErrKeyAt = errors.New("not this node's word about the key")

// KeyAt is a node's word, for one who asks, about what it has of a key: nobody else can
// know. Counts are of this node alone, since it started.
type KeyAt struct {
	Cluster api.ClusterID `cbor:"1,keyasint" json:"-"`
	Node    string        `cbor:"2,keyasint" json:"node"`
	Nonce   [16]byte      `cbor:"3,keyasint" json:"-"`
	Key     api.KeyID     `cbor:"4,keyasint" json:"key"`
	Version uint32        `cbor:"5,keyasint" json:"version"`
	Epoch   uint64        `cbor:"6,keyasint" json:"epoch"`
	Holder  uint32        `cbor:"7,keyasint,omitempty" json:"index,omitempty"` // its place among the holders of this epoch; 0: it is none
	Share   bool          `cbor:"8,keyasint,omitempty" json:"share_open"`      // its share is open here, and can be used
	State   KeyState      `cbor:"9,keyasint" json:"state"`                     // by this node's clock and ledger
	HSM     string        `cbor:"10,keyasint" json:"hsm"`                      // the kind of device that seals its shares
	Serial  string        `cbor:"11,keyasint,omitempty" json:"token_serial,omitempty"`
	Serving string        `cbor:"12,keyasint" json:"serving"` // the node's own state
	Index   uint64        `cbor:"13,keyasint" json:"ledger_index"`
	Time    int64         `cbor:"14,keyasint" json:"time_ms"`                         // this node's clock
	Since   int64         `cbor:"15,keyasint" json:"since_ms"`                        // when the node started, by its clock
	Uses    uint64        `cbor:"16,keyasint,omitempty" json:"uses"`                  // partials that it released since
	LastUse int64         `cbor:"17,keyasint,omitempty" json:"last_use_ms,omitempty"` // 0: none since
	// Escrowed are the epochs, of any version, of which this node has sealed its share to
	// custodians.
	Escrowed []EscrowedAt `cbor:"18,keyasint,omitempty" json:"escrowed,omitempty"`
}

// EscrowedAt is an epoch of a key of which a node has sealed its share to custodians.
type EscrowedAt struct {
	Order   api.Digest `cbor:"1,keyasint" json:"order"`
	Version uint32     `cbor:"2,keyasint" json:"version"`
	Epoch   uint64     `cbor:"3,keyasint" json:"epoch"`
	Since   int64      `cbor:"4,keyasint" json:"since_ms"` // ledger time
}

// SignedKeyAt is a node's word with its signature.
type SignedKeyAt struct {
	Body      []byte    `cbor:"1,keyasint"`
	Signature Signature `cbor:"2,keyasint"`
}

// SignKeyAt signs k in the name of the node whose signer s is.
func SignKeyAt(rand io.Reader, s *Signer, k KeyAt) (*SignedKeyAt, error) {
	body := wire.Encode(k)
	sig, err := s.Sign(rand, tag.KeyAt, body)
	if err != nil {
		return nil, err
	}
	return &SignedKeyAt{Body: body, Signature: sig}, nil
}

// Encode returns the canonical encoding.
func (s *SignedKeyAt) Encode() []byte { return wire.Encode(s) }

// ParseSignedKeyAt reads a node's answer; it believes nothing. Failures wrap [ErrKeyAt].
func ParseSignedKeyAt(b []byte) (*SignedKeyAt, error) {
	var s SignedKeyAt
	if err := wire.Decode(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyAt, err)
	}
	return &s, nil
}

// Verify checks that n, a node of this cluster, said it to who asked with this nonce.
func (s *SignedKeyAt) Verify(cluster api.ClusterID, n *Node, nonce [16]byte) (*KeyAt, error) {
	var k KeyAt
	if err := wire.Decode(s.Body, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyAt, err)
	}
	switch {
	case k.Cluster != cluster || k.Node != n.ID:
		return nil, fmt.Errorf("%w: it is of %.64q", ErrKeyAt, k.Node)
	case k.Nonce != nonce:
		return nil, fmt.Errorf("%w: it answers another question", ErrKeyAt)
	}
	if err := s.Signature.Verify(n.Key, tag.KeyAt, s.Body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyAt, err)
	}
	return &k, nil
}
