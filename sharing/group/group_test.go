package group

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/tag"
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

func bytes32(x *big.Int) []byte { return x.FillBytes(make([]byte, 32)) }

func toScalar(t rapid.TB, x *big.Int) *Scalar {
	s, err := DecodeScalar(bytes32(x))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drawScalar prefers the edges.
func drawScalar(t *rapid.T, name string) *big.Int {
	edge := rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 2, -1, -2}).Draw(t, name+" edge")
	if edge != 0 {
		return new(big.Int).Mod(big.NewInt(edge), slow.Q)
	}
	x := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
	return x.Mod(x, slow.Q)
}

func TestScalarsAgreeWithTheSlowOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawScalar(t, "x"), drawScalar(t, "y")
		a, b := toScalar(t, x), toScalar(t, y)
		check := func(what string, got *Scalar, want *big.Int) {
			if !bytes.Equal(got.Bytes(), bytes32(new(big.Int).Mod(want, slow.Q))) {
				t.Fatalf("%s of %v and %v", what, x, y)
			}
		}
		check("sum", a.Add(b), new(big.Int).Add(x, y))
		check("difference", a.Sub(b), new(big.Int).Sub(x, y))
		check("product", a.Mul(b), new(big.Int).Mul(x, y))
		check("negative", a.Neg(), new(big.Int).Neg(x))
		check("receiver", a, x)
		inverse, err := a.Inverse()
		if x.Sign() == 0 {
			if !errors.Is(err, ErrScalar) {
				t.Fatal("zero has an inverse")
			}
		} else {
			check("inverse", inverse, new(big.Int).ModInverse(x, slow.Q))
		}
		if a.Equal(b) != (x.Cmp(y) == 0) || a.IsZero() != (x.Sign() == 0) {
			t.Fatal("comparison is wrong")
		}
		v := rapid.Int64().Draw(t, "v")
		check("signed", SignedScalar(v), big.NewInt(v))
		digest := rapid.SliceOfN(rapid.Byte(), 32, 64).Draw(t, "digest")
		check("hash", ScalarFromHash(digest), new(big.Int).SetBytes(digest))
	})
}

// The table gives what the constant-time multiplication gives, edges included.
func TestMultiplesOfTheSecondGeneratorAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := toScalar(t, drawScalar(t, "s"))
		if !MulSecondPublic(s).Equal(SecondGenerator().Mul(s)) {
			t.Fatal("the table gives another multiple")
		}
	})
	// Each digit of each window is looked up once, alone.
	one := big.NewInt(1)
	for bit := range 256 {
		s := toScalar(t, new(big.Int).Mod(new(big.Int).Lsh(one, uint(bit)), slow.Q))
		if !MulSecondPublic(s).Equal(SecondGenerator().Mul(s)) {
			t.Errorf("2^%d", bit)
		}
	}
	want := Identity()
	for d := range int64(tableDigits + 2) {
		if !MulSecondPublic(SmallScalar(uint64(d))).Equal(want) {
			t.Errorf("%d", d)
		}
		want = want.Add(SecondGenerator())
	}
}

func TestPointsAgreeWithTheSlowOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawScalar(t, "x"), drawScalar(t, "y")
		p, q := BaseMul(toScalar(t, x)), BaseMul(toScalar(t, y))
		sp, sq := slow.G.Mul(x), slow.G.Mul(y)
		check := func(what string, got *Point, want slow.Point) {
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("%s of %v and %v", what, x, y)
			}
		}
		check("base multiple", p, sp)
		check("sum", p.Add(q), sp.Add(sq))
		check("negative", p.Neg(), sp.Neg())
		check("multiple", p.Mul(toScalar(t, y)), sp.Mul(y))
		v, w := rapid.Int64().Draw(t, "v"), rapid.Int64Range(-40, 40).Draw(t, "w")
		check("small multiple", p.MulSmall(w), sp.Mul(big.NewInt(w)))
		check("sum of small multiples", SumSmall([]int64{v, w}, []*Point{p, q}), sp.Mul(big.NewInt(v)).Add(sq.Mul(big.NewInt(w))))
		if p.Equal(q) != (x.Cmp(y) == 0) || p.IsIdentity() != (x.Sign() == 0) {
			t.Fatal("comparison is wrong")
		}
		if x.Sign() != 0 {
			d, err := DecodeCompressed(p.Compressed())
			if err != nil || !d.Equal(p) {
				t.Fatal("compressed form does not come back")
			}
		}
	})
}

// R4
func TestPointsThatAreRefused(t *testing.T) {
	g := Generator().Bytes()
	c := Generator().Compressed()
	// A point with a small x, so that x+p still fits in 32 bytes.
	small := slow.Point{X: big.NewInt(5), Y: nil}
	y2 := new(big.Int).Exp(small.X, big.NewInt(3), nil)
	y2.Sub(y2, big.NewInt(15)).Add(y2, slow.B)
	small.Y = new(big.Int).ModSqrt(y2, slow.P)
	if small.Y == nil || !small.OnCurve() {
		t.Fatal("x = 5 should be on the curve")
	}
	if _, err := DecodePoint(small.Bytes()); err != nil {
		t.Fatal("the point with x = 5 should be taken: ", err)
	}
	big5 := slow.Point{X: new(big.Int).Add(small.X, slow.P), Y: small.Y}.Bytes()
	notOnCurve := bytes.Clone(g)
	notOnCurve[64] ^= 1
	hybrid := bytes.Clone(g)
	hybrid[0] = 6 + g[64]&1
	noX := bytes.Clone(c)
	for x := byte(0); ; x++ {
		clear(noX[1:])
		noX[32] = x
		v := new(big.Int).SetInt64(int64(x))
		y2 := new(big.Int).Exp(v, big.NewInt(3), nil)
		y2.Sub(y2, new(big.Int).Mul(v, big.NewInt(3))).Add(y2, slow.B).Mod(y2, slow.P)
		if new(big.Int).ModSqrt(y2, slow.P) == nil {
			break
		}
	}
	cases := map[string][]byte{
		"nothing":                               nil,
		"the identity":                          {0},
		"the identity, stretched":               make([]byte, PointSize),
		"the identity, stretched to 33":         make([]byte, CompressedSize),
		"a lone 04":                             {4},
		"04 and zeros":                          append([]byte{4}, make([]byte, 64)...),
		"a byte missing":                        g[:64],
		"a byte more":                           append(bytes.Clone(g), 0),
		"x without y":                           g[:33],
		"off the curve":                         notOnCurve,
		"hybrid form":                           hybrid,
		"x plus the field prime":                big5,
		"compressed: x has no y":                noX,
		"compressed: wrong sign byte":           append([]byte{5}, c[1:]...),
		"compressed: x not below the prime":     append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
		"compressed: x plus the field prime":    append([]byte{2}, big5[1:33]...),
		"what kyber takes for the identity":     {0xff, 0, 0},
		"uncompressed, of infinite coordinates": append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...),
	}
	for name, b := range cases {
		if _, err := DecodePoint(b); !errors.Is(err, ErrPoint) {
			t.Errorf("%s: DecodePoint gave %v", name, err)
		}
		if _, err := DecodeCompressed(b); !errors.Is(err, ErrPoint) {
			t.Errorf("%s: DecodeCompressed gave %v", name, err)
		}
	}
	if _, err := DecodePoint(c); !errors.Is(err, ErrPoint) {
		t.Error("a compressed point was taken for an uncompressed one")
	}
	if _, err := DecodeCompressed(g); !errors.Is(err, ErrPoint) {
		t.Error("an uncompressed point was taken for a compressed one")
	}
}

// R4
func TestScalarsThatAreRefused(t *testing.T) {
	q := bytes32(slow.Q)
	below := bytes32(new(big.Int).Sub(slow.Q, big.NewInt(1)))
	cases := map[string][]byte{
		"nothing":        nil,
		"31 bytes":       below[:31],
		"33 bytes":       append([]byte{0}, below...),
		"the order":      q,
		"the order plus": bytes32(new(big.Int).Add(slow.Q, big.NewInt(1))),
		"all ones":       bytes.Repeat([]byte{0xff}, 32),
	}
	for name, b := range cases {
		if _, err := DecodeScalar(b); !errors.Is(err, ErrScalar) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := DecodeScalar(below); err != nil || !bytes.Equal(s.Bytes(), below) {
		t.Error("q-1 was refused or changed")
	}
	zero := make([]byte, 32)
	if _, err := DecodeScalar(zero); err != nil {
		t.Error("zero was refused as a scalar")
	}
	if _, err := DecodeNonZeroScalar(zero); !errors.Is(err, ErrScalar) {
		t.Error("zero was taken for a nonzero scalar")
	}
}

// The vectors of RFC 9380, appendix J.1.1, all of them.
func TestHashToPointVectors(t *testing.T) {
	const dst = "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"
	ran := 0
	for _, v := range []struct{ msg, x, y string }{
		{"", "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4", "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415"},
		{"abc", "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f", "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e"},
		{"abcdef0123456789", "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80", "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3"},
		{"q128_" + strings.Repeat("q", 128), "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d", "98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e"},
		{"a512_" + strings.Repeat("a", 512), "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5", "ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc"},
	} {
		got := hex.EncodeToString(HashToPoint([]byte(v.msg), []byte(dst)).Bytes())
		if got != "04"+v.x+v.y {
			t.Errorf("%.20q: %s", v.msg, got)
		}
		ran++
	}
	if t.Logf("%d vectors", ran); ran != 5 {
		t.Errorf("%d vectors ran", ran)
	}
}

// R13: everything wrapped so far dies with another second generator.
func TestSecondGeneratorIsFixed(t *testing.T) {
	const want = "022a04dd13ed90f3f2e779d0ba2c2e433783b5520538726ac063eafefbe3ed3f23"
	if got := hex.EncodeToString(SecondGenerator().Compressed()); got != want {
		t.Errorf("second generator %s, not %s", got, want)
	}
	if !SecondGenerator().Equal(HashToPoint([]byte(secondGeneratorInput), []byte(tag.SecondGenerator))) {
		t.Error("the second generator is not the hash it should be")
	}
}

func TestRandomScalarRejects(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, 32)
	one := bytes32(big.NewInt(1))
	s, err := RandomScalar(io.MultiReader(bytes.NewReader(ones), bytes.NewReader(make([]byte, 32)), bytes.NewReader(bytes32(slow.Q)), bytes.NewReader(one)))
	if err != nil || !bytes.Equal(s.Bytes(), one) {
		t.Errorf("out of range draws were not skipped: %v", err)
	}
	for _, broken := range []stuck{0, 0xff} {
		if _, err := RandomScalar(broken); !errors.Is(err, ErrScalar) {
			t.Errorf("a source stuck at %#x gave %v", byte(broken), err)
		}
	}
	if _, err := RandomScalar(bytes.NewReader(one[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends gave %v", err)
	}
}

// R12: with a stuck generator a hedged scalar still differs whenever key, tag or
// any input does; with a good one it differs always.
func TestHedgedScalarsDoNotRepeat(t *testing.T) {
	make := func(r io.Reader, tg tag.Tag, key string, inputs ...string) string {
		var parts [][]byte
		for _, in := range inputs {
			parts = append(parts, []byte(in))
		}
		s, err := HedgedScalar(r, tg, []byte(key), parts...)
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Bytes())
	}
	seen := map[string]string{}
	for name, s := range map[string]string{
		"base":          make(stuck(7), tag.EnvelopeNonce, "key", "a", "b"),
		"other key":     make(stuck(7), tag.EnvelopeNonce, "kez", "a", "b"),
		"other tag":     make(stuck(7), tag.ShareProofNonce, "key", "a", "b"),
		"other input":   make(stuck(7), tag.EnvelopeNonce, "key", "a", "c"),
		"other split":   make(stuck(7), tag.EnvelopeNonce, "key", "ab", ""),
		"fewer inputs":  make(stuck(7), tag.EnvelopeNonce, "key", "a"),
		"other source":  make(stuck(8), tag.EnvelopeNonce, "key", "a", "b"),
		"random source": make(seeded("x"), tag.EnvelopeNonce, "key", "a", "b"),
	} {
		if other, dup := seen[s]; dup {
			t.Errorf("%s and %s give one scalar", name, other)
		}
		seen[s] = name
	}
	first, second := make(stuck(7), tag.EnvelopeNonce, "key", "a", "b"), make(stuck(7), tag.EnvelopeNonce, "key", "a", "b")
	if first != second {
		t.Error("the same of everything gives two scalars")
	}
	if _, err := HedgedScalar(strings.NewReader("short"), tag.EnvelopeNonce, nil); err == nil {
		t.Error("a source that ends was not noticed")
	}
}

func TestScalarsDoNotPrint(t *testing.T) {
	s := toScalar(t, new(big.Int).SetBytes(bytes.Repeat([]byte{0xab}, 32)))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", s, "v", *s)
	js, err := json.Marshal(struct{ S *Scalar }{s})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		out += fmt.Sprintf(verb+verb+verb, s, *s, struct{ S *Scalar }{s})
	}
	// Limbs print as 12370169555311111083, abab... or [171 171].
	for _, form := range []string{"abab", "ABAB", "171", "1237016955"} {
		if strings.Contains(out, form) {
			t.Errorf("a scalar prints: %s", out)
		}
	}
	s.Wipe()
	if !s.IsZero() {
		t.Error("Wipe left something")
	}
}

func FuzzDecodePoint(f *testing.F) {
	f.Add(Generator().Bytes())
	f.Add(Generator().Compressed())
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePoint(b); err == nil {
			if !bytes.Equal(p.Bytes(), b) || p.IsIdentity() || !slow.Decode(b).OnCurve() {
				t.Fatal("took a point it should not have")
			}
		}
		if p, err := DecodeCompressed(b); err == nil {
			if !bytes.Equal(p.Compressed(), b) || p.IsIdentity() || !slow.Decode(p.Bytes()).OnCurve() {
				t.Fatal("took a compressed point it should not have")
			}
		}
	})
}

func FuzzDecodeScalar(f *testing.F) {
	f.Add(bytes32(slow.Q))
	f.Add(bytes32(big.NewInt(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeScalar(b)
		want := len(b) == ScalarSize && new(big.Int).SetBytes(b).Cmp(slow.Q) < 0
		if (err == nil) != want {
			t.Fatalf("took = %v", err == nil)
		}
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Fatal("changed on the way")
		}
		n, err := DecodeNonZeroScalar(b)
		if zero := bytes.Equal(b, make([]byte, ScalarSize)); (err == nil) != (want && !zero) {
			t.Fatalf("took = %v as one that is not zero", err == nil)
		}
		if err == nil && !bytes.Equal(n.Bytes(), b) {
			t.Fatal("changed on the way")
		}
	})
}

func BenchmarkMul(b *testing.B) {
	s, p := ScalarFromHash(bytes.Repeat([]byte{0x5a}, 32)), SecondGenerator()
	for b.Loop() {
		p.Mul(s)
	}
}

func BenchmarkMulSecondPublic(b *testing.B) {
	s, _ := RandomScalar(seeded("bench"))
	MulSecondPublic(s)
	for b.Loop() {
		MulSecondPublic(s)
	}
}

func BenchmarkBaseMul(b *testing.B) {
	s := ScalarFromHash(bytes.Repeat([]byte{0x5a}, 32))
	for b.Loop() {
		BaseMul(s)
	}
}

func BenchmarkDecodePoint(b *testing.B) {
	encoded := SecondGenerator().Bytes()
	for b.Loop() {
		if _, err := DecodePoint(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
