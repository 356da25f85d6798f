package consensus

import (
	"io"

	"warifu.dev/api"
)

// Machine is the replicated state machine: a value S and a pure function.
type Machine[S any, R any] struct {
	// Genesis is the state before the first entry.
	Genesis S
	// Apply returns the state after one command, and what became of it. It must
	// be deterministic, must not change its argument, and must not fail.
	Apply func(s S, index uint64, entry []byte) (S, R)
	// Link commits to the commands that led to a state, and to their order.
	Link func(s S) api.Digest
	// Last is the index of the last command that led to a state, or 0.
	Last func(s S) uint64
	// Encode writes a state to which commands have led, for Decode. An error is
	// the writer's.
	Encode func(s S, w io.Writer) error
	// Decode reads one state, to the end of r. It believes nothing: what it
	// returns has the Link that its content gives.
	Decode func(r io.Reader) (S, error)
	// Memberships lists, by a state, the memberships that Raft may have after the commands
	// that led to it; the last one is where it is going. With a nil Memberships it is
	// [Config.Voters] for ever.
	Memberships func(s S) [][]Member
	// Denies says, by a committed state, whether an entry denies something, by
	// whomever it is handed over, and under which id: it has verified the
	// signatures. With a nil Denies no entry does.
	Denies func(s S, entry []byte) (id api.Digest, is bool)
	// Denied names what such an entry denies: a node keeps so many entries of one name.
	// It goes with Denies.
	Denied func(s S, entry []byte) string
	// Standing says what a state has on such an id. It goes with Denies.
	Standing func(s S, id api.Digest) Standing
}

// step is a state computed for one command of the log.
type step[S any, R any] struct {
	index  uint64
	entry  []byte
	state  S
	result R
}
