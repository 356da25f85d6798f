package api

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrIdentifier is returned, wrapped, for text that is not the identifier asked for.
var ErrIdentifier = errors.New("not an identifier of 64 lower-case hexadecimal digits")

// Digest is a SHA-256 hash. As text it is 64 lower-case hexadecimal digits.
type Digest [32]byte

// ClusterID names a cluster: 32 random bytes, made with its genesis.
type ClusterID [32]byte

// KeyID names a threshold key: the hash of the session its first version was born in.
type KeyID [32]byte

// RequestID names one request of a client in the audit of every node it asked.
type RequestID [16]byte

func (d Digest) String() string    { return hex.EncodeToString(d[:]) }
func (c ClusterID) String() string { return hex.EncodeToString(c[:]) }
func (k KeyID) String() string     { return hex.EncodeToString(k[:]) }
func (r RequestID) String() string { return hex.EncodeToString(r[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalText implements [encoding.TextMarshaler].
func (c ClusterID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalText implements [encoding.TextMarshaler].
func (k KeyID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalText implements [encoding.TextMarshaler].
func (r RequestID) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// IsZero reports whether d is the 32 zero bytes that stand for "nothing before".
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads 64 lower-case hexadecimal digits, the one spelling of a
// digest. Failures wrap [ErrIdentifier].
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return Digest{}, fmt.Errorf("%w: %q", ErrIdentifier, abbreviate(s))
	}
	copy(d[:], b)
	if d.String() != s {
		return Digest{}, fmt.Errorf("%w: %q", ErrIdentifier, abbreviate(s))
	}
	return d, nil
}

func abbreviate(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
