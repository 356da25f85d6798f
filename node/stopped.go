package node

import (
	"context"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/consensus"
)

// stopped says nil, or that this node serves nothing until it is started again:
// its log or its cluster's membership was to become another one (R32, R35).
func (n *Node) stopped() *api.Error {
	err := n.consensus.Stopped()
	if err == nil {
		return nil
	}
	return api.Retry(api.CodeFork, "this node has stopped serving: %s", stoppedState(err))
}

// stoppedState names why, for status.
func stoppedState(err error) string {
	switch {
	case errors.Is(err, consensus.ErrMembership):
		return "membership"
	case errors.Is(err, consensus.ErrFloor):
		return "floor"
	case errors.Is(err, consensus.ErrGap):
		return "gap"
	case errors.Is(err, consensus.ErrDenies):
		return "denies"
	default:
		return "fork"
	}
}

// noteStopped is for the operator and the auditor, once.
func (n *Node) noteStopped(ctx context.Context, err error) {
	n.log.Error("this node has stopped serving", "state", stoppedState(err), "error", err)
	n.note(ctx, audit.Record{
		Kind: audit.Fork, Action: stoppedState(err), Why: err.Error(),
		LedgerIndex: n.consensus.Committed().Position().Index,
	})
}

// maxLookBack bounds how many records of the last run are looked at. A node that
// has stopped releases nothing, and its refusals are capped.
const maxLookBack = 10_000

// lastStop says why the last run stopped serving, or nothing. A stop lasts as long
// as its process: what was refused left the log as it was, a fork that is real is
// met again, and one liar must not be able to keep a node down. But whoever starts
// it again, or the supervisor that does, is told.
func lastStop(log *audit.Log) (string, error) {
	for i := log.Size(); i > 0 && log.Size()-i < maxLookBack; i-- {
		r, err := log.Read(i - 1)
		switch {
		case errors.Is(err, audit.ErrArchived):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("look in the audit for how the last run ended: %w", err)
		case r.Kind == audit.Start:
			return "", nil
		case r.Kind == audit.Fork && r.Action != actionMember:
			return r.Action + ": " + r.Why, nil
		}
	}
	return "", nil
}
