package group

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"testing"

	"warifu.dev/internal/wycheproof"
	"warifu.dev/sharing/internal/slow"
)

// R4: points and products. The one vector that is acceptable is a compressed point.
func TestWycheproofPoints(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Public, Private wycheproof.Hex
		Shared          wycheproof.Hex
	}
	const name = "ecdh_secp256r1_ecpoint_test.json"
	groups, all := wycheproof.Load[struct{ Curve string }, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		for _, v := range g.Tests {
			p, err := DecodePoint(v.Public)
			if len(v.Public) == CompressedSize {
				p, err = DecodeCompressed(v.Public)
			}
			if (err == nil) != (v.Result != wycheproof.Invalid) {
				t.Errorf("%d %s, %s: %v", v.TcID, v.Comment, v.Result, err)
			}
			ends[multiplied(t, v.TcID, p, err, new(big.Int).SetBytes(v.Private), v.Shared)]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// R4: the same with the coordinates apart. A key that says it is of another curve
// has no place in our formats, so only its coordinates are tried.
func TestWycheproofCoordinates(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Public          struct{ Crv, X, Y string }
		Private         struct{ D string }
		Shared          wycheproof.Hex
	}
	const name = "ecdh_secp256r1_webcrypto_test.json"
	groups, all := wycheproof.Load[struct{ Curve string }, vector](t, name)
	field := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ends := map[string]int{}
	for _, g := range groups {
		for _, v := range g.Tests {
			if v.Public.Crv != "P-256" {
				if v.Result != wycheproof.Invalid {
					t.Errorf("%d %s: %s on %s", v.TcID, v.Comment, v.Result, v.Public.Crv)
				}
				ends["of another curve"]++
				continue
			}
			p, err := DecodePoint(bytes.Join([][]byte{{4}, field(v.Public.X), field(v.Public.Y)}, nil))
			if (err == nil) != (v.Result == wycheproof.Valid) {
				t.Errorf("%d %s, %s: %v", v.TcID, v.Comment, v.Result, err)
			}
			ends[multiplied(t, v.TcID, p, err, new(big.Int).SetBytes(field(v.Private.D)), v.Shared)]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// multiplied checks the product of a point that was taken, in both of our ways.
func multiplied(t *testing.T, id int, p *Point, err error, k *big.Int, shared []byte) string {
	t.Helper()
	if err != nil {
		return "refused"
	}
	k.Mod(k, slow.Q)
	if got := p.Mul(toScalar(t, k)).Bytes(); !bytes.Equal(got[1:33], shared) {
		t.Errorf("%d: wrong product", id)
	}
	if k.IsInt64() && !bytes.Equal(p.MulSmall(k.Int64()).Bytes()[1:33], shared) {
		t.Errorf("%d: wrong small product", id)
	}
	return "multiplied"
}
