package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tdh2"
)

// Reasons for which an entry is a no-op. Entries that are not signed by those
// who may carry the errors of package authority.
var (
	// ErrTaken means this change was taken before; [Result.Index] says where.
	ErrTaken = errors.New("this change is in the ledger already")
	// ErrStaleBase means the change replaces something that is no longer in force.
	ErrStaleBase = errors.New("the change was made against another state than the one in force")
	// ErrExpired means the change's not-after is past, by ledger time.
	ErrExpired = errors.New("the change has expired")
	// ErrNameTaken means a key of this name exists, or is ordered.
	ErrNameTaken = errors.New("a key of this name exists or is ordered")
	// ErrNotHolder means the node is not among the holders that the order names.
	ErrNotHolder = errors.New("the node is not a holder under this order")
	// ErrNoOrder means no such order stands in the ledger.
	ErrNoOrder = errors.New("no such order")
	// ErrNoKey means no such key, version and epoch stands in the ledger.
	ErrNoKey = errors.New("no such key, version and epoch")
	// ErrNoSession means the session does not exist, or no longer runs.
	ErrNoSession = errors.New("no such session is running")
	// ErrOutOfTurn means the statement comes at the wrong time, or again.
	ErrOutOfTurn = errors.New("out of turn")
	// ErrTooLarge means a field of the body is over its bound.
	ErrTooLarge = errors.New("too large")
)

// Result is what became of one entry.
type Result struct {
	ID    api.Digest
	Kind  string
	Index uint64 // Raft index of the entry; of the earlier one for [ErrTaken]
	Err   error  // nil when it was taken

	Passed []byte // the signed change that this vote completed, and that was taken with it; or nil
	Time   int64  // ledger time after it, Unix milliseconds
}

// Apply chains one command and, when it is authorised and in turn, takes it. s
// is unchanged. It never fails: a refusal is a [Result] with a reason.
func (s *State) Apply(index uint64, entry []byte) (*State, Result) {
	return s.apply(index, entry, maxPruned)
}

// apply is [State.Apply], which takes out so much of what is past.
func (s *State) apply(index uint64, entry []byte, pruned int) (*State, Result) {
	next := &State{
		genesis: s.genesis, rootOrder: s.rootOrder, values: s.values, tree: s.tree, due: s.due, owed: s.owed, census: s.census, lastCA: s.lastCA, custody: s.custody,
	}
	next.pass(s, index)
	result := Result{Index: index}
	if e, err := authority.ParseEntry(entry); err != nil {
		result.Err = err
	} else {
		result.ID, result.Kind = e.ID(), e.Kind
		d := next.draft()
		if result.Err = s.take(d, index, e, entry); result.Err == nil {
			if next.lastCA != s.lastCA {
				d.put(pathTrust, &trustMoved{Change: next.lastCA})
			}
			if d.ended {
				d.put(pathEnded, &ended{Index: index})
			}
			d.prune(s.Time(), pruned)
			d.commit()
			result.Passed = d.passed
		} else if was := (*earlier)(nil); errors.As(result.Err, &was) {
			result.Index = was.index
		}
	}
	result.Time = next.Time()
	next.last = step{index: index, previous: s.link, entry: tag.Hash(tag.EntryHash, entry)}
	next.link = next.last.link(next.Root())
	return next, result
}

// link is the chain's hash after the step, which led to a state of this root.
func (l step) link(root api.Digest) api.Digest {
	return tag.Hash(tag.Link, l.previous[:], tag.Uint64(l.index), l.entry[:], root[:])
}

// pass writes down the milestone that the first command above it leaves behind,
// taken or not: a snapshot has to bring it.
func (s *State) pass(before *State, index uint64) {
	at := (index - 1) / Milestone * Milestone // Raft's indices begin at 1
	if last := get[*milestone](s, pathStone); at > 0 && (last == nil || at > last.Index) {
		d := s.draft()
		d.put(pathStone, &milestone{Index: at, Link: before.link})
		d.commit()
	}
}

func (s *State) take(d *draft, index uint64, e *authority.Entry, raw []byte) error {
	switch {
	case e.Author == "" && e.Kind == authority.KindPropose:
		return s.takeProposal(d, index, e)
	case e.Author == "" && (e.Kind == authority.KindApprove || e.Kind == authority.KindCancel):
		return s.takeVote(d, index, e)
	case e.Author == "" && slices.Contains(authority.ImportKinds(), e.Kind):
		return s.takeImport(d, index, e, raw)
	case e.Author == "":
		return s.takeChange(d, index, e, raw)
	}
	st, err := authority.VerifyStatement(s.Custody(), e)
	if err != nil {
		return err
	}
	switch st.Kind {
	case authority.KindOpen:
		return takeBody(st, func(b *authority.Open) error { return s.takeOpen(d, index, st.Node, b) })
	case authority.KindPost:
		return takeBody(st, func(b *authority.Post) error { return s.takePost(d, st.Node, b, raw) })
	case authority.KindDeadline:
		return takeBody(st, func(b *authority.Deadline) error { return s.takeDeadline(d, st.Node, b) })
	case authority.KindAbandon:
		return takeBody(st, func(b *authority.Abandon) error { return s.takeAbandon(d, st.Node, b) })
	case authority.KindActivate:
		return takeBody(st, func(b *authority.Activate) error { return s.takeActivate(d, index, st.Node, b) })
	case authority.KindRecord:
		return takeBody(st, func(b *authority.RecordSignatures) error { return s.takeRecords(d, st.Node, b) })
	case authority.KindAnchor:
		return takeBody(st, func(b *authority.Anchor) error { return s.takeAnchor(d, index, st.Node, b, raw) })
	case authority.KindAddress:
		return takeBody(st, func(b *authority.AddressClaim) error { return s.takeAddress(d, st.Node, b) })
	case authority.KindDrill:
		return takeBody(st, func(b *authority.Drill) error { return s.takeDrill(d, index, st.Node, b) })
	case authority.KindLock:
		return takeBody(st, func(b *authority.Lock) error { return s.takeLock(d, st.Node, b) })
	case authority.KindRetire:
		return takeBody(st, func(b *authority.Retire) error { return s.takeRetire(d, st.Node, b) })
	case authority.KindRepair:
		return takeBody(st, func(*authority.Repair) error { return s.takeRepair(d, index, st.Node, e.ID()) })
	case authority.KindStanding:
		return takeBody(st, func(b *authority.Standing) error { return s.takeStanding(d, index, b, e.ID()) })
	case authority.KindErased:
		return takeBody(st, func(b *authority.ErasureReceipt) error { return s.takeErased(d, index, st.Node, b, e.ID(), raw) })
	case authority.KindDestroy:
		return takeBody(st, func(b *authority.Destroy) error { return s.takeDestroy(d, index, b) })
	case authority.KindDataset:
		return takeBody(st, func(b *authority.DatasetPost) error { return s.takeDataset(d, index, st.Node, b) })
	case authority.KindNextVersion:
		return takeBody(st, func(b *authority.NextVersion) error { return s.takeNextVersion(d, b) })
	case authority.KindEscrowed:
		return takeBody(st, func(b *authority.Escrowed) error { return s.takeEscrowed(d, index, st.Node, b, raw) })
	case authority.KindGrant:
		return takeBody(st, func(b *authority.GrantPost) error { return s.takeGrant(d, index, st.Node, b) })
	}
	return fmt.Errorf("%w: of the kind %q", authority.ErrStatement, st.Kind)
}

func takeBody[B any](st *authority.Statement, take func(*B) error) error {
	var b B
	if err := wire.Decode(st.Body, &b); err != nil {
		return fmt.Errorf("%w: %s: %w", authority.ErrStatement, st.Kind, err)
	}
	return take(&b)
}

// takeChange checks, in this order: signatures, taken before, cancelled, expiry, base,
// and then what the kind itself demands.
func (s *State) takeChange(d *draft, index uint64, e *authority.Entry, raw []byte) error {
	c, err := authority.VerifyChange(s.Custody(), e)
	if err != nil {
		return err
	}
	id := e.ID()
	if s.Taken(id) != nil {
		return &earlier{ErrTaken, s.Taken(id).Index}
	}
	if p := s.Proposal(id); p != nil && p.State == ProposalCancelled {
		return ErrCancelled
	}
	if err := s.bring(d, index, e, c, raw); err != nil {
		return err
	}
	s.overtake(d, index, id)
	return nil
}

// bring takes a change whose signatures were looked at, and whose id is new.
func (s *State) bring(d *draft, index uint64, e *authority.Entry, c *authority.Change, raw []byte) error {
	id := e.ID()
	if s.Time() > c.NotAfter {
		return fmt.Errorf("%w: not after %d, ledger time is %d", ErrExpired, c.NotAfter, s.Time())
	}
	switch c.Kind {
	case authority.KindPolicy:
		if err := checkBase(c, policyBase(s)); err != nil {
			return err
		}
		if len(c.Body) == 0 {
			return fmt.Errorf("%w: an empty policy", authority.ErrChange)
		}
		s.stand(d, c.Body)
		d.put(pathPolicy, &Policy{Change: id, Document: c.Body, Digest: tag.Hash(tag.PolicyDigest, c.Body)})
	case authority.KindCA:
		var ca authority.CA
		if err := wire.Decode(c.Body, &ca); err != nil {
			return fmt.Errorf("%w: %w", authority.ErrChange, err)
		}
		if err := api.CheckName(ca.Name); err != nil {
			return fmt.Errorf("%w: %w", authority.ErrChange, err)
		}
		if len(ca.Certificate) == 0 {
			return fmt.Errorf("%w: no certificate", authority.ErrChange)
		}
		if len(ca.Certificate) > authority.MaxCertificate {
			return fmt.Errorf("%w: a certificate of %d bytes", ErrTooLarge, len(ca.Certificate))
		}
		if err := checkBase(c, caBase(s, ca.Name)); err != nil {
			return err
		}
		d.put(pathCA+ca.Name, &CA{Change: id, CA: ca})
		d.s.lastCA = id
	case authority.KindKey:
		if err := checkBase(c, api.Digest{}); err != nil {
			return err
		}
		if err := s.takeOrder(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindRevoke, authority.KindSeal:
		if err := s.takeDenial(d, index, c, id); err != nil {
			return err
		}
	case authority.KindCustodians:
		if err := s.takeCustody(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindRefresh, authority.KindReshare:
		if err := s.takeRenewal(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindNodeAdd, authority.KindNodeRemove, authority.KindNodeReplace:
		if err := s.takeMembership(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindLift:
		if err := s.takeLift(d, index, c, id); err != nil {
			return err
		}
	case authority.KindKeyState:
		if err := s.takeKeyState(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindKeyLabels:
		if err := s.takeKeyLabels(d, c, id, raw); err != nil {
			return err
		}
	case authority.KindKeyDestroy:
		if err := s.takeKeyDestroy(d, index, c, id, raw); err != nil {
			return err
		}
	case authority.KindKeyKeep:
		if err := s.takeKeyKeep(d, index, c, id); err != nil {
			return err
		}
	case authority.KindAdopt:
		if err := s.takeAdopt(d, index, c, e.Signatures, id, raw); err != nil {
			return err
		}
	case authority.KindPool:
		if err := s.takePool(d, c, id, raw); err != nil {
			return err
		}
	case authority.KindEscrow:
		if err := s.takeEscrow(d, index, c, id, raw); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: of the kind %q", authority.ErrChange, c.Kind)
	}
	d.put(pathChange+id.String(), &Taken{Kind: c.Kind, Index: index, NotAfter: c.NotAfter})
	return nil
}

func policyBase(s *State) api.Digest {
	if p := s.Policy(); p != nil {
		return p.Change
	}
	return api.Digest{}
}

func caBase(s *State, name string) api.Digest {
	if ca := get[*CA](s, pathCA+name); ca != nil {
		return ca.Change
	}
	return api.Digest{}
}

func checkBase(c *authority.Change, inForce api.Digest) error {
	if c.Base != inForce {
		return fmt.Errorf("%w: its base is %s, in force is %s", ErrStaleBase, c.Base, inForce)
	}
	return nil
}

func (s *State) takeOrder(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	o, err := authority.ParseOrder(c)
	if err != nil {
		return err
	}
	if o.T < s.genesis.Root.T {
		return fmt.Errorf("%w: threshold %d, this cluster's keys have at least %d", authority.ErrOrder, o.T, s.genesis.Root.T)
	}
	for _, h := range o.Holders {
		if s.NodeByID(h) == nil || h == s.custody.roll.Leaver {
			return fmt.Errorf("%w: %w: the holder %s", authority.ErrOrder, ErrNoNode, h)
		}
	}
	if err := o.CheckPlaces(s.custody.genesis, o.Holders); err != nil {
		return err
	}
	if o.Import != nil {
		if err := s.newKey(o.Import.Y, s.OrderNamed(o.Name)); err != nil {
			return err
		}
	}
	if o.Key != nil {
		if err := s.takeRotation(d, o, id); err != nil {
			return err
		}
	} else {
		if err := s.giveWay(d, s.OrderNamed(o.Name)); err != nil {
			return err
		}
		d.put(pathName+o.Name, &named{Order: id})
	}
	ordered := &Ordered{Hash: id, Order: *o, Entry: bytes.Clone(raw), Custody: uint64(s.custody.chain.Len())}
	if p, waited := s.fitting(o); waited != nil {
		s.draw(d, index, ordered, p, waited)
		return nil
	}
	d.put(pathOrder+id.String(), ordered)
	return nil
}

// takeOpen starts a run: one live per order, attempts counted 1, 2, ...
func (s *State) takeOpen(d *draft, index uint64, node string, b *authority.Open) error {
	if r := s.Renewal(b.Order); r != nil {
		return s.openRenewal(d, index, node, r, b.Attempt)
	}
	if p := s.PoolOf(b.Order); p != nil {
		return s.openPool(d, index, node, p, b.Attempt)
	}
	o := s.OrderByHash(b.Order)
	switch {
	case o == nil:
		return ErrNoOrder
	case o.Order.IndexOf(node) == 0:
		return ErrNotHolder
	case o.Order.Import != nil:
		return ErrOwner
	}
	if err := s.mayOpen(o, b.Attempt); err != nil {
		return err
	}
	if err := s.endRun(d, o); err != nil {
		return err
	}
	s.begin(d, index, o, b.Attempt, o.Order.Holders, func(*dkg.Session) {})
	return nil
}

// mayOpen refuses a run of an order whose key is born, one out of turn, and one of
// before there is a root key.
func (s *State) mayOpen(o *Ordered, attempt uint64) error {
	switch {
	case o.Key != (api.KeyID{}):
		return fmt.Errorf("%w: the key of this order is born", ErrOutOfTurn)
	case attempt != o.Attempt+1:
		return fmt.Errorf("%w: attempt %d, next is %d", ErrOutOfTurn, attempt, o.Attempt+1)
	case o.Order.Purpose != authority.PurposeRoot && s.RootKey() == nil:
		return fmt.Errorf("%w: the root key is not born yet", ErrOutOfTurn)
	}
	return nil
}

// begin puts a run of an order, and its board.
func (s *State) begin(d *draft, index uint64, o *Ordered, attempt uint64, participants []string, shape func(*dkg.Session)) {
	id := authority.SessionID(s.genesis.Cluster, s.RosterVersion(), o.Hash, attempt, s.link)
	next := *o
	next.Attempt, next.Live = attempt, id
	d.put(pathOrder+o.Hash.String(), &next)
	run := dkg.Session{ID: id, Cluster: s.genesis.Cluster, T: int(o.Order.T), H: int(o.Order.H()), F: int(o.Order.F), N: 1}
	if o.Order.Symmetric() {
		key, version := o.Order.Bears(id)
		run.Symmetric = &dkg.SymmetricKey{Key: key, Version: version}
	}
	shape(&run)
	d.put(pathSession+id.String(), &Session{
		ID: id, Order: o.Hash, Attempt: attempt, LinkBefore: s.link, Opened: index, OpenedTime: s.Time(), Roster: s.RosterVersion(),
		Participants: participants, PhaseSeconds: o.Order.PhaseSeconds, Board: board.New(run),
	})
}

// live returns the running session and the author's place in it.
func (s *State) live(id api.Digest, node string) (*Session, sharing.Index, error) {
	ses := s.Session(id)
	if ses == nil {
		return nil, 0, ErrNoSession
	}
	if !s.Runs(ses) {
		return nil, 0, fmt.Errorf("%w: it has ended", ErrNoSession)
	}
	i := ses.PlaceOf(node)
	if i == 0 {
		return nil, 0, ErrNotHolder
	}
	return ses, i, nil
}

// putBoard stores a board that moved, and frees the order when it was abandoned.
func (s *State) putBoard(d *draft, ses *Session, b *board.Board) {
	d.put(pathSession+ses.ID.String(), ses.on(b))
	if _, abandoned := b.Abandoned(); !abandoned {
		return
	}
	if r := get[*Renewal](s, pathRenewal+ses.Order.String()); r != nil {
		freed := *r
		freed.Live = api.Digest{}
		putRenewal(d, &freed)
		return
	}
	if p := s.PoolOf(ses.Order); p != nil {
		freed := *p
		freed.Live = api.Digest{}
		d.put(pathPool+p.Body.Name, &freed)
		return
	}
	freed := *s.OrderByHash(ses.Order)
	freed.Live = api.Digest{}
	d.put(pathOrder+freed.Hash.String(), &freed)
}

func (s *State) takePost(d *draft, author string, p *authority.Post, raw []byte) error {
	ses, i, err := s.live(p.Session, author)
	if err != nil {
		return err
	}
	kind := dkg.Kind(p.Kind)
	if uint32(kind) != p.Kind {
		return fmt.Errorf("post of the kind %d: %w", p.Kind, board.ErrKind)
	}
	b, err := ses.Board.Post(i, kind, p.Body)
	if err != nil {
		return err
	}
	next := *ses
	next.keepJoin(author, kind, raw)
	s.putBoard(d, &next, b)
	return nil
}

func (s *State) takeDeadline(d *draft, node string, p *authority.Deadline) error {
	ses, i, err := s.live(p.Session, node)
	if err != nil {
		return err
	}
	phase := dkg.Phase(p.Phase)
	if uint32(phase) != p.Phase {
		return fmt.Errorf("deadline of phase %d: %w", p.Phase, board.ErrPhase)
	}
	b, err := ses.Board.PastDeadline(i, phase)
	if err != nil {
		return err
	}
	s.putBoard(d, ses, b)
	return nil
}

func (s *State) takeAbandon(d *draft, node string, a *authority.Abandon) error {
	ses, i, err := s.live(a.Session, node)
	if err != nil {
		return err
	}
	b, err := ses.Board.Abandon(i)
	if err != nil {
		return err
	}
	s.putBoard(d, ses, b)
	return nil
}

// takeActivate makes the outcome of a session the first epoch of its key, or the next
// one of its keys.
func (s *State) takeActivate(d *draft, index uint64, node string, a *authority.Activate) error {
	ses, _, err := s.live(a.Session, node)
	if err != nil {
		return err
	}
	done, err := ses.Board.Activate()
	if err != nil {
		return err
	}
	if len(ses.Keys) > 0 {
		return s.activateRenewal(d, index, ses, done)
	}
	if p := s.PoolOf(ses.Order); p != nil {
		return s.activatePool(d, ses, p, done)
	}
	o := s.OrderByHash(ses.Order)
	id, version := o.Order.Bears(ses.ID)
	key := &Key{
		ID: id, Version: version, Order: o.Hash, Purpose: o.Order.Purpose, Name: o.Order.Name, BornT: o.Order.T, BornH: o.Order.H(), BornAt: index,
		Epoch: Epoch{
			Number: 1, Session: ses.ID, T: o.Order.T, F: o.Order.F, Holders: o.Order.Holders,
			Struck: struck(done, o.Order.Holders), Opened: ses.Opened,
			Record: authority.KeyRecord{
				Cluster: s.genesis.Cluster, Key: id, Version: version, Epoch: 1,
				Order: o.Entry, Attempt: ses.Attempt, LinkBefore: ses.LinkBefore,
				RosterVersion: ses.Roster, RecordVersion: 1, First: s.firstRun(o, id),
			},
		},
	}
	if err := key.public(s.genesis.Cluster, ses.Board); err != nil {
		return err
	}
	s.putBoard(d, ses, done)
	s.bringUp(d, o, key)
	return nil
}

// bringUp puts a key that its order has now, with the life that the order gives it.
func (s *State) bringUp(d *draft, o *Ordered, key *Key) {
	if o.Order.RotateEvery != 0 {
		key.Born = s.Time()
	}
	d.put(keyPath(key.ID, key.Version), key)
	d.bear(key.ID, o)
	if key.Version > 1 {
		d.remove(pathRotation + key.ID.String())
	}
	s.period(d, o, key.ID)
	born := *o
	born.Live, born.Key = api.Digest{}, key.ID
	d.put(pathOrder+o.Hash.String(), &born)
}

// takeRecords keeps a holder's signatures over the records of keys, all of them or none.
func (s *State) takeRecords(d *draft, node string, b *authority.RecordSignatures) error {
	if err := b.Check(); err != nil {
		return err
	}
	for i := range b.List {
		if err := s.takeRecord(d, node, &b.List[i]); err != nil {
			return err
		}
	}
	return nil
}

// public puts into the record of a key that is born what its board says in public: the
// public key and the verification keys, or of a symmetric key the hashes of its set keys.
func (k *Key) public(cluster api.ClusterID, b *board.Board) error {
	if k.Symmetric() {
		k.Record.Sets = b.SetHashes()
		return nil
	}
	out, _ := b.Outcome()
	pk, err := tdh2.NewPublicKey(cluster, k.ID, k.Version, out.T, out.H, out.Keys[0].Y)
	if err != nil {
		return err
	}
	k.Record.Y, k.Record.W = pk.Y.Bytes(), pk.W.Bytes()
	for _, yi := range out.Keys[0].YI {
		k.Record.YI = append(k.Record.YI, yi.Bytes())
	}
	return nil
}

// takeRecord keeps a holder's signature over the record of a key, one each.
func (s *State) takeRecord(d *draft, node string, b *authority.RecordSignature) error {
	k := s.KeyVersion(b.Key, b.Version)
	switch {
	case k == nil || k.Number != b.Epoch, k.Waits():
		return ErrNoKey
	case k.IndexOf(node) == 0:
		return ErrNotHolder
	case slices.Contains(k.Signed, node):
		return fmt.Errorf("%w: %s has signed this record", ErrOutOfTurn, node)
	}
	if err := authority.VerifyRecordSignature(&k.Record, b.Signature, s.NodeByID(node).Key); err != nil {
		return fmt.Errorf("record of the key %s: %w", k.ID, err)
	}
	next := *k
	next.Signed = append(slices.Clone(k.Signed), node)
	next.Signatures = append(slices.Clone(k.Signatures), b.Signature)
	d.put(keyPath(k.ID, k.Version), &next)
	return nil
}

// takeAnchor keeps a node's latest anchor and moves ledger time: fewer than t
// liars cannot push it ahead, and it never falls.
func (s *State) takeAnchor(d *draft, index uint64, node string, a *authority.Anchor, raw []byte) error {
	if last := s.Anchor(node); last != nil && a.Counter <= last.Anchor.Counter {
		return fmt.Errorf("%w: anchor %d of %s, the last was %d", ErrOutOfTurn, a.Counter, node, last.Anchor.Counter)
	}
	d.put(pathAnchor+node, &Anchored{Anchor: *a, Entry: raw})
	if leaver := s.custody.roll.Leaver; leaver != "" && s.settled(node, a) && len(s.Holding(leaver)) == 0 {
		defer s.leave(d, index)
	}
	times := []int64{a.Time}
	for _, n := range s.Roster() {
		if other := s.Anchor(n.ID); other != nil && n.ID != node {
			times = append(times, other.Anchor.Time)
		}
	}
	t := int(s.genesis.Root.T)
	if len(times) < t {
		return nil
	}
	slices.Sort(times)
	if now := times[len(times)-t]; now > s.Time() {
		d.put(pathTime, &ledgerTime{Milliseconds: now})
	}
	return nil
}

// takeAddress keeps the newest claim that a node makes about itself.
func (s *State) takeAddress(d *draft, node string, c *authority.AddressClaim) error {
	if c.Node != node {
		return fmt.Errorf("%w: %s claims an address of %s", authority.ErrStatement, node, c.Node)
	}
	if err := c.Verify(s.NodeByID(node).Key); err != nil {
		return err
	}
	if last := s.Claim(node); last != nil && c.Counter <= last.Counter {
		return fmt.Errorf("%w: claim %d of %s, the last was %d", ErrOutOfTurn, c.Counter, node, last.Counter)
	}
	d.put(pathAddress+node, &Address{Claim: *c})
	return nil
}
