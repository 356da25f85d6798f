package ledger

import "cmp"

// ApplyUnpruned is [State.Apply] of a ledger that never takes anything out.
func (s *State) ApplyUnpruned(index uint64, entry []byte) (*State, Result) {
	return s.apply(index, entry, 0)
}

// Size is how many values the state holds, whether they are past or not.
func (s *State) Size() int { return s.values.Len() }

// MaxPruned is how many values one entry takes out.
const MaxPruned = maxPruned

// MaxRuns and MaxShapes bound what of the epochs that are over stands in one value.
const (
	MaxRuns   = maxRuns
	MaxShapes = maxShapes
)

// Turn ends the epoch of a key version, and begins the next one with these holders, as a
// ceremony does.
func (s *State) Turn(k *Key, t uint32, holders, struck []string) *State {
	next := *s
	d := next.draft()
	next.endEpoch(d, k, &k.Epoch)
	turned := *k
	turned.Number++
	turned.Record.Epoch, turned.Record.RecordVersion = turned.Number, turned.Record.RecordVersion+1
	turned.Record.BornRoster = cmp.Or(turned.Record.BornRoster, turned.Record.RosterVersion)
	turned.T, turned.Holders, turned.Struck, turned.Signed, turned.Signatures = t, holders, struck, nil, nil
	d.put(keyPath(k.ID, k.Version), &turned)
	d.commit()
	return &next
}

// Receipts lists the ids of the receipts that the state holds, and how often each is used.
func (s *State) Receipts() map[string]uint32 {
	out := map[string]uint32{}
	s.values.Root().WalkPrefix([]byte(pathReceipt), func(path []byte, v value) bool {
		out[string(path[len(pathReceipt):])] = v.(*Receipt).Uses
		return false
	})
	return out
}

// Check says whether the value is one that this program writes.
func (v *Past) Check() error { return v.check() }
