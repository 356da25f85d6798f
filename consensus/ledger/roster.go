package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Reasons why a change of the roster is not taken.
var (
	// ErrUnfinished means that the change of the roster before is not finished.
	ErrUnfinished = errors.New("the change of the roster before is not finished")
	// ErrFinished means that a change was to be taken back that is finished.
	ErrFinished = errors.New("the change of the roster to be taken back is finished")
	// ErrNoNode means that a node is not on the roster, or is about to leave it.
	ErrNoNode = errors.New("not on the roster, or about to leave it")
	// ErrShares means that a node cannot leave, because of the keys it holds.
	ErrShares = errors.New("the node holds shares that would be missed")
)

// Roster is the nodes of the cluster as they are now.
func (s *State) Roster() []authority.Node { return s.custody.genesis.Roster }

// RosterVersion is 1 at genesis and grows by 1 with each committed change.
func (s *State) RosterVersion() uint64 { return s.custody.roll.Version }

// NodeByID returns the roster line of a node that is on the roster now, or nil.
func (s *State) NodeByID(id string) *authority.Node { return s.custody.genesis.NodeByID(id) }

// Roll is what there is to know of the roster beside its lines.
func (s *State) Roll() authority.Roll { return s.custody.roll }

// Known is the chain of changes that led to custodians and roster.
func (s *State) Known() *authority.Succession { return s.custody.chain }

// Changes is how many successors there are.
func (s *State) Changes() int { return s.custody.chain.Len() }

// SuccessionTo is the entries of at least n successors that lead to a version of the
// roster: what it takes to believe a record that nodes of that roster signed, and that
// custodians ordered after the first n.
func (s *State) SuccessionTo(n, version uint64) [][]byte {
	chain := s.custody.chain
	for int(n) < chain.Len() && chain.VersionAt(int(n)) < version {
		n++
	}
	return chain.Entries()[:n]
}

// Member is a node in a configuration of Raft's.
type Member struct {
	ID    string
	Votes bool
}

// Step is how often the members have changed: with each change of the roster, and each
// time that somebody has left by one.
func (s *State) Step() uint64 { return s.custody.step }

// Settled says whether Raft has come to the end of the last step: t nodes, one of whom
// is honest while fewer lie, have anchored that all of the roster, and nobody else,
// votes there.
func (s *State) Settled() bool { return s.settled("", nil) }

// settled is Settled when this anchor is a node's latest.
func (s *State) settled(node string, a *authority.Anchor) bool {
	said := 0
	for _, n := range s.Roster() {
		at := uint64(0)
		if n.ID == node {
			at = a.Members
		} else if other := s.Anchor(n.ID); other != nil {
			at = other.Anchor.Members
		}
		if at >= s.custody.step {
			said++
		}
	}
	return s.custody.step == 0 || said >= int(s.genesis.Root.T)
}

// Path lists every configuration that Raft may have, from that before the last step to
// the roster itself, which stands last: whoever comes first follows without a vote, and
// one member changes at a time. A newcomer gets its vote once it has posted an anchor:
// then it has the log that the change stands in.
func (s *State) Path() [][]Member {
	var all []Member
	for _, n := range s.Roster() {
		all = append(all, Member{n.ID, true})
	}
	if s.Settled() {
		return [][]Member{all}
	}
	with := func(list []Member, id string, votes bool) []Member {
		return append(slices.Clone(list), Member{id, votes})
	}
	switch c := s.custody; {
	case c.gone != "" && c.undone:
		return [][]Member{with(all, c.gone, true), with(all, c.gone, false), all}
	case c.gone != "":
		return [][]Member{with(all, c.gone, true), all}
	case c.roll.Newcomer != "":
		old := slices.DeleteFunc(slices.Clone(all), func(m Member) bool { return m.ID == c.roll.Newcomer })
		path := [][]Member{old, with(old, c.roll.Newcomer, false)}
		if s.Anchor(c.roll.Newcomer) != nil {
			path = append(path, all)
		}
		return path
	}
	return [][]Member{all}
}

// Holding lists what keeps a node on the roster: the keys that have a share there, in an
// epoch that can release, in one that is over and not known to be gone, or in a run that
// is not over.
func (s *State) Holding(node string) []string {
	var names []string
	add := func(key api.KeyID) {
		if name := s.nameOf(key); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, k := range s.Keys() {
		if k.IndexOf(node) != 0 && !s.Destroyed(k.ID) && !s.outgrown(k, node) { // destroyed: its epochs are over, below
			add(k.ID)
		}
	}
	for _, o := range s.Overlapping() {
		if o.IndexOf(node) != 0 {
			add(o.Key)
		}
	}
	for _, e := range s.NotGone(node) {
		add(e.Key)
	}
	for _, o := range s.OrdersOf(node) {
		if !o.Live.IsZero() {
			names = append(names, cmp.Or(o.Order.Name, rootName))
		}
	}
	for _, r := range s.Renewals() {
		if ses := s.Session(r.Live); ses != nil && slices.Contains(ses.Participants, node) {
			add(ses.Keys[0].Key)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rootName is what the root key is called, which has no name.
const rootName = "the root key"

func (s *State) nameOf(key api.KeyID) string {
	switch k := s.Key(key); {
	case k == nil:
		return key.String()
	case k.Purpose == authority.PurposeRoot:
		return rootName
	default:
		return k.Name
	}
}

// outgrown says whether a node may leave with its share of a version of a symmetric key,
// whose shares are never made anew: there is a newer version, which clients believe, of
// which it holds nothing, and without it so many are left that what is under this one
// opens. From then on this version is secret only against t of all who ever held it.
func (s *State) outgrown(k *Key, node string) bool {
	newest := s.Vouched(k.ID)
	return k.Symmetric() && newest.Vouched() && newest.Version > k.Version && newest.IndexOf(node) == 0 && s.without(k, node) >= int(k.T)
}

// without counts the holders of a key on the roster, other than a node.
func (s *State) without(k *Key, node string) (left int) {
	for _, h := range k.Holders {
		if h != node && k.IndexOf(h) != 0 && s.NodeByID(h) != nil {
			left++
		}
	}
	return left
}

// Outlived lists the nodes that hold set keys of a version of a symmetric key and have
// left: what is under it is to be encrypted again.
func (s *State) Outlived(k *Key) []string {
	if !k.Symmetric() || s.Destroyed(k.ID) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(k.Holders), func(h string) bool { return k.IndexOf(h) == 0 || s.NodeByID(h) != nil })
}

// survives refuses that a node leaves for good while a key would be left with fewer
// holders than its threshold: nobody could deal its shares anew.
func (s *State) survives(node string) error {
	for _, k := range s.Keys() {
		left := s.without(k, node)
		if k.IndexOf(node) != 0 && left < int(k.T) && !s.Destroyed(k.ID) {
			return fmt.Errorf("%w: without %s, %d holders are left of %s, and it takes %d", ErrShares, node, left, s.nameOf(k.ID), k.T)
		}
	}
	return nil
}

// takeMembership changes the roster. Whoever is to leave stays on it while a key has a
// share there.
func (s *State) takeMembership(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	m, err := authority.ParseMembership(c)
	if err != nil {
		return err
	}
	if err := checkBase(c, s.custody.roll.Change); err != nil {
		return err
	}
	finished := s.Settled() && s.custody.roll.Leaver == ""
	switch {
	case m.Undo && (finished || s.custody.gone != ""): // who has left has no log to come back to
		return ErrFinished
	case m.Undo && m.Leaver == s.custody.roll.Newcomer:
		if held := s.Holding(m.Leaver); len(held) > 0 {
			return fmt.Errorf("%w: %s has %s", ErrShares, m.Leaver, strings.Join(held, ", "))
		}
	case !finished && !m.Undo:
		return fmt.Errorf("%w: %s", ErrUnfinished, s.waiting())
	case c.Kind == authority.KindNodeRemove:
		if err := s.survives(m.Leaver); err != nil {
			return err
		}
	case c.Kind == authority.KindNodeReplace:
		if err := s.leavesRoom(m.Leaver, m.Newcomer); err != nil {
			return err
		}
	}
	if err := s.succeeded(d, index, c, id, raw); err != nil {
		return err
	}
	if err := s.leavePools(d); err != nil {
		return err
	}
	switch {
	case m.Undo && d.s.NodeByID(m.Leaver) == nil:
		d.forget(m.Leaver)
	case m.Undo: // it stays
	case m.Newcomer != nil:
		d.put(pathAddress+m.Newcomer.ID, &Address{Claim: m.Newcomer.Claim})
	case len(s.Holding(m.Leaver)) == 0:
		s.leave(d, index)
	}
	return nil
}

// waiting says what the last change of the roster waits for.
func (s *State) waiting() string {
	roll := s.custody.roll
	switch {
	case !s.Settled() && roll.Newcomer != "" && s.custody.gone == "":
		return roll.Newcomer + " has no vote yet"
	case !s.Settled():
		return "its members do not vote as they should yet"
	case roll.Leaver != "":
		return fmt.Sprintf("%s has shares of %s", roll.Leaver, strings.Join(s.Holding(roll.Leaver), ", "))
	}
	return ""
}

// Waiting says what the last change of the roster waits for, or nothing.
func (s *State) Waiting() string { return s.waiting() }

// leave takes the leaver off the roster.
func (s *State) leave(d *draft, index uint64) {
	c := d.s.custody
	path := custodyPath(c.roster)
	v, _ := d.txn.Get([]byte(path))
	left := *v.(*Successor)
	left.Left = index
	d.put(path, &left)
	d.forget(c.roll.Leaver)
	d.s.custody = c.left()
}

// forget takes out what the ledger has of a node that is on the roster no more.
func (d *draft) forget(node string) {
	for _, path := range []string{pathAnchor, pathAddress, pathLock, pathRepair} {
		if _, is := d.txn.Get([]byte(path + node)); is {
			d.remove(path + node)
		}
	}
}
