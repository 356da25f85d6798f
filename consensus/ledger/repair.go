package ledger

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// RepairPause is the least time between two repairs, by ledger time in milliseconds: a
// node that comes and goes must not keep all keys turning over.
const RepairPause = 3_600_000

// ErrNoRepair means that a node may not have its shares repaired: it has one of every key
// that it is to hold, or is being repaired, or the last repair was less than an hour ago.
var ErrNoRepair = errors.New("there is nothing to repair at this node now")

// lastRepair is when a node's shares were repaired last.
type lastRepair struct {
	Time int64 `cbor:"1,keyasint"` // ledger time, Unix milliseconds
}

func (v *lastRepair) digest() api.Digest { return digestOf(v) }

// MayRepair says nil when a repair that this node asks for would be taken. It looks at
// every key.
func (s *State) MayRepair(node string) error {
	if last := get[*lastRepair](s, pathRepair); last != nil && s.Time() < last.Time+RepairPause {
		return fmt.Errorf("%w: the last repair was at %d, ledger time is %d", ErrNoRepair, last.Time, s.Time())
	}
	if len(s.Renewals()) >= MaxRenewals {
		return ErrTooManyRenewals
	}
	if slices.ContainsFunc(s.Renewals(), func(r *Renewal) bool { return r.For == node }) {
		return fmt.Errorf("%w: it is being repaired", ErrNoRepair)
	}
	if !slices.ContainsFunc(s.Keys(), func(k *Key) bool { return slices.Contains(k.Struck, node) && s.Life(k.ID).Destroy == nil }) {
		return fmt.Errorf("%w: it was struck from no key", ErrNoRepair)
	}
	return nil
}

// takeRepair begins a refresh of every key that the node was struck from, the root key
// included: it missed a ceremony, and is back. No custodian signs it, since it changes
// neither threshold nor holders.
func (s *State) takeRepair(d *draft, index uint64, node string, id api.Digest) error {
	if err := s.MayRepair(node); err != nil {
		return err
	}
	r := &Renewal{
		Order: id, Kind: authority.KindRefresh, Index: index, For: node,
		Body: authority.Renewal{PhaseSeconds: s.genesis.Root.PhaseSeconds},
	}
	r.Total = uint32(len(s.outstanding(r, 0)))
	r.Left = r.Total
	d.put(pathRepair, &lastRepair{Time: s.Time()})
	putRenewal(d, r)
	return nil
}
