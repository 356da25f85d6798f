package hsm

import "warifu.dev/internal/secret"

// Kinds of devices.
const (
	KindPKCS11 = "pkcs11"
	KindSoft   = "soft" // protects nothing
)

// Device seals blobs under keys that stay inside it. Every method may be
// called from several goroutines; calls are done one after the other. Every
// method that returns an error returns one that wraps [ErrClosed] after Close.
type Device interface {
	// CreateKey makes a fresh AES-256 sealing key under label: sensitive, not
	// extractable, not modifiable, destroyable, for encryption and decryption
	// only. The key is durable when CreateKey returns. ErrKeyExists if there is
	// one of that label, ErrLabel if the label is none.
	CreateKey(label string) error

	// HasKey tells whether there is a key under label.
	HasKey(label string) (bool, error)

	// Labels lists the labels of our keys, sorted.
	Labels() ([]string, error)

	// Seal encrypts 1 to MaxPlaintext bytes under the key of that label with
	// AES-256-GCM and a fresh random nonce, and binds aad. The blob is drawn at
	// Blob. ErrNoKey, ErrTooLarge, ErrEmpty.
	Seal(label string, plaintext secret.Bytes, aad []byte) ([]byte, error)

	// Open undoes Seal. ErrOpen if the blob was altered, belongs to another key
	// or was sealed with other associated data; ErrNoKey if the key is gone.
	// The caller wipes what it gets.
	Open(label string, blob, aad []byte) (secret.Bytes, error)

	// DestroyKey destroys the key of that label and looks that it is gone. When
	// it returns nil no blob sealed under the key opens again. ErrNoKey if there
	// is none: one who repeats a destruction after a crash takes that as done.
	DestroyKey(label string) error

	// Check reads the templates of all our keys back from the device.
	// ErrTemplate names the first key that could be handed out, altered or not
	// destroyed. To be called at every start.
	Check() error

	// Serial is the serial number of the token, unique among devices.
	Serial() string

	// Kind is KindPKCS11 or KindSoft.
	Kind() string

	// Close waits for calls under way, logs out and forgets the PIN. Closing
	// twice is harmless.
	Close() error
}
