package group

import (
	"bytes"
	"testing"

	circl "github.com/cloudflare/circl/group"
	"pgregory.net/rapid"

	"warifu.dev/internal/tag"
)

// circl hashes to the same points and scalars as we do; the second generator too.
func TestHashingAgreesWithCircl(t *testing.T) {
	same := func(t rapid.TB, input, dst []byte) {
		want, err := circl.P256.HashToElement(input, dst).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(HashToPoint(input, dst).Bytes(), want) {
			t.Errorf("points differ for %x under %x", input, dst)
		}
		want, err = circl.P256.HashToScalar(input, dst).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(HashToScalar(input, dst).Bytes(), want) {
			t.Errorf("scalars differ for %x under %x", input, dst)
		}
	}
	same(t, []byte(secondGeneratorInput), []byte(tag.SecondGenerator))
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.SliceOf(rapid.Byte()).Draw(t, "input"), rapid.SliceOfN(rapid.Byte(), 1, 255).Draw(t, "dst"))
	})
}
