package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

var (
	// ErrFaulty means that f is out of the range that t and h leave it.
	ErrFaulty = errors.New("dkg: the number of tolerated faulty holders does not fit threshold and holders")
	// ErrSession means that something belongs to another session (R17).
	ErrSession = errors.New("dkg: this belongs to another session")
)

// Session is one attempt at a ceremony. All of it is fixed by the signed order
// and by where the attempt was opened; nothing of it comes from a dealer (R2).
type Session struct {
	ID      [32]byte // names this attempt; that of a failed one is never used again (R15, R17)
	Cluster [32]byte
	T       int // how many shares suffice
	H       int // how many holders there are
	F       int // how many of them may be in an attacker's hands
}

// Validate holds 2 <= t <= h <= 16 and 1 <= f <= min(h-t, t-1), where f = 0 is
// allowed, and needed, only if h = t.
func (s Session) Validate() error {
	if err := s.params().Validate(); err != nil {
		return fmt.Errorf("check the session's shape: %w", err)
	}
	lowest := 1
	if s.H == s.T {
		lowest = 0
	}
	if highest := min(s.H-s.T, s.T-1); s.F < lowest || s.F > highest {
		return fmt.Errorf("check the session's shape: f = %d with %d-of-%d: %w", s.F, s.T, s.H, ErrFaulty)
	}
	return nil
}

func (s Session) params() sharing.Params { return sharing.Params{T: s.T, H: s.H} }

// Receipts is R, the number of share receipts that activates the key once the
// confirm deadline has passed: max(t+f, ⌊(h+f)/2⌋+1), and all if h = t. With
// fewer, liars among those who confirmed could leave too few real shares.
func (s Session) Receipts() int {
	if s.H == s.T {
		return s.H
	}
	return max(s.T+s.F, (s.H+s.F)/2+1)
}

// bind is what every hash of this session begins with.
func (s Session) bind(parts ...[]byte) [][]byte {
	return append([][]byte{
		s.ID[:], s.Cluster[:], tag.Uint64(uint64(s.T)), tag.Uint64(uint64(s.H)), tag.Uint64(uint64(s.F)),
	}, parts...)
}

func indexBytes(i sharing.Index) []byte { return tag.Uint64(uint64(i)) }
