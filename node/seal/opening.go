package seal

import (
	"errors"
	"fmt"
	"io"
	"time"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/unseal"
)

// Patience is how long an attempt at opening a seal waits for its next piece: two
// custodians who speak on the telephone. After that its pieces are wiped.
const Patience = 10 * time.Minute

// Reasons why a piece is refused on arrival, beside [unseal.ErrHanded] and
// [unseal.ErrPiece].
var (
	// ErrAttempt means that the piece was handed over in another attempt, or for
	// another generation.
	ErrAttempt = errors.New("it is of another attempt, or of another generation")
	// ErrTwice means that this custodian's piece is here already.
	ErrTwice = errors.New("this custodian's piece is here already")
)

// Opening is a seal that custodians are opening. It is not safe for concurrent use.
type Opening struct {
	rand   io.Reader
	seal   unseal.Seal
	door   *unseal.Door
	until  time.Time // pieces that are here are wiped then; zero while there are none
	pieces map[int]secret.Bytes
}

// NewOpening begins to wait for the pieces of a seal.
func NewOpening(rand io.Reader, s unseal.Seal) (*Opening, error) {
	o := &Opening{rand: rand, seal: s}
	return o, o.begin()
}

// begin wipes what is here and opens another attempt.
func (o *Opening) begin() error {
	o.Wipe()
	door, err := unseal.NewDoor(o.rand, o.seal)
	if err != nil {
		return err
	}
	o.door, o.pieces, o.until = door, map[int]secret.Bytes{}, time.Time{}
	return nil
}

// Wipe overwrites the pieces that are here.
func (o *Opening) Wipe() {
	for _, p := range o.pieces {
		p.Wipe()
	}
	o.pieces = nil
}

// Look ends an attempt whose time is over, and says whether it did.
func (o *Opening) Look(now time.Time) (ended bool, err error) {
	if o.until.IsZero() || now.Before(o.until) {
		return false, nil
	}
	return true, o.begin()
}

// Seal names the seal.
func (o *Opening) Seal() unseal.Seal { return o.seal }

// Door is the attempt's, to be signed and shown to custodians.
func (o *Opening) Door() (unseal.Attempt, []byte) { return o.door.Attempt(), o.door.PublicKey() }

// Has says whether the piece in this place is here.
func (o *Opening) Has(place int) bool {
	_, ok := o.pieces[place]
	return ok
}

// Take takes what a custodian handed over, or refuses it and stays as it was. With
// the last piece that is needed it returns the unseal secret; else an empty one.
func (o *Opening) Take(now time.Time, l *unseal.Lock, generation uint64, a unseal.Attempt, place int, handed []byte) (secret.Bytes, error) {
	none := secret.Bytes{}
	if generation != o.seal.Generation || a != o.door.Attempt() {
		return none, ErrAttempt
	}
	if o.Has(place) {
		return none, ErrTwice
	}
	piece, err := o.door.Receive(place, handed)
	if err != nil {
		return none, err
	}
	if err := l.CheckPiece(o.seal, place, piece); err != nil {
		piece.Wipe()
		return none, err
	}
	o.pieces[place] = piece
	o.until = now.Add(Patience)
	if int64(len(o.pieces)) < int64(l.Threshold) {
		return none, nil
	}
	u, err := l.Combine(o.seal, o.pieces)
	if err != nil {
		// Each piece is the one that the lock commits to: the lock itself is wrong,
		// and another attempt would end as this one.
		return none, fmt.Errorf("open the seal: %w", err)
	}
	return u, nil
}
