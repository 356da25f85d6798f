package tdh2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
)

const (
	// formatVersion is the first byte of every envelope of this format.
	formatVersion = 1
	// suite is P-256, SHA-256, HKDF-SHA256 and AES-256-GCM: the only one there is.
	suite = 1
)

const (
	// MaxDEK is the longest secret an envelope carries: two AES-256 keys, or the
	// key and salt of a file format. Anything longer is encrypted under a DEK.
	MaxDEK = 64
	// aeadOverhead is what AES-256-GCM with a random nonce adds: 12 before, 16 after.
	aeadOverhead = 12 + 16
)

// Where each field of an envelope begins.
const (
	offCluster    = 2
	offKeyID      = offCluster + 32
	offVersion    = offKeyID + 32
	offU          = offVersion + 4
	offUBar       = offU + group.PointSize
	offCommitment = offUBar + group.PointSize
	offWrapped    = offCommitment + commitmentSize

	commitmentSize = 32
	proofSize      = 2 * group.ScalarSize
	// MinEnvelope is the length of an envelope around a DEK of one byte.
	MinEnvelope = offWrapped + aeadOverhead + 1 + proofSize
	// MaxEnvelope is the length of an envelope around a DEK of [MaxDEK] bytes.
	MaxEnvelope = offWrapped + aeadOverhead + MaxDEK + proofSize
)

// ErrEnvelope means that bytes are not an envelope of this format.
var ErrEnvelope = errors.New("tdh2: not an envelope")

// Envelope is a parsed envelope. It never changes. Nothing in it has been checked
// but its form: see [PublicKey.Verify]. Its bytes, 325 to 388 of them:
//
//	  0   1  format version, 1
//	  1   1  suite, 1: P-256, SHA-256, HKDF-SHA256, AES-256-GCM
//	  2  32  cluster
//	 34  32  key id
//	 66   4  key version, big-endian
//	 70  65  u = r·G, uncompressed
//	135  65  ū = r·Ḡ, uncompressed
//	200  32  commitment to the opening
//	232   n  wrapped DEK: nonce (12) ‖ ciphertext (1 to 64) ‖ tag (16)
//	232+n 32 e, the challenge of the proof
//	264+n 32 f, its response
//
// There is no length field: n is what is left, and the DEK is as long as that says.
type Envelope struct {
	raw     []byte
	u, uBar *group.Point
	e, f    *group.Scalar
}

// Parse reads an envelope. It accepts exactly what [Wrap] can have written: the
// one format and suite, the right length, canonical points and scalars. The bytes
// are copied. Every refusal is an [ErrEnvelope].
func Parse(b []byte) (*Envelope, error) {
	if len(b) < MinEnvelope || len(b) > MaxEnvelope {
		return nil, fmt.Errorf("parse an envelope of %d bytes, not %d to %d: %w", len(b), MinEnvelope, MaxEnvelope, ErrEnvelope)
	}
	if b[0] != formatVersion {
		return nil, fmt.Errorf("parse an envelope of format %d, not %d: %w", b[0], formatVersion, ErrEnvelope)
	}
	if b[1] != suite {
		return nil, fmt.Errorf("parse an envelope of suite %d, not %d: %w", b[1], suite, ErrEnvelope)
	}
	env := &Envelope{raw: bytes.Clone(b)}
	var err error
	if env.u, err = group.DecodePoint(b[offU:offUBar]); err != nil {
		return nil, fmt.Errorf("parse an envelope: u: %w: %w", ErrEnvelope, err)
	}
	if env.uBar, err = group.DecodePoint(b[offUBar:offCommitment]); err != nil {
		return nil, fmt.Errorf("parse an envelope: ū: %w: %w", ErrEnvelope, err)
	}
	proof := b[len(b)-proofSize:]
	if env.e, err = group.DecodeScalar(proof[:group.ScalarSize]); err != nil {
		return nil, fmt.Errorf("parse an envelope: challenge: %w: %w", ErrEnvelope, err)
	}
	if env.f, err = group.DecodeScalar(proof[group.ScalarSize:]); err != nil {
		return nil, fmt.Errorf("parse an envelope: response: %w: %w", ErrEnvelope, err)
	}
	return env, nil
}

// Cluster returns the cluster the envelope says it was made for.
func (e *Envelope) Cluster() [32]byte { return [32]byte(e.raw[offCluster:offKeyID]) }

// KeyID returns the key the envelope says it was made for.
func (e *Envelope) KeyID() [32]byte { return [32]byte(e.raw[offKeyID:offVersion]) }

// Version returns the key version the envelope says it was made for.
func (e *Envelope) Version() uint32 { return binary.BigEndian.Uint32(e.raw[offVersion:offU]) }

// Bytes returns a copy of the envelope.
func (e *Envelope) Bytes() []byte { return bytes.Clone(e.raw) }

// Hash names the envelope, all of its bytes, in share proofs and in the audit.
func (e *Envelope) Hash() [32]byte { return tag.Hash(tag.EnvelopeHash, e.raw) }

// U returns u, which a partial multiplies.
func (e *Envelope) U() *group.Point { return e.u }

func (e *Envelope) commitment() []byte { return e.raw[offCommitment:offWrapped] }
func (e *Envelope) wrapped() []byte    { return e.raw[offWrapped : len(e.raw)-proofSize] }
