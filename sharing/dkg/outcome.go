package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// ErrOutcome means that the qualified dealings do not make a usable key.
var ErrOutcome = errors.New("dkg: the qualified dealings make no key")

// Outcome is the public half of the new key. Everyone computes it alike, from the
// log alone (R7).
type Outcome struct {
	Qual       []sharing.Index // the qualified dealers, ascending
	Transcript [32]byte        // the hash of all posts that count
	Y          *group.Point    // the public key
	YI         []*group.Point  // h verification keys; that of holder i is YI[i-1]
	T, H       int
}

// PostHash is a post's entry in a closed list.
func PostHash(s Session, author sharing.Index, kind Kind, body []byte) [32]byte {
	return tag.Hash(tag.BoardPost, s.ID[:], indexBytes(author), tag.Uint64(uint64(kind)), body)
}

// ClosedHash is the hash of the list that closes a phase: who posted what, by
// index, chained to the list that closed the phase before. posts has h entries,
// nil where there is none.
func ClosedHash(s Session, phase Phase, previous [32]byte, posts []*[32]byte) [32]byte {
	list := [][]byte{tag.Uint64(uint64(phase)), previous[:]}
	for k, p := range posts {
		if p != nil {
			list = append(list, indexBytes(sharing.Index(k+1)), p[:])
		}
	}
	return tag.Hash(tag.BoardPhase, s.bind(list...)...)
}

// NewOutcome adds up the dealings of the qualified: Y is the sum of the constant
// terms, and Y_i the value of the sum at i. deals has h entries; those of qual,
// at least t and ascending, must be there. closed is the hash of the closed
// verdict list. A sum that gives the identity anywhere, which no dealer can bring
// about on purpose, is [ErrOutcome].
func NewOutcome(s Session, qual []sharing.Index, deals []*Dealing, closed [32]byte) (*Outcome, error) {
	if len(qual) < s.T {
		return nil, fmt.Errorf("add up the dealings: %d qualified, %d needed: %w", len(qual), s.T, ErrOutcome)
	}
	list := make([]sharing.Commitments, len(qual))
	last := sharing.Index(0)
	for k, i := range qual {
		if s.params().CheckIndex(i) != nil || i <= last || deals[i-1] == nil {
			return nil, fmt.Errorf("add up the dealings: dealer %d: %w", i, ErrOutcome)
		}
		list[k], last = deals[i-1].commitments, i
	}
	sum, err := sharing.Sum(list)
	if err != nil {
		return nil, fmt.Errorf("add up the dealings: %w: %w", ErrOutcome, err)
	}
	o := &Outcome{Qual: append([]sharing.Index(nil), qual...), Y: sum.Constant(), YI: make([]*group.Point, s.H), T: s.T, H: s.H}
	transcript := [][]byte{closed[:], tag.Uint64(uint64(len(qual)))}
	for _, i := range qual {
		transcript = append(transcript, indexBytes(i))
	}
	if o.Y.IsIdentity() {
		return nil, fmt.Errorf("add up the dealings: the public key is the identity: %w", ErrOutcome)
	}
	transcript = append(transcript, o.Y.Bytes())
	for k := range o.YI {
		o.YI[k] = sum.Eval(sharing.Index(k + 1))
		if o.YI[k].IsIdentity() {
			return nil, fmt.Errorf("add up the dealings: the verification key of %d is the identity: %w", k+1, ErrOutcome)
		}
		transcript = append(transcript, o.YI[k].Bytes())
	}
	o.Transcript = tag.Hash(tag.Transcript, s.bind(transcript...)...)
	return o, nil
}
