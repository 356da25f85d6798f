package consensus

import (
	"errors"
	"sync/atomic"
)

// Reasons why a node must not serve any more; [Consensus.Stopped] says which.
// The stored log is as it was in each case, and starting the node again is safe:
// what was refused is refused again.
var (
	// ErrFork means that what this node has applied was to be replaced, or is
	// not in its log any more: somebody has another history (R35).
	ErrFork = errors.New("consensus: another history than the one this node has applied")
	// ErrMembership means that Raft was to work with another set of members than
	// the signed roster, or a committed change of it, allows (R32).
	ErrMembership = errors.New("consensus: another membership than the roster")
	// ErrGap means that the log begins above what this node has a state for.
	ErrGap = errors.New("consensus: entries are missing below the log")
	// ErrFloor means that the floor cannot be read, or not be made durable.
	ErrFloor = errors.New("consensus: the floor under the log")
	// ErrDenies means that the denies cannot be read, or not be made durable: the
	// disk is full, or there are too many.
	ErrDenies = errors.New("consensus: the denies beside the log")
)

// halt is why this node must not serve: the first reason, until the process ends.
type halt struct{ why atomic.Pointer[error] }

func (h *halt) stop(err error) { h.why.CompareAndSwap(nil, &err) }

func (h *halt) reason() error {
	if why := h.why.Load(); why != nil {
		return *why
	}
	return nil
}
