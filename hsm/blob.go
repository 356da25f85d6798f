package hsm

import "fmt"

// A sealed blob, 29 bytes longer than its plaintext:
//
//	offset 0        1            13                      13+n        29+n
//	       | 0x01   | nonce (12) | ciphertext (n)        | tag (16)  |
//
// AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. A sealing key
// lives for one generation and seals a handful of blobs, far below the 2^32
// that random nonces allow.
const (
	BlobVersion = 1
	NonceSize   = 12
	TagSize     = 16
	// Overhead is how many bytes a blob is longer than its plaintext.
	Overhead = 1 + NonceSize + TagSize
)

const (
	// MaxPlaintext bounds what is sealed: shares and keys are hundreds of
	// bytes, and a token takes one piece of this size in a single call.
	MaxPlaintext = 64 << 10
	// MaxAAD bounds the associated data: a few names and numbers.
	MaxAAD = 4 << 10
	// MaxLabel leaves room for our prefix in the label field of any token.
	MaxLabel = 64
	// MaxKeys bounds how many keys of ours a device may hold: a node has one
	// for its identity, and one or two generations at a time.
	MaxKeys = 1024
)

// Blob is a sealed blob taken apart. Nonce and Sealed point into the blob.
type Blob struct {
	Nonce  []byte // NonceSize bytes
	Sealed []byte // ciphertext and tag
}

// ParseBlob takes a blob apart, of whom nothing is yet known but its shape.
// ErrOpen if it is none.
func ParseBlob(b []byte) (Blob, error) {
	switch {
	case len(b) <= Overhead:
		return Blob{}, fmt.Errorf("take apart a sealed blob of %d bytes, too short: %w", len(b), ErrOpen)
	case len(b) > MaxPlaintext+Overhead:
		return Blob{}, fmt.Errorf("take apart a sealed blob of %d bytes, too long: %w", len(b), ErrOpen)
	case b[0] != BlobVersion:
		return Blob{}, fmt.Errorf("take apart a sealed blob of unknown version %d: %w", b[0], ErrOpen)
	}
	return Blob{Nonce: b[1 : 1+NonceSize], Sealed: b[1+NonceSize:]}, nil
}

// Bytes puts the blob together.
func (b Blob) Bytes() []byte {
	out := make([]byte, 0, 1+len(b.Nonce)+len(b.Sealed))
	out = append(out, BlobVersion)
	out = append(out, b.Nonce...)
	return append(out, b.Sealed...)
}

// CheckSizes refuses what a device does not seal: ErrEmpty, ErrTooLarge.
func CheckSizes(plaintext, aad int) error {
	switch {
	case plaintext == 0:
		return ErrEmpty
	case plaintext > MaxPlaintext:
		return fmt.Errorf("%d bytes of plaintext, at most %d: %w", plaintext, MaxPlaintext, ErrTooLarge)
	case aad > MaxAAD:
		return fmt.Errorf("%d bytes of associated data, at most %d: %w", aad, MaxAAD, ErrTooLarge)
	}
	return nil
}

// CheckLabel refuses what is not a label: 1 to MaxLabel bytes of ASCII
// letters, digits and "-", "_", ".", "/", ":". ErrLabel.
func CheckLabel(label string) error {
	if len(label) == 0 || len(label) > MaxLabel {
		return fmt.Errorf("label of %d bytes, 1 to %d are allowed: %w", len(label), MaxLabel, ErrLabel)
	}
	for _, c := range []byte(label) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == '/', c == ':':
		default:
			return fmt.Errorf("label %q: %w", label, ErrLabel)
		}
	}
	return nil
}
