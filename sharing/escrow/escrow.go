package escrow

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/hashicorp/vault/shamir"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/opening"
)

const (
	// MinThreshold: what one custodian opens alone is that custodian's.
	MinThreshold = 2
	// MaxBox bounds a box: an age file for one recipient around a piece and what it is of.
	MaxBox = 1 << 10
	// ShareSize is the length of a share, in bytes.
	ShareSize = 32

	keySize   = 32
	pieceSize = keySize + 1 // vault/shamir adds the place
	// sealedSize is nonce 12 ‖ share 32 ‖ tag 16.
	sealedSize = 12 + ShareSize + 16
	// maxPlaces is what GF(2^8) has places for.
	maxPlaces = 255
)

// Errors.
var (
	// ErrSealed means that a share cannot be sealed so, or that what was sealed is malformed.
	ErrSealed = errors.New("escrow: not a usable sealed share")
	// ErrBox means that a box is not for this custodian, or not of this share.
	ErrBox = errors.New("escrow: the box does not open")
	// ErrPiece means that a piece is not the one that was committed to.
	ErrPiece = errors.New("escrow: not the piece that was committed to")
	// ErrTooFew means that more pieces are needed.
	ErrTooFew = errors.New("escrow: too few pieces")
)

// Share names the share of one holder in one epoch of a key, and the order by which it is
// sealed.
type Share struct {
	Cluster [32]byte `cbor:"1,keyasint"`
	Order   [32]byte `cbor:"2,keyasint"` // id of the change
	Key     [32]byte `cbor:"3,keyasint"`
	Version uint32   `cbor:"4,keyasint"`
	Epoch   uint64   `cbor:"5,keyasint"`
	Index   uint32   `cbor:"6,keyasint"` // 1..h
}

func (s Share) parts(more ...[]byte) [][]byte {
	return append([][]byte{s.Cluster[:], s.Order[:], s.Key[:], tag.Uint64(uint64(s.Version)), tag.Uint64(s.Epoch), tag.Uint64(uint64(s.Index))}, more...)
}

// Sealed is a share as custodians open it.
type Sealed struct {
	Threshold  uint32   `cbor:"1,keyasint"`
	Commitment [32]byte `cbor:"2,keyasint"` // to the fresh key
	Pieces     []Piece  `cbor:"3,keyasint"` // one for each custodian, in their order
	Share      []byte   `cbor:"4,keyasint"` // nonce ‖ AES-256-GCM(HKDF(fresh key), share) ‖ tag
}

// Piece is what is public of one custodian's piece of the fresh key.
type Piece struct {
	Commitment [32]byte `cbor:"1,keyasint"`
	Box        []byte   `cbor:"2,keyasint"` // an age file for this custodian
}

// boxKind begins what stands in a box, so that no box of another kind passes for one.
const boxKind = "warifu escrow piece"

// boxed is what a box holds.
type boxed struct {
	Kind  string `cbor:"1,keyasint"`
	Of    Share  `cbor:"2,keyasint"`
	Place uint32 `cbor:"3,keyasint"` // of the custodian, from 0
	Piece []byte `cbor:"4,keyasint"`
}

// Check says whether it has the form that it must have for k custodians, any m of whom
// open it.
func (b *Sealed) Check(k, m int) error {
	switch {
	case m < MinThreshold || m > k || int64(b.Threshold) != int64(m):
		return fmt.Errorf("%w: any %d, must be any %d of %d", ErrSealed, b.Threshold, m, k)
	case len(b.Pieces) != k:
		return fmt.Errorf("%w: %d pieces for %d custodians", ErrSealed, len(b.Pieces), k)
	case len(b.Share) != sealedSize:
		return fmt.Errorf("%w: a share of %d bytes under its key", ErrSealed, len(b.Share))
	}
	for i, p := range b.Pieces {
		if len(p.Box) == 0 || len(p.Box) > MaxBox {
			return fmt.Errorf("%w: box %d has %d bytes", ErrSealed, i, len(p.Box))
		}
	}
	return nil
}

// Seal seals a share so that any m of the custodians, whose age recipients stand in their
// order, open it. The fresh key is drawn from rand; vault/shamir, age and the nonce draw
// from the system.
func Seal(rand io.Reader, of Share, share secret.Bytes, recipients []string, m int) (*Sealed, error) {
	if m < MinThreshold || m > len(recipients) || len(recipients) > maxPlaces {
		return nil, fmt.Errorf("%w: any %d of %d", ErrSealed, m, len(recipients))
	}
	if share.Len() != ShareSize {
		return nil, fmt.Errorf("%w: a share of %d bytes", ErrSealed, share.Len())
	}
	key := make([]byte, keySize)
	defer clear(key)
	if _, err := io.ReadFull(rand, key); err != nil {
		return nil, fmt.Errorf("draw the key of an escrow: %w", err)
	}
	aead, err := of.aead(key)
	if err != nil {
		return nil, err
	}
	b := &Sealed{Threshold: uint32(m), Commitment: of.committed(key), Share: aead.Seal(nil, nil, share.Reveal(), of.aad())}
	pieces, err := shamir.Split(key, len(recipients), m)
	if err != nil {
		return nil, fmt.Errorf("split the key of an escrow: %w", err)
	}
	for i, piece := range pieces {
		box, err := encrypt(boxed{boxKind, of, uint32(i), piece}, recipients[i])
		if err != nil {
			return nil, fmt.Errorf("encrypt the piece of custodian %d: %w", i+1, err)
		}
		b.Pieces = append(b.Pieces, Piece{Commitment: of.pieceCommitted(i, piece), Box: box})
		clear(piece)
	}
	return b, nil
}

func (s Share) committed(key []byte) [32]byte { return tag.Hash(tag.EscrowSecret, s.parts(key)...) }

func (s Share) pieceCommitted(place int, piece []byte) [32]byte {
	return tag.Hash(tag.EscrowPiece, s.parts(tag.Uint64(uint64(place)), piece)...)
}

func (s Share) aad() []byte { return tag.List(tag.EscrowShare, s.parts()...) }

func (s Share) aead(key []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, key, nil, string(tag.List(tag.EscrowKey, s.parts()...)), 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of an escrow: %w", err)
	}
	defer clear(k)
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("cipher of an escrow: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// encrypt makes an age file for one recipient around v, whose encoding is secret.
func encrypt(v any, recipient string) ([]byte, error) {
	to, err := opening.ParseRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	plain := wire.Encode(v)
	defer clear(plain)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decrypt opens an age file of at most so many bytes. The caller clears what it gives.
func decrypt(box []byte, most int, identity age.Identity) ([]byte, error) {
	if len(box) > most {
		return nil, fmt.Errorf("%w: %d bytes", ErrBox, len(box))
	}
	r, err := age.Decrypt(bytes.NewReader(box), identity)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)))
	if err != nil {
		clear(plain)
		return nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	return plain, nil
}

// OpenPiece gives a custodian its piece of the key over a share. It fails with [ErrBox]
// for a box of another share or place, whoever shows it, and with [ErrPiece] for one that
// holds another piece than was committed to.
func (b *Sealed) OpenPiece(of Share, place int, identity age.Identity) (secret.Bytes, error) {
	if place < 0 || place >= len(b.Pieces) {
		return secret.Bytes{}, fmt.Errorf("%w: there is no place %d", ErrBox, place)
	}
	plain, err := decrypt(b.Pieces[place].Box, MaxBox, identity)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer clear(plain)
	var in boxed
	if err := wire.Decode(plain, &in); err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrBox, err)
	}
	if in.Kind != boxKind || in.Of != of || int64(in.Place) != int64(place) {
		clear(in.Piece)
		return secret.Bytes{}, fmt.Errorf("%w: it is of index %d in epoch %d, place %d", ErrBox, in.Of.Index, in.Of.Epoch, in.Place)
	}
	piece := secret.New(in.Piece)
	if err := b.CheckPiece(of, place, piece); err != nil {
		piece.Wipe()
		return secret.Bytes{}, err
	}
	return piece, nil
}

// CheckPiece holds a piece against what was committed to. It fails with [ErrPiece].
func (b *Sealed) CheckPiece(of Share, place int, piece secret.Bytes) error {
	if place < 0 || place >= len(b.Pieces) || piece.Len() != pieceSize {
		return ErrPiece
	}
	got := of.pieceCommitted(place, piece.Reveal())
	if subtle.ConstantTimeCompare(got[:], b.Pieces[place].Commitment[:]) != 1 {
		return ErrPiece
	}
	return nil
}

// Open gives the share back from pieces, by place. Whether it is the share of the key,
// the caller holds against the key's record.
func (b *Sealed) Open(of Share, pieces map[int]secret.Bytes) (secret.Bytes, error) {
	none := secret.Bytes{}
	if int64(len(pieces)) < int64(b.Threshold) || len(pieces) < MinThreshold {
		return none, fmt.Errorf("%w: %d of %d", ErrTooFew, len(pieces), b.Threshold)
	}
	list := make([][]byte, 0, len(pieces))
	for place, p := range pieces {
		if err := b.CheckPiece(of, place, p); err != nil {
			return none, err
		}
		list = append(list, p.Reveal())
	}
	key, err := shamir.Combine(list)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrPiece, err)
	}
	defer clear(key)
	if of.committed(key) != b.Commitment {
		return none, fmt.Errorf("%w: together they do not give the key", ErrPiece)
	}
	aead, err := of.aead(key)
	if err != nil {
		return none, err
	}
	share, err := aead.Open(nil, nil, b.Share, of.aad())
	if err != nil {
		return none, fmt.Errorf("%w: its key does not open it", ErrSealed)
	}
	if len(share) != ShareSize {
		clear(share)
		return none, fmt.Errorf("%w: a share of %d bytes", ErrSealed, len(share))
	}
	return secret.New(share), nil
}
