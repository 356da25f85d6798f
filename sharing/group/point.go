package group

import (
	"errors"
	"fmt"
	"math/bits"

	"filippo.io/nistec"
)

const (
	// PointSize is the length of an uncompressed point: 04 ‖ x ‖ y (SEC 1, section 2.3.3).
	PointSize = 65
	// CompressedSize is the length of a compressed point: 02 or 03 ‖ x.
	CompressedSize = 33
)

// ErrPoint means that bytes are not the one encoding of a point that may stand here.
var ErrPoint = errors.New("group: not a point")

// Point is a point of P-256. It never changes. Arithmetic may give the identity;
// no decoder ever does.
type Point struct {
	p *nistec.P256Point
}

// DecodePoint reads an uncompressed point: 65 bytes, on the curve, coordinates
// below the field prime, not the identity.
func DecodePoint(b []byte) (*Point, error) { return decode(b, PointSize) }

// DecodeCompressed reads a compressed point: 33 bytes, with an x below the field
// prime that is on the curve.
func DecodeCompressed(b []byte) (*Point, error) { return decode(b, CompressedSize) }

func decode(b []byte, size int) (*Point, error) {
	// The length excludes the identity, whose encoding is one byte, and the other form.
	if len(b) != size {
		return nil, fmt.Errorf("decode a point of %d bytes where %d stand: %w", len(b), size, ErrPoint)
	}
	p, err := nistec.NewP256Point().SetBytes(b)
	if err != nil || p.IsInfinity() == 1 {
		return nil, fmt.Errorf("decode a point that is not on the curve: %w", ErrPoint)
	}
	return &Point{p: p}, nil
}

// Generator returns G.
func Generator() *Point { return &Point{p: nistec.NewP256Point().SetGenerator()} }

// Identity returns the neutral element, with which a sum begins.
func Identity() *Point { return &Point{p: nistec.NewP256Point()} }

// BaseMul returns s·G in constant time.
func BaseMul(s *Scalar) *Point {
	b := s.Bytes()
	defer clear(b)
	p, err := nistec.NewP256Point().ScalarBaseMult(b)
	if err != nil {
		panic("group: multiply the generator: " + err.Error())
	}
	return &Point{p: p}
}

// Bytes returns the 65 bytes of p. The identity gives the single byte 00 (SEC 1),
// which no decoder of this package takes.
func (p *Point) Bytes() []byte { return p.p.Bytes() }

// Compressed returns the 33 bytes of p; for the identity see [Point.Bytes].
func (p *Point) Compressed() []byte { return p.p.BytesCompressed() }

// Add returns p + o.
func (p *Point) Add(o *Point) *Point { return &Point{p: nistec.NewP256Point().Add(p.p, o.p)} }

// Neg returns -p.
func (p *Point) Neg() *Point { return &Point{p: nistec.NewP256Point().Negate(p.p)} }

// Mul returns s·p in constant time.
func (p *Point) Mul(s *Scalar) *Point {
	b := s.Bytes()
	defer clear(b)
	r, err := nistec.NewP256Point().ScalarMult(p.p, b)
	if err != nil {
		panic("group: multiply a point: " + err.Error())
	}
	return &Point{p: r}
}

// Equal compares in constant time.
func (p *Point) Equal(o *Point) bool { return p.p.Equal(o.p) == 1 }

// IsIdentity reports whether p is the neutral element.
func (p *Point) IsIdentity() bool { return p.p.IsInfinity() == 1 }

// MulSmall returns v·p in a time that depends on v, which must be public.
func (p *Point) MulSmall(v int64) *Point { return SumSmall([]int64{v}, []*Point{p}) }

// SumSmall returns the sum of v[i]·p[i], by double and add over all of them at
// once. Its time depends on the v, which must be public: they are the small
// Lagrange integers of a quorum. The lists must be of one length.
func SumSmall(v []int64, p []*Point) *Point {
	if len(v) != len(p) {
		panic(fmt.Sprintf("group: %d integers for %d points", len(v), len(p)))
	}
	abs := make([]uint64, len(v))
	signed := make([]*nistec.P256Point, len(v))
	longest := 0
	for i := range v {
		abs[i], signed[i] = uint64(v[i]), p[i].p
		if v[i] < 0 {
			abs[i], signed[i] = -uint64(v[i]), nistec.NewP256Point().Negate(p[i].p)
		}
		longest = max(longest, bits.Len64(abs[i]))
	}
	sum := nistec.NewP256Point()
	for bit := longest - 1; bit >= 0; bit-- {
		if bit != longest-1 {
			sum.Double(sum)
		}
		for i := range abs {
			if abs[i]>>bit&1 == 1 {
				sum.Add(sum, signed[i])
			}
		}
	}
	return &Point{p: sum}
}
