package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// Overlap is how long, by ledger time in milliseconds, an epoch and the one before it
// answer side by side, where the order says nothing else: a client that holds the old
// record goes on meanwhile, and so does a request that was under way.
const Overlap = 60_000

// OverlapGrace is how far a node's clock may be ahead of ledger time before it ends an
// overlap by itself, in milliseconds: anchors come each ten seconds meanwhile, and clocks
// differ. Whoever keeps anchors or a Retire out of the log makes no overlap longer than
// both together.
const OverlapGrace = 60_000

// MaxRenewals bounds the orders of refreshes and reshares that are not done yet: each
// is looked through for every run that is opened.
const MaxRenewals = 64

// Reasons for which a step of a refresh or a reshare is a no-op.
var (
	// ErrTooManyRenewals means that as many refreshes and reshares as there may be are not done.
	ErrTooManyRenewals = errors.New("as many refreshes and reshares as there may be are not done yet")
	// ErrAnotherRun means that a refresh or a reshare of other keys runs: they come one
	// after the other, so that those who unwrap keep their share of every machine.
	ErrAnotherRun = errors.New("another refresh or reshare runs")
	// ErrOverlap means that an epoch may not be retired yet.
	ErrOverlap = errors.New("the epoch is not over yet")
)

// Renewal is an order of new shares for keys that there are, and how far it has come.
// Its runs take up to [MaxRenewed] keys each, one after the other.
type Renewal struct {
	Order   api.Digest        `cbor:"1,keyasint"` // id of the change
	Kind    string            `cbor:"2,keyasint"` // refresh or reshare
	Index   uint64            `cbor:"3,keyasint"` // Raft index where it was taken
	Body    authority.Renewal `cbor:"4,keyasint"`
	Entry   []byte            `cbor:"5,keyasint,omitempty"` // as custodians signed it
	Custody uint64            `cbor:"6,keyasint,omitempty"` // how often the custodians had been replaced
	Total   uint32            `cbor:"7,keyasint"`           // key versions that it is about
	Left    uint32            `cbor:"8,keyasint"`           // of them without new shares yet
	Attempt uint64            `cbor:"9,keyasint"`           // the last run opened
	Live    api.Digest        `cbor:"10,keyasint"`          // its run, while there is one
	Ended   uint64            `cbor:"11,keyasint,omitempty"`
	For     string            `cbor:"12,keyasint,omitempty"` // of a repair: the node that was struck; nobody ordered it
}

// KeyVersion names one version of a key.
type KeyVersion struct {
	Key     api.KeyID `cbor:"1,keyasint"`
	Version uint32    `cbor:"2,keyasint"`
}

// Older is the epoch before a key's current one, while it still releases.
type Older struct {
	Key     api.KeyID `cbor:"1,keyasint"`
	Version uint32    `cbor:"2,keyasint"`
	Until   int64     `cbor:"3,keyasint"` // ledger time from which it may be retired, Unix milliseconds
	Epoch   `cbor:"4,keyasint"`
}

func (v *Renewal) digest() api.Digest { return digestOf(v) }
func (v *Older) digest() api.Digest   { return digestOf(v) }

// overlap is how long the epochs before answer beside those of this order.
func (v *Renewal) overlap() int64 { return cmp.Or(int64(v.Body.OverlapSeconds)*1000, Overlap) }

func olderPath(id api.KeyID, version uint32) string { return versionPath(pathOlder, id, version) }

// Renewals lists the refreshes and reshares that are not done, by their order's id.
func (s *State) Renewals() []*Renewal { return list[*Renewal](s, pathRenewal) }

// Renewed lists those that are done.
func (s *State) Renewed() []*Renewal { return list[*Renewal](s, pathRenewed) }

// Renewal returns an order of new shares, done or not, or nil.
func (s *State) Renewal(order api.Digest) *Renewal {
	if r := get[*Renewal](s, pathRenewal+order.String()); r != nil {
		return r
	}
	return get[*Renewal](s, pathRenewed+order.String())
}

// Older returns the epoch of a key that overlaps its current one, or nil.
func (s *State) Older(id api.KeyID, version uint32) *Older {
	return get[*Older](s, olderPath(id, version))
}

// Overlapping lists every epoch that overlaps a newer one, by key and version.
func (s *State) Overlapping() []*Older { return list[*Older](s, pathOlder) }

// EpochOf returns an epoch of a key that can release, or nil.
func (s *State) EpochOf(k *Key, number uint64) *Epoch {
	if k.Number == number {
		return &k.Epoch
	}
	if o := s.Older(k.ID, k.Version); o != nil && o.Number == number {
		return &o.Epoch
	}
	return nil
}

// Releases is [State.EpochOf] at a node whose clock says now, in Unix milliseconds: the
// older of two epochs ends there by that clock as well, whether or not its Retire comes.
// The epoch in which a key was adopted releases nothing.
func (s *State) Releases(k *Key, number uint64, now int64) *Epoch {
	if k.brought(number) {
		return nil
	}
	if number == k.Number { // nothing ends the current one, and it is what most ask for
		return &k.Epoch
	}
	if o := s.Older(k.ID, k.Version); o != nil && o.Number == number && now >= o.Until+OverlapGrace {
		return nil
	}
	return s.EpochOf(k, number)
}

// Believable returns the newest epoch of a key whose record a client believes: right
// after an Activate it is the one before. It is the current one if neither is.
func (s *State) Believable(k *Key) *Epoch {
	if o := s.Older(k.ID, k.Version); !k.Vouched() && o != nil {
		return &o.Epoch
	}
	return &k.Epoch
}

// SignedRecord is the record of one of a key's epochs, as clients verify it.
func (s *State) SignedRecord(k *Key, e *Epoch) *authority.SignedRecord {
	ordered := s.OrderByHash(k.Order).Custody
	out := &authority.SignedRecord{Record: e.Record, Signatures: e.Signatures, Ordered: ordered}
	if len(e.Record.Reshared) > 0 {
		out.Reordered = e.Custody
	}
	out.Pooled = s.pooledAfter(k.ID)
	out.Succession = s.SuccessionTo(max(ordered, out.Reordered, out.Pooled), e.Record.RosterVersion)
	return out
}

// Runs says whether a session is one that runs.
func (s *State) Runs(ses *Session) bool {
	if r := get[*Renewal](s, pathRenewal+ses.Order.String()); r != nil {
		return r.Live == ses.ID
	}
	if p := s.PoolOf(ses.Order); p != nil {
		return p.Live == ses.ID
	}
	o := s.OrderByHash(ses.Order)
	return o != nil && o.Live == ses.ID
}

// takeRenewal keeps the order of a refresh or a reshare.
func (s *State) takeRenewal(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	b, err := authority.ParseRenewal(c)
	if err != nil {
		return err
	}
	if c.Kind == authority.KindReshare {
		if b.T < s.genesis.Root.T {
			return fmt.Errorf("%w: threshold %d, this cluster's keys have at least %d", authority.ErrOrder, b.T, s.genesis.Root.T)
		}
		for _, h := range b.Holders {
			if s.NodeByID(h) == nil || h == s.custody.roll.Leaver {
				return fmt.Errorf("%w: %w: the holder %s", authority.ErrOrder, ErrNoNode, h)
			}
		}
	}
	for _, key := range b.Keys {
		if k := s.Key(key); k == nil || k.Purpose == authority.PurposeRoot {
			return fmt.Errorf("%w: %s", ErrNoKey, key)
		} else if k.Symmetric() {
			return fmt.Errorf("%w: %s", ErrSymmetric, k.Name)
		} else if err := s.placed(k, b.Holders); err != nil {
			return err
		}
	}
	if len(s.Renewals()) >= MaxRenewals {
		return ErrTooManyRenewals
	}
	r := &Renewal{Order: id, Kind: c.Kind, Index: index, Body: *b, Entry: slices.Clone(raw), Custody: uint64(len(s.Successors()))}
	r.Total = s.outstanding(r)
	if r.Left = r.Total; r.Left == 0 {
		r.Ended = index
	}
	putRenewal(d, r)
	if len(b.Keys) == 0 {
		return s.drainPools(d)
	}
	return nil
}

// putRenewal keeps a renewal among those that are not done, or among those that are:
// they have said all that they have to say.
func putRenewal(d *draft, r *Renewal) {
	if r.Left > 0 {
		d.put(pathRenewal+r.Order.String(), r)
		return
	}
	done := *r
	done.Live = api.Digest{}
	done.Body.Keys = nil
	d.remove(pathRenewal + r.Order.String())
	d.put(pathRenewed+r.Order.String(), &done)
}

// eachOutstanding shows the key versions that an order still concerns, by id, until enough
// says so.
func (s *State) eachOutstanding(r *Renewal, enough func(*Key) bool) {
	s.values.Root().WalkPrefix([]byte(pathKey), func(_ []byte, v value) bool {
		k := v.(*Key)
		return s.concerns(r, k) && enough(k)
	})
}

// outstanding counts the key versions that an order still concerns.
func (s *State) outstanding(r *Renewal) (n uint32) {
	s.eachOutstanding(r, func(*Key) bool { n++; return false })
	return n
}

// concerns says whether an order still concerns a key version. One that is to be destroyed
// gets no new shares.
func (s *State) concerns(r *Renewal, k *Key) bool {
	return s.wants(r, k) && s.Life(k.ID).Destroy == nil
}

// Fulfilled says whether an order concerns no key any more.
func (s *State) Fulfilled(r *Renewal) bool {
	fulfilled := true
	s.eachOutstanding(r, func(*Key) bool { fulfilled = false; return true })
	return fulfilled
}

// wants says whether an order concerns a key version, and has not been carried out for it.
// One that was given new shares after the order was taken has what a refresh wants; what a
// reshare wants it has when it obeys this reshare, or one that came later.
// Also where it is of all keys it concerns no symmetric key, and a reshare none that is
// pinned to regions without one of its holders.
func (s *State) wants(r *Renewal, k *Key) bool {
	if k.Symmetric() {
		return false
	}
	done := k.Opened > r.Index
	if r.Kind == authority.KindReshare {
		done = k.Obeys >= r.Index || s.orderOf(k).CheckPlaces(s.custody.genesis, r.Body.Holders) != nil
	}
	concerned := r.Body.Concerns(k.ID)
	if k.Purpose == authority.PurposeRoot {
		concerned = r.Body.Root
	}
	if r.For != "" {
		concerned = slices.Contains(k.Struck, r.For)
	}
	if k.Waits() && r.Kind != authority.KindReshare {
		return false // no refresh gives it back its lost holders, nor clients a record
	}
	return !done && k.BornAt <= r.Index && concerned
}

// MaxRenewed bounds how many keys one run gives new shares. Each post about them is checked
// by every node at the same entry, at 65 µs a key: of these, 1.6 ms. On a machine whose
// nodes share its cores an unwrap waits for all of them. A session may be of more keys
// ([dkg.MaxBatch]); a run of more costs little less for each.
const MaxRenewed = 25

// Batch is what the next run of an order is about: keys with the same holders, none
// of which has two epochs at once, or the root key alone, which comes first, since who has
// no root share takes no others. It is nil when there is nothing to do now.
type Batch struct {
	Keys         []*Key
	T, F         uint32
	Participants []string // the new holders by index, then old ones who leave
	H            int      // how many of them are the new holders
}

// Place returns where a node stands among the participants, from 1, or 0.
func (b *Batch) Place(node string) uint32 { return uint32(slices.Index(b.Participants, node) + 1) }

// NextBatch works out what the next run of an order is about, or nil.
func (s *State) NextBatch(r *Renewal) *Batch {
	var b *Batch
	take := func(k *Key) (full bool) {
		if s.Older(k.ID, k.Version) != nil || b != nil && !sameHolders(b.Keys[0], k) {
			return false
		}
		if b == nil {
			b = newBatch(r, k)
		}
		b.Keys = append(b.Keys, k)
		return len(b.Keys) == MaxRenewed
	}
	if root := s.RootKey(); root != nil && s.concerns(r, root) {
		take(root)
	}
	if b != nil {
		return b
	}
	s.eachOutstanding(r, func(k *Key) bool { return k.Purpose != authority.PurposeRoot && take(k) })
	return b
}

func sameHolders(a, b *Key) bool {
	return a.Purpose == b.Purpose && a.T == b.T && a.F == b.F && slices.Equal(a.Holders, b.Holders) && slices.Equal(a.Struck, b.Struck)
}

func newBatch(r *Renewal, k *Key) *Batch {
	b := &Batch{T: k.T, F: k.F, Participants: slices.Clone(k.Holders)}
	if r.Kind == authority.KindReshare {
		b.T, b.F, b.Participants = r.Body.T, r.Body.F, slices.Clone(r.Body.Holders)
	}
	b.H = len(b.Participants)
	for _, h := range k.Holders {
		if k.IndexOf(h) > 0 && !slices.Contains(b.Participants, h) {
			b.Participants = append(b.Participants, h)
		}
	}
	return b
}

// session is what the machines of the run are told.
func (b *Batch) session(id, cluster [32]byte) (dkg.Session, error) {
	first := b.Keys[0]
	var indices []sharing.Index
	for _, p := range b.Participants {
		indices = append(indices, sharing.Index(first.IndexOf(p)))
	}
	var keys []dkg.OldKey
	for _, k := range b.Keys {
		old := dkg.OldKey{Key: k.ID, Version: k.Version, Epoch: k.Number}
		var err error
		if old.Y, err = group.DecodePoint(k.Record.Y); err != nil {
			return dkg.Session{}, err
		}
		for _, yi := range k.Record.YI {
			p, err := group.DecodePoint(yi)
			if err != nil {
				return dkg.Session{}, err
			}
			old.YI = append(old.YI, p)
		}
		keys = append(keys, old)
	}
	old, err := dkg.NewOld(int(first.T), len(first.Holders), indices, keys)
	if err != nil {
		return dkg.Session{}, err
	}
	return dkg.Session{ID: id, Cluster: cluster, T: int(b.T), H: b.H, F: int(b.F), N: len(keys), Old: old}, nil
}

// openRenewal starts a run of a refresh or a reshare. There is one at a time, whatever
// it is about: so no epoch of a key is in two.
func (s *State) openRenewal(d *draft, index uint64, node string, r *Renewal, attempt uint64) error {
	if attempt != r.Attempt+1 {
		return fmt.Errorf("%w: attempt %d, next is %d", ErrOutOfTurn, attempt, r.Attempt+1)
	}
	if r.Ended > 0 || r.Left == 0 {
		return fmt.Errorf("%w: all that was ordered is done", ErrOutOfTurn)
	}
	for _, other := range s.Renewals() {
		if other.Live.IsZero() {
			continue
		}
		ses := s.Session(other.Live)
		if !s.Expired(ses) {
			return ErrAnotherRun
		}
		ended, err := ses.Board.Expire()
		if err != nil {
			return err
		}
		if s.putBoard(d, ses, ended); other.Order == r.Order {
			freed := *r
			freed.Live = api.Digest{}
			r = &freed
		}
	}
	if s.Fulfilled(r) { // others have done it
		done := *r
		done.Left, done.Ended, done.Attempt = 0, index, attempt
		putRenewal(d, &done)
		return nil
	}
	b := s.NextBatch(r)
	switch {
	case b == nil:
		return fmt.Errorf("%w: every key that is left has two epochs now", ErrOutOfTurn)
	case b.Place(node) == 0:
		return ErrNotHolder
	}
	id := authority.SessionID(s.genesis.Cluster, s.RosterVersion(), r.Order, attempt, s.link)
	ses, err := b.session(id, s.genesis.Cluster)
	if err != nil {
		return err
	}
	next := *r
	next.Attempt, next.Live = attempt, id
	putRenewal(d, &next)
	v := &Session{
		ID: id, Order: r.Order, Attempt: attempt, LinkBefore: s.link, Opened: index, OpenedTime: s.Time(), Roster: s.RosterVersion(),
		Participants: b.Participants, PhaseSeconds: r.Body.PhaseSeconds, Board: board.New(ses),
	}
	for _, k := range b.Keys {
		v.Keys = append(v.Keys, KeyVersion{k.ID, k.Version})
	}
	d.put(pathSession+id.String(), v)
	return nil
}

// activateRenewal makes the outcome of a run the current epoch of its keys. The epoch
// before goes on beside it for the overlap.
func (s *State) activateRenewal(d *draft, index uint64, ses *Session, done *board.Board) error {
	r := get[*Renewal](s, pathRenewal+ses.Order.String())
	out, _ := done.Outcome()
	holders := ses.Participants[:out.H]
	for i, of := range ses.Keys {
		k := s.KeyVersion(of.Key, of.Version)
		old := k.Epoch
		until := s.Time() + r.overlap()
		if k.Waits() { // nobody unwraps in it
			until = s.Time()
		}
		d.put(olderPath(k.ID, k.Version), &Older{Key: k.ID, Version: k.Version, Until: until, Epoch: old})
		next := *k
		next.Epoch = Epoch{
			Number: old.Number + 1, Session: ses.ID, T: uint32(out.T), F: uint32(done.Session().F), Holders: holders,
			Struck: struck(done, holders), Record: old.Record, Opened: ses.Opened, Obeys: old.Obeys, Custody: old.Custody,
		}
		next.Record.Epoch, next.Record.RecordVersion = next.Number, old.Record.RecordVersion+1
		if next.Record.RosterVersion = ses.Roster; next.Record.BornRoster == 0 {
			next.Record.BornRoster = old.Record.RosterVersion
		}
		next.Record.YI = nil
		for _, yi := range out.Keys[i].YI {
			next.Record.YI = append(next.Record.YI, yi.Bytes())
		}
		if r.Kind == authority.KindReshare {
			next.Record.Reshared, next.Obeys, next.Custody = r.Entry, r.Index, r.Custody
		}
		d.put(keyPath(k.ID, k.Version), &next)
	}
	s.putBoard(d, ses, done)
	freed := *r
	freed.Live = api.Digest{}
	if freed.Left -= min(freed.Left, uint32(len(ses.Keys))); freed.Left == 0 {
		freed.Ended = index
	}
	putRenewal(d, &freed)
	return nil
}

// struck names the holders who have not confirmed.
func struck(b *board.Board, holders []string) []string {
	var out []string
	for _, i := range b.Struck() {
		out = append(out, holders[i-1])
	}
	return out
}

// RetireNow lists the epochs that may be retired, at most so many: their overlap is
// over, and clients believe the record that came after.
func (s *State) RetireNow(most int) []authority.LiveEpoch {
	var out []authority.LiveEpoch
	for _, o := range s.Overlapping() {
		e := authority.LiveEpoch{Key: o.Key, Version: o.Version, Epoch: o.Number}
		if s.mayRetire(e) == nil && len(out) < most {
			out = append(out, e)
		}
	}
	return out
}

func (s *State) mayRetire(e authority.LiveEpoch) error {
	o := s.Older(e.Key, e.Version)
	k := s.KeyVersion(e.Key, e.Version)
	switch {
	case o == nil || o.Number != e.Epoch:
		return ErrNoKey
	case s.Time() < o.Until:
		return fmt.Errorf("%w: it overlaps the next one until %d, ledger time is %d", ErrOverlap, o.Until, s.Time())
	case !k.Vouched() && k.Purpose != authority.PurposeRoot: // nobody asks for the root key's record
		return fmt.Errorf("%w: %d holders have signed the record of the next one, %d must", ErrOverlap, len(k.Signed), k.T)
	}
	return nil
}

// takeRetire ends old epochs: nothing is released from them any more, and their
// holders are to erase their shares.
func (s *State) takeRetire(d *draft, node string, b *authority.Retire) error {
	if err := authority.CheckEpochs(b.Epochs); err != nil {
		return err
	}
	for _, e := range b.Epochs {
		if err := s.mayRetire(e); err != nil {
			return fmt.Errorf("epoch %d of the key %s: %w", e.Epoch, e.Key, err)
		}
		o := s.Older(e.Key, e.Version)
		if o.IndexOf(node) == 0 && s.KeyVersion(e.Key, e.Version).IndexOf(node) == 0 {
			return ErrNotHolder
		}
		s.endEpoch(d, s.KeyVersion(e.Key, e.Version), &o.Epoch)
		d.remove(olderPath(e.Key, e.Version))
	}
	return nil
}
