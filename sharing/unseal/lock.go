package unseal

import (
	"bytes"
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
	// Size is the length of an unseal secret, in bytes.
	Size = 32
	// MinThreshold: with one custodian who suffices, a second says nothing.
	MinThreshold = 2
	// MaxBox bounds a box: an age file for one recipient around [pieceSize] bytes
	// and a page of names.
	MaxBox = 1 << 10

	pieceSize = Size + 1 // vault/shamir adds the place
)

// Errors.
var (
	// ErrLock means that a lock cannot be made, or is malformed.
	ErrLock = errors.New("unseal: not a usable lock")
	// ErrBox means that a box is not for this custodian, or not of this seal.
	ErrBox = errors.New("unseal: the box does not open")
	// ErrPiece means that a piece is not the one that the lock commits to.
	ErrPiece = errors.New("unseal: not the piece that the lock commits to")
	// ErrTooFew means that more pieces are needed.
	ErrTooFew = errors.New("unseal: too few pieces")
)

// Seal names one seal: whose, and which of its generations.
type Seal struct {
	Cluster    [32]byte
	Node       string
	Generation uint64
}

func (s Seal) parts(more ...[]byte) [][]byte {
	return append([][]byte{s.Cluster[:], []byte(s.Node), tag.Uint64(s.Generation)}, more...)
}

// Lock is the public half of an unseal secret.
type Lock struct {
	Threshold  uint32   `cbor:"1,keyasint"`
	Commitment [32]byte `cbor:"2,keyasint"` // to the secret
	Pieces     []Piece  `cbor:"3,keyasint"` // one for each custodian, in the order of genesis
}

// Piece is what is public of one custodian's piece.
type Piece struct {
	Commitment [32]byte `cbor:"1,keyasint"`
	Box        []byte   `cbor:"2,keyasint"` // an age file for this custodian
}

// boxed is what a box holds.
type boxed struct {
	Cluster    [32]byte `cbor:"1,keyasint"`
	Node       string   `cbor:"2,keyasint"`
	Generation uint64   `cbor:"3,keyasint"`
	Place      uint32   `cbor:"4,keyasint"` // of the custodian, from 0
	Piece      []byte   `cbor:"5,keyasint"`
}

// Check says whether the lock has the form it must have for k custodians, m of whom
// open it.
func (l *Lock) Check(k, m int) error {
	switch {
	case m < MinThreshold || m > k || int64(l.Threshold) != int64(m):
		return fmt.Errorf("%w: any %d, must be any %d of %d", ErrLock, l.Threshold, m, k)
	case len(l.Pieces) != k:
		return fmt.Errorf("%w: %d pieces for %d custodians", ErrLock, len(l.Pieces), k)
	}
	for i, p := range l.Pieces {
		if len(p.Box) == 0 || len(p.Box) > MaxBox {
			return fmt.Errorf("%w: box %d has %d bytes", ErrLock, i, len(p.Box))
		}
	}
	return nil
}

// Split draws an unseal secret for a seal and makes its lock: any m of the
// custodians, whose age recipients stand in the order of genesis, open it. The
// secret is drawn from rand; vault/shamir and age draw from the system.
func Split(rand io.Reader, s Seal, recipients []string, m int) (secret.Bytes, *Lock, error) {
	none := secret.Bytes{}
	if m < MinThreshold || m > len(recipients) || len(recipients) > 255 {
		return none, nil, fmt.Errorf("%w: any %d of %d", ErrLock, m, len(recipients))
	}
	raw := make([]byte, Size)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return none, nil, fmt.Errorf("draw an unseal secret: %w", err)
	}
	u := secret.New(raw)
	shares, err := shamir.Split(raw, len(recipients), m)
	if err != nil {
		return none, nil, fmt.Errorf("split an unseal secret: %w", err)
	}
	l := &Lock{Threshold: uint32(m), Commitment: s.committed(raw)}
	for i, share := range shares {
		box, err := s.box(i, share, recipients[i])
		if err != nil {
			return none, nil, err
		}
		l.Pieces = append(l.Pieces, Piece{Commitment: s.pieceCommitted(i, share), Box: box})
		clear(share)
	}
	return u, l, nil
}

func (s Seal) committed(u []byte) [32]byte { return tag.Hash(tag.UnsealSecret, s.parts(u)...) }

func (s Seal) pieceCommitted(place int, piece []byte) [32]byte {
	return tag.Hash(tag.UnsealPiece, s.parts(tag.Uint64(uint64(place)), piece)...)
}

// box encrypts a piece to its custodian, with what it is a piece of.
func (s Seal) box(place int, piece []byte, recipient string) ([]byte, error) {
	to, err := opening.ParseRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("%w: the opening key of custodian %d: %w", ErrLock, place+1, err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("encrypt the piece of custodian %d: %w", place+1, err)
	}
	plain := wire.Encode(boxed{s.Cluster, s.Node, s.Generation, uint32(place), piece})
	defer clear(plain)
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt the piece of custodian %d: %w", place+1, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt the piece of custodian %d: %w", place+1, err)
	}
	return out.Bytes(), nil
}

// OpenBox gives a custodian its piece of a seal. It fails with [ErrBox] for a box
// of another seal or place, whoever shows it.
func OpenBox(s Seal, place int, box []byte, identity age.Identity) (secret.Bytes, error) {
	none := secret.Bytes{}
	if len(box) > MaxBox {
		return none, fmt.Errorf("%w: %d bytes", ErrBox, len(box))
	}
	r, err := age.Decrypt(bytes.NewReader(box), identity)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrBox, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxBox))
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrBox, err)
	}
	defer clear(plain)
	var b boxed
	if err := wire.Decode(plain, &b); err != nil {
		return none, fmt.Errorf("%w: %w", ErrBox, err)
	}
	if got := (Seal{b.Cluster, b.Node, b.Generation}); got != s || int64(b.Place) != int64(place) || len(b.Piece) != pieceSize {
		clear(b.Piece)
		return none, fmt.Errorf("%w: it is of generation %d of %q, place %d", ErrBox, b.Generation, b.Node, b.Place)
	}
	return secret.New(b.Piece), nil
}

// CheckPiece holds a piece against the lock. It fails with [ErrPiece].
func (l *Lock) CheckPiece(s Seal, place int, piece secret.Bytes) error {
	if place < 0 || place >= len(l.Pieces) || piece.Len() != pieceSize {
		return ErrPiece
	}
	got := s.pieceCommitted(place, piece.Reveal())
	if subtle.ConstantTimeCompare(got[:], l.Pieces[place].Commitment[:]) != 1 {
		return ErrPiece
	}
	return nil
}

// Combine gives the secret back from pieces that were checked, by place.
func (l *Lock) Combine(s Seal, pieces map[int]secret.Bytes) (secret.Bytes, error) {
	none := secret.Bytes{}
	if int64(len(pieces)) < int64(l.Threshold) || len(pieces) < MinThreshold {
		return none, fmt.Errorf("%w: %d of %d", ErrTooFew, len(pieces), l.Threshold)
	}
	shares := make([][]byte, 0, len(pieces))
	for _, p := range pieces {
		shares = append(shares, p.Reveal())
	}
	u, err := shamir.Combine(shares)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrPiece, err)
	}
	if s.committed(u) != l.Commitment {
		clear(u)
		return none, fmt.Errorf("%w: together they do not give the secret", ErrPiece)
	}
	return secret.New(u), nil
}
