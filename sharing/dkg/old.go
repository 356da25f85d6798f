package dkg

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

var (
	// ErrOld means that what is said of the old epoch cannot be: its shape, who holds
	// which of its shares, or its public points.
	ErrOld = errors.New("dkg: this is not an epoch whose shares can be dealt again")
	// ErrOldShares means that the old shares that a participant was given are not the
	// ones that it holds by the ledger.
	ErrOldShares = errors.New("dkg: not our shares of the old epoch")
)

// Public is the public half of one key in one epoch.
type Public struct {
	Y  *group.Point   // the public key
	YI []*group.Point // h verification keys; that of index i is YI[i-1]
}

// OldKey is a key of a batch as it stands before: every hash and box of the session
// is bound to it.
type OldKey struct {
	Key     [32]byte
	Version uint32
	Epoch   uint64 // the old one
	Public
}

// Old is the epoch whose shares a refresh or a reshare deals again. It is made by
// [NewOld], and not changed afterwards.
type Old struct {
	T, H    int
	Holders []sharing.Index // by place: the index in the old epoch, 0 for a newcomer and for one who was struck
	Keys    []OldKey

	digest [32]byte
}

// NewOld checks what the ledger says of the old epoch. There must be at least t who
// still hold a share, none twice; all keys of the batch have the same holders.
func NewOld(t, h int, holders []sharing.Index, keys []OldKey) (*Old, error) {
	if err := (sharing.Params{T: t, H: h}).Validate(); err != nil {
		return nil, fmt.Errorf("take up an old epoch: %w: %w", ErrOld, err)
	}
	return newOld(t, h, holders, keys)
}

func newOld(t, h int, holders []sharing.Index, keys []OldKey) (*Old, error) {
	o := &Old{T: t, H: h, Holders: slices.Clone(holders), Keys: slices.Clone(keys)}
	p := sharing.Params{T: t, H: h}
	if len(holders) > MaxParticipants {
		return nil, fmt.Errorf("take up an old epoch: %d participants, at most %d: %w", len(holders), MaxParticipants, ErrOld)
	}
	if len(keys) < 1 || len(keys) > MaxBatch {
		return nil, fmt.Errorf("take up an old epoch of %d keys: %w", len(keys), ErrBatch)
	}
	parts := [][]byte{tag.Uint64(uint64(t)), tag.Uint64(uint64(h)), tag.Uint64(uint64(len(holders))), tag.Uint64(uint64(len(keys)))}
	var seen []sharing.Index
	for _, i := range holders {
		parts = append(parts, indexBytes(i))
		if i == 0 {
			continue
		}
		if p.CheckIndex(i) != nil || slices.Contains(seen, i) { // R1
			return nil, fmt.Errorf("take up an old epoch: old index %d: %w", int(i), ErrOld)
		}
		seen = append(seen, i)
	}
	if len(seen) < t {
		return nil, fmt.Errorf("take up an old epoch: %d of its holders are left, %d are needed: %w", len(seen), t, ErrOld)
	}
	for k := range keys {
		key := &keys[k]
		if len(key.YI) != h || key.Y == nil || slices.Contains(key.YI, nil) {
			return nil, fmt.Errorf("take up an old epoch: %d verification keys of %d holders: %w", len(key.YI), h, ErrOld)
		}
		if slices.ContainsFunc(keys[:k], func(o OldKey) bool { return o.Key == key.Key && o.Version == key.Version }) {
			return nil, fmt.Errorf("take up an old epoch: key %d of the batch stands there twice: %w", k+1, ErrBatch)
		}
		parts = append(parts, key.Key[:], tag.Uint64(uint64(key.Version)), tag.Uint64(key.Epoch), key.Y.Bytes())
		for _, y := range key.YI {
			parts = append(parts, y.Bytes())
		}
	}
	o.digest = tag.Hash(tag.OldEpoch, parts...)
	return o, nil
}

// Digest covers all of the old epoch. That of none, at a birth, is zeros.
func (o *Old) Digest() [32]byte {
	if o == nil {
		return [32]byte{}
	}
	if o.digest == ([32]byte{}) {
		panic("dkg: an old epoch that NewOld did not make")
	}
	return o.digest
}

// index returns the old index of the participant at this place.
func (o *Old) index(place sharing.Index) sharing.Index { return o.Holders[place-1] }

func (o *Old) indices(places []sharing.Index) []sharing.Index {
	out := make([]sharing.Index, len(places))
	for k, i := range places {
		out[k] = o.index(i)
	}
	return out
}

// verificationKey returns what dealer's share of key k is in public.
func (o *Old) verificationKey(k int, dealer sharing.Index) *group.Point {
	return o.Keys[k].YI[o.index(dealer)-1]
}
