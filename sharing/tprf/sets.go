package tprf

import (
	"errors"
	"fmt"
	"math/bits"

	"warifu.dev/sharing"
)

// MaxHolders bounds h: the number of sets grows as its binomials, and is 126 at 5-of-9.
const MaxHolders = 9

var (
	// ErrShape means that t and h are not 2 <= t <= h <= 9.
	ErrShape = errors.New("tprf: a symmetric key needs 2 <= t <= h <= 9")
	// ErrAsked means that a list of those asked is too short, names somebody twice, or
	// somebody who is no holder.
	ErrAsked = errors.New("tprf: these holders cannot be asked together")
)

// Set is a set of h-t+1 holders: bit i-1 stands for the holder with index i.
type Set uint16

// Has reports whether the holder with index i is a member.
func (s Set) Has(i sharing.Index) bool { return i >= 1 && i <= MaxHolders && s>>(i-1)&1 == 1 }

// With adds a holder; a place that there is not is no holder.
func (s Set) With(i sharing.Index) Set {
	if i < 1 || i > MaxHolders {
		return s
	}
	return s | 1<<(i-1)
}

// Size is the number of members.
func (s Set) Size() int { return bits.OnesCount16(uint16(s)) }

// CheckShape holds 2 <= t <= h <= 9.
func CheckShape(p sharing.Params) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrShape, err)
	}
	if p.H > MaxHolders {
		return fmt.Errorf("%d holders: %w", p.H, ErrShape)
	}
	return nil
}

// Sets lists all sets of h-t+1 holders, ascending. A shape that [CheckShape] refuses is
// a bug and panics.
func Sets(p sharing.Params) []Set {
	if err := CheckShape(p); err != nil {
		panic(err.Error())
	}
	var sets []Set
	for s := Set(1); s < 1<<p.H; s++ {
		if s.Size() == p.H-p.T+1 {
			sets = append(sets, s)
		}
	}
	return sets
}

// Held lists the sets that the holder with index i is a member of, ascending.
func Held(p sharing.Params, i sharing.Index) []Set {
	var held []Set
	for _, s := range Sets(p) {
		if s.Has(i) {
			held = append(held, s)
		}
	}
	return held
}

// Assign says which of those asked evaluates which sets: each set goes to as many of its
// members as copies says, always those who have least to do so far, the lower index
// first. All who know whom was asked come to the same. With t+copies-1 asked every set
// has enough members among them.
func Assign(p sharing.Params, asked Set, copies int) (map[sharing.Index][]Set, error) {
	if err := CheckShape(p); err != nil {
		return nil, err
	}
	if asked>>p.H != 0 || copies < 1 || asked.Size() < p.T+copies-1 {
		return nil, fmt.Errorf("ask %d of %d holders for %d copies where t = %d: %w", asked.Size(), p.H, copies, p.T, ErrAsked)
	}
	work := map[sharing.Index][]Set{}
	for _, s := range Sets(p) {
		chosen := Set(0)
		for range copies {
			var next sharing.Index
			for i := sharing.Index(1); int(i) <= p.H; i++ {
				if !asked.Has(i) || !s.Has(i) || chosen.Has(i) {
					continue
				}
				if next == 0 || len(work[i]) < len(work[next]) {
					next = i
				}
			}
			chosen |= 1 << (next - 1)
			work[next] = append(work[next], s)
		}
	}
	return work, nil
}
