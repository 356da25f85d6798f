package dkg

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// ErrOutcome means that the qualified dealings do not make a usable key.
var ErrOutcome = errors.New("dkg: the qualified dealings make no key")

// Outcome is the public half of the new shares. Everyone computes it alike, from the
// log alone (R7).
type Outcome struct {
	Qual       []sharing.Index // the places of the qualified dealers, ascending
	Transcript [32]byte        // the hash of all posts that count
	Keys       []Public        // one for each key of the batch; none of a symmetric key
	T, H       int
}

// PostHash is a post's entry in a closed list.
func PostHash(s Session, author sharing.Index, kind Kind, body []byte) [32]byte {
	return tag.Hash(tag.BoardPost, s.ID[:], indexBytes(author), tag.Uint64(uint64(kind)), body)
}

// ClosedHash is the hash of the list that closes a phase: who posted what, by
// index, chained to the list that closed the phase before. posts has an entry for
// each participant, nil where there is none.
func ClosedHash(s Session, phase Phase, previous [32]byte, posts []*[32]byte) [32]byte {
	list := [][]byte{tag.Uint64(uint64(phase)), previous[:]}
	for k, p := range posts {
		if p != nil {
			list = append(list, indexBytes(sharing.Index(k+1)), p[:])
		}
	}
	return tag.Hash(tag.BoardPhase, s.bind(list...)...)
}

// NewOutcome makes one public polynomial of the dealings of the qualified, for each
// key of the batch: their sum at a birth, later their interpolation at zero over the
// old indices. Y is its constant term and Y_i its value at i. deals has an entry for
// each participant; those of qual, at least [Session.MinDealers] and ascending, must
// be there. closed is the hash of the closed verdict list. A polynomial that gives
// the identity anywhere, which nobody but the only dealer of an import can bring about
// on purpose, is [ErrOutcome]; one that is of another key than the old epoch's, [ErrKeyChanged].
func NewOutcome(s Session, qual []sharing.Index, deals []*Dealing, closed [32]byte) (*Outcome, error) {
	if err := checkQual(s, qual); err != nil {
		return nil, fmt.Errorf("add up the dealings: %w", err)
	}
	if s.Symmetric != nil {
		for _, i := range qual {
			if deals[i-1] == nil {
				return nil, fmt.Errorf("put the contributions together: dealer %d: %w", i, ErrOutcome)
			}
		}
		return OutcomeOf(s, qual, nil, closed)
	}
	keys := make([]Public, s.N)
	list := make([]sharing.Commitments, len(qual))
	for k := range keys {
		for j, i := range qual {
			if deals[i-1] == nil {
				return nil, fmt.Errorf("add up the dealings: dealer %d: %w", i, ErrOutcome)
			}
			list[j] = deals[i-1].commitments[k]
		}
		sum, err := s.combine(qual, list)
		if err != nil {
			return nil, fmt.Errorf("add up the dealings: %w: %w", ErrOutcome, err)
		}
		keys[k] = Public{Y: sum.Constant(), YI: make([]*group.Point, s.H)}
		for i := range keys[k].YI {
			keys[k].YI[i] = sum.Eval(sharing.Index(i + 1))
		}
		if s.Old == nil {
			continue
		}
		if err := keys[k].checkSame(s, s.Old.Keys[k].Y); err != nil {
			return nil, fmt.Errorf("add up the dealings: key %d of the batch: %w", k+1, err)
		}
	}
	return OutcomeOf(s, qual, keys, closed)
}

// checkQual holds that these are enough dealers, by ascending place.
func checkQual(s Session, qual []sharing.Index) error {
	if len(qual) < s.MinDealers() {
		return fmt.Errorf("%d qualified, %d needed: %w", len(qual), s.MinDealers(), ErrOutcome)
	}
	last := sharing.Index(0)
	for _, i := range qual {
		if !s.Deals(i) || i <= last {
			return fmt.Errorf("dealer %d: %w", i, ErrOutcome)
		}
		last = i
	}
	return nil
}

// combine makes one of the qualified's commitments to the polynomials of one key.
func (s Session) combine(qual []sharing.Index, list []sharing.Commitments) (sharing.Commitments, error) {
	if s.Old == nil {
		return sharing.Sum(list)
	}
	return sharing.InterpolateCommitments(s.Old.indices(qual), list)
}

// checkSame holds the new epoch against the public key of the old: its constant term
// must be Y, and so must be what t of the new verification keys make. One t tells for
// all, since they lie on one polynomial of degree t-1; of the first t the coefficients
// are integers.
func (p Public) checkSame(s Session, y *group.Point) error {
	quorum := make([]sharing.Index, s.T)
	for k := range quorum {
		quorum[k] = sharing.Index(k + 1)
	}
	again, err := sharing.Interpolate(1, quorum, p.YI[:s.T])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	if !p.Y.Equal(y) || !again.Equal(y) {
		return ErrKeyChanged
	}
	return nil
}

// OutcomeOf is the outcome whose keys these are. Its transcript is
// computed from them, so that two that differ in anything have two.
func OutcomeOf(s Session, qual []sharing.Index, keys []Public, closed [32]byte) (*Outcome, error) {
	if err := checkQual(s, qual); err != nil {
		return nil, fmt.Errorf("make an outcome: %w", err)
	}
	if len(keys) != s.PublicKeys() {
		return nil, fmt.Errorf("make an outcome of %d keys: %w", len(keys), ErrBatch)
	}
	transcript := [][]byte{closed[:], tag.Uint64(uint64(len(qual)))}
	for _, i := range qual {
		transcript = append(transcript, indexBytes(i))
	}
	for k, key := range keys {
		if len(key.YI) != s.H {
			return nil, fmt.Errorf("make an outcome: %d verification keys of %d holders: %w", len(key.YI), s.H, ErrOutcome)
		}
		if key.Y.IsIdentity() {
			return nil, fmt.Errorf("make an outcome: the public key %d is the identity: %w", k+1, ErrOutcome)
		}
		transcript = append(transcript, key.Y.Bytes())
		for i, y := range key.YI {
			if y.IsIdentity() {
				return nil, fmt.Errorf("make an outcome: the verification key of %d is the identity: %w", i+1, ErrOutcome)
			}
			transcript = append(transcript, y.Bytes())
		}
	}
	return &Outcome{
		Qual: slices.Clone(qual), Transcript: tag.Hash(tag.Transcript, s.bind(transcript...)...),
		Keys: keys, T: s.T, H: s.H,
	}, nil
}
