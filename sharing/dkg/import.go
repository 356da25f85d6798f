package dkg

import (
	"fmt"

	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// NewImport is what stands in the place of an old epoch when a key that is whole before
// is shared among h holders: an epoch of one share, which is the key itself. Its holder
// is the owner, at place h+1. y is the public key that the order says, key what the key
// will be called. Of keys that were born here none has such an epoch: its t is 1, and
// its number 0.
func NewImport(h int, key [32]byte, y *group.Point) (*Old, error) {
	if h < sharing.MinThreshold || h > sharing.MaxHolders {
		return nil, fmt.Errorf("take up a key that is whole, for %d holders: %w: %w", h, ErrOld, sharing.ErrHolders)
	}
	holders := make([]sharing.Index, h+1)
	holders[h] = 1
	return newOld(1, 1, holders, []OldKey{{Key: key, Version: 1, Public: Public{Y: y, YI: []*group.Point{y}}}})
}

// imported reports whether this stands for a key that was whole before.
func (o *Old) imported() bool { return o != nil && o.T == 1 }
