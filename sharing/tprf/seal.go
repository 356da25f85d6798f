package tprf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
)

var (
	// ErrDEK means that a secret is not of 1 to 64 bytes.
	ErrDEK = errors.New("tprf: an encrypted secret has 1 to 64 bytes")
	// ErrPrincipal means that a principal's name is empty or too long.
	ErrPrincipal = errors.New("tprf: a principal's name has 1 to 2048 bytes")
	// ErrNotOpened means that the ciphertext does not open with this value: some holder's
	// part of it is wrong, the context is another, or the ciphertext was altered.
	ErrNotOpened = errors.New("tprf: the ciphertext did not open with this value")
	// ErrCorrupt means that the ciphertext opens and is not what its encrypter committed
	// to: it was made so. Blame no holder, and do not retry.
	ErrCorrupt = errors.New("tprf: the ciphertext is not what was committed to")
)

// Sealing is an encryption that waits for the value of its input. Its owner wipes it.
type Sealing struct {
	header []byte
	plain  secret.Bytes // ρ ‖ DEK
	input  Input
	alpha  [commitmentSize]byte
}

// Begin commits to a secret of 1 to [MaxDEK] bytes with 32 fresh bytes ρ of rand.
// principal is the name under which the caller will be known to the holders, who take
// it from the caller's certificate: with another one the ciphertext would not open.
func Begin(rand io.Reader, k Key, principal string, context []byte, dek secret.Bytes) (*Sealing, error) {
	plain, err := committed(rand, principal, dek)
	if err != nil {
		return nil, err
	}
	s := &Sealing{plain: plain, alpha: commit(plain.Reveal())}
	s.header = slices.Concat([]byte{formatVersion, suite}, k.Cluster[:], k.ID[:], binary.BigEndian.AppendUint32(nil, k.Version),
		s.alpha[:], binary.BigEndian.AppendUint16(nil, uint16(len(principal))), []byte(principal))
	s.input = ItemInput(k, context, principal, s.alpha)
	return s, nil
}

// committed is ρ ‖ DEK, with 32 fresh bytes ρ of rand.
func committed(rand io.Reader, principal string, dek secret.Bytes) (secret.Bytes, error) {
	if dek.Len() < 1 || dek.Len() > MaxDEK {
		return secret.Bytes{}, fmt.Errorf("encrypt %d bytes: %w", dek.Len(), ErrDEK)
	}
	if len(principal) < 1 || len(principal) > MaxPrincipal {
		return secret.Bytes{}, fmt.Errorf("encrypt as a principal of %d bytes: %w", len(principal), ErrPrincipal)
	}
	plain := make([]byte, rhoSize, rhoSize+dek.Len())
	if _, err := io.ReadFull(rand, plain); err != nil {
		return secret.Bytes{}, fmt.Errorf("encrypt: draw ρ: %w", err)
	}
	return secret.New(append(plain, dek.Reveal()...)), nil
}

// Commitment returns α, which the holders are told.
func (s *Sealing) Commitment() [commitmentSize]byte { return s.alpha }

// Finish encrypts under the value F of the input and returns the ciphertext. The value is
// the caller's to wipe.
func (s *Sealing) Finish(f Value) []byte { return seal(f, s.header, s.plain) }

// seal encrypts ρ ‖ DEK behind a header.
func seal(f Value, header []byte, plain secret.Bytes) []byte {
	key := itemKey(f, header)
	defer clear(key)
	return newAEAD(key).Seal(slices.Clone(header), nil, plain.Reveal(), tag.List(tag.ItemAAD, header))
}

// Wipe overwrites what is to be encrypted.
func (s *Sealing) Wipe() { s.plain.Wipe() }

// Open decrypts with the value F of the input. Errors are [ErrNotOpened] and
// [ErrCorrupt]. The caller wipes the DEK.
func (c *Ciphertext) Open(f Value) (secret.Bytes, error) {
	return unseal(f, c.header(), c.sealed(), c.Commitment())
}

// unseal decrypts what stands behind a header, and holds it against α.
func unseal(f Value, header, sealed []byte, want [commitmentSize]byte) (secret.Bytes, error) {
	key := itemKey(f, header)
	defer clear(key)
	plain, err := newAEAD(key).Open(nil, nil, sealed, tag.List(tag.ItemAAD, header))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("open a ciphertext: %w", ErrNotOpened)
	}
	defer clear(plain)
	alpha := commit(plain)
	if !hmac.Equal(alpha[:], want[:]) {
		return secret.Bytes{}, fmt.Errorf("open a ciphertext: %w", ErrCorrupt)
	}
	return secret.Clone(plain[rhoSize:]), nil
}

// commit is α of ρ ‖ DEK: HMAC under ρ.
func commit(plain []byte) (alpha [commitmentSize]byte) {
	mac := hmac.New(sha256.New, plain[:rhoSize])
	tag.Write(mac, tag.ItemCommitment, plain[rhoSize:])
	mac.Sum(alpha[:0])
	return alpha
}

// itemKey derives the key of one ciphertext from the function's value, or from what a
// branch key gives in its place (RFC 5869). The second byte of a header is its suite.
func itemKey(f Value, header []byte) []byte {
	key, err := hkdf.Key(sha256.New, f[:], nil, string(tag.List(tag.ItemKey, header[1:2], header)), 32)
	if err != nil {
		panic("tprf: derive a key: " + err.Error())
	}
	return key
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("tprf: make a cipher: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("tprf: make an AEAD: " + err.Error())
	}
	return aead
}
