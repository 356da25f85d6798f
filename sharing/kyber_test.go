package sharing

import (
	"bytes"
	"testing"

	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/group/nist"
	"go.dedis.ch/kyber/v3/share"
)

// Our commitments evaluate as kyber's public polynomial does. kyber's index is
// our x-coordinate less one, which is why it stays in this test (R1).
func TestCommitmentsAgreeWithKyber(t *testing.T) {
	suite := nist.NewBlakeSHA256P256()
	commitments := newPolynomial(t, "kyber", 4).Commit()
	theirs := make([]kyber.Point, len(commitments))
	for k, b := range commitments.Bytes() {
		theirs[k] = suite.Point()
		if err := theirs[k].UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
	}
	public := share.NewPubPoly(suite, suite.Point().Base(), theirs)
	for i := Index(1); i <= MaxHolders; i++ {
		want, err := public.Eval(int(i) - 1).V.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(commitments.Eval(i).Bytes(), want) {
			t.Errorf("public share %d differs from kyber's", i)
		}
	}
}
