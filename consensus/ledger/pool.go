package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tdh2"
)

// MaxPools bounds the pools: each is looked at for every order of a key, and together they
// hold no more than some thousand keys.
const MaxPools = 8

// Reasons for which a step of a pool is a no-op.
var (
	// ErrManyPools means that there are as many pools as there may be.
	ErrManyPools = errors.New("there are as many pools of keys as there may be")
	// ErrPoolFull means that at least half of the pool's keys are there.
	ErrPoolFull = errors.New("the pool has half of its keys or more")
)

// Pool is the order of keys that are born ahead, and the run that fills it.
type Pool struct {
	Order   api.Digest     `cbor:"1,keyasint"` // id of the change
	Body    authority.Pool `cbor:"2,keyasint"`
	Entry   []byte         `cbor:"3,keyasint"`           // as custodians signed it
	Custody uint64         `cbor:"4,keyasint,omitempty"` // how many successors there were when it was taken
	Attempt uint64         `cbor:"5,keyasint"`           // the last run opened
	Live    api.Digest     `cbor:"6,keyasint"`           // its run, while there is one
	Opened  uint64         `cbor:"7,keyasint,omitempty"` // Raft index where that was opened
	Filling bool           `cbor:"8,keyasint,omitempty"` // it was low, and is not full since
}

// Pooled is a key that was born in a pool and that no order has taken yet. It stands under
// no path of keys: it has no name, no policy can mean it, nothing releases under it, and
// nobody is told of it as of a key. Its record lacks the order that will take it.
type Pooled struct {
	ID    api.KeyID  `cbor:"1,keyasint"`
	Pool  api.Digest `cbor:"2,keyasint"` // id of the pool's order
	Until int64      `cbor:"3,keyasint"` // ledger time after which it is erased, Unix milliseconds
	Epoch `cbor:"4,keyasint"`
}

// Drawn is where a key comes from that was born in a pool.
type Drawn struct {
	Pool    api.Digest `cbor:"1,keyasint"`           // id of the pool's order
	Custody uint64     `cbor:"2,keyasint,omitempty"` // how many successors there were when that was taken
}

func (v *Pool) digest() api.Digest   { return digestOf(v) }
func (v *Pooled) digest() api.Digest { return digestOf(v) }

// passes: who was not taken in its time is no key any more.
func (v *Pooled) passes() (int64, bool) { return v.Until, true }
func (v *Pooled) left(int64) value      { return nil }

// Pools lists every pool, by name.
func (s *State) Pools() []*Pool { return list[*Pool](s, pathPool) }

// Pool returns the pool of this name, or nil.
func (s *State) Pool(name string) *Pool { return get[*Pool](s, pathPool+name) }

// PoolOf returns the pool that this order is of, or nil.
func (s *State) PoolOf(order api.Digest) *Pool {
	for _, p := range s.Pools() {
		if p.Order == order {
			return p
		}
	}
	return nil
}

// PooledKey returns a key that waits in a pool, or nil.
func (s *State) PooledKey(id api.KeyID) *Pooled { return get[*Pooled](s, pathPooled+id.String()) }

// Pooled lists the keys that wait in a pool, by id.
func (s *State) Pooled(p *Pool) []*Pooled {
	return slices.DeleteFunc(list[*Pooled](s, pathPooled), func(k *Pooled) bool { return k.Pool != p.Order })
}

// lacks is how many keys nodes are to bear for a pool: none before more than half are
// taken, and from then on all that are missing.
func (s *State) lacks(p *Pool) int {
	waiting, size := len(s.Pooled(p)), int(p.Body.Size)
	if !p.Filling && 2*waiting >= size {
		return 0
	}
	return size - waiting
}

// PoolLow says whether nodes are to fill a pool up.
func (s *State) PoolLow(p *Pool) bool { return s.lacks(p) > 0 }

// takePool puts a pool, puts another one in its place, or ends it. The keys that waited
// in the one before are no keys any more: they are of another order.
func (s *State) takePool(d *draft, c *authority.Change, id api.Digest, raw []byte) error {
	b, err := authority.ParsePool(c)
	if err != nil {
		return err
	}
	before, inForce := s.Pool(b.Name), api.Digest{}
	if before != nil {
		inForce = before.Order
	}
	if err := checkBase(c, inForce); err != nil {
		return err
	}
	if b.Size > 0 {
		if b.T < s.genesis.Root.T {
			return fmt.Errorf("%w: threshold %d, this cluster's keys have at least %d", authority.ErrOrder, b.T, s.genesis.Root.T)
		}
		if h := s.stranger(b.Holders); h != "" {
			return fmt.Errorf("%w: %w: the holder %s", authority.ErrOrder, ErrNoNode, h)
		}
		if before == nil && len(s.Pools()) >= MaxPools {
			return ErrManyPools
		}
	}
	if before != nil {
		if err := s.endPool(d, before); err != nil {
			return err
		}
	}
	if b.Size > 0 {
		d.put(pathPool+b.Name, &Pool{Order: id, Body: *b, Entry: bytes.Clone(raw), Custody: uint64(s.custody.chain.Len())})
	}
	return nil
}

// stranger is the first of these nodes that is not on the roster, or about to leave it.
func (s *State) stranger(holders []string) string {
	for _, h := range holders {
		if s.NodeByID(h) == nil || h == s.custody.roll.Leaver {
			return h
		}
	}
	return ""
}

// endPool takes out a pool with the keys that wait in it, and ends its run. Nothing was
// ever wrapped for anybody under them; their holders erase the shares.
func (s *State) endPool(d *draft, p *Pool) error {
	s.drainPool(d, p)
	if err := s.endPoolRun(d, p); err != nil {
		return err
	}
	d.remove(pathPool + p.Body.Name)
	return nil
}

// drainPool takes out the keys that wait in a pool.
func (s *State) drainPool(d *draft, p *Pool) {
	for _, k := range s.Pooled(p) {
		d.remove(pathPooled + k.ID.String())
	}
}

// drainPools takes out every key that waits or is being born, when all keys get new
// shares: what was stolen before is then of use for none, and they are born anew.
func (s *State) drainPools(d *draft) error {
	for _, p := range s.Pools() {
		s.drainPool(d, p)
		if err := s.endPoolRun(d, p); err != nil {
			return err
		}
	}
	return nil
}

// endPoolRun ends the run of a pool, if it has one.
func (s *State) endPoolRun(d *draft, p *Pool) error {
	if p.Live.IsZero() {
		return nil
	}
	ses := s.Session(p.Live)
	ended, err := ses.Board.Expire()
	if err != nil {
		return err
	}
	s.putBoard(d, ses, ended)
	return nil
}

// leavePools ends the pools with a holder that is not on the roster that d leads to, or
// is about to leave it.
func (s *State) leavePools(d *draft) error {
	for _, p := range s.Pools() {
		if d.s.stranger(p.Body.Holders) == "" {
			continue
		}
		if err := s.endPool(d, p); err != nil {
			return err
		}
	}
	return nil
}

// openPool starts a run that fills a pool up, when more than half of its keys are taken.
// It bears as many as a run of a refresh gives new shares, [MaxRenewed], and the next one
// others; and one run goes on at a time, whatever pool it fills. So beside a refresh there
// is one ceremony of many keys, and those who unwrap have their share of the machine (R43).
func (s *State) openPool(d *draft, index uint64, node string, p *Pool, attempt uint64) error {
	missing := s.lacks(p)
	switch {
	case !slices.Contains(p.Body.Holders, node):
		return ErrNotHolder
	case attempt != p.Attempt+1:
		return fmt.Errorf("%w: attempt %d, next is %d", ErrOutOfTurn, attempt, p.Attempt+1)
	case s.RootKey() == nil:
		return fmt.Errorf("%w: the root key is not born yet", ErrOutOfTurn)
	case missing == 0:
		return ErrPoolFull
	}
	for _, other := range s.Pools() {
		if !other.Live.IsZero() && !s.Expired(s.Session(other.Live)) {
			return fmt.Errorf("%w: a run fills the pool %s", ErrOutOfTurn, other.Body.Name)
		}
		if err := s.endPoolRun(d, other); err != nil {
			return err
		}
	}
	bears := min(missing, MaxRenewed)
	id := authority.SessionID(s.genesis.Cluster, s.RosterVersion(), p.Order, attempt, s.link)
	next := *p
	next.Attempt, next.Live, next.Opened, next.Filling = attempt, id, index, bears < missing
	d.put(pathPool+p.Body.Name, &next)
	run := dkg.Session{
		ID: id, Cluster: s.genesis.Cluster, T: int(p.Body.T), H: len(p.Body.Holders), F: int(p.Body.F),
		N: bears,
	}
	d.put(pathSession+id.String(), &Session{
		ID: id, Order: p.Order, Attempt: attempt, LinkBefore: s.link, Opened: index, OpenedTime: s.Time(), Roster: s.RosterVersion(),
		Participants: p.Body.Holders, PhaseSeconds: p.Body.PhaseSeconds, Board: board.New(run),
	})
	return nil
}

// activatePool puts what a run has borne into its pool.
func (s *State) activatePool(d *draft, ses *Session, p *Pool, done *board.Board) error {
	out, _ := done.Outcome()
	for i, born := range out.Keys {
		place := uint32(i + 1)
		id := authority.PooledKeyID(ses.ID, place)
		pk, err := tdh2.NewPublicKey(s.genesis.Cluster, id, 1, out.T, out.H, born.Y)
		if err != nil {
			return err
		}
		k := &Pooled{
			ID: id, Pool: p.Order, Until: s.Time() + int64(p.Body.LifeSeconds)*1000,
			Epoch: Epoch{
				Number: 1, Session: ses.ID, T: p.Body.T, F: p.Body.F, Holders: p.Body.Holders,
				Struck: struck(done, p.Body.Holders), Opened: ses.Opened,
				Record: authority.KeyRecord{
					Cluster: s.genesis.Cluster, Key: id, Version: 1, Epoch: 1, Attempt: ses.Attempt, LinkBefore: ses.LinkBefore,
					BornRoster: ses.Roster, RecordVersion: 1, Y: pk.Y.Bytes(), W: pk.W.Bytes(),
					Pool: &authority.FromPool{Order: p.Entry, Place: place},
				},
			},
		}
		for _, yi := range born.YI {
			k.Record.YI = append(k.Record.YI, yi.Bytes())
		}
		d.put(pathPooled+id.String(), k)
	}
	s.putBoard(d, ses, done)
	freed := *p
	freed.Live = api.Digest{}
	d.put(pathPool+p.Body.Name, &freed)
	return nil
}

// fitting is the key that the order of a new key takes from a pool, or nil: of the first
// pool by name that has one of its shape, the one with the lowest id. So it follows from
// the order of entries alone, and whoever orders them chooses no more than that.
func (s *State) fitting(o *authority.Order) (*Pool, *Pooled) {
	for _, p := range s.Pools() {
		if !p.Body.Fits(o) {
			continue
		}
		if waiting := s.Pooled(p); len(waiting) > 0 {
			return p, waiting[0]
		}
	}
	return nil, nil
}

// draw makes a key of one that waited in a pool: it has the order's name from here on, as
// if it were born now. What its holders sign is a record with that order in it.
func (s *State) draw(d *draft, index uint64, o *Ordered, p *Pool, waited *Pooled) {
	key := &Key{
		ID: waited.ID, Version: 1, Order: o.Hash, Purpose: o.Order.Purpose, Name: o.Order.Name, BornT: o.Order.T, BornH: o.Order.H(), BornAt: index,
		Epoch: waited.Epoch, Drawn: &Drawn{Pool: p.Order, Custody: p.Custody},
	}
	key.Record.Order, key.Record.RosterVersion = o.Entry, s.RosterVersion()
	d.remove(pathPooled + waited.ID.String())
	s.bringUp(d, o, key)
}

// pooledAfter is how many successors there were when the pool was ordered that a key's
// first version was born in, or 0.
func (s *State) pooledAfter(id api.KeyID) uint64 {
	if first := s.KeyVersion(id, 1); first != nil && first.Drawn != nil { // none where a later one was adopted
		return first.Drawn.Custody
	}
	return 0
}
