package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Reasons for which a step of a key's destruction is a no-op.
var (
	// ErrDying means that the key is to be destroyed, or is destroyed: nothing else is
	// said of its state.
	ErrDying = errors.New("the key is to be destroyed, or is")
	// ErrNoDestroy means that no order to destroy the key waits.
	ErrNoDestroy = errors.New("no order to destroy the key waits")
	// ErrWaits means that the wait is not over by ledger time.
	ErrWaits = errors.New("the wait before the key is destroyed is not over")
)

// Destruction is the end of a key: ordered, and then, when the wait is over, begun.
// From its beginning on no epoch of the key is one that releases; all that there ever
// were stand among those that are over, and wait for their holders' receipts.
type Destruction struct {
	By      Signed `cbor:"1,keyasint"` // the order
	Index   uint64 `cbor:"2,keyasint"` // Raft index where it was taken
	Ordered int64  `cbor:"3,keyasint"` // ledger time then, Unix milliseconds
	After   int64  `cbor:"4,keyasint"` // ledger time from which it may begin, and from which each node's clock lets it erase

	Begun  uint64   `cbor:"5,keyasint,omitempty"` // Raft index where it began; 0: it waits
	At     int64    `cbor:"6,keyasint,omitempty"` // ledger time then
	Epochs []uint64 `cbor:"7,keyasint,omitempty"` // by version, from 1: the number of its last epoch. There are no others
}

// Waits says whether the destruction is ordered and not begun.
func (d *Destruction) Waits() bool { return d != nil && d.Begun == 0 }

// Done says whether the destruction has begun: nothing takes it back.
func (d *Destruction) Done() bool { return d != nil && d.Begun != 0 }

// waitsFor: a destruction that is ordered waits for its time, and for whoever says that
// it has come.
func (v *Life) waitsFor() []string {
	if v.Destroy.Waits() {
		return []string{anyone}
	}
	return nil
}

// Dying lists the keys whose destruction waits, by id.
func (s *State) Dying() []*Life { return owed[*Life](s, anyone, pathLife) }

// DestroyNow lists the keys whose wait is over, by ledger time and by a clock, in Unix
// milliseconds.
func (s *State) DestroyNow(now int64) []api.KeyID {
	var out []api.KeyID
	for _, l := range s.Dying() {
		if min(s.Time(), now) >= l.Destroy.After {
			out = append(out, l.Key)
		}
	}
	return out
}

// Destroyed says whether a key's destruction has begun.
func (s *State) Destroyed(id api.KeyID) bool { return s.Life(id).Destroy.Done() }

// MayErase says whether a node whose clock says now erases shares of a key when the
// ledger says that they are over: what is destroyed goes by that clock as well.
func (s *State) MayErase(id api.KeyID, now int64) bool {
	d := s.Life(id).Destroy
	return !d.Done() || now >= d.After
}

// takeKeyDestroy keeps the order to destroy a key. It denies like a revoke.
func (s *State) takeKeyDestroy(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	b, err := authority.ParseKeyDestroy(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(b.Key)
	if err != nil {
		return err
	}
	if l.Destroy != nil {
		return ErrDying
	}
	if err := s.takeDenial(d, index, c, id); err != nil {
		return err
	}
	next := *l
	next.Destroy = &Destruction{By: s.signed(id, raw), Index: index, Ordered: s.Time(), After: s.Time() + b.Wait}
	d.put(pathLife+b.Key.String(), &next)
	return nil
}

// takeKeyKeep takes an order to destroy a key back.
func (s *State) takeKeyKeep(d *draft, index uint64, c *authority.Change, id api.Digest) error {
	b, err := authority.ParseKeyKeep(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(b.Key)
	switch {
	case err != nil:
		return err
	case !l.Destroy.Waits():
		return ErrNoDestroy
	}
	if err := checkBase(c, l.Destroy.By.Change); err != nil {
		return err
	}
	s.endDenial(d, index, s.DenialBy(c.Base), id)
	next := *l
	next.Destroy = nil
	d.put(pathLife+b.Key.String(), &next)
	return nil
}

// takeDestroy begins the destruction of a key whose wait is over: every epoch that lives
// is over, and no run gives it new ones.
func (s *State) takeDestroy(d *draft, index uint64, b *authority.Destroy) error {
	l := s.Life(b.Key)
	switch {
	case !l.Destroy.Waits():
		return ErrNoDestroy
	case s.Time() < l.Destroy.After:
		return fmt.Errorf("%w: until %d, ledger time is %d", ErrWaits, l.Destroy.After, s.Time())
	}
	if err := s.endRunsOf(d, b.Key); err != nil {
		return err
	}
	over := *l.Destroy
	over.Begun, over.At = index, s.Time()
	for _, k := range list[*Key](s, pathKey+b.Key.String()+"/") {
		if o := s.Older(k.ID, k.Version); o != nil {
			s.endEpoch(d, k, &o.Epoch)
			d.remove(olderPath(k.ID, k.Version))
		}
		s.endEpoch(d, k, &k.Epoch)
		over.Epochs = append(over.Epochs, k.Number)
	}
	next := *l
	next.Put, next.Destroy = authority.Destroyed, &over
	d.put(pathLife+b.Key.String(), &next)
	d.ended = true // so that what its ceremonies dealt leaves every log
	return nil
}

// endRunsOf leaves no ceremony that could give a key another share. One that runs goes
// on to its end first, which is bounded; none begins while the key is to be destroyed.
func (s *State) endRunsOf(d *draft, id api.KeyID) error {
	for _, r := range s.Renewals() {
		left := *r
		left.Left = s.outstanding(r) // among which it is not since it is to be destroyed
		if ses := s.Session(r.Live); !r.Live.IsZero() && ses.concerns(id) {
			if !s.Expired(ses) {
				return ErrAnotherRun
			}
			ended, err := ses.Board.Expire()
			if err != nil {
				return err
			}
			s.putBoard(d, ses, ended)
			left.Live = api.Digest{}
		}
		if left.Left != r.Left || left.Live != r.Live {
			putRenewal(d, &left)
		}
	}
	if o := s.rotation(id); o != nil {
		if err := s.endRun(d, o); err != nil {
			return fmt.Errorf("%w: %w", ErrRotating, err)
		}
		ended := *o
		ended.Live, ended.Key = api.Digest{}, id // nobody opens it any more
		d.put(pathOrder+o.Hash.String(), &ended)
		d.remove(pathRotation + id.String())
	}
	return nil
}

// concerns says whether a run of a refresh or a reshare gives this key new shares.
func (s *Session) concerns(id api.KeyID) bool {
	for _, k := range s.Keys {
		if k.Key == id {
			return true
		}
	}
	return false
}
