package tprf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
)

const (
	// formatVersion is the first byte of every ciphertext, as of every envelope.
	formatVersion = 1
	// suite is the replicated function over HMAC-SHA256, and AES-256-GCM. Suite 1 is an
	// envelope of sharing/tdh2.
	suite = 2
	// MaxDEK is the longest secret a ciphertext carries: as long as an envelope's.
	MaxDEK = 64
	// MaxPrincipal bounds the name of who encrypted: a SPIFFE ID is no longer.
	MaxPrincipal = 2048

	commitmentSize = 32
	rhoSize        = 32
	aeadOverhead   = 12 + 16
)

// Where each field of a ciphertext begins.
const (
	offCluster    = 2
	offKeyID      = offCluster + 32
	offVersion    = offKeyID + 32
	offCommitment = offVersion + 4
	offLength     = offCommitment + commitmentSize
	offPrincipal  = offLength + 2

	// MinCiphertext is the length of the shortest ciphertext.
	MinCiphertext = offPrincipal + 1 + aeadOverhead + rhoSize + 1
	// MaxCiphertext is the length of the longest one.
	MaxCiphertext = offPrincipal + MaxPrincipal + aeadOverhead + rhoSize + MaxDEK
)

// ErrCiphertext means that bytes are not a ciphertext of this format.
var ErrCiphertext = errors.New("tprf: not a ciphertext")

// errOther is what every envelope of an asymmetric key gets, before it is read as one.
var errOther = fmt.Errorf("parse a ciphertext of another format or suite: %w", ErrCiphertext)

// Key names a symmetric threshold key.
type Key struct {
	Cluster [32]byte
	ID      [32]byte
	Version uint32
}

// Ciphertext is a parsed ciphertext. It never changes. Nothing in it has been checked
// but its form. Its bytes:
//
//	  0   1  format version, 1
//	  1   1  suite, 2: replicated HMAC-SHA256, AES-256-GCM
//	  2  32  cluster
//	 34  32  key id
//	 66   4  key version, big-endian
//	 70  32  α, the commitment to ρ and the DEK
//	102   2  m, the length of the principal, big-endian
//	104   m  the principal that encrypted
//	104+m n  nonce (12) ‖ AES-256-GCM of ρ (32) ‖ DEK (1 to 64) ‖ tag (16)
type Ciphertext struct {
	raw []byte
	end int // of the principal
}

// Parse reads a ciphertext. The bytes are copied. Every refusal is an [ErrCiphertext].
func Parse(b []byte) (*Ciphertext, error) {
	if len(b) < MinCiphertext || len(b) > MaxCiphertext {
		return nil, fmt.Errorf("parse a ciphertext of %d bytes, not %d to %d: %w", len(b), MinCiphertext, MaxCiphertext, ErrCiphertext)
	}
	if b[0] != formatVersion || b[1] != suite {
		return nil, errOther
	}
	m := int(binary.BigEndian.Uint16(b[offLength:]))
	end := offPrincipal + m
	if m < 1 || m > MaxPrincipal {
		return nil, fmt.Errorf("parse a ciphertext: a principal of %d bytes: %w", m, ErrCiphertext)
	}
	if n := len(b) - end - aeadOverhead - rhoSize; n < 1 || n > MaxDEK {
		return nil, fmt.Errorf("parse a ciphertext: a secret of %d bytes: %w", n, ErrCiphertext)
	}
	return &Ciphertext{raw: bytes.Clone(b), end: end}, nil
}

// Key returns the key that the ciphertext says it was made with.
func (c *Ciphertext) Key() Key {
	return Key{
		Cluster: [32]byte(c.raw[offCluster:offKeyID]), ID: [32]byte(c.raw[offKeyID:offVersion]),
		Version: binary.BigEndian.Uint32(c.raw[offVersion:offCommitment]),
	}
}

// Commitment returns α.
func (c *Ciphertext) Commitment() [commitmentSize]byte {
	return [commitmentSize]byte(c.raw[offCommitment:offLength])
}

// Principal returns who the ciphertext says has encrypted it.
func (c *Ciphertext) Principal() string { return string(c.raw[offPrincipal:c.end]) }

// Bytes returns a copy of the ciphertext.
func (c *Ciphertext) Bytes() []byte { return bytes.Clone(c.raw) }

func (c *Ciphertext) header() []byte { return c.raw[:c.end] }
func (c *Ciphertext) sealed() []byte { return c.raw[c.end:] }

// Input is what the function is evaluated at, for one item.
type Input struct{ bytes []byte }

// Hash names the item in the audit: when it is encrypted, and whenever it is opened.
func (x Input) Hash() [32]byte { return tag.Hash(tag.ItemHash, x.bytes) }

// ItemInput binds an item to its key, to the context and the principal it was encrypted
// under, and by α to what was encrypted. context is the canonical encoding that the gate
// decides on. On encrypting a holder fills in the principal that asks.
func ItemInput(k Key, context []byte, principal string, alpha [commitmentSize]byte) Input {
	return Input{tag.List(tag.ItemInput, []byte{suite}, k.Cluster[:], k.ID[:], binary.BigEndian.AppendUint32(nil, k.Version),
		context, []byte(principal), alpha[:])}
}

// Input is the one that opens the ciphertext under a context.
func (c *Ciphertext) Input(context []byte) Input {
	return ItemInput(c.Key(), context, c.Principal(), c.Commitment())
}
