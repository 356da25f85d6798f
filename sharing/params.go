package sharing

import (
	"errors"
	"fmt"
)

const (
	// MaxHolders bounds h: Δ still fits in 64 bits there, and a ceremony's posts in a ledger entry.
	MaxHolders = 16
	// MinThreshold bounds t from below: with t = 1 each holder has the key.
	MinThreshold = 2
)

var (
	// ErrThreshold means that t is not within 2..h.
	ErrThreshold = errors.New("sharing: the threshold must be at least 2 and at most the number of holders")
	// ErrHolders means that h is not within 2..16.
	ErrHolders = errors.New("sharing: the number of holders must be within 2..16")
	// ErrIndex means that an index is not within 1..h.
	ErrIndex = errors.New("sharing: an index must be within the holder list")
	// ErrDuplicate means that an index was given twice.
	ErrDuplicate = errors.New("sharing: an index was given twice")
	// ErrQuorum means that a list of indices or points has the wrong length.
	ErrQuorum = errors.New("sharing: the quorum has the wrong size")
)

// Index is a holder's place, counted from 1, in the holder list of one epoch.
type Index int

// Validate refuses what no holder list can have: anything outside 1..16. Where h
// is known, use [Params.CheckIndex].
func (i Index) Validate() error {
	if i < 1 || i > MaxHolders {
		return fmt.Errorf("index %d is not within 1..%d: %w", int(i), MaxHolders, ErrIndex)
	}
	return nil
}

// Params is the shape of a sharing: any T of H holders.
type Params struct{ T, H int }

// Validate holds 2 <= T <= H <= 16.
func (p Params) Validate() error {
	if p.H < MinThreshold || p.H > MaxHolders {
		return fmt.Errorf("%d holders: %w", p.H, ErrHolders)
	}
	if p.T < MinThreshold || p.T > p.H {
		return fmt.Errorf("threshold %d of %d: %w", p.T, p.H, ErrThreshold)
	}
	return nil
}

// CheckIndex refuses an index outside 1..H.
func (p Params) CheckIndex(i Index) error {
	if i < 1 || int(i) > p.H {
		return fmt.Errorf("index %d is not within 1..%d: %w", int(i), p.H, ErrIndex)
	}
	return nil
}

// checkQuorum holds what every interpolation needs: one to 16 indices, each
// within 1..16, none twice.
func checkQuorum(quorum []Index) error {
	if len(quorum) < 1 || len(quorum) > MaxHolders {
		return fmt.Errorf("a quorum of %d: %w", len(quorum), ErrQuorum)
	}
	var seen [MaxHolders + 1]bool
	for _, i := range quorum {
		if err := i.Validate(); err != nil {
			return err
		}
		if seen[i] {
			return fmt.Errorf("index %d: %w", int(i), ErrDuplicate)
		}
		seen[i] = true
	}
	return nil
}
