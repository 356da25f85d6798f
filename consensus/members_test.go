package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// planned is the chain's machine with a plan: after the command "add n4" Raft may have
// n4 without a vote, after "up n4" with one; after "drop n3" it may be without n3.
func planned() Machine[string, string] {
	m := chain
	m.Memberships = func(s string) [][]Member {
		path := [][]Member{{{"n1", true}, {"n2", true}, {"n3", true}}}
		last := func() []Member { return slices.Clone(path[len(path)-1]) }
		for _, word := range strings.Split(s, " ") {
			switch _, command, _ := strings.Cut(word, ":"); command {
			case "add-n4":
				path = append(path, append(last(), Member{"n4", false}))
			case "up-n4":
				next := last()
				next[3].Votes = true
				path = append(path, next)
			case "drop-n3":
				path = append(path, slices.Delete(last(), 2, 3))
			}
		}
		return path
	}
	return m
}

// joined is a cluster of three with a machine that has a plan; n4 can be started.
func joined(t *testing.T, p Policy) *cluster {
	c := newClusterWith(t, 0, p)
	c.machine = planned()
	c.voters = append(c.voters, "n1", "n2", "n3")
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		c.dirs[id] = t.TempDir()
	}
	for _, id := range c.voters {
		c.start(id)
	}
	return c
}

// lead waits for a node that leads. n4 may know of nobody yet.
func (c *cluster) lead() string {
	c.Helper()
	for range 600 {
		for id, n := range c.nodes {
			if n.raft != nil && n.raft.State() == raft.Leader {
				return id
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Fatal("nobody leads")
	return ""
}

// move does what a leader's node does: one step after the other, until nothing is left.
func (c *cluster) move() {
	c.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		n := c.nodes[c.lead()]
		path := n.states.machine.Memberships(n.Committed())
		moved, err := n.Move(c.Context(), path[len(path)-1])
		if err == nil && !moved {
			return
		}
	}
	c.Fatal("the members do not change")
}

func (c *cluster) membersAre(want string) {
	c.Helper()
	time.Sleep(5 * time.Second)
	for id, n := range c.nodes {
		if got := fmt.Sprint(n.Members()); got != want {
			c.Errorf("%s has committed %s, want %s", id, got, want)
		}
		if err := n.Stopped(); err != nil {
			c.Errorf("%s: %v", id, err)
		}
	}
}

// R31: the leader follows the plan, a step at a time, and every member with it; a node
// that was away, and one that starts again, judge each step by the log before it.
func TestAPlanIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := joined(t, Policy{})
		defer c.close()
		c.start("n4")
		c.submit(c.lead(), "add-n4")
		c.move()
		c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 false}]")
		c.submit(c.lead(), "up-n4")
		c.move()
		c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 true}]")
		c.submit(c.lead(), "drop-n3")
		c.move()
		c.stop("n3")
		delete(c.nodes, "n3")
		c.membersAre("[{n1 true} {n2 true} {n4 true}]")
		for _, id := range []string{"n1", "n2", "n4"} {
			c.stop(id)
			c.start(id)
		}
		c.submit(c.lead(), "after")
		c.membersAre("[{n1 true} {n2 true} {n4 true}]")
	})
}

// R32: a membership that no command allows, or not yet, is in no node's log; one that
// the plan has is, and only with the plan before it.
func TestALeaderLeavesThePlan(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		before   []string // commands that were committed
		call     []string // commands in the call, before the membership
		members  []Member
		taken    bool
	}{
		{"a stranger follows", nil, nil, []Member{{"n1", true}, {"n2", true}, {"n3", true}, {"n4", false}}, false},
		{"a newcomer follows", []string{"add-n4"}, nil, []Member{{"n1", true}, {"n2", true}, {"n3", true}, {"n4", false}}, true},
		{"a newcomer follows by a plan of this very call", nil, []string{"add-n4"}, []Member{{"n1", true}, {"n2", true}, {"n3", true}, {"n4", false}}, true},
		{"a newcomer votes too early", []string{"add-n4"}, nil, []Member{{"n1", true}, {"n2", true}, {"n3", true}, {"n4", true}}, false},
		{"a newcomer takes a member's place", []string{"add-n4"}, nil, []Member{{"n1", true}, {"n2", true}, {"n4", false}}, false},
		{"a member loses its vote", []string{"add-n4"}, nil, []Member{{"n1", true}, {"n2", true}, {"n3", false}, {"n4", false}}, false},
		{"a member is left out", []string{"add-n4", "up-n4"}, nil, []Member{{"n1", true}, {"n2", true}, {"n4", true}}, false},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := joined(t, Policy{})
				defer c.close()
				for _, command := range tt.before {
					c.submit(c.lead(), command)
				}
				time.Sleep(5 * time.Second)
				leader := c.lead()
				liar, victim := c.followers(leader)[0], c.followers(leader)[1]
				n := c.nodes[victim]
				var logs []*raft.Log
				for _, command := range tt.call {
					logs = append(logs, &raft.Log{Type: raft.LogCommand, Data: []byte(command)})
				}
				var servers []raft.Server
				for _, m := range tt.members {
					s := raft.Server{Suffrage: raft.Nonvoter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.ID)}
					if m.Votes {
						s.Suffrage = raft.Voter
					}
					servers = append(servers, s)
				}
				logs = append(logs, &raft.Log{Type: raft.LogConfiguration, Data: configuration(servers...)})
				taken := c.append(liar, victim, 1000, n.Tail().End, logs...)
				if stopped := errors.Is(n.Stopped(), ErrMembership); taken != tt.taken || stopped == tt.taken {
					t.Errorf("taken: %v, stopped by %v", taken, n.Stopped())
				}
			})
		})
	}
}

// A newcomer gets a snapshot, whose members are those of the state in it.
func TestANewcomerReadsASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := joined(t, small)
		defer c.close()
		c.submit(c.lead(), "add-n4")
		for i := range 40 {
			c.submit(c.lead(), fmt.Sprint("filler", i))
		}
		for _, n := range c.nodes {
			_ = n.Compact(c.Context(), []byte("barrier"))
		}
		c.move()
		c.start("n4")
		c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 false}]")
		if !strings.HasPrefix(c.told["n4"].String(), "installed:") {
			t.Errorf("it was told %s", c.told["n4"])
		}
		c.submit(c.lead(), "up-n4")
		c.move()
		c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 true}]")
		c.stop("n4")
		c.start("n4")
		c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 true}]")
	})
}

// A leader that fails at a step, before or after Raft has it, leaves a plan that the
// next one goes on with.
func TestAPlanGoesOnAfterACrash(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprint(persisted), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := joined(t, Policy{})
				defer c.close()
				c.start("n4")
				c.submit(c.lead(), "add-n4")
				c.submit(c.lead(), "up-n4")
				leader := c.lead()
				n := c.nodes[leader]
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // it never hears what became of it
				_, _ = n.Move(ctx, n.states.machine.Memberships(n.Committed())[2])
				if persisted {
					time.Sleep(5 * time.Second)
				}
				c.stop(leader)
				c.start(leader)
				c.move()
				c.membersAre("[{n1 true} {n2 true} {n3 true} {n4 true}]")
			})
		})
	}
}
