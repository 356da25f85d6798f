package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"warifu.dev/authority"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/unseal"
)

// Where custodians open this node's seal, the root share is locked for those who are
// custodians when the seal is written. When they are replaced, the node locks it anew
// for the others:
//
//	post the lock ──▶ wait for its commit ──▶ write the seal, read it back, destroy the old
//	HSM key (a new generation of the keyring) ──▶ say that the old one is destroyed
//
// A node that was sealed, or down, meanwhile is still opened by the former custodians,
// and does this right after. Until a node has said that its old seal is destroyed, the
// ledger lists it as one whose former custodians are still needed.

// errLock means that the ledger does not show the lock that this node posted.
var errLock = errors.New("the ledger does not show this lock")

// lockRetry is how long a node waits after a lock that failed before it tries again.
const lockRetry = 3 * time.Second

// runLocks keeps the seal locked for the custodians in force. It waits for the ledger,
// for the token and the disk, and nothing waits for it.
func (n *Node) runLocks(ctx context.Context) {
	if n.genesis.Unseal != authority.UnsealCustodians {
		return
	}
	tick := time.NewTicker(ceremonyTick)
	defer tick.Stop()
	for {
		changed := n.consensus.Changed()
		if err := n.lookLock(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("the root share is not locked anew yet", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(lockRetry):
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// lookLock locks the root share for the custodians in force, when it is open and locked
// for others, and says so when nothing older is left.
func (n *Node) lookLock(ctx context.Context) error {
	state, ring := n.secrets.current()
	if ring == nil || state != seal.Unsealed || n.freshEnough() != nil {
		return nil
	}
	s := n.consensus.Committed()
	l := s.Lock(n.cfg.Node, ring.Generation())
	if l == nil {
		return nil // this node has not read of it yet
	}
	if !s.Custody().SameKeepers(s.CustodyAt(l.Custody)) {
		what, err := n.secrets.erase(ctx, s, func(keyring.Held) bool { return false })
		if err != nil {
			return err
		}
		n.log.Info("the root share is locked for other custodians", "generation", ring.Generation(), "destroyed", what.Label)
		s = n.consensus.Committed()
	}
	live := ring.Generation()
	if locks := s.Locks(n.cfg.Node); len(locks) == 0 || locks[0].Generation >= live || s.Lock(n.cfg.Node, live) == nil {
		return nil
	}
	return n.forgetLocks(ctx, live)
}

// forgetLocks says that all seals older than the live one are destroyed, and waits until
// this node has read that it was heard.
func (n *Node) forgetLocks(ctx context.Context, live uint64) error {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	err := failpoint.Step("node/post-locked", func() error {
		return n.say(ctx, authority.KindLock, authority.Lock{Live: live})
	})
	if err != nil {
		return fmt.Errorf("say that what is older than generation %d is destroyed: %w", live, err)
	}
	for {
		changed := n.consensus.Changed()
		if locks := n.consensus.Committed().Locks(n.cfg.Node); len(locks) == 0 || locks[0].Generation >= live {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // it is looked at again
		case <-changed:
		}
	}
}

// newLock makes the lock of a seal to be written, for the custodians in force, and waits
// until it is committed: a seal whose lock is lost opens never again. The generation is
// one that no lock was ever posted for, so that one which was given up, and comes late,
// takes nobody's place.
func (n *Node) newLock(ctx context.Context) (keyring.Lock, error) {
	live, err := keyring.Newest(n.secrets.cfg)
	if err != nil {
		return keyring.Lock{}, err
	}
	state := n.consensus.Committed()
	next := live
	for _, l := range state.Locks(n.cfg.Node) {
		next = max(next, l.Generation)
	}
	next = max(next, n.lastLock.Load()) + 1
	n.lastLock.Store(next)
	var recipients []string
	for _, c := range state.Custody().Custodians {
		recipients = append(recipients, c.Open)
	}
	s := unseal.Seal{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Generation: next}
	u, l, err := unseal.Split(rand.Reader, s, recipients, int(state.Custody().UnsealCount))
	if err != nil {
		return keyring.Lock{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	b := authority.Lock{Generation: next, Live: live, Lock: wire.Encode(l), Custody: uint64(state.Changes())}
	err = failpoint.Step("node/post-lock", func() error { return n.say(ctx, authority.KindLock, b) })
	if err == nil {
		err = n.waitForLock(ctx, next, l)
	} else if n.showsLock(next, l) { // it was sent more than once, and taken the first time
		err = nil
	}
	if err != nil {
		u.Wipe()
		return keyring.Lock{}, fmt.Errorf("post the lock of generation %d: %w", next, err)
	}
	return keyring.Lock{Generation: next, Unseal: u, Public: authority.KeepLock(state.Custody(), wire.Encode(l))}, nil
}

// showsLock says whether this very lock stands in the ledger, as this node has read it.
func (n *Node) showsLock(generation uint64, want *unseal.Lock) bool {
	l := n.consensus.Committed().Lock(n.cfg.Node, generation)
	return l != nil && l.Lock.Commitment == want.Commitment
}

// waitForLock waits until this node has read its own lock in the ledger: whoever leads
// may say that it is committed, and not mean it.
func (n *Node) waitForLock(ctx context.Context, generation uint64, want *unseal.Lock) error {
	for {
		changed := n.consensus.Changed()
		if n.showsLock(generation, want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errLock, ctx.Err())
		case <-changed:
		}
	}
}
