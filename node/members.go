package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
)

// membersLook is how often the leader looks whether Raft's members are the roster's.
const membersLook = time.Second

// memberships is what the ledger lets Raft have.
func memberships(s *ledger.State) [][]consensus.Member {
	var out [][]consensus.Member
	for _, c := range s.Path() {
		var list []consensus.Member
		for _, m := range c {
			list = append(list, consensus.Member{ID: m.ID, Votes: m.Votes})
		}
		out = append(out, list)
	}
	return out
}

// runMembers carries out, while this node leads, what custodians have signed: one member
// after the other, along the ledger's path. Nothing of it is remembered: whoever leads
// next goes on from the membership that Raft has. A leader that does not do it stalls
// the change, and one that does anything else is alone with it.
func (n *Node) runMembers(ctx context.Context) {
	tick := time.NewTicker(membersLook)
	defer tick.Stop()
	for {
		n.moveMembers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) moveMembers(ctx context.Context) {
	if n.consensus.Leader() != n.cfg.Node {
		return
	}
	path := memberships(n.consensus.Committed())
	to := path[len(path)-1]
	moved, err := n.consensus.Move(ctx, to)
	switch {
	case moved:
		n.log.Info("the members of the log have changed", "towards", membersWords(to))
	case err != nil && !errors.Is(err, consensus.ErrNotLeader) && ctx.Err() == nil:
		n.log.Warn("the members of the log could not be changed", "towards", membersWords(to), "error", err)
	}
}

func membersWords(list []consensus.Member) string {
	var words []string
	for _, m := range list {
		word := m.ID
		if !m.Votes {
			word += " (without a vote)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// membersStep is the step of the membership that Raft has come to here: the last one, if
// all of the roster votes and nobody else is there.
func (n *Node) membersStep(s *ledger.State) uint64 {
	want := memberships(s)
	all := slices.Clone(want[len(want)-1])
	slices.SortFunc(all, func(a, b consensus.Member) int { return strings.Compare(a.ID, b.ID) })
	if len(all) != len(s.Roster()) || !slices.Equal(all, n.consensus.Members()) || slices.ContainsFunc(all, func(m consensus.Member) bool { return !m.Votes }) {
		return 0
	}
	return s.Step()
}
