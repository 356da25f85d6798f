package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Reasons for which a change of a key's state or labels is a no-op.
var (
	// ErrMove means that the key's state has no such successor.
	ErrMove = errors.New("no key goes from its state to that one")
	// ErrByState means that a lift names what put a key's state: another change of its
	// state ends that.
	ErrByState = errors.New("a key's state is left by another change of its state, and not by a lift")
	// ErrOver means that the expiry of a key which has expired would be moved.
	ErrOver = errors.New("the key has expired: that cannot be put off any more")
)

// Life is where a key stands in its life, and what custodians say of it. A key that
// has none was born active, and nothing was said.
type Life struct {
	Key       api.KeyID          `cbor:"1,keyasint"`
	Put       authority.KeyState `cbor:"2,keyasint"` // by its order, or by the last change of its state
	NotBefore int64              `cbor:"3,keyasint,omitempty"`
	State     Signed             `cbor:"4,keyasint"` // what put it; of no id: its order
	Owner     string             `cbor:"5,keyasint,omitempty"`
	Labels    map[string]string  `cbor:"6,keyasint,omitempty"`
	NotAfter  int64              `cbor:"7,keyasint,omitempty"`
	Said      Signed             `cbor:"8,keyasint"` // what says owner, labels and expiry; it may be its order
	Destroy   *Destruction       `cbor:"9,keyasint,omitempty"`
	Datasets  uint32             `cbor:"10,keyasint,omitempty"` // how many are registered
	Escrows   uint32             `cbor:"11,keyasint,omitempty"` // how many orders there were to seal its shares to custodians
}

// Signed is a change that is in force, as it was signed: whoever is shown it believes
// the custodians, and no node.
type Signed struct {
	Change  api.Digest `cbor:"1,keyasint"`
	Entry   []byte     `cbor:"2,keyasint,omitempty"`
	Custody uint64     `cbor:"3,keyasint,omitempty"` // how many changes of custodians and roster there had been when it was taken
}

func (v *Life) digest() api.Digest { return digestOf(v) }

// Life returns where a key stands. Of a key that is not there it says the same as of
// one that was just born.
func (s *State) Life(id api.KeyID) *Life {
	if l := s.lifeOf(id); l != nil {
		return l
	}
	return &Life{Key: id, Put: authority.Active}
}

func (s *State) lifeOf(id api.KeyID) *Life {
	var few [pathRoom]byte
	return find[*Life](s, hex.AppendEncode(append(few[:0], pathLife...), id[:]))
}

// KeyState is the state of a key when the asking node's clock says now, in Unix
// milliseconds: neither that clock alone nor ledger time alone activates a key, and
// each of them deactivates one.
func (s *State) KeyState(id api.KeyID, now int64) authority.KeyState {
	l := s.lifeOf(id)
	if l == nil {
		return authority.Active
	}
	at := authority.Life{Put: l.Put, NotBefore: l.NotBefore, NotAfter: l.NotAfter}.At(s.Time(), now)
	if at == authority.Active && l.Destroy.Waits() {
		return authority.Suspended
	}
	return at
}

// bear begins the life of a key that is not active from its birth, or of which its order
// says something.
func (d *draft) bear(id api.KeyID, o *Ordered) {
	born := authority.BornAs(&o.Order)
	l := Life{Key: id, Put: born.Put, NotBefore: born.NotBefore}
	if said := o.Order.Says(id); said != nil {
		l.Owner, l.Labels, l.NotAfter = said.Owner, said.Labels, said.NotAfter
		l.Said = Signed{Change: o.Hash, Entry: o.Entry, Custody: o.Custody}
	}
	if l.Put != authority.Active || !l.Said.Change.IsZero() {
		d.put(pathLife+id.String(), &l)
	}
}

// namedKey is a key that custodians may speak of.
func (s *State) namedKey(id api.KeyID) (*Life, error) {
	if k := s.Key(id); k == nil || k.Purpose == authority.PurposeRoot {
		return nil, fmt.Errorf("%w: %s", ErrNoKey, id)
	}
	return s.Life(id), nil
}

// takeKeyState moves a key to another state, by the table of legal moves. What stops
// it is a denial as well, so that no node forgets it that has stored it; what undoes
// that names it, and ends it.
func (s *State) takeKeyState(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	to, err := authority.ParseKeyState(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(to.Key)
	if err != nil {
		return err
	}
	from := s.KeyState(to.Key, s.Time())
	if l.Destroy != nil {
		return ErrDying
	}
	if !authority.MayMove(from, to.To, authority.ByCustodians) {
		return fmt.Errorf("%w: from %s to %s", ErrMove, from, to.To)
	}
	var undoes api.Digest
	if authority.Widens(from, to.To) {
		undoes = l.State.Change
	}
	if err := checkBase(c, undoes); err != nil {
		return err
	}
	if !to.To.Unwraps() {
		if err := s.takeDenial(d, index, c, id); err != nil {
			return err
		}
	}
	if !undoes.IsZero() {
		s.endDenial(d, index, s.DenialBy(undoes), id)
	}
	next := *l
	next.Put, next.State = to.To, s.signed(id, raw)
	d.put(pathLife+to.Key.String(), &next)
	return nil
}

// mayStop says why a change does not stop its key, if it does not: what the ledger
// will refuse, no node has to keep.
func (s *State) mayStop(c *authority.Change) error {
	if c.Kind == authority.KindKeyDestroy {
		return s.mayDestroy(c)
	}
	to, err := authority.ParseKeyState(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(to.Key)
	if err != nil {
		return err
	}
	if l.Destroy != nil {
		return ErrDying
	}
	if from := s.KeyState(to.Key, s.Time()); !authority.MayMove(from, to.To, authority.ByCustodians) {
		return fmt.Errorf("%w: from %s to %s", ErrMove, from, to.To)
	}
	return nil
}

// mayDestroy is [State.mayStop] for an order to destroy a key.
func (s *State) mayDestroy(c *authority.Change) error {
	b, err := authority.ParseKeyDestroy(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(b.Key)
	if err == nil && l.Destroy != nil {
		err = ErrDying
	}
	return err
}

// endDenial ends what a change denies; by is the change that names it.
func (s *State) endDenial(d *draft, index uint64, denial *Denial, by api.Digest) {
	r := get[*revoked](s, revokedPath(denial.Subject))
	rest := slices.DeleteFunc(slices.Clone(r.By), func(id api.Digest) bool { return id == denial.Change })
	d.put(revokedPath(denial.Subject), &revoked{By: rest})
	d.put(pathLifted+denial.Change.String(), &Lifted{Lift: by, Index: index})
}

// takeKeyLabels replaces what is said of a key.
func (s *State) takeKeyLabels(d *draft, c *authority.Change, id api.Digest, raw []byte) error {
	said, err := authority.ParseKeyLabels(c)
	if err != nil {
		return err
	}
	l, err := s.namedKey(said.Key)
	if err != nil {
		return err
	}
	if err := checkBase(c, l.Said.Change); err != nil {
		return err
	}
	if over := l.NotAfter != 0 && s.Time() > l.NotAfter; over && said.NotAfter != l.NotAfter {
		return ErrOver
	}
	next := *l
	next.Owner, next.Labels, next.NotAfter, next.Said = said.Owner, said.Labels, said.NotAfter, s.signed(id, raw)
	d.put(pathLife+said.Key.String(), &next)
	return nil
}

func (s *State) signed(id api.Digest, raw []byte) Signed {
	return Signed{Change: id, Entry: slices.Clone(raw), Custody: uint64(s.Changes())}
}

// SignedLife is what shows a client where a key stands, with the custodians'
// signatures; or nil when it is as its order says.
func (s *State) SignedLife(id api.KeyID) *authority.SignedLife {
	l := s.Life(id)
	if l.State.Change.IsZero() && l.Said.Change.IsZero() && l.Destroy == nil {
		return nil
	}
	signed := &authority.SignedLife{
		State: l.State.Entry, StateAfter: l.State.Custody, Said: l.Said.Entry, SaidAfter: l.Said.Custody,
	}
	if l.Destroy != nil {
		signed.Destroy, signed.DestroyAfter = l.Destroy.By.Entry, l.Destroy.By.Custody
	}
	signed.Succession = s.Succession(int(max(signed.StateAfter, signed.SaidAfter, signed.DestroyAfter)))
	return signed
}
