package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// Redacted is all that is ever printed of a [Bytes].
const Redacted = "[redacted]"

// ErrNotEncodable is returned by every decoder: a secret is never read from a
// text or a message by accident.
var ErrNotEncodable = errors.New("secret: bytes of a secret are never encoded or decoded in passing")

// Bytes is a secret of any length. The zero value is an empty secret.
type Bytes struct {
	b []byte
}

// New takes ownership of b: the caller must not use b afterwards.
func New(b []byte) Bytes { return Bytes{b: b} }

// Clone copies b.
func Clone(b []byte) Bytes { return Bytes{b: append([]byte(nil), b...)} }

// Reveal returns the bytes themselves, not a copy. They are gone after [Bytes.Wipe].
func (s Bytes) Reveal() []byte { return s.b }

// Len returns the number of bytes.
func (s Bytes) Len() int { return len(s.b) }

// Equal compares in time that depends on the lengths alone.
func (s Bytes) Equal(o Bytes) bool { return subtle.ConstantTimeCompare(s.b, o.b) == 1 }

// Wipe overwrites the bytes with zeros.
func (s Bytes) Wipe() { clear(s.b) }

// String implements [fmt.Stringer].
func (s Bytes) String() string { return Redacted }

// GoString implements [fmt.GoStringer].
func (s Bytes) GoString() string { return Redacted }

// Format implements [fmt.Formatter], so that %x and %v print nothing either.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue implements [slog.LogValuer].
func (s Bytes) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON, TOML and XML.
func (s Bytes) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText always fails with [ErrNotEncodable].
func (s *Bytes) UnmarshalText([]byte) error { return ErrNotEncodable }

// MarshalBinary always fails with [ErrNotEncodable].
func (s Bytes) MarshalBinary() ([]byte, error) { return nil, ErrNotEncodable }

// MarshalCBOR always fails with [ErrNotEncodable].
func (s Bytes) MarshalCBOR() ([]byte, error) { return nil, ErrNotEncodable }
