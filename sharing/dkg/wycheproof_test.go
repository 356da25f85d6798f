package dkg

import (
	"bytes"
	"crypto/hpke"
	"crypto/mlkem"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"warifu.dev/internal/wycheproof"
	"warifu.dev/sharing/group"
)

// The vectors of draft-ietf-hpke-pq with our KEM, MLKEM768-P256. RFC 9180 has
// none, since its KEMs are not hybrid, and the draft has none with our KDF and our
// AEAD together: one of these is HKDF-SHA256 with AES-128-GCM, the other SHAKE128
// with AES-256-GCM.
func TestHPKEVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/hpke-pq.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		KDF         uint16 `json:"kdf_id"`
		AEAD        uint16 `json:"aead_id"`
		Info        wycheproof.Hex
		SkRm, PkRm  wycheproof.Hex
		Enc         wycheproof.Hex
		Encryptions []struct{ Aad, Ct, Pt wycheproof.Hex }
		Exports     []struct {
			Context wycheproof.Hex `json:"exporter_context"`
			L       int
			Value   wycheproof.Hex `json:"exported_value"`
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	opened, exported := 0, 0
	_, ourKDF, ourAEAD := suite()
	var withOurKDF, withOurAEAD bool
	for _, v := range vectors {
		kdf, err := hpke.NewKDF(v.KDF)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := hpke.NewAEAD(v.AEAD)
		if err != nil {
			t.Fatal(err)
		}
		withOurKDF, withOurAEAD = withOurKDF || kdf.ID() == ourKDF.ID(), withOurAEAD || aead.ID() == ourAEAD.ID()
		sk, err := decodeReceiveSecret(v.SkRm)
		if err != nil {
			t.Fatal(err)
		}
		pk, err := decodeReceiveKey(v.PkRm)
		if err != nil || !bytes.Equal(sk.PublicKey().Bytes(), pk.Bytes()) {
			t.Fatalf("another public key, %v", err)
		}
		r, err := hpke.NewRecipient(v.Enc, sk, kdf, aead, v.Info)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range v.Encryptions {
			if got, err := r.Open(e.Aad, e.Ct); err != nil || !bytes.Equal(got, e.Pt) {
				t.Errorf("KDF %d, AEAD %d, message %d: %x, %v", v.KDF, v.AEAD, i, got, err)
			}
			opened++
		}
		for i, e := range v.Exports {
			if got, err := r.Export(string(e.Context), e.L); err != nil || !bytes.Equal(got, e.Value) {
				t.Errorf("KDF %d, AEAD %d, export %d: %x, %v", v.KDF, v.AEAD, i, got, err)
			}
			exported++
		}
	}
	if t.Logf("draft-ietf-hpke-pq: %d messages opened, %d secrets exported", opened, exported); opened == 0 || exported == 0 || !withOurKDF || !withOurAEAD {
		t.Error("the file is not what it was")
	}
}

// The ML-KEM half of a receive key, under the other half that is always good: what
// Wycheproof calls an invalid encapsulation key is not a receive key.
func TestWycheproofReceiveKeys(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Ek              wycheproof.Hex
	}
	for _, name := range []string{"mlkem_768_encaps_test.json", "mlkem_768_keygen_seed_test.json"} {
		groups, all := wycheproof.Load[struct{ ParameterSet string }, vector](t, name)
		ends := map[string]int{}
		for _, g := range groups {
			for _, v := range g.Tests {
				_, err := decodeReceiveKey(append(slices.Clone(v.Ek), group.Generator().Bytes()...))
				if (err == nil) != (v.Result == wycheproof.Valid) {
					t.Errorf("%s: %d %s, %s: %v", name, v.TcID, v.Comment, v.Result, err)
				}
				ends[map[bool]string{true: "taken", false: "refused"}[err == nil]]++
			}
		}
		wycheproof.Ran(t, name, all, ends)
	}
}

// R4: and the P-256 half, under an ML-KEM half that is good.
func TestWycheproofReceivePoints(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Public          wycheproof.Hex
	}
	decapsulation, err := mlkem.NewDecapsulationKey768(make([]byte, mlkem.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	ek := decapsulation.EncapsulationKey().Bytes()
	const name = "ecdh_secp256r1_ecpoint_test.json"
	groups, all := wycheproof.Load[struct{ Curve string }, vector](t, name)
	ends := map[string]int{}
	for _, g := range groups {
		for _, v := range g.Tests {
			_, err := decodeReceiveKey(append(slices.Clone(ek), v.Public...))
			if (err == nil) != (v.Result == wycheproof.Valid) { // the compressed one is refused
				t.Errorf("%d %s, %s: %v", v.TcID, v.Comment, v.Result, err)
			}
			ends[map[bool]string{true: "taken", false: "refused"}[err == nil]]++
		}
	}
	wycheproof.Ran(t, name, all, ends)
}

// What the KEM is made of: keys from seeds, and decapsulation.
func TestWycheproofMLKEM(t *testing.T) {
	type vector struct {
		TcID            int
		Comment, Result string
		Seed, Ek, C, K  wycheproof.Hex
	}
	for _, name := range []string{"mlkem_768_test.json", "mlkem_768_keygen_seed_test.json"} {
		groups, all := wycheproof.Load[struct{ ParameterSet string }, vector](t, name)
		ends := map[string]int{}
		for _, g := range groups {
			for _, v := range g.Tests {
				got, err := decapsulate(v.Seed, v.Ek, v.C)
				if (err == nil) != (v.Result == wycheproof.Valid) || err == nil && !bytes.Equal(got, v.K) {
					t.Errorf("%s: %d %s, %s: %x, %v", name, v.TcID, v.Comment, v.Result, got, err)
				}
				ends[map[bool]string{true: "agreed", false: "refused"}[err == nil]]++
			}
		}
		wycheproof.Ran(t, name, all, ends)
	}
}

func decapsulate(seed, ek, ciphertext []byte) ([]byte, error) {
	k, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, err
	}
	if len(ek) > 0 && !bytes.Equal(k.EncapsulationKey().Bytes(), ek) {
		return nil, ErrReceiveKey
	}
	if ciphertext == nil {
		return nil, nil
	}
	return k.Decapsulate(ciphertext)
}
