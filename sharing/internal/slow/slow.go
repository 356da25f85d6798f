// Package slow is P-256 and Shamir's sharing a second time, in affine
// coordinates over math/big, as a textbook would write them. It is slow, not
// constant time, and obvious; only tests import it, to hold the fast code
// against it.
package slow

import (
	"crypto/elliptic"
	"math/big"
)

// The domain parameters (SP 800-186).
var (
	P = elliptic.P256().Params().P
	Q = elliptic.P256().Params().N
	B = elliptic.P256().Params().B
	G = Point{X: elliptic.P256().Params().Gx, Y: elliptic.P256().Params().Gy}
)

// Point is an affine point; X is nil for the identity.
type Point struct{ X, Y *big.Int }

// Decode reads 04 ‖ x ‖ y without any check.
func Decode(b []byte) Point {
	return Point{X: new(big.Int).SetBytes(b[1:33]), Y: new(big.Int).SetBytes(b[33:65])}
}

// Bytes encodes as 04 ‖ x ‖ y, the identity as 00.
func (p Point) Bytes() []byte {
	if p.X == nil {
		return []byte{0}
	}
	b := make([]byte, 65)
	b[0] = 4
	p.X.FillBytes(b[1:33])
	p.Y.FillBytes(b[33:])
	return b
}

// OnCurve reports y² = x³ - 3x + b.
func (p Point) OnCurve() bool {
	y2 := new(big.Int).Mul(p.Y, p.Y)
	x3 := new(big.Int).Exp(p.X, big.NewInt(3), nil)
	x3.Sub(x3, new(big.Int).Mul(big.NewInt(3), p.X))
	x3.Add(x3, B)
	return y2.Sub(y2, x3).Mod(y2, P).Sign() == 0
}

// Neg returns -p.
func (p Point) Neg() Point {
	if p.X == nil {
		return p
	}
	return Point{X: p.X, Y: new(big.Int).Mod(new(big.Int).Neg(p.Y), P)}
}

// Add returns p + o by chord and tangent.
func (p Point) Add(o Point) Point {
	if p.X == nil {
		return o
	}
	if o.X == nil {
		return p
	}
	top, bottom := new(big.Int), new(big.Int)
	switch {
	case p.X.Cmp(o.X) != 0:
		top.Sub(o.Y, p.Y)
		bottom.Sub(o.X, p.X)
	case p.Y.Cmp(o.Y) != 0 || p.Y.Sign() == 0:
		return Point{}
	default:
		top.Mul(p.X, p.X).Mul(top, big.NewInt(3)).Sub(top, big.NewInt(3))
		bottom.Lsh(p.Y, 1)
	}
	bottom.Mod(bottom, P).ModInverse(bottom, P)
	slope := top.Mul(top, bottom)
	x := new(big.Int).Mul(slope, slope)
	x.Sub(x, p.X).Sub(x, o.X).Mod(x, P)
	y := new(big.Int).Sub(p.X, x)
	y.Mul(y, slope).Sub(y, p.Y).Mod(y, P)
	return Point{X: x, Y: y}
}

// Mul returns k·p by double and add; k is reduced modulo q.
func (p Point) Mul(k *big.Int) Point {
	k = new(big.Int).Mod(k, Q)
	sum := Point{}
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum = sum.Add(sum)
		if k.Bit(i) == 1 {
			sum = sum.Add(p)
		}
	}
	return sum
}

// Eval returns the value at x of the polynomial whose constant term comes first, modulo q.
func Eval(coefficients []*big.Int, x int) *big.Int {
	sum := new(big.Int)
	power := big.NewInt(1)
	for _, c := range coefficients {
		sum.Add(sum, new(big.Int).Mul(c, power))
		power.Mul(power, big.NewInt(int64(x)))
	}
	return sum.Mod(sum, Q)
}

// Lagrange returns, as rationals, the coefficients at zero for distinct x.
func Lagrange(xs []int) []*big.Rat {
	out := make([]*big.Rat, len(xs))
	for k, i := range xs {
		out[k] = big.NewRat(1, 1)
		for _, j := range xs {
			if j != i {
				out[k].Mul(out[k], big.NewRat(int64(j), int64(j-i)))
			}
		}
	}
	return out
}

// ModQ returns r modulo q.
func ModQ(r *big.Rat) *big.Int {
	inverse := new(big.Int).ModInverse(r.Denom(), Q)
	return inverse.Mul(inverse, r.Num()).Mod(inverse, Q)
}
