package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// errNoOldShare means that the ledger says that this node holds a share which its
// keyring does not have.
var errNoOldShare = errors.New("this node's share of the old epoch is not in its keyring")

// old returns copies of this node's current shares of a session's keys.
func (s *secrets) old(now *ledger.State, ses *ledger.Session) ([]*group.Scalar, error) {
	state, ring := s.current()
	if state != seal.Unsealed {
		return nil, errNotUnsealed
	}
	var out []*group.Scalar
	for _, of := range ses.Keys {
		k := now.KeyVersion(of.Key, of.Version)
		if k.Purpose == authority.PurposeRoot {
			var own *group.Scalar
			ring.UseRoot(func(r keyring.Root) {
				if r.Session == k.Session {
					own = r.Share.Add(group.SmallScalar(0))
				}
			})
			if own == nil {
				return nil, fmt.Errorf("%w: the root share", errNoOldShare)
			}
			return []*group.Scalar{own}, nil // a run is about the root key alone, or not at all
		}
		share, back, ok := ring.Borrow(k.ID, k.Version, k.Number)
		if !ok {
			for _, x := range out {
				x.Wipe()
			}
			return nil, fmt.Errorf("%w: epoch %d of the key %s", errNoOldShare, k.Number, k.ID)
		}
		out = append(out, share.Scalar.Add(group.SmallScalar(0)))
		back()
	}
	return out, nil
}

// confirmRenewal makes this node's shares of the next epoch durable, all of a batch at
// once. The shares of an attempt that came to nothing go first: they are of the same
// epoch.
func (s *secrets) confirmRenewal(ctx context.Context, now *ledger.State, ses *ledger.Session, index sharing.Index, shares []*group.Scalar) error {
	state, ring := s.current()
	first := now.KeyVersion(ses.Keys[0].Key, ses.Keys[0].Version)
	switch root := first.Purpose == authority.PurposeRoot; {
	case root && ring == nil && state == seal.Stranded: // it is new here
		return s.sealRoot(keyring.Root{
			Session: ses.ID, Epoch: first.Number + 1, Index: uint32(index), Share: shares[0].Add(group.SmallScalar(0)),
		})
	case root && ring != nil && ring.Root().Session == ses.ID:
		return nil
	case ring == nil, !root && state != seal.Unsealed:
		return errNotUnsealed
	}
	return s.putAll(ctx, now, ring, func() []keyring.Share {
		var list []keyring.Share
		for i, of := range ses.Keys {
			k := now.KeyVersion(of.Key, of.Version)
			list = append(list, keyring.Share{
				Key: k.ID, Version: k.Version, Epoch: k.Number + 1, Session: ses.ID, Opened: ses.Opened, Index: uint32(index),
				Scalar: shares[i].Add(group.SmallScalar(0)), // the driver wipes its copy
			})
		}
		return list
	})
}

// confirmBirth makes this node's share of a key, or of its next version, durable.
func (s *secrets) confirmBirth(ctx context.Context, now *ledger.State, ses *ledger.Session, index sharing.Index, share *group.Scalar) error {
	_, ring := s.current()
	if ring == nil {
		return errNotUnsealed
	}
	key, version := now.OrderByHash(ses.Order).Order.Bears(ses.ID)
	return s.putAll(ctx, now, ring, func() []keyring.Share {
		return []keyring.Share{{
			Key: key, Version: version, Epoch: 1, Session: ses.ID, Opened: ses.Opened, Index: uint32(index),
			Scalar: share.Add(group.SmallScalar(0)), // the driver wipes its copy
		}}
	})
}

// confirmSets makes this node's share of a symmetric key, or of its next version, durable.
func (s *secrets) confirmSets(ctx context.Context, now *ledger.State, ses *ledger.Session, sets *tprf.Share) error {
	state, ring := s.current()
	if ring == nil || state != seal.Unsealed {
		return errNotUnsealed
	}
	key, version := now.OrderByHash(ses.Order).Order.Bears(ses.ID)
	return s.putAll(ctx, now, ring, func() []keyring.Share {
		return []keyring.Share{{
			Key: key, Version: version, Epoch: 1, Session: ses.ID, Opened: ses.Opened, Index: uint32(sets.Index()),
			Sets: sets.Clone(), // the driver wipes its copy
		}}
	})
}

// putAll puts shares into the keyring. Those of an attempt that came to nothing, which
// are of the same epoch, go first, also when the ledger has forgotten that attempt: of
// two runs for one epoch of a key at most one is not over.
func (s *secrets) putAll(ctx context.Context, now *ledger.State, ring *keyring.Keyring, made func() []keyring.Share) error {
	list := made()
	var comes []keyring.Held
	for _, x := range list {
		comes = append(comes, keyring.Held{Key: x.Key, Version: x.Version, Epoch: x.Epoch, Session: x.Session})
	}
	err := ring.PutAll(list)
	if !errors.Is(err, keyring.ErrAnother) {
		return err
	}
	overtaken := func(h keyring.Held) bool {
		return now.Session(h.Session) == nil && slices.ContainsFunc(comes, func(c keyring.Held) bool {
			return h.Key == c.Key && h.Version == c.Version && h.Epoch == c.Epoch && h.Session != c.Session
		})
	}
	if _, err := ring.Erase(ctx, s.lock, func(h keyring.Held) bool { return outlived(now, h) || overtaken(h) }); err != nil {
		return fmt.Errorf("erase the shares of an attempt that came to nothing: %w", err)
	}
	return ring.PutAll(made())
}

// reroot puts the root share of the root key's current epoch in the place of the one
// before, when it is in the keyring: there it waited until the epoch was one. No request
// is about the root key, so that the old one need not wait for the end of an overlap.
func (n *Node) reroot(ctx context.Context, s *ledger.State, ring *keyring.Keyring) error {
	k := s.RootKey()
	if k == nil || ring.Root().Session == k.Session {
		return nil
	}
	current := func(h keyring.Held) bool {
		return h.Key == k.ID && h.Version == k.Version && h.Epoch == k.Number && h.Session == k.Session
	}
	if !ring.Holds(current) {
		return nil
	}
	what, err := ring.Reroot(ctx, n.secrets.lock, current)
	if err != nil {
		return fmt.Errorf("take up the new root share: %w", err)
	}
	n.log.Info("the root share is new", "epoch", k.Number, "destroyed generation", what.Generation)
	return nil
}

// outlived says that a share is of no epoch that there is, or will be: its epoch is
// retired, or another ceremony made the epoch of that number. Of what this state does
// not know it says nothing: a node that catches up erases no share.
func outlived(s *ledger.State, h keyring.Held) bool {
	if s.Destroyed(h.Key) {
		return false // goes by this node's clock as well: [Node.erasable]
	}
	if ses := s.Session(h.Session); ses != nil && s.Runs(ses) {
		return false
	}
	k := s.KeyVersion(h.Key, h.Version)
	switch {
	case k == nil:
		return unborn(s, h)
	case h.Epoch > k.Number:
		return abandoned(s, h)
	}
	e := s.EpochOf(k, h.Epoch)
	return e == nil || e.Session != h.Session
}

// summariseEpochs says which epochs of a key release, and which are gone.
func summariseEpochs(s *ledger.State, key *ledger.Key, k *api.KeySummary) {
	k.T, k.F, k.Holders, k.Struck = key.T, key.F, key.Holders, key.Struck
	if o := s.Older(key.ID, key.Version); o != nil {
		k.Live = append(k.Live, o.Number)
	}
	if k.Live = append(k.Live, key.Number); s.Destroyed(key.ID) {
		k.Live = nil
	}
	over := s.ErasedEpochs(key.ID, key.Version)
	for i, e := range over {
		if e.Gone() && i < len(over)-1 {
			continue
		}
		if len(k.Gone) == api.MaxGone {
			k.Gone = k.Gone[1:]
		}
		g := api.GoneEpoch{Epoch: e.Last, Erased: uint32(len(e.By)), Need: uint32(e.Need()), Await: e.Awaiting()}
		if e.First < e.Last {
			g.From = e.First
		}
		k.Gone = append(k.Gone, g)
	}
}

// unerasedWords warns of epochs that are over and not gone: too few of their holders
// have signed that they have erased their shares.
func unerasedWords(s *ledger.State) []string {
	var out []string
	seen := map[authority.LiveEpoch]bool{}
	for _, m := range s.Roster() {
		for _, e := range s.NotGone(m.ID) {
			of := authority.LiveEpoch{Key: e.Key, Version: e.Version, Epoch: e.Last}
			if seen[of] || s.Time() < e.Retired+eraseSoon.Milliseconds() {
				continue
			}
			seen[of] = true
			which, is := fmt.Sprintf("epoch %d", e.Last), "is"
			if e.First < e.Last {
				which, is = fmt.Sprintf("epochs %d to %d", e.First, e.Last), "are"
			}
			out = append(out, fmt.Sprintf("%s of the key %s %s over and not gone: %d of at least %d holders have erased their shares; missing are %s",
				which, nameOf(s, of.Key), is, len(e.By), e.Need(), strings.Join(e.Awaiting(), ", ")))
		}
	}
	return out
}

// outlivedWords warns of versions of symmetric keys that nodes held which have left. They
// are few: a node leaves only when a newer version is there.
func outlivedWords(s *ledger.State) []string {
	var out []string
	for _, k := range s.Keys() {
		if left := s.Outlived(k); len(left) > 0 {
			out = append(out, fmt.Sprintf("version %d of the key %s was held by %s, which left: it is secret against %d of all who ever held it, so encrypt again what is under it (warifu rewrap)",
				k.Version, nameOf(s, k.ID), strings.Join(left, ", "), k.T-1))
		}
	}
	return out
}

func nameOf(s *ledger.State, id api.KeyID) string {
	if k := s.Key(id); k != nil && k.Name != "" {
		return k.Name
	}
	return id.String()
}

// renewals says how far every refresh and reshare has come.
func renewals(s *ledger.State) *api.RenewalsAnswer {
	over := s.Renewed()
	byIndex := func(a, b *ledger.Renewal) int { return cmp.Compare(a.Index, b.Index) }
	slices.SortFunc(over, byIndex)
	list := append(over[max(0, len(over)-api.MaxRenewed):], s.Renewals()...)
	slices.SortFunc(list, byIndex)
	a := &api.RenewalsAnswer{}
	for _, r := range list {
		v := api.RenewalSummary{
			Order: r.Order, Kind: r.Kind, Index: r.Index, Total: r.Total, Left: r.Left, Attempt: r.Attempt, Ended: r.Ended,
		}
		if ses := s.Session(r.Live); ses != nil {
			v.Phase, v.Batch = ses.Board.Phase().String(), uint32(len(ses.Keys))
		}
		a.Renewals = append(a.Renewals, v)
	}
	return a
}

// Times of erasing.
const (
	eraseTick  = time.Second
	eraseSoon  = 2 * time.Minute // by ledger time; who has not said so by then is warned of
	erasePause = 5 * time.Second // after a failure, and before a receipt is posted again

	// Each generation writes the whole keyring anew. When the shares of many keys are old,
	// as runs of a refresh end one after another, the nodes do so in turn, and apart: one
	// generation is for all that is old by then, and a receipt for each batch of it.
	eraseMany  = 4                // epochs: of so many, shares are erased at once
	eraseTurn  = 2 * time.Second  // for each node before this one in the roster
	eraseApart = 30 * time.Second // after the generation before
)

// erasures is what this node has erased since it started, and has no receipt in the
// ledger for. Owned by runErasures.
type erasures struct {
	by     map[authority.LiveEpoch]keyring.Erasure
	looked look // what was looked at last, and had nothing old

	wanted []authority.LiveEpoch // when it was looked at last
	since  uint64                // the entry from which on they have been wanted

	first time.Duration // when many were first wanted; 0 when they are not
	last  time.Duration // when shares were erased last; 0 is never
}

// isTurn says whether a node at this place of the roster erases the shares of so many
// epochs now.
func (e *erasures) isTurn(many, place int, now time.Duration) bool {
	if many <= eraseMany {
		e.first = 0
		return true
	}
	if e.first == 0 {
		e.first = now
	}
	return now >= e.first+time.Duration(place)*eraseTurn && (e.last == 0 || now >= e.last+eraseApart)
}

// ready says whether this node can say of these epochs that they are erased: what was
// over when they were first wanted is forgotten. A ceremony that dealt a share again has
// it in its sealed state.
func (e *erasures) ready(wanted []authority.LiveEpoch, at, forgotten uint64) bool {
	if !slices.Equal(wanted, e.wanted) {
		e.wanted, e.since = wanted, at
	}
	return forgotten >= e.since
}

// batch returns those of the wanted epochs that one receipt is of: their shares are
// erased, with the same generation.
func (e *erasures) batch(wanted []authority.LiveEpoch) (done []authority.LiveEpoch, what keyring.Erasure) {
	for _, of := range wanted {
		by, is := e.by[of]
		if !is || len(done) > 0 && by != what {
			continue
		}
		if done, what = append(done, of), by; len(done) == authority.MaxRetired {
			break
		}
	}
	return done, what
}

// before takes the epochs of the root key back to those before that of the root share,
// which is in use until another takes its place, whatever the keyring lets go.
func before(root uint64, wanted []authority.LiveEpoch, s *ledger.State, node string) []authority.LiveEpoch {
	k := s.RootKey()
	out := slices.Clone(wanted)
	for i, e := range out {
		if k != nil && e.Key == k.ID && e.Epoch >= root {
			out[i].Epoch = s.Owes(node, authority.LiveEpoch{Key: e.Key, Version: e.Version, Epoch: max(root, 1) - 1})
		}
	}
	return slices.DeleteFunc(out, func(e authority.LiveEpoch) bool { return e.Epoch == 0 })
}

// withoutKept takes out of epochs those of which the keyring has a share, or has one of an
// epoch before of the same version, but for shares that are gone: a receipt is of all those
// epochs. There is no such share while epochs end in their order, and nothing rests on that.
func withoutKept(wanted []authority.LiveEpoch, ring *keyring.Keyring, gone func(keyring.Held) bool) []authority.LiveEpoch {
	if len(wanted) == 0 {
		return nil
	}
	through := make(map[ledger.KeyVersion]uint64, len(wanted))
	for _, e := range wanted {
		through[ledger.KeyVersion{Key: e.Key, Version: e.Version}] = e.Epoch
	}
	kept := map[ledger.KeyVersion]bool{}
	ring.Holds(func(h keyring.Held) bool {
		of := ledger.KeyVersion{Key: h.Key, Version: h.Version}
		if h.Epoch <= through[of] && !gone(h) {
			kept[of] = true
		}
		return false
	})
	return slices.DeleteFunc(slices.Clone(wanted), func(e authority.LiveEpoch) bool {
		return kept[ledger.KeyVersion{Key: e.Key, Version: e.Version}]
	})
}

// look is a state of the ledger and a keyring, of which each share is asked for when
// one of them has changed.
type look struct {
	state      *ledger.State
	generation uint64
	shares     int
}

// runErasures erases the shares that no epoch needs any more, and signs receipts for
// those that the ledger asks for. A crash in between only makes it erase once more: a
// receipt is about the generation that was destroyed last, and about all before it.
func (n *Node) runErasures(ctx context.Context) {
	e := erasures{by: map[authority.LiveEpoch]keyring.Erasure{}}
	for {
		pause := eraseTick
		if n.freshEnough() == nil {
			if err := n.eraseOld(ctx, &e); err != nil && ctx.Err() == nil {
				n.log.Warn("old shares are not erased", "error", err)
				pause = erasePause
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (n *Node) eraseOld(ctx context.Context, e *erasures) error {
	state, ring := n.secrets.current()
	s := n.consensus.Committed()
	if ring != nil {
		if err := n.reroot(ctx, s, ring); err != nil {
			return err
		}
	}
	if !erases(state, ring) {
		return nil
	}
	wanted, old := n.erasable(s)
	wanted = before(ring.Root().Epoch, wanted, s, n.cfg.Node)
	if !e.ready(wanted, s.Position().Index, n.driver.Forgotten()) {
		return nil
	}
	fresh := slices.ContainsFunc(wanted, func(of authority.LiveEpoch) bool { _, done := e.by[of]; return !done })
	now := look{s, ring.Generation(), ring.Count()}
	same := s.SameBut(e.looked.state) && now.generation == e.looked.generation && now.shares == e.looked.shares
	if !fresh && (same || !ring.Holds(old)) {
		e.looked = now
		return n.postErased(ctx, e, ring, wanted, noShare)
	}
	if place := slices.IndexFunc(s.Roster(), func(m authority.Node) bool { return m.ID == n.cfg.Node }); !e.isTurn(len(wanted), place, n.boot()) {
		return n.postErased(ctx, e, ring, wanted, noShare)
	}
	what, err := n.secrets.erase(ctx, s, old)
	if err != nil {
		return err
	}
	e.first, e.last = 0, n.boot()
	n.log.Info("old shares are erased", "generation", what.Generation, "epochs", len(wanted))
	clear(e.by)
	for _, of := range wanted {
		e.by[of] = what
	}
	return n.postErased(ctx, e, ring, wanted, old)
}

func noShare(keyring.Held) bool { return false }

// postErased signs a receipt for the next of the wanted epochs whose shares are erased,
// where the keyring bears it out: but for what has gone just now it has no share of them,
// nor of those before, which the receipt is of as well.
func (n *Node) postErased(ctx context.Context, e *erasures, ring *keyring.Keyring, wanted []authority.LiveEpoch, gone func(keyring.Held) bool) error {
	done, what := e.batch(wanted)
	if done = withoutKept(done, ring, gone); len(done) == 0 {
		return nil
	}
	r := authority.ErasureReceipt{Through: done, Generation: what.Generation, Label: what.Label, Serial: what.Serial, Time: n.now().UnixMilli()}
	return failpoint.Step("node/post-erased", func() error { return n.say(ctx, authority.KindErased, r) })
}
