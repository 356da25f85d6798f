package consensus

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func configuration(servers ...raft.Server) []byte {
	return raft.EncodeConfiguration(raft.Configuration{Servers: servers})
}

var falseMemberships = []struct {
	sentence string
	kind     raft.LogType
	data     func(r roster) []byte
	want     error // nil: it is the roster
}{
	{"the roster itself", raft.LogConfiguration, func(r roster) []byte { return configuration(r...) }, nil},
	{"the roster in another order", raft.LogConfiguration, func(r roster) []byte { return configuration(r[2], r[0], r[1]) }, nil},
	{"a stranger joins", raft.LogConfiguration, func(r roster) []byte {
		return configuration(append(r[:3:3], raft.Server{ID: "eve", Address: "eve"})...)
	}, ErrMembership},
	{"a member is left out", raft.LogConfiguration, func(r roster) []byte { return configuration(r[:2]...) }, ErrMembership},
	{"nobody is left", raft.LogConfiguration, func(roster) []byte { return configuration() }, ErrMembership},
	{"a member has no vote", raft.LogConfiguration, func(r roster) []byte {
		return configuration(r[0], r[1], raft.Server{Suffrage: raft.Nonvoter, ID: r[2].ID, Address: r[2].Address})
	}, ErrMembership},
	{"a member has another's address", raft.LogConfiguration, func(r roster) []byte {
		return configuration(r[0], r[1], raft.Server{ID: r[2].ID, Address: r[0].Address})
	}, ErrMembership},
	{"a member is there twice", raft.LogConfiguration, func(r roster) []byte { return configuration(r[0], r[1], r[1]) }, ErrMembership},
	{"a member is there twice beside all", raft.LogConfiguration, func(r roster) []byte { return configuration(r[0], r[1], r[2], r[0]) }, ErrMembership},
	{"bytes that do not decode", raft.LogConfiguration, func(roster) []byte { return []byte{0xff} }, ErrMembership},
	{"no bytes", raft.LogConfiguration, func(roster) []byte { return nil }, ErrMembership},
	{"a member is added in the old way", raft.LogAddPeerDeprecated, func(roster) []byte { return []byte("eve") }, ErrMembership},
	{"a member is removed in the old way", raft.LogRemovePeerDeprecated, func(roster) []byte { return []byte("n1") }, ErrMembership},
	{"a barrier", raft.LogBarrier, func(roster) []byte { return nil }, errLogType},
	{"a type that makes Raft panic", 200, func(roster) []byte { return nil }, errLogType},
}

func TestOnlyTheRosterIsAMembership(t *testing.T) {
	r := rosterOf([]string{"n1", "n2", "n3"})
	for _, tt := range falseMemberships {
		err := r.check(&raft.Log{Index: 7, Type: tt.kind, Data: tt.data(r)})
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v", tt.sentence, err)
		}
	}
	for _, kind := range []raft.LogType{raft.LogCommand, raft.LogNoop} {
		if err := r.check(&raft.Log{Type: kind, Data: []byte{0xff}}); err != nil {
			t.Error(err)
		}
	}
}

// R39: the FSM is asked for configurations, and holds them against the roster.
func TestTheMachineHoldsACommittedMembershipAgainstTheRoster(t *testing.T) {
	for _, servers := range []roster{rosterOf([]string{"n1"}), rosterOf([]string{"n1", "eve"})} {
		for name, apply := range map[string]func(f *fsm[string, string]){
			"stored": func(f *fsm[string, string]) { f.StoreConfiguration(3, raft.Configuration{Servers: servers}) },
			"applied": func(f *fsm[string, string]) {
				f.Apply(&raft.Log{Index: 3, Type: raft.LogConfiguration, Data: configuration(servers...)})
			},
		} {
			store := tailOver(raft.NewInmemStore())
			store.floor = mustOpenFloor(t, t.TempDir())
			apply(&fsm[string, string]{states: store.states, floor: store.floor, roster: store.roster})
			if err := store.states.halt.reason(); errors.Is(err, ErrMembership) != (len(servers) > 1) {
				t.Errorf("%s %v: stopped by %v", name, servers, err)
			}
		}
	}
}

// R32: a member that leads, or says so, appends a membership of its own. No node
// works with it, and it is not in the log when the node starts again.
func TestAMemberCannotMakeAnotherWorkWithAFalseMembership(t *testing.T) {
	for _, tt := range falseMemberships {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				leader := c.leader()
				c.submit(leader, "one")
				c.agree("one")
				liar, victim := c.followers(leader)[0], c.followers(leader)[1]
				n := c.nodes[victim]
				end := n.Tail().End
				taken := c.append(liar, victim, 1000, end, &raft.Log{Type: tt.kind, Data: tt.data(n.store.roster)})
				if err := n.Stopped(); errors.Is(err, ErrMembership) != errors.Is(tt.want, ErrMembership) || taken != (tt.want == nil) {
					t.Errorf("taken: %v, stopped by %v", taken, err)
				}
				if got := n.Tail().End; tt.want != nil && got != end {
					t.Errorf("the log ends at %d, and ended at %d", got, end)
				}
				f := n.raft.GetConfiguration()
				if err := f.Error(); err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(len(f.Configuration().Servers), n.store.roster.is(0, f.Configuration())); got != "3 <nil>" {
					t.Errorf("Raft works with %s", got)
				}
				time.Sleep(time.Minute)
				for _, n := range c.nodes {
					if tt.want == nil && errors.Is(n.Stopped(), ErrFork) {
						return // the entry of the high term has taken the place of what was committed meanwhile
					}
				}
				c.submit(c.leader(), "two")
				c.agree("one", "two")
				c.stop(victim)
				c.start(victim)
				if err := c.nodes[victim].Stopped(); err != nil {
					t.Errorf("started again: %v", err)
				}
				c.agree("one", "two")
			})
		})
	}
}
