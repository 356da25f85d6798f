package hsm

import (
	"crypto"
	"crypto/ecdh"
)

// Use is what a key pair is for. It serves for nothing else.
type Use string

// Uses of a key pair.
const (
	UseSign     Use = "sign"     // ECDSA
	UseExchange Use = "exchange" // ECDH
)

// Pairs holds P-256 key pairs of a person, whose private halves never leave it. Like a
// [Device] it does one call after the other, whoever makes them.
type Pairs interface {
	// CreatePair makes a pair of a use under label: the private key sensitive, not
	// extractable, not modifiable, for that use only. It is tried once before
	// CreatePair returns. ErrPairExists if there is one of that label and use, ErrLabel
	// if the label is none.
	CreatePair(label string, use Use) error

	// DestroyPair destroys the pair of that label and use, or what there is of it, and
	// looks that it is gone. ErrNoPair if there is none.
	DestroyPair(label string, use Use) error

	// Signer is the pair of that label that signs, after a look at its template:
	// ECDSA over SHA-256, by the token's own random numbers. What it signs it verifies
	// before it gives it away. ErrNoPair, ErrTemplate.
	Signer(label string) (crypto.Signer, error)

	// Exchanger is the pair of that label that exchanges keys, after a look at its
	// template. ErrNoPair, ErrTemplate.
	Exchanger(label string) (ecdh.KeyExchanger, error)

	// Serial is the serial number of the token.
	Serial() string

	// Close waits for calls under way, logs out and forgets the PIN.
	Close() error
}
