package authority_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"

	. "warifu.dev/authority"
	"warifu.dev/internal/wycheproof"
)

// Signatures as they are verified here and in the audit: the key by our decoder,
// ECDSA P-256 with SHA-256 in ASN.1, at most [MaxSignatureSize] bytes.
func TestWycheproofSignatures(t *testing.T) {
	type group struct {
		PublicKey struct{ Uncompressed wycheproof.Hex }
	}
	type vector struct {
		TcID            int
		Comment, Result string
		Msg, Sig        wycheproof.Hex
	}
	const name = "ecdsa_secp256r1_sha256_test.json"
	groups, all := wycheproof.Load[group, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		k, err := ParsePublicKey(g.Of.PublicKey.Uncompressed)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			digest := sha256.Sum256(v.Msg)
			ok := len(v.Sig) <= MaxSignatureSize && ecdsa.VerifyASN1(k, digest[:], v.Sig)
			if ok != (v.Result == wycheproof.Valid) {
				t.Errorf("%d %s, %s: verified %v", v.TcID, v.Comment, v.Result, ok)
			}
			ends[map[bool]string{true: "verified", false: "refused"}[ok]]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// R4: public keys as certificates carry them. What x509 takes for a P-256 key is
// one that we take, and a bent encoding is refused.
func TestWycheproofPublicKeys(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Public          string
		Private         string
		Shared          wycheproof.Hex
	}
	for name, der := range map[string]func(string) []byte{
		"ecdh_secp256r1_test.json": func(s string) []byte {
			var h wycheproof.Hex
			if err := h.UnmarshalText([]byte(s)); err != nil {
				t.Fatal(err)
			}
			return h
		},
		"ecdh_secp256r1_pem_test.json": func(s string) []byte {
			block, _ := pem.Decode([]byte(s))
			if block == nil {
				return nil
			}
			return block.Bytes
		},
	} {
		groups, all := wycheproof.Load[struct{ Curve string }, vector](t, name)
		ends := map[string]int{}
		for _, g := range groups {
			for _, v := range g.Tests {
				parsed, err := x509.ParsePKIXPublicKey(der(v.Public))
				k, ok := parsed.(*ecdsa.PublicKey)
				if err != nil || !ok || k.Curve != elliptic.P256() {
					if v.Result == wycheproof.Valid {
						t.Errorf("%s: %d %s: refused: %v", name, v.TcID, v.Comment, err)
					}
					ends["refused"]++
					continue
				}
				if v.Result == wycheproof.Invalid {
					t.Errorf("%s: %d %s: taken", name, v.TcID, v.Comment)
				}
				b := EncodePublicKey(k)
				again, err := ParsePublicKey(b)
				if err != nil || !bytes.Equal(EncodePublicKey(again), b) {
					t.Errorf("%s: %d %s: %v", name, v.TcID, v.Comment, err)
				}
				if d, ok := new(big.Int).SetString(v.Private, 16); ok && !agree(t, again, d, v.Shared) {
					t.Errorf("%s: %d %s: another point", name, v.TcID, v.Comment)
				}
				ends["taken, "+v.Result]++
			}
		}
		wycheproof.Ran(t, name, all, ends)
	}
}

func agree(t *testing.T, k *ecdsa.PublicKey, d *big.Int, shared []byte) bool {
	t.Helper()
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := private.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := k.ECDH()
	if err != nil {
		return false
	}
	got, err := secret.ECDH(peer)
	return err == nil && bytes.Equal(got, shared)
}
