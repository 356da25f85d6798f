package group

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/sharing/internal/slow"
)

// slowHashToScalar is hash_to_field modulo q with expand_message_xmd, SHA-256 and
// L = 48, as RFC 9380 sections 5.2 and 5.3.1 spell it.
func slowHashToScalar(input, dst []byte) []byte {
	dstPrime := append(bytes.Clone(dst), byte(len(dst)))
	h := func(parts ...[]byte) []byte {
		d := sha256.Sum256(bytes.Join(append(parts, dstPrime), nil))
		return d[:]
	}
	b0 := h(make([]byte, 64), input, []byte{0, 48, 0})
	b1 := h(b0, []byte{1})
	mixed := make([]byte, 32)
	for i := range mixed {
		mixed[i] = b0[i] ^ b1[i]
	}
	b2 := h(mixed, []byte{2})
	n := new(big.Int).SetBytes(append(b1, b2...)[:48])
	return bytes32(n.Mod(n, slow.Q))
}

func TestHashToScalarIsHashToField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := rapid.SliceOf(rapid.Byte()).Draw(t, "input")
		dst := rapid.SliceOfN(rapid.Byte(), 1, 255).Draw(t, "dst")
		if !bytes.Equal(HashToScalar(input, dst).Bytes(), slowHashToScalar(input, dst)) {
			t.Errorf("scalars differ for %x under %x", input, dst)
		}
	})
}

func TestHashRefusesTagsOutOfBounds(t *testing.T) {
	for _, size := range []int{0, 256} {
		for name, hash := range map[string]func(){
			"scalar": func() { HashToScalar(nil, make([]byte, size)) },
			"point":  func() { HashToPoint(nil, make([]byte, size)) },
		} {
			t.Run(name, func(t *testing.T) {
				defer func() {
					if recover() == nil {
						t.Errorf("a tag of %d bytes was taken", size)
					}
				}()
				hash()
			})
		}
	}
}
