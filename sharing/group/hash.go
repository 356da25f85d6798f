package group

import (
	"fmt"
	"sync"

	circl "github.com/cloudflare/circl/group"

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

// HashToScalar is HashToScalar of the suite P256-SHA256 of RFC 9497 section 4.3:
// hash_to_field modulo q. It runs in variable time, so its input must be public.
// dst has 1 to 255 bytes.
func HashToScalar(input, dst []byte) *Scalar {
	checkDST(dst)
	b, err := circl.P256.HashToScalar(input, dst).MarshalBinary()
	if err != nil {
		panic("group: hash to a scalar: " + err.Error())
	}
	s, err := DecodeScalar(b)
	if err != nil {
		panic("group: hash to a scalar: " + err.Error())
	}
	return s
}

// HashToPoint is P256_XMD:SHA-256_SSWU_RO_ of RFC 9380 section 8.2. It runs in
// variable time, so its input must be public. dst has 1 to 255 bytes. The
// identity would come out with probability 2^-256, and panics.
func HashToPoint(input, dst []byte) *Point {
	checkDST(dst)
	b, err := circl.P256.HashToElement(input, dst).MarshalBinary()
	if err != nil {
		panic("group: hash to a point: " + err.Error())
	}
	p, err := DecodePoint(b)
	if err != nil {
		panic("group: hash to a point: " + err.Error())
	}
	return p
}

// checkDST holds the length of a domain separation tag (RFC 9380 section 3.1);
// longer ones would be hashed first, and none of ours is.
func checkDST(dst []byte) {
	if len(dst) < 1 || len(dst) > 255 {
		panic(fmt.Sprintf("group: hash under a tag of %d bytes", len(dst)))
	}
}
