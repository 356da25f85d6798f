package consensus

import (
	"slices"

	"warifu.dev/api"
)

// Position is a command of the log and the link after it.
type Position struct {
	Index uint64
	Link  api.Digest
}

// remembered is how many committed positions a node can still name, of 40 bytes each:
// as many as stand in a log that is as long as it gets, so that a member which reads
// that log has its snapshot signed wherever it is in it. A member that is further
// behind is not held against them until it has caught up: links chain, so that a
// history which differed then differs in every later link.
const remembered = 17_000

// trail is the last committed positions, oldest first: what other members sign
// about the chain is held against it, and what this node signs is read from it.
type trail []Position

// add appends the next position, and now and then forgets the oldest.
func (t trail) add(p Position) trail {
	if len(t) >= 2*remembered {
		t = append(t[:0], t[len(t)-remembered:]...)
	}
	return append(t, p)
}

// at finds the last position at or below index; false before the oldest.
func (t trail) at(index uint64) (Position, bool) {
	i, exact := slices.BinarySearchFunc(t, index, func(p Position, index uint64) int {
		switch {
		case p.Index < index:
			return -1
		case p.Index > index:
			return 1
		}
		return 0
	})
	switch {
	case exact:
		return t[i], true
	case i == 0:
		return Position{}, false
	}
	return t[i-1], true
}

// At is the last command at or below an index, and the link after it: false if
// this node has not committed that far, or no longer remembers it.
func (c *Consensus[S, R]) At(index uint64) (Position, bool) {
	if c.raft == nil {
		return Position{}, false
	}
	return c.states.at(index, c.raft.AppliedIndex())
}

// at is [Consensus.At], when Raft has queued everything up to queued.
func (s *states[S, R]) at(index, queued uint64) (Position, bool) {
	if index > s.applied(queued) {
		return Position{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trail.at(index)
}
