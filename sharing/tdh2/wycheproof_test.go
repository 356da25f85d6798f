package tdh2

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"warifu.dev/internal/wycheproof"
	"warifu.dev/sharing/group"
)

// AES-256-GCM as envelopes and keyrings use it: nonce ‖ ciphertext ‖ tag, with
// nonces of 12 bytes. No vector with another key or nonce can be asked of it.
func TestWycheproofGCM(t *testing.T) {
	type sizes struct{ IvSize, KeySize, TagSize int }
	type vector struct {
		TcID                       int
		Comment, Result            string
		Key, Iv, Aad, Msg, Ct, Tag wycheproof.Hex
	}
	const name = "aes_gcm_test.json"
	groups, all := wycheproof.Load[sizes, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		if g.Of.KeySize != 256 || g.Of.IvSize != 96 {
			ends["of another size"] += len(g.Tests)
			continue
		}
		for _, v := range g.Tests {
			got, err := newAEAD(v.Key).Open(nil, nil, slices.Concat(v.Iv, v.Ct, v.Tag), v.Aad)
			if (err == nil) != (v.Result == wycheproof.Valid) || err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("%d %s, %s: %x, %v", v.TcID, v.Comment, v.Result, got, err)
			}
			ends[map[bool]string{true: "opened", false: "refused"}[err == nil]]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
	if ends["opened"] == 0 || ends["refused"] == 0 {
		t.Error("only one of the two was tried")
	}
}

func TestWycheproofHKDF(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Ikm, Salt, Info wycheproof.Hex
		Size            int
		Okm             wycheproof.Hex
	}
	const name = "hkdf_sha256_test.json"
	groups, all := wycheproof.Load[struct{ KeySize int }, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		for _, v := range g.Tests {
			got, err := hkdf.Key(sha256.New, v.Ikm, v.Salt, string(v.Info), v.Size)
			if (err == nil) != (v.Result == wycheproof.Valid) || err == nil && !bytes.Equal(got, v.Okm) {
				t.Errorf("%d %s, %s: %x, %v", v.TcID, v.Comment, v.Result, got, err)
			}
			ends[map[bool]string{true: "derived", false: "refused"}[err == nil]]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// RFC 5869, appendices A.1 to A.3: those with SHA-256.
func TestHKDFVectors(t *testing.T) {
	counted := func(from, n int) (b []byte) {
		for i := range n {
			b = append(b, byte(from+i))
		}
		return b
	}
	ran := 0
	for _, v := range []struct {
		ikm, salt, info []byte
		okm             string
	}{
		{
			bytes.Repeat([]byte{0x0b}, 22), counted(0, 13), counted(0xf0, 10),
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		},
		{
			counted(0, 80), counted(0x60, 80), counted(0xb0, 80),
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
		},
		{
			bytes.Repeat([]byte{0x0b}, 22), nil, nil,
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
		},
	} {
		want := unhex(t, v.okm)
		got, err := hkdf.Key(sha256.New, v.ikm, v.salt, string(v.info), len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("A.%d: %x, %v", ran+1, got, err)
		}
		ran++
	}
	t.Logf("RFC 5869: %d vectors", ran)
}

// HMAC-SHA256 whole and cut, as endorsements are.
func TestWycheproofHMAC(t *testing.T) {
	type sizes struct{ KeySize, TagSize int }
	type vector struct {
		TcID            int
		Comment, Result string
		Key, Msg, Tag   wycheproof.Hex
	}
	const name = "hmac_sha256_test.json"
	groups, all := wycheproof.Load[sizes, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		for _, v := range g.Tests {
			mac := hmac.New(sha256.New, v.Key)
			mac.Write(v.Msg)
			ok := hmac.Equal(mac.Sum(nil)[:g.Of.TagSize/8], v.Tag)
			if ok != (v.Result == wycheproof.Valid) {
				t.Errorf("%d %s, %s: equal %v", v.TcID, v.Comment, v.Result, ok)
			}
			ends[map[bool]string{true: "equal", false: "refused"}[ok]]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// The proofs of RFC 9497, appendices A.3.2 and A.3.3 (P256-SHA256, modes VOPRF
// and POPRF), with a batch of one, which is the form of ours. Only the context
// string differs.
func TestDLEQVectors(t *testing.T) {
	point := func(s string) *group.Point {
		p, err := group.DecodeCompressed(unhex(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	scalar := func(b []byte) *group.Scalar {
		s, err := group.DecodeNonZeroScalar(b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const r = "f9db001266677f62c095021db018cd8cbb55941d4073698ce45c405d1348b7b1"
	ran := 0
	for _, v := range []struct {
		mode                              byte
		secret, blinded, evaluated, proof string
	}{
		{
			1, "ca5d94c8807817669a51b196c34c1b7f8442fde4334a7121ae4736364312fca6",
			"02dd05901038bb31a6fae01828fd8d0e49e35a486b5c5d4b4994013648c01277da", "0209f33cab60cf8fe69239b0afbcfcd261af4c1c5632624f2e9ba29b90ae83e4a2",
			"e7c2b3c5c954c035949f1f74e6bce2ed539a3be267d1481e9ddb178533df4c2664f69d065c604a4fd953e100b856ad83804eb3845189babfa5a702090d6fc5fa",
		},
		{
			1, "ca5d94c8807817669a51b196c34c1b7f8442fde4334a7121ae4736364312fca6",
			"03cd0f033e791c4d79dfa9c6ed750f2ac009ec46cd4195ca6fd3800d1e9b887dbd", "030d2985865c693bf7af47ba4d3a3813176576383d19aff003ef7b0784a0d83cf1",
			"2787d729c57e3d9512d3aa9e8708ad226bc48e0f1750b0767aaff73482c44b8d2873d74ec88aebd3504961acea16790a05c542d9fbff4fe269a77510db00abab",
		},
		{
			2, "6ad2173efa689ef2c27772566ad7ff6e2d59b3b196f00219451fb2c89ee4dae2",
			"031563e127099a8f61ed51eeede05d747a8da2be329b40ba1f0db0b2bd9dd4e2c0", "02c5e5300c2d9e6ba7f3f4ad60500ad93a0157e6288eb04b67e125db024a2c74d2",
			"f8a33690b87736c854eadfcaab58a59b8d9c03b569110b6f31f8bf7577f3fbb85a8a0c38468ccde1ba942be501654adb106167c8eb178703ccb42bccffb9231a",
		},
		{
			2, "6ad2173efa689ef2c27772566ad7ff6e2d59b3b196f00219451fb2c89ee4dae2",
			"021a440ace8ca667f261c10ac7686adc66a12be31e3520fca317643a1eee9dcd4d", "0208ca109cbae44f4774fc0bdd2783efdcb868cb4523d52196f700210e777c5de3",
			"043a8fb7fc7fd31e35770cabda4753c5bf0ecc1e88c68d7d35a62bf2631e875af4613641be2d1875c31d1319d191c4bbc0d04875f4fd03c31d3d17dd8e069b69",
		},
	} {
		context := slices.Concat([]byte("OPRFV1-"), []byte{v.mode}, []byte("-P256-SHA256"))
		k, c, d := scalar(unhex(t, v.secret)), point(v.blinded), point(v.evaluated)
		if v.mode == 2 {
			// The key is tweaked by "test info", and the two elements change places (section 3.3.3).
			info := append(prefixed([]byte("Info"), []byte("test info")), []byte(nil)...)
			k = k.Add(group.HashToScalar(info, append([]byte("HashToScalar-"), context...)))
			c, d = d, c
		}
		b := group.BaseMul(k)
		if !c.Mul(k).Equal(d) {
			t.Fatalf("mode %d: the vector is not of this key", v.mode)
		}
		m, z := composites(context, b, c, d)
		nonce := scalar(unhex(t, r))
		challenge := dleqChallenge(context, b, m, z, group.BaseMul(nonce), m.Mul(nonce))
		proof := append(challenge.Bytes(), nonce.Sub(challenge.Mul(k)).Bytes()...)
		if hex.EncodeToString(proof) != v.proof {
			t.Errorf("mode %d: %x", v.mode, proof)
		}
		ran++
	}
	t.Logf("RFC 9497: %d proofs", ran)
}
