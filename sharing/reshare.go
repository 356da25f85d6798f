package sharing

import (
	"fmt"
	"math/bits"

	"warifu.dev/sharing/group"
)

// A share can itself be shared (Desmedt, Jajodia 1997; Herzberg and others 1995 for
// the same holders). Each holder i of a quorum deals a fresh polynomial f_i whose
// constant term is its share; Σ λ_i·f_i, with the quorum's coefficients at zero, is
// then a fresh polynomial of the same key, of whatever degree was dealt.

// InterpolateCommitments returns Σ λ_i·C_i, coefficient by coefficient: what the
// quorum's dealings, in its order, are together. The points are public, and so is
// the time it takes. All lists must be equally long; it refuses what [Lagrange] refuses.
func InterpolateCommitments(quorum []Index, list []Commitments) (Commitments, error) {
	if err := checkQuorum(quorum); err != nil {
		return nil, fmt.Errorf("interpolate: %w", err)
	}
	if len(list) != len(quorum) || len(list[0]) == 0 {
		return nil, fmt.Errorf("interpolate %d dealings of %d holders: %w", len(list), len(quorum), ErrQuorum)
	}
	for _, c := range list[1:] {
		if len(c) != len(list[0]) {
			return nil, fmt.Errorf("interpolate %d commitments with %d: %w", len(c), len(list[0]), ErrCommitments)
		}
	}
	// With the common denominator taken out, the coefficients are small integers, and
	// of a full holder list it is 1: a sum of points then takes microseconds.
	delta := denominator(quorum)
	inverse, err := group.SmallScalar(delta).Inverse()
	if err != nil {
		panic("sharing: a common denominator is zero")
	}
	sum := make(Commitments, len(list[0]))
	points := make([]*group.Point, len(quorum))
	for k := range sum {
		for j, c := range list {
			points[j] = c[k]
		}
		p, err := Interpolate(delta, quorum, points)
		if err != nil {
			return nil, err
		}
		if delta != 1 {
			p = p.Mul(inverse)
		}
		sum[k] = p
	}
	return sum, nil
}

// denominator returns the least common denominator of a quorum's coefficients at
// zero, or 1 if it has more than 64 bits.
func denominator(quorum []Index) uint64 {
	common := uint64(1)
	for _, i := range quorum {
		den := coefficient(i, quorum).den
		hi, lo := bits.Mul64(common/gcd(common, den), den)
		if hi != 0 {
			return 1
		}
		common = lo
	}
	return common
}

// InterpolateShares returns Σ λ_i·x_i, in constant time with regard to the values. The
// caller wipes both. It refuses what [Lagrange] refuses.
func InterpolateShares(quorum []Index, shares []*group.Scalar) (*group.Scalar, error) {
	lambda, err := Lagrange(quorum)
	if err != nil {
		return nil, err
	}
	if len(shares) != len(quorum) {
		return nil, fmt.Errorf("interpolate %d shares of %d holders: %w", len(shares), len(quorum), ErrQuorum)
	}
	sum := group.SmallScalar(0)
	for k := range lambda {
		product := lambda[k].Mul(shares[k])
		next := sum.Add(product)
		product.Wipe()
		sum.Wipe()
		sum = next
	}
	return sum, nil
}
