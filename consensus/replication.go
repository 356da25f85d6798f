package consensus

import "github.com/hashicorp/raft"

// Replication is what Raft says of itself, for whoever watches a node. Nothing is
// decided on it.
type Replication struct {
	Term   uint64
	Commit uint64 // the last index that this node knows to be committed
	Last   uint64 // the last index that is stored here
	Leads  bool
}

// Replication is all zeros at a node that may not join.
func (c *Consensus[S, R]) Replication() Replication {
	if c.raft == nil {
		return Replication{}
	}
	return Replication{
		Term: c.raft.CurrentTerm(), Commit: c.raft.CommitIndex(), Last: c.raft.LastIndex(),
		Leads: c.raft.State() == raft.Leader,
	}
}
