package ledger

// ApplyUnpruned is [State.Apply] of a ledger that never takes anything out.
func (s *State) ApplyUnpruned(index uint64, entry []byte) (*State, Result) {
	return s.apply(index, entry, 0)
}

// Size is how many values the state holds, whether they are past or not.
func (s *State) Size() int { return s.values.Len() }

// MaxPruned is how many values one entry takes out.
const MaxPruned = maxPruned
