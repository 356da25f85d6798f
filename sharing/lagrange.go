package sharing

import (
	"fmt"
	"math"
	"math/bits"
	"sync"

	"warifu.dev/sharing/group"
)

// fraction is a Lagrange coefficient at zero in lowest terms: ±num/den. With
// indices within 1..16 both products stay below 16! < 2^45.
type fraction struct {
	num, den uint64
	negative bool
}

// coefficient is λ of index i at zero: the product over the others j of j/(j-i).
func coefficient(i Index, quorum []Index) fraction {
	f := fraction{num: 1, den: 1}
	for _, j := range quorum {
		if j == i {
			continue
		}
		difference := int64(j - i)
		if difference < 0 {
			f.negative = !f.negative
			difference = -difference
		}
		f.num *= uint64(j)
		f.den *= uint64(difference)
	}
	d := gcd(f.num, f.den)
	f.num, f.den = f.num/d, f.den/d
	return f
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// scaled is |Δ·λ|; ok is false if it is no integer or not below 2^63.
func (f fraction) scaled(delta uint64) (v uint64, ok bool) {
	if delta%f.den != 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(delta/f.den, f.num)
	return lo, hi == 0 && lo <= math.MaxInt64
}

var deltas [MaxHolders + 1][MaxHolders + 1]func() uint64

func init() {
	for t := MinThreshold; t <= MaxHolders; t++ {
		for h := t; h <= MaxHolders; h++ {
			deltas[t][h] = sync.OnceValue(func() uint64 { return computeDelta(t, h) })
		}
	}
}

// Delta returns Δ for a key born with t of h: the least common multiple of the
// denominators of the Lagrange coefficients at zero over all t-subsets of 1..h,
// or 1 if some |Δ·λ| would not be below 2^63. It is computed once per shape,
// within milliseconds. Parameters out of range are a bug and panic.
func Delta(t, h int) uint64 {
	if err := (Params{T: t, H: h}).Validate(); err != nil {
		panic("sharing: delta: " + err.Error())
	}
	return deltas[t][h]()
}

func computeDelta(t, h int) uint64 {
	delta := uint64(1)
	fits := eachCoefficient(t, h, func(f fraction) bool {
		hi, lo := bits.Mul64(delta/gcd(delta, f.den), f.den)
		delta = lo
		return hi == 0
	})
	fits = fits && eachCoefficient(t, h, func(f fraction) bool {
		_, ok := f.scaled(delta)
		return ok
	})
	if !fits {
		return 1
	}
	return delta
}

// eachCoefficient calls visit with every coefficient of every t-subset of 1..h,
// until it returns false.
func eachCoefficient(t, h int, visit func(fraction) bool) bool {
	quorum := make([]Index, 0, h)
	for subset := uint(0); subset < 1<<h; subset++ {
		if bits.OnesCount(subset) != t {
			continue
		}
		quorum = quorum[:0]
		for i := range h {
			if subset>>i&1 == 1 {
				quorum = append(quorum, Index(i+1))
			}
		}
		for _, i := range quorum {
			if !visit(coefficient(i, quorum)) {
				return false
			}
		}
	}
	return true
}

// LagrangeSmall returns the integers Δ·λ of a quorum, in its order; ok is false
// if one of them is no integer or does not fit, as may happen after a reshare to
// other indices, and for a quorum that [Lagrange] refuses.
func LagrangeSmall(delta uint64, quorum []Index) (coefficients []int64, ok bool) {
	if checkQuorum(quorum) != nil || delta == 0 {
		return nil, false
	}
	coefficients = make([]int64, len(quorum))
	for k, i := range quorum {
		f := coefficient(i, quorum)
		v, ok := f.scaled(delta)
		if !ok {
			return nil, false
		}
		coefficients[k] = int64(v)
		if f.negative {
			coefficients[k] = -coefficients[k]
		}
	}
	return coefficients, true
}

// Lagrange returns the coefficients at zero of a quorum, modulo q, in its order.
// It refuses an empty quorum, an index outside 1..16 and one given twice.
func Lagrange(quorum []Index) ([]*group.Scalar, error) {
	if err := checkQuorum(quorum); err != nil {
		return nil, fmt.Errorf("interpolate: %w", err)
	}
	coefficients := make([]*group.Scalar, len(quorum))
	for k, i := range quorum {
		f := coefficient(i, quorum)
		inverse, err := group.SmallScalar(f.den).Inverse()
		if err != nil {
			panic("sharing: a denominator is zero although the indices differ")
		}
		coefficients[k] = group.SmallScalar(f.num).Mul(inverse)
		if f.negative {
			coefficients[k] = coefficients[k].Neg()
		}
	}
	return coefficients, nil
}

// Interpolate returns Δ·Σ λ·P over a quorum and the points of its members, in
// one order: with small integers where they fit, else with Δ·λ modulo q. The
// points are public, and so is the time it takes. With delta 1 it is plain
// interpolation at zero. It refuses what [Lagrange] refuses.
func Interpolate(delta uint64, quorum []Index, points []*group.Point) (*group.Point, error) {
	if err := checkQuorum(quorum); err != nil {
		return nil, fmt.Errorf("interpolate: %w", err)
	}
	if len(points) != len(quorum) {
		return nil, fmt.Errorf("interpolate %d points of %d holders: %w", len(points), len(quorum), ErrQuorum)
	}
	if coefficients, ok := LagrangeSmall(delta, quorum); ok {
		return group.SumSmall(coefficients, points), nil
	}
	coefficients, err := Lagrange(quorum)
	if err != nil {
		return nil, err
	}
	sum := group.Identity()
	for k, c := range coefficients {
		sum = sum.Add(points[k].Mul(c.Mul(group.SmallScalar(delta))))
	}
	return sum, nil
}
