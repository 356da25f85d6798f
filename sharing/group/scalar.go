package group

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"filippo.io/bigmod"

	"warifu.dev/internal/secret"
)

// ScalarSize is the length of an encoded scalar: big-endian, zero-extended.
const ScalarSize = 32

// ErrScalar means that bytes are not the encoding of a scalar that may stand here.
var ErrScalar = errors.New("group: not a scalar")

// orderBytes is q, the order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
var orderBytes = [ScalarSize]byte{
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
}

var order = func() *bigmod.Modulus {
	m, err := bigmod.NewModulus(orderBytes[:])
	if err != nil {
		panic("group: the order of P-256 is no modulus: " + err.Error())
	}
	return m
}()

// Scalar is an integer modulo q. It is treated as secret: it prints as
// [redacted], and its arithmetic is constant time. Methods return a new Scalar
// and leave their receiver alone, [Scalar.Wipe] excepted. Make one with a
// function of this package; the zero value is not a scalar.
type Scalar struct {
	n *bigmod.Nat
}

// DecodeScalar reads exactly 32 bytes, big-endian, below q. Zero is accepted: it
// is a legal response of a proof and a legal value of a polynomial.
func DecodeScalar(b []byte) (*Scalar, error) {
	if len(b) != ScalarSize {
		return nil, fmt.Errorf("decode a scalar of %d bytes: %w", len(b), ErrScalar)
	}
	n, err := bigmod.NewNat().SetBytes(b, order)
	if err != nil {
		return nil, fmt.Errorf("decode a scalar that is not below the group order: %w", ErrScalar)
	}
	return &Scalar{n: n}, nil
}

// DecodeNonZeroScalar is [DecodeScalar] for keys and shares, where zero has no business.
func DecodeNonZeroScalar(b []byte) (*Scalar, error) {
	s, err := DecodeScalar(b)
	if err != nil {
		return nil, err
	}
	if s.IsZero() {
		return nil, fmt.Errorf("decode the scalar zero: %w", ErrScalar)
	}
	return s, nil
}

// sampleAttempts bounds rejection sampling. One draw is refused with probability
// 2^-32, so an honest source never comes near it, and a broken one ends here.
const sampleAttempts = 64

// sample draws 32-byte strings until one is the encoding of a nonzero scalar
// (FIPS 186-5 appendix A.2.2). What it rejects it forgets, so the time it takes
// tells nothing of what it returns.
func sample(draw func([]byte) error) (*Scalar, error) {
	var b [ScalarSize]byte
	defer clear(b[:])
	for range sampleAttempts {
		if err := draw(b[:]); err != nil {
			return nil, err
		}
		if s, err := DecodeNonZeroScalar(b[:]); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("sample a scalar: %d draws in a row were out of range: %w", sampleAttempts, ErrScalar)
}

// RandomScalar draws a uniform nonzero scalar from rand by rejection sampling.
func RandomScalar(rand io.Reader) (*Scalar, error) {
	return sample(func(b []byte) error {
		if _, err := io.ReadFull(rand, b); err != nil {
			return fmt.Errorf("sample a scalar: read randomness: %w", err)
		}
		return nil
	})
}

// ScalarFromHash reduces a digest of 32 to 64 bytes, big-endian, modulo q. From
// 48 bytes on the result is uniform up to 2^-128 (hash_to_field of RFC 9380 takes
// 48). From 32 bytes it is not: residues below 2^256-q, a 2^-32 share of all, are
// twice as likely. That is good enough for a Fiat-Shamir challenge, whose
// soundness loses one bit at most, and for nothing else. Any other length is a
// bug of the caller and panics.
func ScalarFromHash(digest []byte) *Scalar {
	if len(digest) < 32 || len(digest) > 64 {
		panic(fmt.Sprintf("group: a digest of %d bytes is not made into a scalar", len(digest)))
	}
	// Horner's rule over pieces of 16 bytes, each below q; the first may be shorter.
	shift := small(0)
	var two128 [ScalarSize]byte
	two128[ScalarSize-16-1] = 1
	mustSet(shift, two128[:])
	acc := small(0)
	for len(digest) > 0 {
		k := len(digest) % 16
		if k == 0 {
			k = 16
		}
		var piece [ScalarSize]byte
		copy(piece[ScalarSize-k:], digest[:k])
		digest = digest[k:]
		p := bigmod.NewNat()
		mustSet(p, piece[:])
		acc.Mul(shift, order).Add(p, order)
	}
	return &Scalar{n: acc}
}

// SmallScalar is v as a scalar.
func SmallScalar(v uint64) *Scalar { return &Scalar{n: small(v)} }

// SignedScalar is v modulo q. It takes a time that depends on the sign of v, which is public.
func SignedScalar(v int64) *Scalar {
	if v < 0 {
		return SmallScalar(-uint64(v)).Neg()
	}
	return SmallScalar(uint64(v))
}

func small(v uint64) *bigmod.Nat {
	var b [ScalarSize]byte
	binary.BigEndian.PutUint64(b[ScalarSize-8:], v)
	n := bigmod.NewNat()
	mustSet(n, b[:])
	return n
}

func mustSet(n *bigmod.Nat, b []byte) {
	if _, err := n.SetBytes(b, order); err != nil {
		panic("group: a value known to be below the order was refused")
	}
}

func (s *Scalar) copy() *bigmod.Nat { return small(0).Add(s.n, order) }

// Bytes returns the 32 bytes of s. They are a secret if s is.
func (s *Scalar) Bytes() []byte { return s.n.Bytes(order) }

// Add returns s + o.
func (s *Scalar) Add(o *Scalar) *Scalar { return &Scalar{n: s.copy().Add(o.n, order)} }

// Sub returns s - o.
func (s *Scalar) Sub(o *Scalar) *Scalar { return &Scalar{n: s.copy().Sub(o.n, order)} }

// Mul returns s · o.
func (s *Scalar) Mul(o *Scalar) *Scalar { return &Scalar{n: s.copy().Mul(o.n, order)} }

// Neg returns -s.
func (s *Scalar) Neg() *Scalar { return &Scalar{n: small(0).Sub(s.n, order)} }

// orderMinusTwo is the exponent of Fermat's inversion.
var orderMinusTwo = func() []byte {
	b := orderBytes
	b[ScalarSize-1] -= 2
	return b[:]
}()

// Inverse returns 1/s, as s^(q-2). Zero has no inverse: it gives [ErrScalar].
func (s *Scalar) Inverse() (*Scalar, error) {
	if s.IsZero() {
		return nil, fmt.Errorf("invert the scalar zero: %w", ErrScalar)
	}
	return &Scalar{n: bigmod.NewNat().Exp(s.n, orderMinusTwo, order)}, nil
}

// Equal compares in constant time.
func (s *Scalar) Equal(o *Scalar) bool {
	a, b := s.Bytes(), o.Bytes()
	defer clear(a)
	defer clear(b)
	return subtle.ConstantTimeCompare(a, b) == 1
}

// IsZero reports, in constant time, whether s is zero.
func (s *Scalar) IsZero() bool { return s.n.IsZero() == 1 }

// Wipe makes s zero, in place.
func (s *Scalar) Wipe() { clear(s.n.Bits()) }

// String implements [fmt.Stringer].
func (s Scalar) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (s Scalar) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter], so that %x and %v print nothing either.
func (s Scalar) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// LogValue implements [slog.LogValuer].
func (s Scalar) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON.
func (s Scalar) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// MarshalBinary always fails: a scalar is encoded by [Scalar.Bytes], on purpose.
func (s Scalar) MarshalBinary() ([]byte, error) { return nil, secret.ErrNotEncodable }

// MarshalCBOR always fails, as MarshalBinary does.
func (s Scalar) MarshalCBOR() ([]byte, error) { return nil, secret.ErrNotEncodable }
