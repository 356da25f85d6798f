package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Reasons for which the order of a key's next version is a no-op.
var (
	// ErrVersion means that the order is of another version than the key's next one.
	ErrVersion = errors.New("the order is of another version than the key's next one")
	// ErrRotating means that a run of an earlier order of this version is live: two of
	// them would give holders two shares of one name.
	ErrRotating = errors.New("the next version of this key is being born")
)

// takeRotation puts the order of a key's next version in the place of one that came to
// nothing, if there is one.
func (s *State) takeRotation(d *draft, o *authority.Order, id api.Digest) error {
	k := s.Key(*o.Key)
	switch {
	case k == nil || k.Purpose != o.Purpose:
		return fmt.Errorf("%w: %s", ErrNoKey, *o.Key)
	case k.Name != o.Name:
		return fmt.Errorf("%w: the key is called %s", authority.ErrOrder, k.Name)
	case o.Version != k.Version+1:
		return fmt.Errorf("%w: %d, next is %d", ErrVersion, o.Version, k.Version+1)
	}
	if state := s.KeyState(k.ID, s.Time()); !state.Wraps() {
		return fmt.Errorf("%w: a key that is %s has no next version", ErrMove, state)
	}
	if before := s.rotation(k.ID); before != nil {
		if err := s.endRun(d, before); err != nil {
			return fmt.Errorf("%w: %w", ErrRotating, err)
		}
		ended := *before
		ended.Live, ended.Key = api.Digest{}, k.ID // nobody opens it any more
		d.put(pathOrder+before.Hash.String(), &ended)
	}
	d.put(pathRotation+k.ID.String(), &named{Order: id})
	return nil
}

// rotation is the order of a key's next version that is not born, or nil.
func (s *State) rotation(id api.KeyID) *Ordered {
	if n := get[*named](s, pathRotation+id.String()); n != nil {
		return s.OrderByHash(n.Order)
	}
	return nil
}

// endRun ends the run of an order, if it has one, and its time is over.
func (s *State) endRun(d *draft, o *Ordered) error {
	if o.Live.IsZero() {
		return nil
	}
	ses := s.Session(o.Live)
	if !s.Expired(ses) {
		return fmt.Errorf("%w: a run of this order is live", ErrOutOfTurn)
	}
	ended, err := ses.Board.Expire()
	if err != nil {
		return err
	}
	s.putBoard(d, ses, ended)
	return nil
}

// Vouched returns the newest version of a key whose record a client believes: right
// after its birth a version is not vouched for yet, and the one before goes on. It is
// the newest if none is.
func (s *State) Vouched(id api.KeyID) *Key {
	newest := s.Key(id)
	for k := newest; k != nil; k = s.KeyVersion(id, k.Version-1) {
		if k.Vouched() || s.Believable(k) != &k.Epoch {
			return k
		}
	}
	return newest
}
