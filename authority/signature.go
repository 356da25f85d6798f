package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"warifu.dev/internal/tag"
)

// PublicKeySize is the length of a public key: an uncompressed P-256 point (SEC 1, 2.3.3).
const PublicKeySize = 65

// MaxSignatureSize is the longest ASN.1 ECDSA signature over P-256.
const MaxSignatureSize = 72

// Errors of signatures.
var (
	// ErrPublicKey means the bytes are not an uncompressed P-256 point.
	ErrPublicKey = errors.New("not an uncompressed P-256 public key of 65 bytes")
	// ErrSignature means a signature does not verify, or its signer is not one who may sign here.
	ErrSignature = errors.New("bad signature")
	// ErrNotCustodian means that the signer is no custodian in force. It comes with
	// [ErrSignature]; whoever is behind may only not know the signer yet.
	ErrNotCustodian = errors.New("the signer is not a custodian")
	// ErrTooFewSignatures means fewer distinct custodians signed than the kind requires.
	ErrTooFewSignatures = errors.New("too few signatures")
)

// Fingerprint names a public key: SHA-256 of its 65 bytes.
type Fingerprint [32]byte

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Signature is an ECDSA P-256 SHA-256 signature in ASN.1, and whose it is.
type Signature struct {
	Signer Fingerprint `cbor:"1,keyasint"`
	ASN1   []byte      `cbor:"2,keyasint"`
}

// ParsePublicKey reads an uncompressed point. Failures wrap [ErrPublicKey].
func ParsePublicKey(b []byte) (*ecdsa.PublicKey, error) {
	if len(b) != PublicKeySize {
		return nil, fmt.Errorf("%w: %d bytes", ErrPublicKey, len(b))
	}
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	return k, nil
}

// EncodePublicKey is the inverse of [ParsePublicKey]. k must be a P-256 key.
func EncodePublicKey(k *ecdsa.PublicKey) []byte {
	b, err := k.Bytes()
	if err != nil || len(b) != PublicKeySize {
		panic(fmt.Sprintf("authority: not a P-256 key: %v", err))
	}
	return b
}

// FingerprintOf hashes an encoded public key.
func FingerprintOf(publicKey []byte) Fingerprint { return sha256.Sum256(publicKey) }

// Signer holds a private signing key: a custodian's, or a node's.
type Signer struct {
	key    crypto.Signer
	public []byte
}

// NewSigner wraps a P-256 key that lives in memory or in a token.
func NewSigner(key crypto.Signer) (*Signer, error) {
	p, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || p.Curve != elliptic.P256() {
		return nil, ErrPublicKey
	}
	return &Signer{key: key, public: EncodePublicKey(p)}, nil
}

// PublicKey returns the 65 bytes of the public key.
func (s *Signer) PublicKey() []byte { return s.public }

// Sign signs the list (t, parts...). rand hedges the nonce (RFC 6979 with added randomness).
func (s *Signer) Sign(rand io.Reader, t tag.Tag, parts ...[]byte) (Signature, error) {
	digest := tag.Hash(t, parts...)
	sig, err := s.key.Sign(rand, digest[:], crypto.SHA256)
	if err != nil {
		return Signature{}, fmt.Errorf("sign %s: %w", t, err)
	}
	return Signature{Signer: FingerprintOf(s.public), ASN1: sig}, nil
}

// Verify checks s over the list (t, parts...) by the given public key.
func (s Signature) Verify(publicKey []byte, t tag.Tag, parts ...[]byte) error {
	if s.Signer != FingerprintOf(publicKey) {
		return fmt.Errorf("%w: it names another signer", ErrSignature)
	}
	if len(s.ASN1) > MaxSignatureSize {
		return fmt.Errorf("%w: %d bytes", ErrSignature, len(s.ASN1))
	}
	k, err := ParsePublicKey(publicKey)
	if err != nil {
		return err
	}
	digest := tag.Hash(t, parts...)
	if !ecdsa.VerifyASN1(k, digest[:], s.ASN1) {
		return ErrSignature
	}
	return nil
}
