package tdh2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
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

// fixture is a key born with t of h, its shares, and one envelope.
type fixture struct {
	pk       *PublicKey
	poly     *sharing.Polynomial
	slow     *slowKey
	context  []byte
	dek      secret.Bytes
	raw      []byte
	envelope *Envelope
	verified *VerifiedEnvelope
}

func newFixture(t rapid.TB, seed string, threshold, holders int) *fixture {
	t.Helper()
	rand := seeded(seed)
	f := &fixture{context: []byte("app=" + seed), dek: secret.New(make([]byte, 32))}
	_, _ = rand.Read(f.dek.Reveal())
	var err error
	if f.poly, err = sharing.NewPolynomial(rand, threshold); err != nil {
		t.Fatal(err)
	}
	cluster, keyID := tag.Hash("cluster", []byte(seed)), tag.Hash("key", []byte(seed))
	if f.pk, err = NewPublicKey(cluster, keyID, 7, threshold, holders, f.poly.Commit().Constant()); err != nil {
		t.Fatal(err)
	}
	var coefficients []*big.Int
	for b := f.poly.Bytes().Reveal(); len(b) > 0; b = b[32:] {
		coefficients = append(coefficients, new(big.Int).SetBytes(b[:32]))
	}
	f.slow = newSlowKey(cluster, keyID, 7, threshold, holders, coefficients)
	if f.raw, err = Wrap(rand, f.pk, f.context, f.dek); err != nil {
		t.Fatal(err)
	}
	f.envelope, f.verified = mustVerify(t, f.pk, f.raw, f.context)
	return f
}

func mustVerify(t rapid.TB, pk *PublicKey, raw, context []byte) (*Envelope, *VerifiedEnvelope) {
	t.Helper()
	e, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pk.Verify(e, context)
	if err != nil {
		t.Fatal(err)
	}
	return e, v
}

func (f *fixture) id(i sharing.Index) ShareID {
	return ShareID{Cluster: f.pk.Cluster, KeyID: f.pk.KeyID, Version: f.pk.Version, Epoch: 3, Index: i}
}

func (f *fixture) partials(v *VerifiedEnvelope, quorum ...sharing.Index) map[sharing.Index]*group.Point {
	m := map[sharing.Index]*group.Point{}
	for _, i := range quorum {
		m[i] = v.Partial(f.poly.Eval(i))
	}
	return m
}

func drawQuorum(t *rapid.T, size, h int) []sharing.Index {
	all := make([]sharing.Index, h)
	for i := range all {
		all[i] = sharing.Index(i + 1)
	}
	return rapid.Permutation(all).Draw(t, "quorum")[:size]
}

func TestAnyQuorumOpensAndNoFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := rapid.IntRange(2, 7).Draw(t, "h")
		threshold := rapid.IntRange(2, h).Draw(t, "t")
		f := newFixture(t, rapid.StringN(0, 5, -1).Draw(t, "seed"), threshold, h)
		quorum := drawQuorum(t, threshold, h)
		got, err := f.pk.Open(f.verified, f.partials(f.verified, quorum...))
		if err != nil || !got.Equal(f.dek) {
			t.Fatalf("%v of %d: %v", quorum, h, err)
		}
		fewer := f.partials(f.verified, quorum[1:]...)
		if _, err := f.pk.Open(f.verified, fewer); !errors.Is(err, ErrPartials) {
			t.Fatalf("t-1 partials: %v", err)
		}
		fewer[quorum[0]] = group.Generator() // guessed
		if _, err := f.pk.Open(f.verified, fewer); !errors.Is(err, ErrNotOpened) {
			t.Fatalf("t-1 partials and a guess: %v", err)
		}
	})
}

// Fast opens slow's envelopes, slow opens fast's, and every step agrees.
func TestFastAndSlowAgree(t *testing.T) {
	for _, shape := range []struct{ t, h int }{{2, 2}, {2, 3}, {3, 5}, {5, 5}, {4, 7}} {
		f := newFixture(t, fmt.Sprint(shape), shape.t, shape.h)
		if !bytes.Equal(f.pk.W.Bytes(), f.slow.w().Bytes()) {
			t.Errorf("%v: W differs", shape)
		}
		if !f.slow.verify(f.raw, f.context) || f.slow.verify(f.raw, []byte("other")) {
			t.Errorf("%v: the slow verifier thinks otherwise", shape)
		}
		rnd := seeded("slow" + fmt.Sprint(shape))
		draw := func(n int) []byte { b := make([]byte, n); _, _ = rnd.Read(b); return b }
		dek := draw(1 + shape.h*9)
		raw := f.slow.wrap(f.context, dek, new(big.Int).SetBytes(draw(31)), new(big.Int).SetBytes(draw(31)), draw(12), nil)
		_, v := mustVerify(t, f.pk, raw, f.context)
		fast := map[sharing.Index]*group.Point{}
		slowly := map[int]slow.Point{}
		for i := shape.h; len(fast) < shape.t; i-- {
			fast[sharing.Index(i)] = v.Partial(f.poly.Eval(sharing.Index(i)))
			if !bytes.Equal(fast[sharing.Index(i)].Bytes(), f.slow.partial(i, raw).Bytes()) {
				t.Errorf("%v: partial %d differs", shape, i)
			}
			slowly[i] = f.slow.partial(i, f.raw)
		}
		if got, err := f.pk.Open(v, fast); err != nil || !bytes.Equal(got.Reveal(), dek) {
			t.Errorf("%v: fast does not open slow's envelope: %v", shape, err)
		}
		if got, ok := f.slow.open(f.raw, f.context, slowly); !ok || !bytes.Equal(got, f.dek.Reveal()) {
			t.Errorf("%v: slow does not open fast's envelope", shape)
		}
	}
}

// After a reshare the shape is another and Δ is the old one: small integers where
// they fit, else modulo q.
func TestOpensAfterReshare(t *testing.T) {
	f := newFixture(t, "reshare", 2, 3)
	poly, err := sharing.NewPolynomialFor(seeded("new"), 4, f.poly.Constant())
	if err != nil {
		t.Fatal(err)
	}
	reshared := *f.pk
	reshared.T, reshared.H = 4, 9
	bothWays := map[bool]bool{}
	for _, quorum := range [][]sharing.Index{{1, 2, 3, 4}, {2, 5, 7, 9}, {9, 8, 6, 1}, {2, 3, 4, 6}} {
		_, small := sharing.LagrangeSmall(reshared.Delta, quorum)
		bothWays[small] = true
		partials := map[sharing.Index]*group.Point{}
		for _, i := range quorum {
			partials[i] = f.verified.Partial(poly.Eval(i))
		}
		if got, err := reshared.Open(f.verified, partials); err != nil || !got.Equal(f.dek) {
			t.Errorf("%v: %v", quorum, err)
		}
	}
	if len(bothWays) != 2 {
		t.Error("both ways of combining should have been met")
	}
}

func TestDEKLengths(t *testing.T) {
	f := newFixture(t, "lengths", 2, 3)
	for _, n := range []int{1, 16, 63, 64} {
		raw, err := Wrap(seeded("r"), f.pk, nil, secret.New(make([]byte, n)))
		if err != nil {
			t.Fatal(err)
		}
		_, v := mustVerify(t, f.pk, raw, nil)
		if got, err := f.pk.Open(v, f.partials(v, 1, 3)); err != nil || got.Len() != n {
			t.Errorf("%d bytes: %v", n, err)
		}
		if want := MinEnvelope + n - 1; len(raw) != want {
			t.Errorf("%d bytes give an envelope of %d, not %d", n, len(raw), want)
		}
	}
	for _, n := range []int{0, 65, 4096} {
		if _, err := Wrap(seeded("r"), f.pk, nil, secret.New(make([]byte, n))); !errors.Is(err, ErrDEK) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := Wrap(bytes.NewReader(make([]byte, 40)), f.pk, nil, f.dek); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends: %v", err)
	}
}

func TestPublicKeysThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		t, h int
		y    *group.Point
	}{
		{"threshold of one", 1, 3, group.Generator()},
		{"more than there are", 4, 3, group.Generator()},
		{"too many holders", 3, 17, group.Generator()},
		{"the identity", 2, 3, group.Identity()},
		{"no point", 2, 3, nil},
	} {
		if _, err := NewPublicKey([32]byte{}, [32]byte{}, 1, tc.t, tc.h, tc.y); !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// R11, R13: whatever bit is flipped, the envelope is refused before a partial is made.
func TestEveryByteOfAnEnvelopeCounts(t *testing.T) {
	f := newFixture(t, "flip", 3, 5)
	for i := range f.raw {
		for _, bit := range []byte{0x01, 0x80} {
			b := bytes.Clone(f.raw)
			b[i] ^= bit
			e, err := Parse(b)
			if err != nil {
				if !errors.Is(err, ErrEnvelope) {
					t.Errorf("byte %d: %v", i, err)
				}
				continue
			}
			if _, err := f.pk.Verify(e, f.context); err == nil {
				t.Errorf("byte %d: taken with bit %#x flipped", i, bit)
			}
		}
	}
	for _, b := range [][]byte{nil, {}, f.raw[:1], f.raw[:len(f.raw)-1], append(bytes.Clone(f.raw), 0), f.raw[1:], make([]byte, MaxEnvelope), make([]byte, 1<<20)} {
		if e, err := Parse(b); err == nil {
			if _, err := f.pk.Verify(e, f.context); !errors.Is(err, ErrEnvelopeProof) {
				t.Errorf("an envelope of %d bytes: %v", len(b), err)
			}
		} else if !errors.Is(err, ErrEnvelope) {
			t.Errorf("an envelope of %d bytes: %v", len(b), err)
		}
	}
}

// R4, R11: the fields of the challenge, one by one. Where the header speaks of a
// field too, header and key are changed together, so that only the proof is left
// to notice.
func TestEnvelopeProofBindsEachField(t *testing.T) {
	f := newFixture(t, "bind", 3, 5)
	other := newFixture(t, "other", 3, 5)
	for name, change := range map[string]func(pk *PublicKey, b []byte, context *[]byte){
		"cluster":      func(pk *PublicKey, b []byte, _ *[]byte) { b[offCluster] ^= 1; pk.Cluster[0] ^= 1 },
		"key id":       func(pk *PublicKey, b []byte, _ *[]byte) { b[offKeyID+31] ^= 1; pk.KeyID[31] ^= 1 },
		"version":      func(pk *PublicKey, b []byte, _ *[]byte) { b[offVersion+3] ^= 1; pk.Version ^= 1 },
		"W":            func(pk *PublicKey, _ []byte, _ *[]byte) { pk.W = pk.W.Add(group.Generator()) },
		"context":      func(_ *PublicKey, _ []byte, c *[]byte) { *c = []byte("app=binds") },
		"no context":   func(_ *PublicKey, _ []byte, c *[]byte) { *c = nil },
		"more context": func(_ *PublicKey, _ []byte, c *[]byte) { *c = append(bytes.Clone(*c), 0) },
		"u":            func(_ *PublicKey, b []byte, _ *[]byte) { copy(b[offU:], other.raw[offU:offUBar]) },
		"ū":            func(_ *PublicKey, b []byte, _ *[]byte) { copy(b[offUBar:], other.raw[offUBar:offCommitment]) },
		"u and ū":      func(_ *PublicKey, b []byte, _ *[]byte) { copy(b[offU:], other.raw[offU:offCommitment]) },
		"commitment":   func(_ *PublicKey, b []byte, _ *[]byte) { b[offCommitment] ^= 1 },
		"nonce":        func(_ *PublicKey, b []byte, _ *[]byte) { b[offWrapped] ^= 1 },
		"wrapped DEK":  func(_ *PublicKey, b []byte, _ *[]byte) { b[offWrapped+12] ^= 1 },
		"tag":          func(_ *PublicKey, b []byte, _ *[]byte) { b[len(b)-proofSize-1] ^= 1 },
		"e":            func(_ *PublicKey, b []byte, _ *[]byte) { b[len(b)-33] ^= 1 },
		"f":            func(_ *PublicKey, b []byte, _ *[]byte) { b[len(b)-1] ^= 1 },
		"e = f = 0":    func(_ *PublicKey, b []byte, _ *[]byte) { clear(b[len(b)-proofSize:]) },
	} {
		pk, b, context := *f.pk, bytes.Clone(f.raw), f.context
		change(&pk, b, &context)
		e, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := pk.Verify(e, context); !errors.Is(err, ErrEnvelopeProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnvelopesForSomebodyElseAreNamed(t *testing.T) {
	f := newFixture(t, "named", 3, 5)
	for _, tc := range []struct {
		change func(*PublicKey)
		want   error
	}{
		{func(pk *PublicKey) { pk.Cluster[5]++ }, ErrWrongCluster},
		{func(pk *PublicKey) { pk.KeyID[5]++ }, ErrWrongKey},
		{func(pk *PublicKey) { pk.Version++ }, ErrWrongVersion},
	} {
		pk := *f.pk
		tc.change(&pk)
		if _, err := pk.Verify(f.envelope, f.context); !errors.Is(err, tc.want) {
			t.Errorf("verify: %v, not %v", err, tc.want)
		}
		if _, err := pk.Open(f.verified, f.partials(f.verified, 1, 2, 3)); !errors.Is(err, tc.want) {
			t.Errorf("open: %v, not %v", err, tc.want)
		}
	}
	if f.envelope.Cluster() != f.pk.Cluster || f.envelope.KeyID() != f.pk.KeyID || f.envelope.Version() != 7 {
		t.Error("the header reads wrong")
	}
}

// R4: points and scalars that the strict decoder refuses.
func TestEnvelopesWithBadFields(t *testing.T) {
	f := newFixture(t, "fields", 3, 5)
	set := func(off int, field []byte) []byte {
		b := bytes.Clone(f.raw)
		copy(b[off:], field)
		return b
	}
	n := len(f.raw)
	for name, b := range map[string][]byte{
		"format 0":            set(0, []byte{0}),
		"format 2":            set(0, []byte{2}),
		"suite 0":             set(1, []byte{0}),
		"suite 2":             set(1, []byte{2}),
		"u off the curve":     set(offU, append([]byte{4}, bytes.Repeat([]byte{1}, 64)...)),
		"u the identity":      set(offU, make([]byte, 65)),
		"u hybrid":            set(offU, []byte{6}),
		"ū off the curve":     set(offUBar, append([]byte{4}, bytes.Repeat([]byte{1}, 64)...)),
		"ū the identity":      set(offUBar, make([]byte, 65)),
		"e is the order":      set(n-64, slow.Q.Bytes()),
		"f is the order":      set(n-32, slow.Q.Bytes()),
		"f above everything":  set(n-32, bytes.Repeat([]byte{0xff}, 32)),
		"no wrapped DEK":      append(bytes.Clone(f.raw[:offWrapped+aeadOverhead]), f.raw[n-64:]...),
		"a wrapped DEK of 65": append(append(bytes.Clone(f.raw[:offWrapped]), make([]byte, aeadOverhead+65)...), f.raw[n-64:]...),
	} {
		if _, err := Parse(b); !errors.Is(err, ErrEnvelope) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R1, R3, R4: what Open does not even try.
func TestPartialsThatCannotBeCombined(t *testing.T) {
	f := newFixture(t, "partials", 3, 5)
	with := func(i sharing.Index, p *group.Point) map[sharing.Index]*group.Point {
		m := f.partials(f.verified, 1, 2)
		m[i] = p
		return m
	}
	good := f.verified.Partial(f.poly.Eval(3))
	if _, err := f.pk.Open(f.verified, with(3, good)); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]map[sharing.Index]*group.Point{
		"none":            nil,
		"t-1":             f.partials(f.verified, 1, 2),
		"t+1":             f.partials(f.verified, 1, 2, 3, 4),
		"index 0":         with(0, good),
		"index h+1":       with(6, good),
		"index -1":        with(-1, good),
		"index 3 + 2^32":  with(3+1<<32, good),
		"the identity":    with(3, group.Identity()),
		"a missing point": with(3, nil),
	} {
		if _, err := f.pk.Open(f.verified, m); !errors.Is(err, ErrPartials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, m := range map[string]map[sharing.Index]*group.Point{
		"another's partial": with(4, good),
		"a negated partial": with(3, good.Neg()),
	} {
		if _, err := f.pk.Open(f.verified, m); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Three partials chosen so that they cancel, and an envelope made to open with
	// the identity, whose KEM point everybody knows.
	u := slow.G.Mul(big.NewInt(77)).Bytes()
	kek, open := f.slow.kek(slow.Point{}, f.slow.label(f.context), u)
	raw := f.slow.wrap(f.context, make([]byte, 32), big.NewInt(77), big.NewInt(99), make([]byte, 12), func(commitment, wrapped []byte) {
		copy(commitment, open)
		copy(wrapped[12:], slowGCM(kek).Seal(nil, wrapped[:12], make([]byte, 32), slowList("warifu/v1/envelope/aad", f.slow.label(f.context))))
	})
	_, v := mustVerify(t, f.pk, raw, f.context)
	c, ok := sharing.LagrangeSmall(f.pk.Delta, []sharing.Index{1, 2, 3})
	if !ok {
		t.Fatal("no small coefficients at birth")
	}
	inverse, err := group.SignedScalar(c[2]).Inverse()
	if err != nil {
		t.Fatal(err)
	}
	m := f.partials(v, 1, 2)
	m[3] = m[1].MulSmall(c[0]).Add(m[2].MulSmall(c[1])).Neg().Mul(inverse)
	if _, err := f.pk.Open(v, m); !errors.Is(err, ErrNotOpened) {
		t.Errorf("partials that cancel: %v", err)
	}
}

// R14: one liar among four answers. The optimistic way fails, the proofs name the
// liar, and the three others open.
func TestALiarIsFound(t *testing.T) {
	f := newFixture(t, "liar", 3, 5)
	answers := f.partials(f.verified, 1, 2, 3, 4)
	lie := answers[2].Add(group.Generator())
	if _, err := f.pk.Open(f.verified, map[sharing.Index]*group.Point{1: answers[1], 2: lie, 3: answers[3]}); !errors.Is(err, ErrNotOpened) {
		t.Fatalf("with a lie: %v", err)
	}
	var proven []VerifiedPartial
	for i := sharing.Index(1); i <= 4; i++ {
		share, yi, di := f.poly.Eval(i), f.poly.Commit().Eval(i), answers[i]
		if i == 2 {
			di = lie
		}
		proof, err := ProveShare(seeded("proof"), share, f.id(i), yi, di, f.envelope)
		if err != nil {
			t.Fatal(err)
		}
		p, err := VerifyShare(f.id(i), yi, di, f.envelope, proof)
		if i == 2 {
			if !errors.Is(err, ErrShareProof) {
				t.Errorf("the lie was proven: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("honest %d: %v", i, err)
		}
		if p.ID() != f.id(i) || !p.Point().Equal(di) {
			t.Errorf("the proven partial of %d is another", i)
		}
		proven = append(proven, p)
	}
	if got, err := f.pk.OpenProven(f.verified, proven); err != nil || !got.Equal(f.dek) {
		t.Errorf("three proven partials: %v", err)
	}
}

// A wrapper that wraps badly is told apart from a liar among the nodes.
func TestACorruptEnvelopeBlamesNobody(t *testing.T) {
	f := newFixture(t, "corrupt", 3, 5)
	for name, tc := range map[string]struct {
		spoil      func(commitment, wrapped []byte)
		optimistic error
	}{
		"wrong commitment": {func(commitment, _ []byte) { commitment[0] ^= 1 }, ErrNotOpened},
		"wrong DEK":        {func(_, wrapped []byte) { wrapped[15] ^= 1 }, ErrCorruptEnvelope},
	} {
		raw := f.slow.wrap(f.context, make([]byte, 32), big.NewInt(77), big.NewInt(99), make([]byte, 12), tc.spoil)
		e, v := mustVerify(t, f.pk, raw, f.context)
		if _, err := f.pk.Open(v, f.partials(v, 1, 3, 5)); !errors.Is(err, tc.optimistic) {
			t.Errorf("%s, optimistic: %v", name, err)
		}
		if _, err := f.pk.OpenProven(v, f.prove(t, e, v, 1, 3, 5)); !errors.Is(err, ErrCorruptEnvelope) {
			t.Errorf("%s, proven: %v", name, err)
		}
	}
}

func (f *fixture) prove(t rapid.TB, e *Envelope, v *VerifiedEnvelope, quorum ...sharing.Index) []VerifiedPartial {
	t.Helper()
	var proven []VerifiedPartial
	for _, i := range quorum {
		share, yi := f.poly.Eval(i), f.poly.Commit().Eval(i)
		di := v.Partial(share)
		proof, err := ProveShare(seeded("proof"), share, f.id(i), yi, di, e)
		if err != nil {
			t.Fatal(err)
		}
		p, err := VerifyShare(f.id(i), yi, di, e, proof)
		if err != nil {
			t.Fatal(err)
		}
		proven = append(proven, p)
	}
	return proven
}

// R10: proofs of two envelopes, two epochs or another key never mix.
func TestProvenPartialsThatDoNotBelongTogether(t *testing.T) {
	f := newFixture(t, "mix", 3, 5)
	raw, err := Wrap(seeded("second"), f.pk, f.context, f.dek)
	if err != nil {
		t.Fatal(err)
	}
	e2, v2 := mustVerify(t, f.pk, raw, f.context)
	proven := f.prove(t, f.envelope, f.verified, 1, 2, 3)
	otherEnvelope := f.prove(t, e2, v2, 3)[0]
	otherEpoch := proven[2]
	otherEpoch.id.Epoch++
	for name, list := range map[string][]VerifiedPartial{
		"none":           nil,
		"t-1":            proven[:2],
		"t+1":            append(proven[:3:3], f.prove(t, f.envelope, f.verified, 4)...),
		"one twice":      {proven[0], proven[1], proven[1]},
		"other envelope": {proven[0], proven[1], otherEnvelope},
		"other epoch":    {proven[0], proven[1], otherEpoch},
		"never verified": {proven[0], proven[1], {}},
	} {
		if _, err := f.pk.OpenProven(f.verified, list); !errors.Is(err, ErrPartials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A consistent sharing of another secret, proven against its own Y_i.
	stranger := newFixture(t, "stranger", 3, 5)
	f.poly = stranger.poly
	if _, err := f.pk.OpenProven(f.verified, f.prove(t, f.envelope, f.verified, 1, 2, 3)); !errors.Is(err, ErrPublicShares) {
		t.Errorf("public shares of another key: %v", err)
	}
}

// R11: every field a share proof is bound to, one by one.
func TestShareProofBindsEachField(t *testing.T) {
	f := newFixture(t, "share", 3, 5)
	share, yi := f.poly.Eval(2), f.poly.Commit().Eval(2)
	di := f.verified.Partial(share)
	proof, err := ProveShare(seeded("proof"), share, f.id(2), yi, di, f.envelope)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyShare(f.id(2), yi, di, f.envelope, proof); err != nil {
		t.Fatal(err)
	}
	// u alone is what the algebra needs: an envelope with the same u and another tail.
	b := bytes.Clone(f.raw)
	b[len(b)-1] ^= 1
	sameU, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	// An envelope for another cluster, key, version, to get past the header.
	header := func(off int) *Envelope {
		b := bytes.Clone(f.raw)
		b[off] ^= 1
		e, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	flip := func(i int) []byte { b := bytes.Clone(proof); b[i] ^= 1; return b }
	// Whoever has no share can prove that zero times anything is the identity.
	nothing := group.Identity()
	dst := f.id(2).dst(nothing, nothing, f.envelope)
	m, z := composites(dst[:], nothing, f.envelope.u, nothing)
	r := group.SmallScalar(5)
	ofZero := append(dleqChallenge(dst[:], nothing, m, z, group.BaseMul(r), m.Mul(r)).Bytes(), r.Bytes()...)
	changed := func(change func(*ShareID)) ShareID { id := f.id(2); change(&id); return id }
	same := f.id(2)
	for name, tc := range map[string]struct {
		id     ShareID
		yi, di *group.Point
		e      *Envelope
		proof  []byte
	}{
		"cluster, id alone": {changed(func(id *ShareID) { id.Cluster[0] ^= 1 }), yi, di, f.envelope, proof},
		"cluster":           {changed(func(id *ShareID) { id.Cluster[0] ^= 1 }), yi, di, header(offCluster), proof},
		"key id, id alone":  {changed(func(id *ShareID) { id.KeyID[0] ^= 1 }), yi, di, f.envelope, proof},
		"key id":            {changed(func(id *ShareID) { id.KeyID[0] ^= 1 }), yi, di, header(offKeyID), proof},
		"version, id alone": {changed(func(id *ShareID) { id.Version ^= 1 }), yi, di, f.envelope, proof},
		"version":           {changed(func(id *ShareID) { id.Version ^= 1 }), yi, di, header(offVersion + 3), proof},
		"epoch":             {changed(func(id *ShareID) { id.Epoch++ }), yi, di, f.envelope, proof},
		"index":             {changed(func(id *ShareID) { id.Index = 3 }), yi, di, f.envelope, proof},
		"index 0":           {changed(func(id *ShareID) { id.Index = 0 }), yi, di, f.envelope, proof},
		"index -1":          {changed(func(id *ShareID) { id.Index = -1 }), yi, di, f.envelope, proof},
		"Y_i":               {same, f.poly.Commit().Eval(3), di, f.envelope, proof},
		"Y_i the identity":  {same, group.Identity(), di, f.envelope, proof},
		"D_i":               {same, yi, di.Add(group.Generator()), f.envelope, proof},
		"D_i the identity":  {same, yi, group.Identity(), f.envelope, proof},
		"the envelope":      {same, yi, di, sameU, proof},
		"challenge":         {same, yi, di, f.envelope, flip(31)},
		"response":          {same, yi, di, f.envelope, flip(63)},
		"empty":             {same, yi, di, f.envelope, nil},
		"a byte short":      {same, yi, di, f.envelope, proof[:63]},
		"a byte more":       {same, yi, di, f.envelope, append(bytes.Clone(proof), 0)},
		"zeros":             {same, yi, di, f.envelope, make([]byte, 64)},
		"challenge not < q": {same, yi, di, f.envelope, append(slow.Q.Bytes(), proof[32:]...)},
		"response not < q":  {same, yi, di, f.envelope, append(bytes.Clone(proof[:32]), slow.Q.Bytes()...)},
		"both the identity": {same, nothing, nothing, f.envelope, ofZero},
		"both of another":   {same, f.poly.Commit().Eval(3), f.verified.Partial(f.poly.Eval(3)), f.envelope, proof},
		"both negated":      {same, yi.Neg(), di.Neg(), f.envelope, proof},
	} {
		if _, err := VerifyShare(tc.id, tc.yi, tc.di, tc.e, tc.proof); !errors.Is(err, ErrShareProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, id := range map[string]ShareID{
		"index 0":         changed(func(id *ShareID) { id.Index = 0 }),
		"another cluster": changed(func(id *ShareID) { id.Cluster[0]++ }),
		"another key":     changed(func(id *ShareID) { id.KeyID[0]++ }),
		"another version": changed(func(id *ShareID) { id.Version++ }),
	} {
		if _, err := ProveShare(seeded("proof"), share, id, yi, di, f.envelope); !errors.Is(err, ErrShareProof) {
			t.Errorf("a proof was made for %s: %v", name, err)
		}
	}
}

// R12: with a stuck generator, neither r nor the share can be solved for.
func TestNoncesWithAStuckGenerator(t *testing.T) {
	f := newFixture(t, "stuck", 3, 5)
	wrap := func(context string, dek secret.Bytes) *Envelope {
		raw, err := Wrap(stuck(0), f.pk, []byte(context), dek)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := mustVerify(t, f.pk, raw, []byte(context))
		return e
	}
	a := wrap("a", f.dek)
	for name, b := range map[string]*Envelope{
		"other context": wrap("b", f.dek),
		"other DEK":     wrap("a", secret.New([]byte("another key"))),
	} {
		if a.u.Equal(b.u) {
			t.Errorf("%s: r is the same", name)
		}
	}
	// Of one context and DEK only the nonce of AES-GCM differs: r repeats, s must not.
	b := wrap("a", f.dek)
	if !a.u.Equal(b.u) {
		t.Fatal("r should repeat when all that it comes from does")
	}
	inverse, err := a.e.Sub(b.e).Inverse()
	if err != nil {
		t.Fatal(err)
	}
	if r := a.f.Sub(b.f).Mul(inverse); group.BaseMul(r).Equal(a.u) {
		t.Error("two envelopes gave r away")
	}

	share, yi := f.poly.Eval(2), f.poly.Commit().Eval(2)
	prove := func(id ShareID) (c, s *group.Scalar) {
		proof, err := ProveShare(stuck(0), share, id, yi, f.verified.Partial(share), f.envelope)
		if err != nil {
			t.Fatal(err)
		}
		c, _ = group.DecodeScalar(proof[:32])
		s, _ = group.DecodeScalar(proof[32:])
		return c, s
	}
	id2 := f.id(2)
	id2.Epoch++
	c1, s1 := prove(f.id(2))
	c2, s2 := prove(id2)
	if inverse, err = c2.Sub(c1).Inverse(); err != nil {
		t.Fatal(err)
	}
	if s1.Sub(s2).Mul(inverse).Equal(share) {
		t.Error("two share proofs gave the share away")
	}
}

func TestEndorsementIsBound(t *testing.T) {
	f := newFixture(t, "endorse", 3, 5)
	key := secret.New(bytes.Repeat([]byte{9}, EndorsementKeySize))
	mac := Endorse(key, "node-1", f.pk, f.context, f.envelope).MAC()
	v, ok := Endorse(key, "node-1", f.pk, f.context, f.envelope).Accept(mac[:])
	if !ok {
		t.Fatal("a good endorsement missed")
	}
	if got, err := f.pk.Open(v, f.partials(v, 1, 2, 3)); err != nil || !got.Equal(f.dek) {
		t.Errorf("the endorsed envelope does not open: %v", err)
	}
	changed := func(change func(*PublicKey)) *PublicKey { pk := *f.pk; change(&pk); return &pk }
	tampered := bytes.Clone(f.raw)
	tampered[offWrapped+14] ^= 1
	other, err := Parse(tampered)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := secret.New(bytes.Repeat([]byte{8}, EndorsementKeySize))
	for name, tc := range map[string]struct {
		key     secret.Bytes
		node    string
		pk      *PublicKey
		context string
		e       *Envelope
		mac     []byte
	}{
		"other key":     {otherKey, "node-1", f.pk, string(f.context), f.envelope, mac[:]},
		"other node":    {key, "node-2", f.pk, string(f.context), f.envelope, mac[:]},
		"other cluster": {key, "node-1", changed(func(pk *PublicKey) { pk.Cluster[0]++ }), string(f.context), f.envelope, mac[:]},
		"other key id":  {key, "node-1", changed(func(pk *PublicKey) { pk.KeyID[0]++ }), string(f.context), f.envelope, mac[:]},
		"other version": {key, "node-1", changed(func(pk *PublicKey) { pk.Version++ }), string(f.context), f.envelope, mac[:]},
		"other context": {key, "node-1", f.pk, "app=b", f.envelope, mac[:]},
		"other bytes":   {key, "node-1", f.pk, string(f.context), other, mac[:]},
		"none":          {key, "node-1", f.pk, string(f.context), f.envelope, nil},
		"cut":           {key, "node-1", f.pk, string(f.context), f.envelope, mac[:15]},
		"longer":        {key, "node-1", f.pk, string(f.context), f.envelope, append(mac[:], 0)},
		"flipped":       {key, "node-1", f.pk, string(f.context), f.envelope, append([]byte{mac[0] ^ 1}, mac[1:]...)},
	} {
		if v, ok := Endorse(tc.key, tc.node, tc.pk, []byte(tc.context), tc.e).Accept(tc.mac); ok || v != nil {
			t.Errorf("%s: taken", name)
		}
	}
	// An endorsement made under a key that the envelope is not for is still no check.
	wrong := changed(func(pk *PublicKey) { pk.Version++ })
	forged := Endorse(key, "node-1", wrong, f.context, f.envelope)
	if mac := forged.MAC(); forged.of != nil {
		t.Error("an envelope for another version is of this key")
	} else if _, ok := forged.Accept(mac[:]); ok {
		t.Error("an envelope for another version was taken")
	}
	defer func() {
		if recover() == nil {
			t.Error("an empty key endorsed")
		}
	}()
	Endorse(secret.Bytes{}, "node-1", f.pk, f.context, f.envelope)
}

func FuzzParse(f *testing.F) {
	fx := newFixture(f, "fuzz", 3, 5)
	// The same in every fuzzing process, which Wrap's is not.
	fx.raw = fx.slow.wrap(fx.context, make([]byte, 32), big.NewInt(77), big.NewInt(99), make([]byte, 12), nil)
	f.Add(fx.raw)
	f.Add([]byte{})
	f.Add(fx.raw[:MinEnvelope])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bytes(), b) {
			t.Fatal("changed on the way")
		}
		if _, err := fx.pk.Verify(e, fx.context); (err == nil) != bytes.Equal(b, fx.raw) {
			t.Fatalf("verified = %v", err == nil)
		}
	})
}

func FuzzVerifyShare(f *testing.F) {
	fx := newFixture(f, "fuzz", 3, 5)
	raw := fx.slow.wrap(fx.context, make([]byte, 32), big.NewInt(77), big.NewInt(99), make([]byte, 12), nil)
	fx.envelope, fx.verified = mustVerify(f, fx.pk, raw, fx.context)
	share, yi := fx.poly.Eval(2), fx.poly.Commit().Eval(2)
	di := fx.verified.Partial(share)
	proof, err := ProveShare(seeded("proof"), share, fx.id(2), yi, di, fx.envelope)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := VerifyShare(fx.id(2), yi, di, fx.envelope, b); (err == nil) != bytes.Equal(b, proof) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func BenchmarkWrap(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	rand := seeded("bench")
	for b.Loop() {
		if _, err := Wrap(rand, f.pk, f.context, f.dek); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	for b.Loop() {
		e, err := Parse(f.raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.pk.Verify(e, f.context); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEndorse(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	key := secret.New(make([]byte, EndorsementKeySize))
	mac := Endorse(key, "node-1", f.pk, f.context, f.envelope).MAC()
	for b.Loop() {
		if _, ok := Endorse(key, "node-1", f.pk, f.context, f.envelope).Accept(mac[:]); !ok {
			b.Fatal("missed")
		}
	}
}

func BenchmarkPartial(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	share := f.poly.Eval(1)
	for b.Loop() {
		f.verified.Partial(share)
	}
}

func BenchmarkOpen(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	partials := f.partials(f.verified, 1, 3, 5)
	for b.Loop() {
		if _, err := f.pk.Open(f.verified, partials); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProveShare(b *testing.B) {
	f := newFixture(b, "bench", 3, 5)
	rand, share, yi := seeded("bench"), f.poly.Eval(1), f.poly.Commit().Eval(1)
	di := f.verified.Partial(share)
	for b.Loop() {
		if _, err := ProveShare(rand, share, f.id(1), yi, di, f.envelope); err != nil {
			b.Fatal(err)
		}
	}
}
