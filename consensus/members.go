package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"warifu.dev/internal/failpoint"
)

// maxMove bounds one change of the membership: Raft takes none before an entry of the
// leader's own term is committed.
const maxMove = 10 * time.Second

// Members is Raft's membership, as far as it is committed here, sorted by id; nil until
// one is known.
func (c *Consensus[S, R]) Members() []Member {
	if at := c.states.members.Load(); at != nil {
		return membersOf(*at)
	}
	return nil
}

func membersOf(c raft.Configuration) []Member {
	var out []Member
	for _, s := range c.Servers {
		out = append(out, Member{ID: string(s.ID), Votes: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(out, func(a, b Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Move takes Raft one member nearer to a membership, when this node leads, and says
// whether there was anything to do: who comes follows first, and votes later. It returns when the change is committed, or may
// never be; what is half done is found at the next call, by whoever leads then.
func (c *Consensus[S, R]) Move(ctx context.Context, to []Member) (moved bool, err error) {
	if c.raft == nil || c.raft.State() != raft.Leader || c.Stopped() != nil {
		return false, ErrNotLeader
	}
	now := c.raft.GetConfiguration()
	if err := now.Error(); err != nil {
		return false, err
	}
	next := nextMove(now.Configuration(), to)
	if next == nil {
		return false, nil
	}
	if !c.ask() {
		return false, ErrNotLeader
	}
	done := make(chan error, 1)
	go func() { // ends when Raft answers
		defer c.asked.Done()
		done <- failpoint.Step("consensus/move-member", func() error { return next(c.raft).Error() })
	}()
	select {
	case err := <-done:
		if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) {
			return false, ErrNotLeader
		}
		if err != nil {
			return false, fmt.Errorf("change the members: %w", err)
		}
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// nextMove is the one change that leads from a membership nearer to another, or nil.
func nextMove(from raft.Configuration, to []Member) func(*raft.Raft) raft.IndexFuture {
	have := map[string]raft.ServerSuffrage{}
	for _, s := range from.Servers {
		have[string(s.ID)] = s.Suffrage
	}
	for _, m := range to {
		suffrage, is := have[m.ID]
		id, address := raft.ServerID(m.ID), raft.ServerAddress(m.ID)
		switch {
		case !is:
			return func(r *raft.Raft) raft.IndexFuture { return r.AddNonvoter(id, address, 0, maxMove) }
		case m.Votes && suffrage != raft.Voter:
			return func(r *raft.Raft) raft.IndexFuture { return r.AddVoter(id, address, 0, maxMove) }
		}
	}
	for _, s := range from.Servers {
		if !slices.ContainsFunc(to, func(m Member) bool { return m.ID == string(s.ID) }) {
			return func(r *raft.Raft) raft.IndexFuture { return r.RemoveServer(s.ID, 0, maxMove) }
		}
	}
	return nil
}
