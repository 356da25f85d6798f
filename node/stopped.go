package node

import (
	"context"
	"errors"

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
