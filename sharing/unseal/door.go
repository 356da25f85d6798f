package unseal

import (
	"crypto/hpke"
	"errors"
	"fmt"
	"io"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
)

// A hand-over is HPKE (RFC 9180), base mode, with the hybrid of ML-KEM-768 and P-256
// (draft-ietf-hpke-pq), HKDF-SHA256 and AES-256-GCM:
//
//	encapsulation, 1153 bytes ‖ sealed piece, 33 bytes ‖ tag, 16 bytes
const (
	// AttemptSize is the length of an attempt's id, in bytes.
	AttemptSize = 16
	// DoorSize is the length of a door's public key, in bytes.
	DoorSize = 1249
	// HandedSize is the length of a piece that is handed over, in bytes.
	HandedSize = encapsulation + pieceSize + 16

	encapsulation = 1153
)

// ErrHanded means that what was handed over is not for this door: another attempt, another
// custodian's, or altered.
var ErrHanded = errors.New("unseal: what was handed over is not for this attempt")

// Attempt is the id of one attempt at opening a seal.
type Attempt [AttemptSize]byte

// Door receives pieces for one attempt at opening one seal. Its key lives only in
// memory, and is of no use for another attempt.
type Door struct {
	seal    Seal
	attempt Attempt
	key     hpke.PrivateKey
}

func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768P256(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// NewDoor opens an attempt. Its id is drawn from rand; crypto/hpke draws its key
// from the system.
func NewDoor(rand io.Reader, s Seal) (*Door, error) {
	var a Attempt
	if _, err := io.ReadFull(rand, a[:]); err != nil {
		return nil, fmt.Errorf("draw an attempt: %w", err)
	}
	return NewDoorOf(s, a)
}

// NewDoorOf opens an attempt whose id says what it is for. No id is used twice.
func NewDoorOf(s Seal, a Attempt) (*Door, error) {
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make the key of an attempt: %w", err)
	}
	return &Door{seal: s, attempt: a, key: key}, nil
}

// Attempt is the attempt's id.
func (d *Door) Attempt() Attempt { return d.attempt }

// PublicKey is what custodians encrypt to, [DoorSize] bytes.
func (d *Door) PublicKey() []byte { return d.key.PublicKey().Bytes() }

// Signed is what the node signs, so that a custodian knows whose door it is.
func Signed(s Seal, a Attempt, door []byte) [][]byte { return s.parts(a[:], door) }

// handedInfo binds a hand-over to the seal, the attempt and the custodian's place.
func handedInfo(s Seal, a Attempt, place int) []byte {
	return tag.List(tag.UnsealHanded, s.parts(a[:], tag.Uint64(uint64(place)))...)
}

// HandOver encrypts a custodian's piece to a door. Whose door it is, the caller has
// checked.
func HandOver(s Seal, a Attempt, door []byte, place int, piece secret.Bytes) ([]byte, error) {
	kem, kdf, aead := suite()
	if len(door) != DoorSize {
		return nil, fmt.Errorf("%w: a door of %d bytes", ErrHanded, len(door))
	}
	key, err := kem.NewPublicKey(door)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHanded, err)
	}
	enc, sender, err := hpke.NewSender(key, kdf, aead, handedInfo(s, a, place))
	if err != nil {
		return nil, fmt.Errorf("hand over a piece: %w", err)
	}
	sealed, err := sender.Seal(nil, piece.Reveal())
	if err != nil {
		return nil, fmt.Errorf("hand over a piece: %w", err)
	}
	return append(enc, sealed...), nil
}

// Receive opens what a custodian handed over. It fails with [ErrHanded].
func (d *Door) Receive(place int, handed []byte) (secret.Bytes, error) {
	if len(handed) != HandedSize {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrHanded, len(handed))
	}
	_, kdf, aead := suite()
	r, err := hpke.NewRecipient(handed[:encapsulation], d.key, kdf, aead, handedInfo(d.seal, d.attempt, place))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrHanded, err)
	}
	piece, err := r.Open(nil, handed[encapsulation:])
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrHanded, err)
	}
	return secret.New(piece), nil
}
