package node

import (
	"context"
	"crypto/rand"
	"errors"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
)

// standingOf is what a state has on the id of a revoke or a seal.
func standingOf(s *ledger.State, id api.Digest) consensus.Standing {
	switch {
	case s.LiftOf(id) != nil:
		return consensus.Lifted
	case s.DenialBy(id) != nil:
		return consensus.Taken
	}
	return consensus.Absent
}

// denyDirectly keeps a revoke or a seal that was handed to this node, and answers
// with its receipt. A node that is behind, sealed or alone takes it as well.
// Nothing else that custodians sign is taken outside the log.
func (n *Node) denyDirectly(ctx context.Context, q *api.SubmitRequest) (*api.ReceiptAnswer, error) {
	before := n.consensus.Kept()
	id, err := n.consensus.Deny(q.Entry)
	switch {
	case errors.Is(err, consensus.ErrNoDeny):
		_, _, why := n.consensus.Committed().Denies(q.Entry)
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", why)
	case errors.Is(err, consensus.ErrDenyEnough):
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", ledger.ErrTooMany)
	case errors.Is(err, consensus.ErrDenyLifted):
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", ledger.ErrLifted)
	case err != nil:
		return nil, n.stopped()
	}
	if s := n.consensus.Committed(); before.Entries[id] == nil && s.DenialBy(id) == nil {
		n.note(ctx, audit.Record{Kind: audit.Revocation, EntryID: id, Entry: q.Entry, LedgerIndex: s.Position().Index})
	}
	return n.receipt(id)
}

// What a node says of a revoke or a seal.
const (
	denyInForce    = "in force"
	denyUnknown    = "unknown"
	denyLifted     = "lifted"
	denyNotDurable = "not durable" // and the node has stopped serving
)

// receipt signs that what an id denies is in force and durable here, when it is.
func (n *Node) receipt(id api.Digest) (*api.ReceiptAnswer, error) {
	s := n.consensus.Committed()
	r := authority.RevokeReceipt{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Revoke: id, Keys: s.LiveKeys(), Roster: s.RosterVersion(), Roll: s.Roll().Change}
	denial, kept := s.DenialBy(id), n.consensus.Kept().Entries[id]
	switch {
	case s.LiftOf(id) != nil:
		return &api.ReceiptAnswer{State: denyLifted}, nil
	case denial != nil:
		r.Subject, r.Index = denial.Subject, denial.Index
	case kept != nil:
		var err error
		if r.Subject, err = s.DeniedBy(kept); err != nil {
			return nil, err
		}
	default:
		return &api.ReceiptAnswer{State: denyUnknown}, nil
	}
	if !n.consensus.HoldsDeny(id) {
		return &api.ReceiptAnswer{State: denyNotDurable}, nil
	}
	signed, err := authority.SignReceipt(rand.Reader, n.signer, r)
	if err != nil {
		return nil, err
	}
	return &api.ReceiptAnswer{Receipt: signed.Encode(), State: denyInForce}, nil
}

// denied is a tail with what the node keeps beside it. It is made once for each tail
// and each set that is kept, so that a state that has not moved is the same pointer.
type denied struct {
	tail     *ledger.State
	kept     *consensus.Kept
	subjects map[api.Digest]authority.Subject
	state    *ledger.State
}

// states are the two that decide: committed, which is used, and the tail, which can
// only refuse. What the node keeps beside the log denies in the tail: truncation
// takes the entry out of the log, and not the deny out of the tail (R35).
//
// Kept is read before the tail, and committed before both: an entry on its way from
// one to the next is seen at least once.
func (n *Node) states() (committed, tail *ledger.State) {
	committed = n.consensus.Committed()
	kept := n.consensus.Kept()
	tail = n.consensus.Tail().State
	if len(kept.Entries) == 0 {
		return committed, tail
	}
	last := n.denied.Load()
	if last != nil && last.kept == kept && last.tail == tail {
		return committed, last.state
	}
	next := &denied{tail: tail, kept: kept}
	if last != nil && last.kept == kept {
		next.subjects = last.subjects
	} else {
		next.subjects = subjectsOf(tail, kept)
	}
	next.state = tail.Denying(next.subjects)
	n.denied.Store(next)
	return committed, next.state
}

// subjectsOf is what the kept entries deny. They were verified before they were
// kept, and some may have expired since: that is not asked again.
func subjectsOf(s *ledger.State, kept *consensus.Kept) map[api.Digest]authority.Subject {
	out := make(map[api.Digest]authority.Subject, len(kept.Entries))
	for id, entry := range kept.Entries {
		if sub, err := s.DeniedBy(entry); err == nil {
			out[id] = sub
		}
	}
	return out
}
