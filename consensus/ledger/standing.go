package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// ErrNotDue means that the policy in force has no standing order of rotations, or that
// its period is not over.
var ErrNotDue = errors.New("no rotation is due by the policy in force")

// rotated is from when the period of the standing order counts: from the last rotation
// by it, or from when it came into force.
type rotated struct {
	Time int64 `cbor:"1,keyasint"` // ledger time, Unix milliseconds
}

func (v *rotated) digest() api.Digest { return digestOf(v) }

// RotationDue is the ledger time from which shares are to be rotated by the standing
// order of the policy in force, or 0 if it has none.
func (s *State) RotationDue() int64 {
	p, last := s.Policy(), get[*rotated](s, pathRotated)
	if p == nil || last == nil {
		return 0
	}
	period := authority.RotationPeriod(p.Document)
	if period == 0 {
		return 0
	}
	return last.Time + period
}

// stand begins the first period of a standing order with the policy that brings it, and
// forgets it with one that has none. Another period counts from where the last one did.
func (s *State) stand(d *draft, document []byte) {
	switch period, last := authority.RotationPeriod(document), get[*rotated](s, pathRotated); {
	case period == 0 && last != nil:
		d.remove(pathRotated)
	case period != 0 && last == nil:
		d.put(pathRotated, &rotated{Time: s.Time()})
	}
}

// takeStanding refreshes every named key, when the period is over. The statement names
// when that was, so that it cannot be said again for the next period.
func (s *State) takeStanding(d *draft, index uint64, b *authority.Standing, id api.Digest) error {
	due := s.RotationDue()
	if due == 0 || b.Due != due || s.Time() < due {
		return fmt.Errorf("%w: it is due at %d, ledger time is %d", ErrNotDue, due, s.Time())
	}
	if len(s.Renewals()) >= MaxRenewals {
		return ErrTooManyRenewals
	}
	r := &Renewal{
		Order: id, Kind: authority.KindRefresh, Index: index,
		Body: authority.Renewal{PhaseSeconds: s.genesis.Root.PhaseSeconds},
	}
	r.Total = s.outstanding(r)
	if r.Left = r.Total; r.Left == 0 {
		r.Ended = index
	}
	d.put(pathRotated, &rotated{Time: s.Time()})
	putRenewal(d, r)
	return s.drainPools(d)
}
