package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// What crypto/x509 writes is read as the key that it is, in either form.
func TestAPrivateKeyIsReadAsItIs(t *testing.T) {
	for range 16 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		sec1, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		var bare sec1Key
		if _, err := asn1.Unmarshal(sec1, &bare); err != nil {
			t.Fatal(err)
		}
		bare.PublicKey.Bytes = append([]byte{2 | public[64]&1}, public[1:33]...)
		bare.PublicKey.BitLength = 8 * 33
		compressed, err := asn1.Marshal(bare)
		if err != nil {
			t.Fatal(err)
		}
		for form, b := range map[string][]byte{
			"SEC 1":                     pemOf("EC PRIVATE KEY", sec1),
			"PKCS#8":                    pemOf("PRIVATE KEY", pkcs8),
			"a compressed public key":   pemOf("EC PRIVATE KEY", compressed),
			"after the curve's own PEM": append(pemOf("EC PARAMETERS", []byte{6, 8}), pemOf("EC PRIVATE KEY", sec1)...),
			"with words before it":      append([]byte("Bag Attributes\n"), pemOf("PRIVATE KEY", pkcs8)...),
		} {
			o, err := parseScalar(b)
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if !bytes.Equal(o.PublicKey(), public) {
				t.Errorf("%s is read as another key", form)
			}
		}
	}
}

func TestWhatIsNoP256KeyIsRefusedByName(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	sec1, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	altered := func(alter func(*sec1Key)) []byte {
		var of sec1Key
		if _, err := asn1.Unmarshal(sec1, &of); err != nil {
			t.Fatal(err)
		}
		alter(&of)
		der, err := asn1.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf("EC PRIVATE KEY", der)
	}
	for says, b := range map[string][]byte{
		"no P-256 private key":        []byte("a letter"),
		"it is an RSA key":            pemOf("PRIVATE KEY", pkcs8(rsaKey)),
		"it is a key on P-521":        pemOf("PRIVATE KEY", pkcs8(p521)),
		`it is a "RSA PRIVATE KEY"`:   pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		`it is a "CERTIFICATE"`:       append(pemOf("CERTIFICATE", []byte{1}), pemOf("EC PRIVATE KEY", sec1)...),
		"its SEC 1 does not decode":   pemOf("EC PRIVATE KEY", sec1[1:]),
		"its PKCS#8 does not decode":  pemOf("PRIVATE KEY", append(pkcs8(k), 0)),
		"is not that of the private":  altered(func(k *sec1Key) { k.PrivateKey[31] ^= 1 }),
		"the kind that says no curve": altered(func(k *sec1Key) { k.Curve = nil }),
		"decode a scalar of 31 bytes": altered(func(k *sec1Key) { k.PrivateKey = k.PrivateKey[1:] }),
		"it is encrypted":             pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: sec1}),
	} {
		o, err := parseScalar(b)
		if o != nil || !errors.Is(err, errScalar) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func FuzzParseScalar(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		f.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pemOf("EC PRIVATE KEY", sec1))
	f.Add(pemOf("PRIVATE KEY", pkcs8))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := parseScalar(bytes.Clone(b)); (o == nil) != errors.Is(err, errScalar) {
			t.Errorf("%v", err)
		}
	})
}
