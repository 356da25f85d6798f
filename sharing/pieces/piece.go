package pieces

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

const (
	// MaxPieces is the most that GF(2^8) has places for.
	MaxPieces = 255
	// MinThreshold: one piece that suffices is a copy.
	MinThreshold = 2
	// MaxSecret bounds the secret, in bytes: a key file, not a disk.
	MaxSecret = 64 << 10
	// MaxText bounds a piece as text, in bytes.
	MaxText = 2 * MaxSecret

	format   = 1
	saltSize = 32
	pemType  = "WARIFU PIECE"
)

// Errors.
var (
	// ErrPiece is a piece that is malformed or altered.
	ErrPiece = errors.New("not a piece, or an altered one")
	// ErrOtherSet is a piece of another set.
	ErrOtherSet = errors.New("a piece of another set")
	// ErrTwice is a piece that is there already.
	ErrTwice = errors.New("the same piece twice")
	// ErrTooFew means that more pieces are needed.
	ErrTooFew = errors.New("too few pieces")
	// ErrSecret is a secret that cannot be split, or numbers that make no sense.
	ErrSecret = errors.New("cannot split this")
)

// Set says what all pieces of one secret agree on.
type Set struct {
	Pieces    int      // n
	Threshold int      // m
	ID        [32]byte // the hash of all of it
}

// Piece is one piece. Its data is secret; [Piece.String] does not show it.
type Piece struct {
	b body
}

// body is what a piece says, in CBOR inside PEM (RFC 7468).
type body struct {
	Format int        `cbor:"1,keyasint"`
	Of     int        `cbor:"2,keyasint"`
	Need   int        `cbor:"3,keyasint"`
	Index  int        `cbor:"4,keyasint"` // from 1
	Root   [32]byte   `cbor:"5,keyasint"` // of the tree over all pieces
	Path   [][32]byte `cbor:"6,keyasint"` // this piece's, RFC 6962
	Secret [32]byte   `cbor:"7,keyasint"` // commitment to the secret
	Salt   [32]byte   `cbor:"8,keyasint"`
	Data   []byte     `cbor:"9,keyasint"` // the share
}

// Set says which set the piece is of.
func (p *Piece) Set() Set { return Set{Pieces: p.b.Of, Threshold: p.b.Need, ID: p.b.set()} }

// Index is the piece's number, from 1 to its set's number of pieces.
func (p *Piece) Index() int { return p.b.Index }

// String says which piece it is, and shows nothing of it.
func (p *Piece) String() string {
	return fmt.Sprintf("piece %d of %d, any %d, set %x", p.b.Index, p.b.Of, p.b.Need, p.b.set())
}

// Format implements [fmt.Formatter].
func (p *Piece) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// Wipe overwrites the piece's data.
func (p *Piece) Wipe() { clear(p.b.Data) }

func (b *body) set() [32]byte {
	return tag.Hash(tag.PieceSet, tag.Uint64(uint64(b.Of)), tag.Uint64(uint64(b.Need)), b.Root[:], b.Secret[:])
}

// commitment binds the share and its salt to everything else the piece says.
func (b *body) commitment() [32]byte {
	return tag.Hash(tag.PieceCommitment, tag.Uint64(uint64(b.Of)), tag.Uint64(uint64(b.Need)), tag.Uint64(uint64(b.Index)),
		b.Secret[:], b.Salt[:], b.Data)
}

// Encode writes the piece as text. The caller wipes it.
func (p *Piece) Encode() []byte {
	der := wire.Encode(p.b)
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

// Parse reads what [Piece.Encode] wrote, text around it allowed, and checks that the
// piece is in the tree of its set. It fails with [ErrPiece].
func Parse(text []byte) (*Piece, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrPiece, len(text), MaxText)
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil || block.Type != pemType:
		return nil, fmt.Errorf("%w: there is no %s in it", ErrPiece, pemType)
	case len(block.Headers) > 0:
		return nil, fmt.Errorf("%w: it has headers", ErrPiece)
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return nil, fmt.Errorf("%w: it holds two", ErrPiece)
	}
	var p Piece
	defer clear(block.Bytes)
	if !canonical(text, block.Bytes) {
		return nil, fmt.Errorf("%w: its text is not what its bytes are written as", ErrPiece)
	}
	if err := wire.Decode(block.Bytes, &p.b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPiece, err)
	}
	if err := p.b.check(); err != nil {
		p.Wipe()
		return nil, fmt.Errorf("%w: %w", ErrPiece, err)
	}
	return &p, nil
}

// canonical says whether the block in text is what raw is written as, but for white
// space: base64 ends in bits that say nothing, and the decoder overlooks them.
func canonical(text, raw []byte) bool {
	_, after, _ := bytes.Cut(text, []byte("-----BEGIN "+pemType+"-----"))
	block, _, _ := bytes.Cut(after, []byte("-----END"))
	have := bytes.Join(bytes.Fields(block), nil)
	want := base64.StdEncoding.AppendEncode(nil, raw)
	defer clear(have)
	defer clear(want)
	return bytes.Equal(have, want)
}

func (b *body) check() error {
	switch {
	case b.Format != format:
		return fmt.Errorf("format %d, this program knows %d", b.Format, format)
	case b.Of < MinThreshold || b.Of > MaxPieces || b.Need < MinThreshold || b.Need > b.Of:
		return fmt.Errorf("%d of %d", b.Need, b.Of)
	case b.Index < 1 || b.Index > b.Of:
		return fmt.Errorf("number %d of %d", b.Index, b.Of)
	case len(b.Data) < saltSize+1+1 || len(b.Data) > saltSize+MaxSecret+1:
		return fmt.Errorf("a share of %d bytes", len(b.Data))
	}
	proof := make(tlog.RecordProof, 0, len(b.Path))
	for _, h := range b.Path {
		proof = append(proof, h)
	}
	c := b.commitment()
	if err := tlog.CheckRecord(proof, int64(b.Of), b.Root, int64(b.Index-1), tlog.RecordHash(c[:])); err != nil {
		return errors.New("it was altered: it does not match its own commitment")
	}
	return nil
}

// committed is the commitment to a secret under its salt.
func committed(salt, s []byte) [32]byte { return tag.Hash(tag.PieceSecret, salt, s) }

// opened splits what was shared into the salt and the secret.
func opened(salted []byte, want [32]byte) (secret.Bytes, error) {
	if len(salted) <= saltSize || committed(salted[:saltSize], salted[saltSize:]) != want {
		return secret.Bytes{}, fmt.Errorf("%w: they do not give the secret that was split", ErrPiece)
	}
	return secret.Clone(salted[saltSize:]), nil
}
