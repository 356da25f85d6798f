package sharing

import (
	"fmt"

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
	// With the common denominator taken out the coefficients are small integers, and
	// of a full holder list it is 1: a sum of points then takes microseconds.
	delta := denominator(quorum)
	small, fits := LagrangeSmall(delta, quorum)
	inverse, err := group.SmallScalar(delta).Inverse()
	if !fits || err != nil {
		panic(fmt.Sprintf("sharing: the coefficients of %v are no small integers over %d", quorum, delta))
	}
	sum := make(Commitments, len(list[0]))
	points := make([]*group.Point, len(quorum))
	for k := range sum {
		for j, c := range list {
			points[j] = c[k]
		}
		sum[k] = group.SumSmall(small, points)
		if delta != 1 {
			sum[k] = sum[k].Mul(inverse)
		}
	}
	return sum, nil
}

// denominator returns the least common denominator of a quorum's coefficients at
// zero. Of no quorum within 1..16 it has more than 18 bits, nor an integer that is
// left more than 24.
func denominator(quorum []Index) uint64 {
	common := uint64(1)
	for _, i := range quorum {
		den := coefficient(i, quorum).den
		common = common / gcd(common, den) * den
	}
	return common
}

// InterpolateShares returns Σ λ_i·x_i for coefficients that [Lagrange] gave, in
// constant time with regard to the shares. The caller wipes both; it refuses a list of
// another length.
func InterpolateShares(lambda, shares []*group.Scalar) (*group.Scalar, error) {
	if len(lambda) == 0 || len(shares) != len(lambda) {
		return nil, fmt.Errorf("interpolate %d shares of %d holders: %w", len(shares), len(lambda), ErrQuorum)
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
