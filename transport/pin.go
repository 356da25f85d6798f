package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// SPKI is SHA-256 of a certificate's SubjectPublicKeyInfo in DER (RFC 5280,
// section 4.1.2.7): the name of a key, whatever certificate it is shown in.
type SPKI [32]byte

// String returns s in hexadecimal.
func (s SPKI) String() string { return hex.EncodeToString(s[:]) }

// SPKIOf returns the SPKI of a public key. It fails on a kind of key that has
// no SubjectPublicKeyInfo.
func SPKIOf(pub crypto.PublicKey) (SPKI, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return SPKI{}, fmt.Errorf("name a public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// spkiOf is SPKIOf of the key that the certificate holds, in the bytes it is
// held in.
func spkiOf(cert *x509.Certificate) SPKI { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// selfSignedLife is how long a self-signed certificate says it lives. Nobody
// reads it: such certificates are pinned by key and remade at every start.
const selfSignedLife = 10 * 365 * 24 * time.Hour

// SelfSigned makes the certificate of a node or a custodian: name is for people,
// the key is what others pin.
func SelfSigned(key *ecdsa.PrivateKey, name string, now time.Time) (tls.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and of a constant length
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(selfSignedLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// baseTLS is what both ends agree on: TLS 1.3, one hybrid key exchange (an
// attacker who records today must break both X25519 and ML-KEM-768 later), and
// no tickets, because a resumed session does not show its certificate again.
func baseTLS(cert tls.Certificate, alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		Certificates:           []tls.Certificate{cert},
		NextProtos:             alpn,
		SessionTicketsDisabled: true,
	}
}

// serverTLS asks for a certificate of any kind. TLS proves that the caller holds
// its key; whose key that is, is asked after the handshake (see admission.go).
func serverTLS(cert tls.Certificate, alpn ...string) *tls.Config {
	conf := baseTLS(cert, alpn...)
	conf.ClientAuth = tls.RequireAnyClientCert
	return conf
}

// clientTLS accepts a server by its key alone.
//
// InsecureSkipVerify switches off the check of names and chains, which mean
// nothing for a self-signed certificate that is remade at every start. What
// stands in their place is stricter: TLS still verifies the signature under the
// certificate's key, and VerifyConnection lets only the pinned key pass. It runs
// on every handshake, whereas VerifyPeerCertificate would not on a resumed one.
func clientTLS(cert tls.Certificate, pin SPKI, alpn string) *tls.Config {
	conf := baseTLS(cert, alpn)
	conf.InsecureSkipVerify = true
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		return checkPin(state.PeerCertificates, pin)
	}
	return conf
}

// checkPin accepts a chain whose leaf holds the pinned key, on P-256.
func checkPin(chain []*x509.Certificate, pin SPKI) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: it showed no certificate", ErrPinned)
	}
	if pub, ok := chain[0].PublicKey.(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P256() {
		return fmt.Errorf("%w: it is not on P-256", ErrPinned)
	}
	got := spkiOf(chain[0])
	if subtle.ConstantTimeCompare(got[:], pin[:]) != 1 {
		return fmt.Errorf("%w: it proved %s, the pin is %s", ErrPinned, got, pin)
	}
	return nil
}
