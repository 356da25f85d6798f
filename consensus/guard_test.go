package consensus

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// liars are calls that no honest member makes. Each is made by a member of the
// roster that has read the log of its victim, n2: last is its last entry.
var liars = []struct {
	sentence string
	call     func(last *raft.Log) any
	want     error
}{
	{"an entry that is missing", func(l *raft.Log) any {
		return appends(l, 1000, nil)
	}, errCall},
	{"an entry that is missing, after one that is not", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+1, 1000), nil)
	}, errCall},
	{"an entry with a gap before it", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+2, 1000))
	}, errCall},
	{"two entries with a gap between them", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+1, 1000), entry(l.Index+3, 1000))
	}, errCall},
	{"one index twice", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+1, 1000), entry(l.Index+1, 1000))
	}, errCall},
	{"an entry of a later term than the leader's", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+1, 1001))
	}, errCall},
	{"terms that fall", func(l *raft.Log) any {
		return appends(l, 1000, entry(l.Index+1, 1000), entry(l.Index+2, 999))
	}, errCall},
	{"an entry of half a megabyte and a byte", func(l *raft.Log) any {
		e := entry(l.Index+1, 1000)
		e.Data = make([]byte, maxStored+1)
		return appends(l, 1000, e)
	}, errCall},
	{"extensions of half a megabyte and a byte", func(l *raft.Log) any {
		e := entry(l.Index+1, 1000)
		e.Extensions = make([]byte, maxStored+1)
		return appends(l, 1000, e)
	}, errCall},
	{"a log type that does not exist", func(l *raft.Log) any {
		e := entry(l.Index+1, 1000)
		e.Type = 99
		return appends(l, 1000, e)
	}, errLogType},
	{"a barrier, which nobody here uses", func(l *raft.Log) any {
		e := entry(l.Index+1, 1000)
		e.Type = raft.LogBarrier
		return appends(l, 1000, e)
	}, errLogType},
	{"a configuration that does not decode, after an entry that does", func(l *raft.Log) any {
		e := entry(l.Index+2, 1000)
		e.Type, e.Data = raft.LogConfiguration, []byte{0xff}
		return appends(l, 1000, entry(l.Index+1, 1000), e)
	}, ErrMembership},
	{"the largest term there is", func(l *raft.Log) any { return appends(l, math.MaxUint64) }, errCall},
	{"the largest term there is, in a heartbeat", func(*raft.Log) any {
		return &raft.AppendEntriesRequest{RPCHeader: of("n1"), Term: math.MaxUint64}
	}, errCall},
	{"the largest term there is, for a vote", func(l *raft.Log) any {
		return &raft.RequestVoteRequest{RPCHeader: of("n1"), Term: math.MaxUint64, LastLogIndex: l.Index, LastLogTerm: l.Term}
	}, errCall},
	{"a vote in spite of a leader", func(l *raft.Log) any {
		return &raft.RequestVoteRequest{RPCHeader: of("n1"), Term: 1000, LastLogIndex: l.Index, LastLogTerm: l.Term, LeadershipTransfer: true}
	}, errCall},
	{"leadership is handed over", func(*raft.Log) any { return &raft.TimeoutNowRequest{RPCHeader: of("n1")} }, errCall},
	{"in the name of the victim", func(l *raft.Log) any {
		c := appends(l, 1000)
		c.RPCHeader = of("n2")
		return c
	}, errCall},
	{"in the name of a stranger", func(l *raft.Log) any {
		c := appends(l, 1000)
		c.RPCHeader = of("eve")
		return c
	}, errCall},
	{"with an address of a kilobyte", func(l *raft.Log) any {
		c := appends(l, 1000)
		c.Addr = make([]byte, 1024)
		return c
	}, errCall},
	{"with no address", func(l *raft.Log) any {
		c := appends(l, 1000)
		c.Addr = nil
		return c
	}, errCall},
	{"a snapshot with a configuration that does not decode", func(*raft.Log) any {
		return &raft.InstallSnapshotRequest{RPCHeader: of("n1"), SnapshotVersion: 1, Term: 1000, LastLogIndex: 9, LastLogTerm: 9, Configuration: []byte{0xff}}
	}, ErrMembership},
	{"a snapshot of the version before configurations", func(*raft.Log) any {
		return &raft.InstallSnapshotRequest{RPCHeader: of("n1"), Term: 1000, LastLogIndex: 9, LastLogTerm: 9, Peers: []byte{0xff}}
	}, errCall},
}

func of(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(id), Addr: []byte(id)}
}

func entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Data: []byte("planted")}
}

func appends(previous *raft.Log, term uint64, entries ...*raft.Log) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{RPCHeader: of("n1"), Term: term, PrevLogEntry: previous.Index, PrevLogTerm: previous.Term, Entries: entries}
}

// call makes one call of one member to another, over the network.
func (c *cluster) call(from, to string, command any) (taken bool, err error) {
	c.Helper()
	trans, id, addr := c.nodes[from].transport, raft.ServerID(to), raft.ServerAddress(to)
	switch command := command.(type) {
	case *raft.AppendEntriesRequest:
		var a raft.AppendEntriesResponse
		err = trans.AppendEntries(id, addr, command, &a)
		return a.Success, err
	case *raft.RequestVoteRequest:
		var a raft.RequestVoteResponse
		err = trans.RequestVote(id, addr, command, &a)
		return a.Granted, err
	case *raft.TimeoutNowRequest:
		return false, trans.TimeoutNow(id, addr, command, &raft.TimeoutNowResponse{})
	case *raft.InstallSnapshotRequest:
		var a raft.InstallSnapshotResponse
		err = trans.InstallSnapshot(id, addr, command, &a, strings.NewReader(""))
		return a.Success, err
	}
	c.Fatalf("%T is no call", command)
	return false, nil
}

// R31, R32, R35: a call that no honest member makes changes nothing at the node
// that hears it, and the cluster goes on.
func TestWhatNoHonestMemberSaysNeverReachesRaft(t *testing.T) {
	for _, tt := range liars {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				leader := c.leader()
				c.submit(leader, "one")
				c.agree("one")
				victim := c.nodes["n2"]
				last := c.find("n2", "one")
				term, end := victim.raft.CurrentTerm(), victim.Tail()
				command := tt.call(last)
				if err := victim.transport.check(command); !errors.Is(err, tt.want) {
					t.Errorf("the guard says %v", err)
				}
				for range 3 {
					if taken, _ := c.call("n1", "n2", command); taken {
						t.Error("it was taken")
					}
				}
				if got := victim.raft.CurrentTerm(); got != term {
					t.Errorf("the term was %d, and is %d", term, got)
				}
				if got := victim.Tail(); got != end {
					t.Errorf("the tail was %v, and is %v", end, got)
				}
				if got := victim.Leader(); got != leader {
					t.Errorf("the leader was %s, and is %s", leader, got)
				}
				time.Sleep(time.Minute) // the victim may have led, and stopped
				c.submit(c.leader(), "two")
				c.agree("one", "two")
			})
		})
	}
}

// Every call that honest members do make is let through: an election, a follower
// that comes back after it missed much, and all that the other tests do.
func TestTheGuardRefusesNothingOfHonestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		away := c.followers(leader)[0]
		c.mesh.Cut(away)
		for range 300 {
			c.submit(leader, strings.Repeat("x", 1000))
		}
		c.mesh.Cut(leader)
		time.Sleep(time.Minute)
		c.mesh.Mend(away)
		second := c.leader(leader)
		c.submit(second, "later")
		c.mesh.Mend(leader)
		c.agree("later")
		for id, n := range c.nodes {
			n.transport.mu.Lock()
			if !n.transport.said.IsZero() {
				t.Errorf("%s refused a call of an honest member", id)
			}
			n.transport.mu.Unlock()
		}
	})
}

// The gap that the guard closes: one call takes back what is not applied yet, and
// then holds an entry that is not stored. Raft believes its log to end where it
// did, and panics at the next commit, of an honest leader.
func TestATruncationWithARefusedEntryLeavesTheLogAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "one")
		c.agree("one")
		victim := c.nodes["n2"]
		last := c.find("n2", "one")
		ahead := appends(last, 1000, entry(last.Index+1, 1000), entry(last.Index+2, 1000)) // stored, and not committed
		if taken, err := c.call("n1", "n2", ahead); !taken || err != nil {
			t.Fatal(taken, err)
		}
		refused := entry(last.Index+2, 1001)
		refused.Type = 99
		if taken, _ := c.call("n1", "n2", appends(last, 1001, entry(last.Index+1, 1001), refused)); taken {
			t.Error("it was taken")
		}
		for i := uint64(1); i <= 2; i++ {
			var l raft.Log
			if err := victim.log.GetLog(last.Index+i, &l); err != nil || l.Term != 1000 {
				t.Errorf("entry %d is of the term %d, %v", l.Index, l.Term, err)
			}
		}
		commit := appends(last, 1001)
		commit.LeaderCommitIndex = last.Index + 2
		if _, err := c.call("n1", "n2", commit); err != nil {
			t.Errorf("the node is gone: %v", err)
		}
		time.Sleep(time.Minute)
		if got := victim.Committed(); !strings.Contains(got, "one") {
			t.Errorf("it has %q", got)
		}
	})
}

// R31: terms are bounded by the clock, so that there is always a next one.
func TestALiarCannotUseUpTheTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "one")
		c.agree("one")
		last := c.find("n2", "one")
		for id := range c.nodes {
			if id == "n1" {
				continue
			}
			if taken, err := c.call("n1", id, appends(last, highestTerm(time.Now()))); err != nil {
				t.Fatal(taken, err)
			}
			if _, err := c.call("n1", id, appends(last, highestTerm(time.Now())+1)); err != nil {
				t.Fatal(err)
			}
			if got := c.nodes[id].raft.CurrentTerm(); got != highestTerm(time.Now()) {
				t.Errorf("%s is in the term %d", id, got)
			}
		}
		time.Sleep(time.Minute)
		c.submit(c.leader(), "two")
		c.agree("one", "two")
	})
}

func TestRefusedCallsDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		g := &guard{log: slog.New(slog.NewTextHandler(&lines, nil))}
		for range 1000 {
			g.complain(errCall)
		}
		time.Sleep(quietFor)
		g.complain(errCall)
		if got := strings.Count(lines.String(), "\n"); got != 2 || !strings.Contains(lines.String(), "refused=1000") {
			t.Errorf("%d lines: %s", got, lines.String())
		}
	})
}

// A node that has stopped does not lead, and those who go on elect another, with
// its vote if they need it.
func TestANodeThatHasStoppedDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		first := c.leader()
		c.submit(first, "one")
		c.agree("one")
		c.nodes[first].Halt(ErrFork)
		time.Sleep(time.Minute)
		second := c.leader()
		if second == first {
			t.Fatal("it leads")
		}
		c.submit(second, "two")
		c.agree("one", "two")
		third := c.followers(second)[0]
		if third == first {
			third = c.followers(second)[1]
		}
		c.stop(third) // the majority is now with the one that has stopped
		time.Sleep(time.Minute)
		if got := c.leader(); got != second {
			t.Fatalf("%s leads", got)
		}
		c.submit(second, "three")
		c.agree("one", "two", "three")
	})
}
