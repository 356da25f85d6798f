package ledger

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// RepairPause is the least time between two repairs of one node, by ledger time in
// milliseconds: a node that comes and goes must not keep all keys turning over. There
// are at most as many repairs an hour as nodes on the roster, one run at a time; one
// member cannot use up the repairs of others.
const RepairPause = 3_600_000

// ErrNoRepair means that a node may not have its shares repaired: it has one of every key
// that it is to hold, or is being repaired, or its last repair was less than an hour ago.
var ErrNoRepair = errors.New("there is nothing to repair at this node now")

// lastRepair is when a node's shares were repaired last. It goes with the node.
type lastRepair struct {
	Time int64 `cbor:"1,keyasint"` // ledger time, Unix milliseconds
}

func (v *lastRepair) digest() api.Digest { return digestOf(v) }

// MayRepair says nil when a repair that this node asks for would be taken. It looks at
// every key.
func (s *State) MayRepair(node string) error {
	if last := get[*lastRepair](s, pathRepair+node); last != nil && s.Time() < last.Time+RepairPause {
		return fmt.Errorf("%w: its last repair was at %d, ledger time is %d", ErrNoRepair, last.Time, s.Time())
	}
	if len(s.Renewals()) >= MaxRenewals {
		return ErrTooManyRenewals
	}
	if slices.ContainsFunc(s.Renewals(), func(r *Renewal) bool { return r.For == node }) {
		return fmt.Errorf("%w: it is being repaired", ErrNoRepair)
	}
	if !slices.ContainsFunc(s.Keys(), func(k *Key) bool {
		return !k.Symmetric() && slices.Contains(k.Struck, node) && s.Life(k.ID).Destroy == nil
	}) {
		return fmt.Errorf("%w: it was struck from no key", ErrNoRepair)
	}
	return nil
}

// takeRepair begins a refresh of every key that the node was struck from, the root key
// included: it missed a ceremony, and is back. What allows it is the order of each key,
// which custodians signed and which names the node a holder: a repair changes neither
// threshold nor holders, so that none of them signs again, and the node's own statement
// says that it is there to receive a share.
func (s *State) takeRepair(d *draft, index uint64, node string, id api.Digest) error {
	if err := s.MayRepair(node); err != nil {
		return err
	}
	r := &Renewal{
		Order: id, Kind: authority.KindRefresh, Index: index, For: node,
		Body: authority.Renewal{PhaseSeconds: s.genesis.Root.PhaseSeconds},
	}
	r.Total = s.outstanding(r)
	r.Left = r.Total
	d.put(pathRepair+node, &lastRepair{Time: s.Time()})
	putRenewal(d, r)
	return nil
}
