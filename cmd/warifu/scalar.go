package main

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// errScalar means that a file holds no private key that can be imported.
var errScalar = errors.New("no P-256 private key in PEM, as PKCS#8 or SEC 1")

// What a private key in a file is: that of RFC 5915, and PKCS#8 around it (RFC 5958).
// They are read here, and not by crypto/x509, which would leave the number in places
// that nobody can wipe.
type (
	sec1Key struct {
		Version    int
		PrivateKey []byte
		Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	pkcs8Key struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}
)

var (
	oidEC   = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	// oidNames are kinds of keys and curves that people bring, and that are refused by name.
	oidNames = map[string]string{
		"1.2.840.113549.1.1.1": "an RSA key", "1.3.101.112": "an Ed25519 key", "1.3.101.110": "an X25519 key",
		"1.3.132.0.34": "a key on P-384", "1.3.132.0.35": "a key on P-521", "1.3.132.0.10": "a key on secp256k1",
	}
)

// readScalar reads a private key that nobody but its owner may read.
func readScalar(name string) (*client.Owned, error) {
	b, err := readSecret(name)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	o, err := parseScalar(b)
	if err != nil {
		return nil, fail(exitInput, "%s: %w", name, err)
	}
	return o, nil
}

// parseScalar reads the first key of a PEM file; what openssl writes before it, the
// parameters of the curve, is passed over.
func parseScalar(b []byte) (*client.Owned, error) {
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			return nil, errScalar
		}
		switch {
		case block.Type == "EC PARAMETERS":
			b = rest
			continue
		case block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%w: it is encrypted; decrypt it first: openssl pkey -in FILE -out PLAIN", errScalar)
		case block.Type == "PRIVATE KEY":
			defer clear(block.Bytes)
			return parsePKCS8(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			defer clear(block.Bytes)
			return parseSEC1(block.Bytes, nil)
		}
		return nil, fmt.Errorf("%w: it is a %.64q", errScalar, block.Type)
	}
}

func parsePKCS8(der []byte) (*client.Owned, error) {
	var k pkcs8Key
	if rest, err := asn1.Unmarshal(der, &k); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its PKCS#8 does not decode", errScalar)
	}
	defer clear(k.PrivateKey)
	if !k.Algorithm.Algorithm.Equal(oidEC) {
		return nil, notP256(k.Algorithm.Algorithm)
	}
	var curve asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its curve has no name", errScalar)
	}
	return parseSEC1(k.PrivateKey, curve)
}

// parseSEC1 reads a key whose curve stands in it, or around it.
func parseSEC1(der []byte, curve asn1.ObjectIdentifier) (*client.Owned, error) {
	var k sec1Key
	if rest, err := asn1.Unmarshal(der, &k); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its SEC 1 does not decode", errScalar)
	}
	defer clear(k.PrivateKey)
	if curve == nil {
		curve = k.Curve
	}
	if !curve.Equal(oidP256) || k.Curve != nil && !k.Curve.Equal(curve) {
		return nil, notP256(curve)
	}
	o, err := client.NewOwned(secret.New(k.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errScalar, err)
	}
	// Compressed, the public key is its first 33 bytes, with another first one.
	if p, y := k.PublicKey.Bytes, o.PublicKey(); len(p) > 0 && !bytes.Equal(p, y) && !(len(p) == 33 && p[0] == 2|y[64]&1 && bytes.Equal(p[1:], y[1:33])) {
		o.Wipe()
		return nil, fmt.Errorf("%w: the public key in it is not that of the private one", errScalar)
	}
	return o, nil
}

func notP256(is asn1.ObjectIdentifier) error {
	if name := oidNames[is.String()]; name != "" {
		return fmt.Errorf("%w: it is %s", errScalar, name)
	}
	return fmt.Errorf("%w: it is of the kind %s", errScalar, orWord(is.String(), "that says no curve"))
}
