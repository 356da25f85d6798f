package ledger

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
)

// ErrNoCustodians means that in this cluster custodians open no seals.
var ErrNoCustodians = errors.New("seals are not opened by custodians in this cluster")

// Lock returns what opens this generation of a node's seal, and whose pieces that
// takes; or nil.
func (s *State) Lock(node string, generation uint64) *GenerationLock {
	locks := s.Locks(node)
	for i := range locks {
		if locks[i].Generation == generation {
			return &locks[i]
		}
	}
	return nil
}

// Locks lists what opens the seals that a node may have on its disk, by generation.
func (s *State) Locks(node string) []GenerationLock {
	if locks := get[*Locks](s, pathLock+node); locks != nil {
		return locks.Locks
	}
	return nil
}

// FormerLock is a node whose seal may still be one that former custodians open.
type FormerLock struct {
	Node    string
	Custody uint64 // who opens it: the custodians after so many successors
}

// FormerLocks lists, in the roster's order, the nodes that have not said yet that
// nothing on their disks is locked for others than the custodians in force. Until they
// have, those others keep their files.
func (s *State) FormerLocks() []FormerLock {
	var out []FormerLock
	for _, n := range s.Roster() {
		for _, l := range s.Locks(n.ID) {
			if !s.Custody().SameKeepers(s.CustodyAt(l.Custody)) {
				out = append(out, FormerLock{n.ID, l.Custody})
				break
			}
		}
	}
	return out
}

// takeLock keeps what opens a node's next seal, beside what opens the one on its
// disk. A node speaks of its own seals alone. No lock takes the place of another of the
// same generation: a statement that was given up and comes late must not shut the seal
// that was written since, so generations with a lock count up. A lock is for the
// custodians in force when it is taken: what former ones open comes to an end.
func (s *State) takeLock(d *draft, node string, b *authority.Lock) error {
	if s.genesis.Unseal != authority.UnsealCustodians {
		return ErrNoCustodians
	}
	var live []GenerationLock
	if b.Live > 0 {
		l := s.Lock(node, b.Live)
		if l == nil {
			return fmt.Errorf("%w: generation %d of %s has no lock", ErrOutOfTurn, b.Live, node)
		}
		live = append(live, *l)
	}
	if len(b.Lock) == 0 && b.Generation == 0 {
		return s.forgetLocks(d, node, b.Live)
	}
	var l unseal.Lock
	if err := wire.Decode(b.Lock, &l); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	if now := uint64(s.Changes()); b.Custody != now {
		return fmt.Errorf("%w: a lock for the custodians after %d changes of them or the roster, there were %d", ErrOutOfTurn, b.Custody, now)
	}
	if err := l.Check(len(s.Custody().Custodians), int(s.Custody().UnsealCount)); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	newest := b.Live
	for _, other := range s.Locks(node) {
		newest = max(newest, other.Generation)
	}
	if b.Generation <= newest {
		return fmt.Errorf("%w: a lock for generation %d, %d has one, or is live", ErrOutOfTurn, b.Generation, newest)
	}
	d.put(pathLock+node, &Locks{Locks: append(live, GenerationLock{Generation: b.Generation, Lock: l, Custody: b.Custody})})
	return nil
}

// forgetLocks forgets what opened a node's older seals: the node says that they are
// destroyed. Those after the live one stay, for one of them may be written by now.
func (s *State) forgetLocks(d *draft, node string, live uint64) error {
	all := s.Locks(node)
	kept := slices.DeleteFunc(slices.Clone(all), func(l GenerationLock) bool { return l.Generation < live })
	if live == 0 || len(kept) == len(all) {
		return fmt.Errorf("%w: there is no lock of an older seal of %s", ErrOutOfTurn, node)
	}
	d.put(pathLock+node, &Locks{Locks: kept})
	return nil
}
