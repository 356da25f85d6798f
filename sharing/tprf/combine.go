package tprf

import (
	"fmt"
	"slices"

	"warifu.dev/sharing"
)

// Answers are the values that holders gave for single sets, by the holder's index.
type Answers map[sharing.Index]map[Set]Value

// Agree returns the value of the function where, for every set, copies = f+1 of its
// members gave the same: with at most f liars one of them is honest. missing are the
// sets for which they do not, ascending; then more members are to be asked. A holder's
// answer for a set that it is not a member of counts for nothing.
func Agree(p sharing.Params, copies int, a Answers) (f Value, missing []Set) {
	for _, s := range Sets(p) {
		v, ok := agreed(s, copies, a)
		if !ok {
			missing = append(missing, s)
			continue
		}
		f = f.XOR(v)
	}
	if missing != nil {
		return Value{}, missing
	}
	return f, nil
}

func agreed(s Set, copies int, a Answers) (Value, bool) {
	count := map[Value]int{}
	for i, values := range a {
		v, ok := values[s]
		if !ok || !s.Has(i) {
			continue
		}
		if count[v]++; count[v] >= copies {
			return v, true
		}
	}
	return Value{}, false
}

// Combine returns the value of the function from the sums that t holders gave for the
// sets that [Assign] makes theirs, with one copy. The sums are of exactly those asked.
func Combine(p sharing.Params, sums map[sharing.Index]Value) (f Value, err error) {
	asked := Set(0)
	for i, v := range sums {
		if err := p.CheckIndex(i); err != nil {
			return Value{}, fmt.Errorf("combine: %w: %w", ErrAsked, err)
		}
		asked |= 1 << (i - 1)
		f = f.XOR(v)
	}
	if err := CheckShape(p); err != nil {
		return Value{}, err
	}
	if len(sums) != p.T {
		return Value{}, fmt.Errorf("combine %d sums where t = %d: %w", asked.Size(), p.T, ErrAsked)
	}
	return f, nil
}

// Blame names the holders of whose answers one differs from those that opened a
// ciphertext, ascending. opened has one value for every set; it is the caller's to have
// opened the ciphertext with their XOR.
func Blame(opened map[Set]Value, a Answers) []sharing.Index {
	var liars []sharing.Index
	for i, values := range a {
		for s, v := range values {
			if v != opened[s] {
				liars = append(liars, i)
				break
			}
		}
	}
	slices.Sort(liars)
	return liars
}
