package group

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/big"
	"sync"

	"warifu.dev/internal/tag"
)

// secondGeneratorInput is the fixed string behind [SecondGenerator].
const secondGeneratorInput = "warifu second generator of P-256"

var secondGenerator = sync.OnceValue(func() *Point {
	return HashToPoint([]byte(secondGeneratorInput), []byte(tag.SecondGenerator))
})

// SecondGenerator returns Ḡ, a generator whose logarithm to the base G nobody
// knows: RFC 9380 applied to a fixed string under the tag [tag.SecondGenerator].
// It is computed anew in every process, once, so it can be checked and cannot be
// replaced by a constant with a trapdoor.
func SecondGenerator() *Point { return secondGenerator() }

// fieldElementBytes is L of RFC 9380 section 5 for P-256: enough to be uniform
// modulo p or q up to 2^-128.
const fieldElementBytes = 48

// HashToScalar is HashToScalar of the suite P256-SHA256 of RFC 9497 section 4.3:
// hash_to_field modulo q. dst has 1 to 255 bytes.
func HashToScalar(input, dst []byte) *Scalar {
	return ScalarFromHash(expandMessageXMD(input, dst, fieldElementBytes))
}

// HashToPoint is P256_XMD:SHA-256_SSWU_RO_ of RFC 9380 section 8.2. It runs in
// variable time over math/big, so its input must be public. dst has 1 to 255
// bytes. The identity would come out with probability 2^-256.
func HashToPoint(input, dst []byte) *Point {
	uniform := expandMessageXMD(input, dst, 2*fieldElementBytes)
	p := mapToCurve(new(big.Int).SetBytes(uniform[:fieldElementBytes]))
	return p.Add(mapToCurve(new(big.Int).SetBytes(uniform[fieldElementBytes:])))
}

// expandMessageXMD is expand_message_xmd of RFC 9380 section 5.3.1 with SHA-256.
func expandMessageXMD(input, dst []byte, size int) []byte {
	if len(dst) < 1 || len(dst) > 255 || size > 255*sha256.Size {
		panic(fmt.Sprintf("group: expand a message to %d bytes under a tag of %d bytes", size, len(dst)))
	}
	dstPrime := append(append([]byte(nil), dst...), byte(len(dst)))
	h := sha256.New()
	h.Write(make([]byte, h.BlockSize()))
	h.Write(input)
	h.Write([]byte{byte(size >> 8), byte(size), 0})
	h.Write(dstPrime)
	first := h.Sum(nil)
	var out []byte
	block := make([]byte, sha256.Size)
	for i := byte(1); len(out) < size; i++ {
		subtle.XORBytes(block, block, first)
		h.Reset()
		h.Write(block)
		h.Write([]byte{i})
		h.Write(dstPrime)
		block = h.Sum(nil)
		out = append(out, block...)
	}
	return out[:size]
}

// mapToCurve is the simplified SWU map of RFC 9380 section 6.6.2 with Z = -10,
// step by step as it stands there; u is reduced first.
func mapToCurve(u *big.Int) *Point {
	curve := elliptic.P256().Params()
	p, a, b, z := curve.P, big.NewInt(-3), curve.B, big.NewInt(-10)
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	mul := func(x, y *big.Int) *big.Int { return mod(new(big.Int).Mul(x, y)) }
	add := func(x, y *big.Int) *big.Int { return mod(new(big.Int).Add(x, y)) }
	inverse := func(x *big.Int) *big.Int { return new(big.Int).ModInverse(mod(new(big.Int).Set(x)), p) }
	g := func(x *big.Int) *big.Int { return add(mul(x, add(mul(x, x), a)), b) }

	u = mod(new(big.Int).Set(u))
	zu2 := mul(z, mul(u, u))
	t := add(mul(zu2, zu2), zu2)
	var x *big.Int
	if t.Sign() == 0 {
		x = mul(b, inverse(mul(z, a)))
	} else {
		x = mul(mul(new(big.Int).Neg(b), inverse(a)), add(big.NewInt(1), inverse(t)))
	}
	y := new(big.Int).ModSqrt(g(x), p)
	if y == nil {
		x = mul(zu2, x)
		y = new(big.Int).ModSqrt(g(x), p)
	}
	if u.Bit(0) != y.Bit(0) {
		y = mod(y.Neg(y))
	}
	encoded := make([]byte, PointSize)
	encoded[0] = 4
	x.FillBytes(encoded[1:33])
	y.FillBytes(encoded[33:])
	point, err := DecodePoint(encoded)
	if err != nil {
		panic("group: the SWU map left the curve")
	}
	return point
}
