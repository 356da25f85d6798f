package sharing

import (
	"errors"
	"fmt"
	"testing"

	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/group/nist"
	"go.dedis.ch/kyber/v3/share"

	"warifu.dev/sharing/group"
)

// dealAgain makes shares of a key for a quorum, and a polynomial for each whose
// constant term is its share.
func dealAgain(t *testing.T, threshold, newThreshold int, quorum []Index) (key *group.Scalar, polys []*Polynomial) {
	t.Helper()
	old := newPolynomial(t, "old", threshold)
	for _, i := range quorum {
		p, err := NewPolynomialFor(seeded(fmt.Sprint("again", i)), newThreshold, old.Eval(i))
		if err != nil {
			t.Fatal(err)
		}
		polys = append(polys, p)
	}
	return old.Constant(), polys
}

func interpolateShares(quorum []Index, x []*group.Scalar) (*group.Scalar, error) {
	lambda, err := Lagrange(quorum)
	if err != nil {
		return nil, err
	}
	return InterpolateShares(lambda, x)
}

// The new shares are those of one polynomial of the new degree with the old constant,
// whichever quorum of at least the old t dealt; with one fewer they are not.
func TestAQuorumSharesTheKeyAgain(t *testing.T) {
	for _, tt := range []struct {
		old, new int
		quorum   []Index
	}{
		{3, 3, []Index{1, 2, 3, 4, 5}},
		{3, 3, []Index{1, 3, 4}},
		{3, 4, []Index{5, 2, 4, 1}},
		{3, 2, []Index{16, 1, 9}},
		{2, 16, []Index{7, 11}},
		{16, 2, []Index{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		{8, 5, []Index{1, 3, 5, 7, 9, 11, 13, 15, 16}},
	} {
		t.Run(fmt.Sprintf("%d to %d by %v", tt.old, tt.new, tt.quorum), func(t *testing.T) {
			key, polys := dealAgain(t, tt.old, tt.new, tt.quorum)
			again := func(quorum []Index, polys []*Polynomial) Commitments {
				var dealings []Commitments
				for _, p := range polys {
					dealings = append(dealings, p.Commit())
				}
				sum, err := InterpolateCommitments(quorum, dealings)
				if err != nil {
					t.Fatal(err)
				}
				return sum
			}
			sum := again(tt.quorum, polys)
			if sum.Threshold() != tt.new || !sum.Constant().Equal(group.BaseMul(key)) {
				t.Errorf("a polynomial for %d, or of another key", sum.Threshold())
			}
			for j := Index(1); j <= MaxHolders; j++ {
				dealt := make([]*group.Scalar, len(polys))
				for k, p := range polys {
					dealt[k] = p.Eval(j)
				}
				x, err := interpolateShares(tt.quorum, dealt)
				if err != nil {
					t.Fatal(err)
				}
				if !sum.Verify(j, x) {
					t.Errorf("the share of %d does not match its verification key", j)
				}
			}
			if len(tt.quorum) == tt.old {
				if fewer := again(tt.quorum[1:], polys[1:]); fewer.Constant().Equal(group.BaseMul(key)) {
					t.Errorf("%d of %d dealers make the key", tt.old-1, tt.old)
				}
			}
		})
	}
}

func TestReshareRefuses(t *testing.T) {
	_, polys := dealAgain(t, 2, 2, []Index{1, 2})
	c := []Commitments{polys[0].Commit(), polys[1].Commit()}
	x := []*group.Scalar{polys[0].Constant(), polys[1].Constant()}
	for name, tt := range map[string]struct {
		quorum []Index
		c      []Commitments
		x      []*group.Scalar
		want   error
	}{
		"nobody":                {nil, nil, nil, ErrQuorum},
		"index 0":               {[]Index{0, 1}, c, x, ErrIndex}, // R1
		"one index twice":       {[]Index{2, 2}, c, x, ErrDuplicate},
		"an index above 16":     {[]Index{1, 17}, c, x, ErrIndex},
		"a dealing too few":     {[]Index{1, 2}, c[:1], x[:1], ErrQuorum},
		"a dealing too many":    {[]Index{1}, c, x, ErrQuorum},
		"a shorter second list": {[]Index{1, 2}, []Commitments{c[0], c[1][:1]}, nil, ErrCommitments}, // R2
		"a shorter first list":  {[]Index{1, 2}, []Commitments{c[0][:1], c[1]}, nil, ErrCommitments},
		"empty lists":           {[]Index{1, 2}, []Commitments{{}, {}}, nil, ErrQuorum},
	} {
		if _, err := InterpolateCommitments(tt.quorum, tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%s, commitments: got %v, want %v", name, err, tt.want)
		}
		if tt.x == nil && name != "nobody" {
			continue
		}
		if _, err := interpolateShares(tt.quorum, tt.x); !errors.Is(err, tt.want) {
			t.Errorf("%s, shares: got %v, want %v", name, err, tt.want)
		}
	}
}

// Every quorum within 1..16 has coefficients that are small integers over a common
// denominator, and it is 1 for a full holder list.
func TestEveryQuorumHasASmallDenominator(t *testing.T) {
	for members := 1; members < 1<<MaxHolders; members++ {
		var quorum []Index
		for i := range MaxHolders {
			if members>>i&1 == 1 {
				quorum = append(quorum, Index(i+1))
			}
		}
		delta := denominator(quorum)
		small, ok := LagrangeSmall(delta, quorum)
		if !ok || delta >= 1<<18 || members&(members+1) == 0 && delta != 1 {
			t.Fatalf("%v: the denominator is %d", quorum, delta)
		}
		for _, v := range small {
			if max(v, -v) >= 1<<24 {
				t.Fatalf("%v: the coefficient %d over %d", quorum, v, delta)
			}
		}
	}
}

// kyber's interpolation gives the same share, and the same key in public. Its indices
// are ours less one, and it takes as many shares as its t says, which is here all.
func TestAReshareAgreesWithKyber(t *testing.T) {
	suite := nist.NewBlakeSHA256P256()
	for _, quorum := range [][]Index{{1, 2, 3}, {2, 4, 5, 7}, {16, 3, 9, 1, 12}} {
		_, polys := dealAgain(t, 3, 2, quorum)
		const me = Index(6)
		var dealings []Commitments
		var dealt []*group.Scalar
		var shares []*share.PriShare
		var constants []*share.PubShare
		for k, p := range polys {
			dealings, dealt = append(dealings, p.Commit()), append(dealt, p.Eval(me))
			v := suite.Scalar().SetBytes(dealt[k].Bytes())
			shares = append(shares, &share.PriShare{I: int(quorum[k]) - 1, V: v})
			constants = append(constants, &share.PubShare{I: int(quorum[k]) - 1, V: decoded(t, suite, dealings[k].Constant())})
		}
		ours, err := interpolateShares(quorum, dealt)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := share.RecoverSecret(suite, shares, len(shares), MaxHolders)
		if err != nil {
			t.Fatal(err)
		}
		if !suite.Scalar().SetBytes(ours.Bytes()).Equal(theirs) {
			t.Errorf("%v: kyber has another share", quorum)
		}
		sum, err := InterpolateCommitments(quorum, dealings)
		if err != nil {
			t.Fatal(err)
		}
		y, err := share.RecoverCommit(suite, constants, len(constants), MaxHolders)
		if err != nil {
			t.Fatal(err)
		}
		if !decoded(t, suite, sum.Constant()).Equal(y) {
			t.Errorf("%v: kyber has another key", quorum)
		}
	}
}

func decoded(t *testing.T, suite kyber.Group, p *group.Point) kyber.Point {
	t.Helper()
	q := suite.Point()
	if err := q.UnmarshalBinary(p.Bytes()); err != nil {
		t.Fatal(err)
	}
	return q
}
