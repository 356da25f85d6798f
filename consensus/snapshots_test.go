package consensus

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestSnapshotsAreRefusedByName(t *testing.T) {
	var s noSnapshots
	if _, err := s.Create(1, 9, 9, raft.Configuration{}, 1, nil); !errors.Is(err, ErrSnapshotsOff) {
		t.Errorf("create: %v", err)
	}
	if _, _, err := s.Open("x"); !errors.Is(err, ErrSnapshotsOff) {
		t.Errorf("open: %v", err)
	}
	if l, err := s.List(); len(l) != 0 || err != nil {
		t.Errorf("list: %v, %v", l, err)
	}
	f := fsm[string, string]{}
	if _, err := f.Snapshot(); !errors.Is(err, ErrSnapshotsOff) {
		t.Errorf("snapshot: %v", err)
	}
	if err := f.Restore(nil); !errors.Is(err, ErrSnapshotsOff) {
		t.Errorf("restore: %v", err)
	}
}

// R32, R40: neither we ourselves nor a leader of a high term can file one.
func TestANodeNeitherMakesNorInstallsASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "kept")
		c.agree("kept")
		if err := c.nodes[leader].raft.Snapshot().Error(); err == nil || !strings.Contains(err.Error(), ErrSnapshotsOff.Error()) {
			t.Errorf("make: %v", err)
		}
		liar, victim := c.followers(leader)[0], c.followers(leader)[1]
		before := c.nodes[victim].Committed()
		forged := "a state of my own"
		var answer raft.InstallSnapshotResponse
		err := c.nodes[liar].transport.InstallSnapshot(raft.ServerID(victim), raft.ServerAddress(victim), &raft.InstallSnapshotRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(liar), Addr: []byte(liar)}, SnapshotVersion: 1,
			Term: 1000, Leader: []byte(liar), LastLogIndex: 1000, LastLogTerm: 1000, Size: int64(len(forged)),
			Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(liar), Address: raft.ServerAddress(liar)}}}),
		}, &answer, strings.NewReader(forged))
		if err == nil || !strings.Contains(err.Error(), ErrSnapshotsOff.Error()) || answer.Success {
			t.Errorf("install: %v, %v", answer.Success, err)
		}
		if got := c.nodes[victim].Committed(); got != before {
			t.Errorf("the victim has %q, had %q", got, before)
		}
		time.Sleep(time.Minute)
		c.submit(c.leader(), "after")
		c.agree("kept", "after")
	})
}
