package ledger

import (
	"warifu.dev/authority"
)

// Roster is the nodes of the cluster as they are now.
func (s *State) Roster() []authority.Node { return s.custody.genesis.Roster }

// RosterVersion is 1 at genesis and grows by 1 with each committed change.
func (s *State) RosterVersion() uint64 { return s.custody.roll.Version }

// NodeByID returns the roster line of a node that is on the roster now, or nil.
func (s *State) NodeByID(id string) *authority.Node { return s.custody.genesis.NodeByID(id) }

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

// Changes is how many successors there are.
func (s *State) Changes() int { return s.custody.chain.Len() }
