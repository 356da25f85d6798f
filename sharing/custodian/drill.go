package custodian

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/opening"
)

// A drill shows that a custodian can still open, and opens nothing: a node draws a
// nonce and encrypts it with what the drill is about; the custodian answers with a
// hash of it. A box that holds anything else, such as the piece of a seal, is refused,
// so that nobody can have it opened under the name of a drill.
const (
	nonceSize = 32
	// MaxChallenge bounds the box of a challenge, in bytes.
	MaxChallenge = 1 << 10
)

// ErrChallenge means that a box is no challenge of this drill for this custodian.
var ErrChallenge = errors.New("not a challenge of this drill")

// Drill is what a challenge is about: nothing that is answered in one says anything in another.
type Drill struct {
	Cluster [32]byte `cbor:"1,keyasint"`
	Node    string   `cbor:"2,keyasint"` // whose challenge it is
	Signer  [32]byte `cbor:"3,keyasint"` // SHA-256 of the custodian's signing key
	Index   uint64   `cbor:"4,keyasint"` // the last command that the node has applied
	Link    [32]byte `cbor:"5,keyasint"` // and the chain after it
}

// challenge is what stands in the box.
type challenge struct {
	Kind  string `cbor:"1,keyasint"`
	Drill Drill  `cbor:"2,keyasint"`
	Nonce []byte `cbor:"3,keyasint"`
}

const challengeKind = "warifu custodian drill"

// NewChallenge encrypts a fresh nonce to a custodian's opening key, and says what the
// answer has to be.
func NewChallenge(rand io.Reader, d Drill, recipient string) (box []byte, answer [32]byte, err error) {
	to, err := opening.ParseRecipient(recipient)
	if err != nil {
		return nil, answer, fmt.Errorf("%w: the opening key: %w", ErrChallenge, err)
	}
	c := challenge{Kind: challengeKind, Drill: d, Nonce: make([]byte, nonceSize)}
	if _, err := io.ReadFull(rand, c.Nonce); err != nil {
		return nil, answer, fmt.Errorf("draw a challenge: %w", err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, answer, fmt.Errorf("encrypt a challenge: %w", err)
	}
	if _, err := w.Write(wire.Encode(c)); err != nil {
		return nil, answer, fmt.Errorf("encrypt a challenge: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, answer, fmt.Errorf("encrypt a challenge: %w", err)
	}
	return out.Bytes(), answerOf(c), nil
}

// AnswerChallenge opens a challenge of this drill and answers it. It fails with
// [ErrChallenge] for whatever else is in the box, and says nothing of it.
func AnswerChallenge(d Drill, box []byte, identity age.Identity) (answer [32]byte, err error) {
	if len(box) > MaxChallenge {
		return answer, fmt.Errorf("%w: %d bytes", ErrChallenge, len(box))
	}
	r, err := age.Decrypt(bytes.NewReader(box), identity)
	if err != nil {
		return answer, fmt.Errorf("%w: %w", ErrChallenge, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxChallenge))
	if err != nil {
		return answer, fmt.Errorf("%w: %w", ErrChallenge, err)
	}
	opened := secret.New(plain)
	defer opened.Wipe()
	var c challenge
	if wire.Decode(opened.Reveal(), &c) != nil || c.Kind != challengeKind || c.Drill != d || len(c.Nonce) != nonceSize {
		return answer, fmt.Errorf("%w: the box holds something else", ErrChallenge)
	}
	return answerOf(c), nil
}

func answerOf(c challenge) [32]byte {
	d := c.Drill
	return tag.Hash(tag.DrillAnswer, d.Cluster[:], []byte(d.Node), d.Signer[:], tag.Uint64(d.Index), d.Link[:], c.Nonce)
}
