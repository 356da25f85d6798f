package consensus

import "warifu.dev/api"

// Machine is the replicated state machine: a value S and a pure function.
type Machine[S any, R any] struct {
	// Genesis is the state before the first entry.
	Genesis S
	// Apply returns the state after one command, and what became of it. It must
	// be deterministic, must not change its argument, and must not fail.
	Apply func(s S, index uint64, entry []byte) (S, R)
	// Link commits to the commands that led to a state, and to their order.
	Link func(s S) api.Digest
}

// step is a state computed for one command of the log.
type step[S any, R any] struct {
	index  uint64
	entry  []byte
	state  S
	result R
}
