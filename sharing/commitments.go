package sharing

import (
	"errors"
	"fmt"

	"warifu.dev/sharing/group"
)

// ErrCommitments means that a list is not the commitments to a polynomial of the
// degree that was ordered.
var ErrCommitments = errors.New("sharing: not the commitments that were ordered")

// Commitments are the coefficients of a polynomial in the exponent, the constant
// term first (Feldman, 1987). They are public. Their number is the threshold.
type Commitments []*group.Point

// DecodeCommitments reads uncompressed points. There must be exactly t of them,
// which is checked before anything else: one more would raise the threshold
// behind everybody's back (Trail of Bits, 2024).
func DecodeCommitments(list [][]byte, t int) (Commitments, error) {
	if len(list) != t || t < MinThreshold || t > MaxHolders {
		return nil, fmt.Errorf("decode %d commitments for threshold %d: %w", len(list), t, ErrCommitments)
	}
	c := make(Commitments, t)
	for k, b := range list {
		p, err := group.DecodePoint(b)
		if err != nil {
			return nil, fmt.Errorf("decode commitment %d: %w: %w", k, ErrCommitments, err)
		}
		c[k] = p
	}
	return c, nil
}

// Bytes encodes the commitments as [DecodeCommitments] reads them.
func (c Commitments) Bytes() [][]byte {
	list := make([][]byte, len(c))
	for k, p := range c {
		list[k] = p.Bytes()
	}
	return list
}

// Threshold returns t.
func (c Commitments) Threshold() int { return len(c) }

// Constant returns the commitment to the constant term: the public key of what is shared.
func (c Commitments) Constant() *group.Point { return c[0] }

// Eval returns the public share of holder i, in variable time. A hostile dealer
// can make it the identity. An index outside 1..16 is a bug and panics.
func (c Commitments) Eval(i Index) *group.Point {
	if err := i.Validate(); err != nil {
		panic("sharing: evaluate commitments: " + err.Error())
	}
	sum := group.Identity()
	for k := len(c) - 1; k >= 0; k-- {
		sum = sum.MulSmall(int64(i)).Add(c[k])
	}
	return sum
}

// Verify reports whether s is the share of holder i. An index outside 1..16 has no share.
func (c Commitments) Verify(i Index, s *group.Scalar) bool {
	if i.Validate() != nil || len(c) == 0 {
		return false
	}
	return group.BaseMul(s).Equal(c.Eval(i))
}

// Sum adds the commitments of several dealers, coefficient by coefficient. It
// refuses an empty list and lists of unequal length.
func Sum(list []Commitments) (Commitments, error) {
	if len(list) == 0 || len(list[0]) == 0 {
		return nil, fmt.Errorf("add no commitments: %w", ErrCommitments)
	}
	sum := append(Commitments(nil), list[0]...)
	for _, c := range list[1:] {
		if len(c) != len(sum) {
			return nil, fmt.Errorf("add %d commitments to %d: %w", len(c), len(sum), ErrCommitments)
		}
		for k := range sum {
			sum[k] = sum[k].Add(c[k])
		}
	}
	return sum, nil
}
