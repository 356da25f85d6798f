package sharing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/internal/slow"
)

// seeded is a deterministic source for tests.
func seeded(seed string) io.Reader {
	return mrand.NewChaCha8(tag.Hash(tag.SelfTest, []byte(seed)))
}

// stuck is a generator that has failed: the same byte for ever.
type stuck byte

func (s stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s)
	}
	return len(b), nil
}

// Coefficients of indices 1 and 2 are 2 and -1.
func TestSmallCoefficientsFit(t *testing.T) {
	for delta, want := range map[uint64]bool{1: true, 1 << 61: true, 1 << 62: false, 1 << 63: false, 1<<64 - 1: false, 0: false} {
		if c, ok := LagrangeSmall(delta, []Index{1, 2}); ok != want || ok && (c[0] != int64(2*delta) || c[1] != -int64(delta)) {
			t.Errorf("Δ = %d: %v, %v", delta, c, ok)
		}
	}
	// Here they are 3, -3 and 1, and three times this Δ is 2 beyond 2^64.
	if c, ok := LagrangeSmall((1<<64-1)/3+1, []Index{1, 2, 3}); ok {
		t.Errorf("an overflow went unnoticed: %v", c)
	}
}

func newPolynomial(t testing.TB, seed string, threshold int) *Polynomial {
	t.Helper()
	p, err := NewPolynomial(seeded(seed), threshold)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drawParams draws t of h and a quorum of t distinct indices in random order.
func drawParams(t *rapid.T, maxHolders int) (Params, []Index) {
	h := rapid.IntRange(2, maxHolders).Draw(t, "h")
	p := Params{T: rapid.IntRange(2, h).Draw(t, "t"), H: h}
	all := make([]Index, h)
	for i := range all {
		all[i] = Index(i + 1)
	}
	return p, rapid.Permutation(all).Draw(t, "order")[:p.T]
}

func TestParamsAreWithinBounds(t *testing.T) {
	for _, tc := range []struct {
		t, h int
		want error
	}{
		{2, 2, nil},
		{3, 5, nil},
		{16, 16, nil},
		{2, 16, nil},
		{1, 3, ErrThreshold},
		{0, 3, ErrThreshold},
		{-1, 3, ErrThreshold},
		{4, 3, ErrThreshold},
		{1 << 31, 5, ErrThreshold},
		{2, 1, ErrHolders},
		{2, 17, ErrHolders},
		{2, 0, ErrHolders},
		{0, 0, ErrHolders},
		{2, -2, ErrHolders},
	} {
		if err := (Params{T: tc.t, H: tc.h}).Validate(); !errors.Is(err, tc.want) {
			t.Errorf("%d of %d: %v, not %v", tc.t, tc.h, err, tc.want)
		}
	}
}

// R1: zero is the secret, an index given twice divides by zero, and nobody is at h+1.
func TestIndicesThatAreRefused(t *testing.T) {
	p := Params{T: 3, H: 5}
	polynomial := newPolynomial(t, "p", 3)
	commitments := polynomial.Commit()
	for _, i := range []Index{0, -1, 6, 17, 1 << 32, -1 << 63} {
		if err := p.CheckIndex(i); !errors.Is(err, ErrIndex) {
			t.Errorf("index %d of 5 gave %v", i, err)
		}
		if i == 6 {
			continue // within 1..16, so only the one who knows h can refuse it
		}
		if err := i.Validate(); !errors.Is(err, ErrIndex) {
			t.Errorf("index %d gave %v", i, err)
		}
		if _, err := Lagrange([]Index{1, i, 2}); !errors.Is(err, ErrIndex) {
			t.Errorf("a quorum with %d gave %v", i, err)
		}
		if _, ok := LagrangeSmall(6, []Index{1, i, 2}); ok {
			t.Errorf("a quorum with %d has small coefficients", i)
		}
		if _, err := Interpolate(6, []Index{1, i, 2}, commitments); !errors.Is(err, ErrIndex) {
			t.Errorf("a quorum with %d was interpolated: %v", i, err)
		}
		if commitments.Verify(i, polynomial.Constant()) {
			t.Errorf("index %d has a share", i)
		}
		mustPanic(t, fmt.Sprintf("the share of index %d", i), func() { polynomial.Eval(i) })
		mustPanic(t, fmt.Sprintf("the public share of index %d", i), func() { commitments.Eval(i) })
	}
	duplicate := []Index{1, 3, 1}
	if _, err := Lagrange(duplicate); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a duplicate gave %v", err)
	}
	if _, ok := LagrangeSmall(6, duplicate); ok {
		t.Error("a duplicate has small coefficients")
	}
	if _, err := Interpolate(6, duplicate, commitments); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a duplicate was interpolated: %v", err)
	}
	if _, err := Lagrange(nil); !errors.Is(err, ErrQuorum) { // R3
		t.Errorf("an empty quorum gave %v", err)
	}
	if _, err := Interpolate(6, []Index{1, 2}, commitments); !errors.Is(err, ErrQuorum) {
		t.Errorf("three points of two holders gave %v", err)
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// Any t shares give the constant, in the field and in the exponent; t-1 do not.
func TestAnyQuorumInterpolates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params, quorum := drawParams(t, MaxHolders)
		p, err := NewPolynomial(seeded(rapid.String().Draw(t, "seed")), params.T)
		if err != nil {
			t.Fatal(err)
		}
		commitments := p.Commit()
		var coefficients []*big.Int
		for b := p.Bytes().Reveal(); len(b) > 0; b = b[32:] {
			coefficients = append(coefficients, new(big.Int).SetBytes(b[:32]))
		}
		points := make([]*group.Point, len(quorum))
		for k, i := range quorum {
			share := p.Eval(i)
			if new(big.Int).SetBytes(share.Bytes()).Cmp(slow.Eval(coefficients, int(i))) != 0 {
				t.Fatalf("share %d is not the slow one", i)
			}
			if !commitments.Verify(i, share) || commitments.Verify(i, share.Add(group.SmallScalar(1))) {
				t.Fatalf("share %d and its commitment", i)
			}
			if commitments.Verify(i%MaxHolders+1, share) {
				t.Fatalf("share %d passes for its neighbour's", i)
			}
			points[k] = commitments.Eval(i)
		}
		lagrange, err := Lagrange(quorum)
		if err != nil {
			t.Fatal(err)
		}
		sum := group.SmallScalar(0)
		for k, i := range quorum {
			sum = sum.Add(lagrange[k].Mul(p.Eval(i)))
		}
		if !sum.Equal(p.Constant()) {
			t.Fatal("t shares do not give the constant")
		}
		delta := Delta(params.T, params.H)
		want := commitments.Constant().Mul(group.SmallScalar(delta))
		got, err := Interpolate(delta, quorum, points)
		if err != nil || !got.Equal(want) {
			t.Fatal("t points do not give Δ times the public key: ", err)
		}
		// Δ·λ modulo q, as after a reshare with a Δ that does not suit the quorum.
		odd := uint64(1_000_003)
		got, err = Interpolate(odd, quorum, points)
		if err != nil || !got.Equal(commitments.Constant().Mul(group.SmallScalar(odd))) {
			t.Fatal("the fall-back differs: ", err)
		}
		if got, err = Interpolate(delta, quorum[1:], points[1:]); err == nil && got.Equal(want) {
			t.Fatal("t-1 points give the public key")
		}
	})
}

// Δ by rationals, for every shape; the sizes are those that were computed when
// the construction was chosen: 9 bits at h = 5, 25 at 9, 59 at 16.
func TestDeltaIsTheLeastCommonMultiple(t *testing.T) {
	worst := map[int]int{}
	for h := 2; h <= MaxHolders; h++ {
		for threshold := 2; threshold <= h; threshold++ {
			delta := Delta(threshold, h)
			want := big.NewInt(1)
			eachSubset(threshold, h, func(xs []int) {
				if h > 9 { // rationals would take minutes; the integers must exist
					quorum := make([]Index, len(xs))
					for k, x := range xs {
						quorum[k] = Index(x)
					}
					small, ok := LagrangeSmall(delta, quorum)
					if !ok {
						t.Fatalf("%d of %d: no small coefficients for %v", threshold, h, xs)
					}
					for _, v := range small {
						worst[h] = max(worst[h], big.NewInt(v).BitLen())
					}
					return
				}
				for k, l := range slow.Lagrange(xs) {
					d := new(big.Int).GCD(nil, nil, want, l.Denom())
					want.Mul(want, new(big.Int).Div(l.Denom(), d))
					scaled := new(big.Rat).Mul(l, new(big.Rat).SetInt(new(big.Int).SetUint64(delta)))
					if !scaled.IsInt() {
						t.Fatalf("%d of %d: Δ·λ of %v at %d is %v", threshold, h, xs, k, scaled)
					}
					worst[h] = max(worst[h], scaled.Num().BitLen())
				}
			})
			if h <= 9 && want.Cmp(new(big.Int).SetUint64(delta)) != 0 {
				t.Errorf("%d of %d: Δ = %d, not %d", threshold, h, delta, want)
			}
		}
	}
	if worst[5] != 9 || worst[9] != 25 || worst[16] != 59 {
		t.Errorf("|Δ·λ| has at most %d, %d and %d bits at h = 5, 9, 16, not 9, 25, 59", worst[5], worst[9], worst[16])
	}
	mustPanic(t, "Delta(1, 3)", func() { Delta(1, 3) })
}

func eachSubset(size, h int, visit func([]int)) {
	var walk func(from int, chosen []int)
	walk = func(from int, chosen []int) {
		if len(chosen) == size {
			visit(chosen)
			return
		}
		for i := from; i <= h; i++ {
			walk(i+1, append(chosen, i))
		}
	}
	walk(1, nil)
}

// The small integers are Δ·λ at birth and, where they exist, after a reshare to
// other holders; where they do not, LagrangeSmall says so.
func TestSmallCoefficientsAreTheTrueOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		birth, _ := drawParams(t, MaxHolders)
		_, quorum := drawParams(t, MaxHolders)
		delta := Delta(birth.T, birth.H)
		xs := make([]int, len(quorum))
		for k, i := range quorum {
			xs[k] = int(i)
		}
		fits := true
		rational := slow.Lagrange(xs)
		for _, l := range rational {
			l.Mul(l, new(big.Rat).SetInt(new(big.Int).SetUint64(delta)))
			fits = fits && l.IsInt() && l.Num().BitLen() <= 63
		}
		small, ok := LagrangeSmall(delta, quorum)
		if ok != fits {
			t.Fatalf("Δ = %d, quorum %v: ok = %v, not %v", delta, quorum, ok, fits)
		}
		full, err := Lagrange(quorum)
		if err != nil {
			t.Fatal(err)
		}
		for k := range quorum {
			scaled := full[k].Mul(group.SmallScalar(delta))
			if new(big.Int).SetBytes(scaled.Bytes()).Cmp(slow.ModQ(rational[k])) != 0 {
				t.Fatalf("full coefficient %d of %v", k, quorum)
			}
			if ok && !scaled.Equal(group.SignedScalar(small[k])) {
				t.Fatalf("small coefficient %d of %v", k, quorum)
			}
		}
	})
}

// R2: one commitment more would raise the threshold behind everybody's back.
func TestCommitmentsOfTheWrongLength(t *testing.T) {
	list := newPolynomial(t, "p", 3).Commit().Bytes()
	if c, err := DecodeCommitments(list, 3); err != nil || c.Threshold() != 3 {
		t.Fatalf("the right commitments: %v", err)
	}
	longer := append(list[:3:3], list[0])
	huge := make([][]byte, 1<<16)
	for name, tc := range map[string]struct {
		list [][]byte
		t    int
	}{
		"none":               {nil, 3},
		"none for none":      {nil, 0},
		"one short":          {list[:2], 3},
		"one more":           {longer, 3},
		"thousands":          {huge, 3},
		"thousands, ordered": {huge, 1 << 16},
		"threshold of one":   {list[:1], 1},
		"negative":           {nil, -1},
		"a nil point":        {[][]byte{list[0], nil, list[2]}, 3},
		"the identity":       {[][]byte{list[0], {0}, list[2]}, 3},
	} {
		if _, err := DecodeCommitments(tc.list, tc.t); !errors.Is(err, ErrCommitments) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSumOfCommitments(t *testing.T) {
	a, b := newPolynomial(t, "a", 3), newPolynomial(t, "b", 3)
	sum, err := Sum([]Commitments{a.Commit(), b.Commit()})
	if err != nil {
		t.Fatal(err)
	}
	for i := Index(1); i <= 5; i++ {
		if !sum.Verify(i, a.Eval(i).Add(b.Eval(i))) {
			t.Errorf("the sum of the shares of %d does not fit the sum of the commitments", i)
		}
	}
	if !a.Commit().Verify(2, a.Eval(2)) {
		t.Error("Sum changed its input")
	}
	for name, list := range map[string][]Commitments{
		"nothing":          nil, // R3
		"empty ones":       {{}, {}},
		"the longer last":  {a.Commit(), newPolynomial(t, "c", 4).Commit()},
		"the shorter last": {a.Commit(), newPolynomial(t, "c", 2).Commit()},
	} {
		if _, err := Sum(list); !errors.Is(err, ErrCommitments) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolynomialsAreStored(t *testing.T) {
	p := newPolynomial(t, "p", 3)
	stored := p.Bytes()
	back, err := DecodePolynomial(stored, 3)
	if err != nil || !back.Bytes().Equal(stored) || !back.Eval(4).Equal(p.Eval(4)) {
		t.Fatalf("a polynomial does not come back: %v", err)
	}
	zeroTop := bytes.Clone(stored.Reveal())
	clear(zeroTop[64:])
	for name, b := range map[string][]byte{
		"nothing": nil, "a byte short": stored.Reveal()[:95], "one coefficient short": stored.Reveal()[:64],
		"too large a coefficient": bytes.Repeat([]byte{0xff}, 96), "a zero coefficient": zeroTop,
	} {
		if _, err := DecodePolynomial(secret.Clone(b), 3); !errors.Is(err, group.ErrScalar) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPolynomial(seeded("p"), 1); !errors.Is(err, ErrThreshold) {
		t.Errorf("threshold 1: %v", err)
	}
	if _, err := NewPolynomialFor(seeded("p"), 2, group.SmallScalar(0)); !errors.Is(err, group.ErrScalar) {
		t.Errorf("constant zero: %v", err)
	}
	constant := group.SmallScalar(42)
	given, err := NewPolynomialFor(seeded("p"), 2, constant)
	if err != nil {
		t.Fatal(err)
	}
	given.Wipe()
	if !constant.Equal(group.SmallScalar(42)) {
		t.Error("wiping a polynomial wiped the caller's constant")
	}
	if !given.Eval(3).IsZero() {
		t.Error("Wipe left something")
	}
	if s := fmt.Sprintf("%v %+v %#v %x %s", p, *p, p, *p, p); strings.Trim(strings.ReplaceAll(s, secret.Redacted, ""), " ") != "" {
		t.Errorf("a polynomial prints: %s", s)
	}
}

// R11: every bound field changed, one by one.
func TestSchnorrProofIsBound(t *testing.T) {
	x, err := group.RandomScalar(seeded("x"))
	if err != nil {
		t.Fatal(err)
	}
	X := group.BaseMul(x)
	proof, err := Prove(seeded("k"), tag.DealProofNonce, tag.DealProof, x, X, []byte("session"), []byte("dealer"))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(t tag.Tag, X *group.Point, proof []byte, binding ...string) error {
		var parts [][]byte
		for _, b := range binding {
			parts = append(parts, []byte(b))
		}
		return VerifySchnorr(t, X, proof, parts...)
	}
	if err := verify(tag.DealProof, X, proof, "session", "dealer"); err != nil {
		t.Fatalf("a good proof: %v", err)
	}
	// Everybody knows the logarithm of the identity, and can prove it.
	ofZero, err := Prove(seeded("k"), tag.DealProofNonce, tag.DealProof, group.SmallScalar(0), group.Identity())
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(i int) []byte {
		b := bytes.Clone(proof)
		b[i] ^= 1
		return b
	}
	order := slow.Q.Bytes()
	for name, err := range map[string]error{
		"other tag":              verify(tag.Receipt, X, proof, "session", "dealer"),
		"other key":              verify(tag.DealProof, X.Add(group.Generator()), proof, "session", "dealer"),
		"the identity":           verify(tag.DealProof, group.Identity(), ofZero),
		"other session":          verify(tag.DealProof, X, proof, "sessiom", "dealer"),
		"other dealer":           verify(tag.DealProof, X, proof, "session", "dealar"),
		"bytes moved":            verify(tag.DealProof, X, proof, "sessiond", "ealer"),
		"parts joined":           verify(tag.DealProof, X, proof, "sessiondealer"),
		"a part less":            verify(tag.DealProof, X, proof, "session"),
		"a part more":            verify(tag.DealProof, X, proof, "session", "dealer", ""),
		"other challenge":        verify(tag.DealProof, X, flipped(31), "session", "dealer"),
		"other response":         verify(tag.DealProof, X, flipped(63), "session", "dealer"),
		"empty":                  verify(tag.DealProof, X, nil, "session", "dealer"),
		"a byte short":           verify(tag.DealProof, X, proof[:63], "session", "dealer"),
		"a byte more":            verify(tag.DealProof, X, append(bytes.Clone(proof), 0), "session", "dealer"),
		"challenge not below q":  verify(tag.DealProof, X, append(bytes.Clone(order), proof[32:]...), "session", "dealer"),
		"response not below q":   verify(tag.DealProof, X, append(bytes.Clone(proof[:32]), order...), "session", "dealer"),
		"all zeros":              verify(tag.DealProof, X, make([]byte, 64), "session", "dealer"),
		"of the identity, zeros": verify(tag.DealProof, group.Identity(), make([]byte, 64), "session", "dealer"),
	} {
		if !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R11: if the challenge left X out, anybody could choose the proof first and the
// key to suit it, without knowing its logarithm (Bernhard, Pereira, Warinschi, 2012).
func TestSchnorrKeyIsNotChosenLast(t *testing.T) {
	R, z := group.SecondGenerator(), group.SmallScalar(99)
	digest := tag.Hash(tag.DealProof, R.Bytes(), []byte("session"))
	c := group.ScalarFromHash(digest[:])
	inverse, err := c.Inverse()
	if err != nil {
		t.Fatal(err)
	}
	X := group.BaseMul(z).Add(R.Neg()).Mul(inverse)
	if err := VerifySchnorr(tag.DealProof, X, append(c.Bytes(), z.Bytes()...), []byte("session")); !errors.Is(err, ErrProof) {
		t.Errorf("a key without a known logarithm was proven: %v", err)
	}
}

// R12: two proofs with a stuck generator must not share a nonce, or x is
// (z1 - z2)/(c1 - c2).
func TestSchnorrNonceWithAStuckGenerator(t *testing.T) {
	x := group.SmallScalar(12345)
	X := group.BaseMul(x)
	prove := func(binding string) (c, z *group.Scalar) {
		proof, err := Prove(stuck(0), tag.DealProofNonce, tag.DealProof, x, X, []byte(binding))
		if err != nil {
			t.Fatal(err)
		}
		c, _ = group.DecodeScalar(proof[:32])
		z, _ = group.DecodeScalar(proof[32:])
		return c, z
	}
	c1, z1 := prove("a")
	c2, z2 := prove("b")
	inverse, err := c1.Sub(c2).Inverse()
	if err != nil {
		t.Fatal(err)
	}
	if z1.Sub(z2).Mul(inverse).Equal(x) {
		t.Error("two proofs gave the secret away")
	}
}

func FuzzVerifySchnorr(f *testing.F) {
	x := group.SmallScalar(7)
	proof, err := Prove(seeded("k"), tag.DealProofNonce, tag.DealProof, x, group.BaseMul(x))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := VerifySchnorr(tag.DealProof, group.BaseMul(x), b); (err == nil) != bytes.Equal(b, proof) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func FuzzDecodeCommitments(f *testing.F) {
	good := bytes.Join(newPolynomial(f, "p", 3).Commit().Bytes(), nil)
	f.Add(good, 65, 3)
	f.Add(good, 0, 3)
	f.Fuzz(func(t *testing.T, b []byte, size, threshold int) {
		var list [][]byte
		for size > 0 && len(b) >= size && len(list) < 32 {
			list, b = append(list, b[:size]), b[size:]
		}
		c, err := DecodeCommitments(list, threshold)
		if err != nil {
			return
		}
		if len(c) != threshold || !bytes.Equal(bytes.Join(c.Bytes(), nil), bytes.Join(list, nil)) {
			t.Fatal("took commitments it should not have")
		}
	})
}

func FuzzDecodePolynomial(f *testing.F) {
	f.Add(newPolynomial(f, "p", 3).Bytes().Reveal(), 3)
	f.Fuzz(func(t *testing.T, b []byte, threshold int) {
		p, err := DecodePolynomial(secret.Clone(b), threshold)
		if err == nil && (p.Threshold() != threshold || !bytes.Equal(p.Bytes().Reveal(), b)) {
			t.Fatal("changed on the way")
		}
	})
}

func BenchmarkDeltaOf16(b *testing.B) {
	for b.Loop() {
		computeDelta(8, 16)
	}
}

func BenchmarkInterpolate3of5(b *testing.B) {
	p := newPolynomial(b, "p", 3)
	quorum := []Index{1, 3, 5}
	points := []*group.Point{p.Commit().Eval(1), p.Commit().Eval(3), p.Commit().Eval(5)}
	b.Run("small", func(b *testing.B) {
		delta := Delta(3, 5)
		for b.Loop() {
			_, _ = Interpolate(delta, quorum, points)
		}
	})
	b.Run("full", func(b *testing.B) {
		for b.Loop() {
			_, _ = Interpolate(1_000_003, quorum, points)
		}
	})
}
