package escrow

import (
	"errors"
	"fmt"

	"filippo.io/age"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
)

// MaxHanded bounds what one custodian hands to another, in bytes: a piece for each of at
// most [maxHolders] holders, and age around it.
const (
	MaxHanded  = 4 << 10
	maxHolders = 16 // of a key
)

// ErrHanded means that what a custodian handed over is not for this one, not by this order, or
// malformed.
var ErrHanded = errors.New("escrow: what was handed over is not for this opening")

// Opening is whose pieces go to whom, by which order. Places are those of the custodians
// whom the order names, from 0.
type Opening struct {
	Cluster [32]byte `cbor:"1,keyasint"`
	Order   [32]byte `cbor:"2,keyasint"`
	From    uint32   `cbor:"3,keyasint"`
	To      uint32   `cbor:"4,keyasint"`
}

const handedKind = "warifu escrow pieces"

// handed is what stands in a hand-over.
type handed struct {
	Kind   string      `cbor:"1,keyasint"`
	Of     Opening     `cbor:"2,keyasint"`
	Pieces []heldPiece `cbor:"3,keyasint"` // by the holder's index, none twice
}

type heldPiece struct {
	Index uint32 `cbor:"1,keyasint"`
	Piece []byte `cbor:"2,keyasint"`
}

// HandOver encrypts a custodian's pieces, by the index of the holder whose share they help
// to open, to the custodian who opens.
func HandOver(of Opening, pieces map[uint32]secret.Bytes, recipient string) ([]byte, error) {
	if len(pieces) == 0 || len(pieces) > maxHolders {
		return nil, fmt.Errorf("%w: %d pieces", ErrHanded, len(pieces))
	}
	h := handed{Kind: handedKind, Of: of}
	for index := range uint32(maxHolders + 1) {
		if p, ok := pieces[index]; ok {
			h.Pieces = append(h.Pieces, heldPiece{index, p.Reveal()})
		}
	}
	if len(h.Pieces) != len(pieces) {
		return nil, fmt.Errorf("%w: of an index above %d", ErrHanded, maxHolders)
	}
	return encrypt(h, recipient)
}

// Receive opens what was handed over to this custodian, by whomever. It fails with
// [ErrHanded]; pieces are still to be held against what was sealed.
func Receive(cluster, order [32]byte, to uint32, box []byte, identity age.Identity) (from uint32, pieces map[uint32]secret.Bytes, err error) {
	plain, err := decrypt(box, MaxHanded, identity)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrHanded, err)
	}
	defer clear(plain)
	var h handed
	if err := wire.Decode(plain, &h); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrHanded, err)
	}
	if h.Kind != handedKind || h.Of.Cluster != cluster || h.Of.Order != order || h.Of.To != to || h.Of.From == to || len(h.Pieces) == 0 || len(h.Pieces) > maxHolders {
		return 0, nil, fmt.Errorf("%w: it is by another order, or for another custodian", ErrHanded)
	}
	pieces = map[uint32]secret.Bytes{}
	for i, p := range h.Pieces {
		if i > 0 && p.Index <= h.Pieces[i-1].Index || len(p.Piece) != pieceSize {
			return 0, nil, fmt.Errorf("%w: its pieces are not sorted, or not whole", ErrHanded)
		}
		pieces[p.Index] = secret.New(p.Piece)
	}
	return h.Of.From, pieces, nil
}
