package ledger

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// MaxRotating bounds the versions on their way beside which one more is ordered by a
// period: keys that were born together are due together.
const MaxRotating = 8

// Reasons for which the next version of a key is not ordered by its period.
var (
	// ErrVersionNotDue means that the order of the key's newest version has no period, or
	// that it is not over.
	ErrVersionNotDue = errors.New("no next version of the key is due by its order")
	// ErrOtherHolders means that the key has other holders or another threshold than the
	// order of its newest version names, or that one of them is not on the roster any
	// more: custodians order the next version, and name those that it is to have.
	ErrOtherHolders = errors.New("the key's holders are not those of its order any more: custodians order its next version")
	// ErrTooManyRotations means that as many versions as there may be are on their way.
	ErrTooManyRotations = errors.New("as many next versions as there may be are on their way")
)

// period begins the period that the order of a key's newest version names, or ends that
// of the one before.
func (s *State) period(d *draft, o *Ordered, id api.KeyID) {
	path := pathPeriod + id.String()
	switch {
	case o.Order.RotateEvery != 0:
		d.put(path, &named{Order: o.Hash})
	case get[*named](s, path) != nil:
		d.remove(path)
	}
}

// VersionDue is the ledger time from which the next version of a key is to be ordered by
// its period, or 0 if it has none.
func (s *State) VersionDue(id api.KeyID) int64 {
	k := s.Key(id)
	if k == nil {
		return 0
	}
	o := s.OrderByHash(k.Order)
	if o.Order.RotateEvery == 0 {
		return 0
	}
	return k.Born + int64(o.Order.RotateEvery)*1000
}

// VersionsDue lists the keys whose next version would be ordered now, by id, at most so
// many.
func (s *State) VersionsDue(most int) []authority.NextVersion {
	var out []authority.NextVersion
	for _, n := range list[*named](s, pathPeriod) {
		id := s.OrderByHash(n.Order).Key
		next := authority.NextVersion{Key: id, Version: s.Key(id).Version + 1}
		if len(out) < most && s.mayFollow(&next) == nil {
			out = append(out, next)
		}
	}
	return out
}

// VersionsLate lists the keys whose next version was due so long ago, in milliseconds of
// ledger time, and is not born though the key's state permits it, by id, at most so many.
func (s *State) VersionsLate(by int64, most int) []api.KeyID {
	var out []api.KeyID
	for _, n := range list[*named](s, pathPeriod) {
		id := s.OrderByHash(n.Order).Key
		if len(out) < most && s.Time() > s.VersionDue(id)+by && s.KeyState(id, s.Time()).Wraps() {
			out = append(out, id)
		}
	}
	return out
}

// mayFollow says nil when the next version of a key would be ordered by its period.
func (s *State) mayFollow(b *authority.NextVersion) error {
	k := s.Key(b.Key)
	switch {
	case k == nil || k.Purpose == authority.PurposeRoot:
		return fmt.Errorf("%w: %s", ErrNoKey, b.Key)
	case b.Version != k.Version+1:
		return fmt.Errorf("%w: %d, next is %d", ErrVersion, b.Version, k.Version+1)
	}
	if due := s.VersionDue(b.Key); due == 0 || s.Time() < due {
		return fmt.Errorf("%w: it is due at %d, ledger time is %d", ErrVersionNotDue, due, s.Time())
	}
	if state := s.KeyState(b.Key, s.Time()); !state.Wraps() {
		return fmt.Errorf("%w: a key that is %s has no next version", ErrMove, state)
	}
	o := &s.OrderByHash(k.Order).Order
	gone := func(h string) bool { return s.NodeByID(h) == nil || h == s.custody.roll.Leaver }
	if k.T != o.T || k.F != o.F || !slices.Equal(k.Holders, o.Holders) || slices.ContainsFunc(o.Holders, gone) {
		return ErrOtherHolders
	}
	if s.rotation(b.Key) != nil {
		return ErrRotating
	}
	if len(list[*named](s, pathRotation)) >= MaxRotating {
		return ErrTooManyRotations
	}
	return nil
}

// takeNextVersion orders the next version of a key, when the period of the order that
// custodians signed is over: no node can say so sooner, or for other holders.
func (s *State) takeNextVersion(d *draft, b *authority.NextVersion) error {
	if err := s.mayFollow(b); err != nil {
		return err
	}
	signed := s.OrderByHash(s.Key(b.Key).Order)
	by := signed.Hash
	if signed.By != nil {
		by = *signed.By
	}
	hash := authority.NextHash(by, b.Version)
	d.put(pathOrder+hash.String(), &Ordered{
		Hash: hash, Order: signed.Order.Next(b.Key, b.Version), Entry: signed.Entry, Custody: signed.Custody, By: &by,
	})
	d.put(pathRotation+b.Key.String(), &named{Order: hash})
	return nil
}

// firstRun is the run that the record of a version needs beside its order, or nil.
func (s *State) firstRun(o *Ordered, id api.KeyID) *authority.FirstRun {
	if o.By == nil || s.OrderByHash(*o.By).Order.Key != nil {
		return nil
	}
	r := s.KeyVersion(id, 1).Record
	at := r.RosterVersion
	if r.Epoch > 1 || r.Pool != nil {
		at = r.BornRoster
	}
	return &authority.FirstRun{RosterVersion: at, Attempt: r.Attempt, LinkBefore: r.LinkBefore, Pool: r.Pool}
}
