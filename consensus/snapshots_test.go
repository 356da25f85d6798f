package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
)

// small is a policy under which everything happens at once: segments rotate after
// a few entries, and a snapshot takes the whole log. Snapshots are asked for.
var small = Policy{Segment: 4096, Interval: time.Hour, Threshold: 1 << 30, Trailing: 0}

func (c *cluster) snapshot(id string) {
	c.Helper()
	if err := c.nodes[id].raft.Snapshot().Error(); err != nil {
		c.Fatalf("a snapshot of %s: %v", id, err)
	}
}

// fill submits n entries, large enough to fill segments.
func (c *cluster) fill(id, name string, n int) {
	c.Helper()
	for i := range n {
		c.submit(id, fmt.Sprintf("%s%d-%s", name, i, strings.Repeat("x", 300)))
	}
}

func (c *cluster) file(id string) string { return filepath.Join(c.dirs[id], "raft", snapshotName) }

func (c *cluster) fileOf(id string) []byte {
	c.Helper()
	b, err := os.ReadFile(c.file(id))
	if err != nil {
		c.Fatal(err)
	}
	return b
}

// R36, R37, R38: a follower that was away while the others compacted is brought up
// by a snapshot, among five nodes that go on; then by the log; then it leads.
func TestALaggingFollowerIsBroughtUpByASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := small
		p.Trailing = 8 // more than the follower has, less than the others go on
		c := newClusterWith(t, 5, p)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "before")
		c.agree("before")
		away := c.followers(leader)[0]
		c.mesh.Cut(away)
		c.submit(leader, "deny x")
		c.fill(leader, "e", 30)
		for _, id := range c.voters {
			if id != away {
				time.Sleep(5 * time.Second)
				c.snapshot(id)
			}
		}
		if first, _ := c.nodes[leader].store.FirstIndex(); first < 20 {
			t.Fatalf("the leader's log begins at %d: this shows nothing", first)
		}
		c.fill(leader, "f", 5)
		c.mesh.Mend(away)
		for i := range 20 { // entries go on
			if _, err := c.nodes[leader].Submit(t.Context(), fmt.Appendf(nil, "g%d", i)); err != nil {
				leader = c.leader()
			}
			time.Sleep(500 * time.Millisecond)
		}
		c.agree("before", "deny x", "f4")
		n := c.nodes[away]
		if told := c.told[away].String(); !strings.Contains(told, "installed:") || strings.Contains(told, ":e5-") || !strings.Contains(told, ":f4-") {
			t.Errorf("it was told %s", told)
		}
		if err := n.Stopped(); err != nil {
			t.Errorf("stopped by %v", err)
		}
		if n.AppliedIndex() != c.nodes[leader].AppliedIndex() || n.Tail().End != c.nodes[leader].Tail().End {
			t.Errorf("applied %d, tail %d; the leader %d, %d", n.AppliedIndex(), n.Tail().End, c.nodes[leader].AppliedIndex(), c.nodes[leader].Tail().End)
		}
		c.submit(c.leader(), "after")
		c.agree("after")
		if at, known := n.At(n.AppliedIndex()); !known || at.Link != chain.Link(n.Committed()) || at.Index != chain.Last(n.Committed()) {
			t.Errorf("it names %v, %v", at, known)
		}
		// Restarted, it has the snapshot, and the log above it.
		want := n.Tail()
		c.mesh.Cut(away)
		c.stop(away)
		c.start(away)
		n = c.nodes[away]
		if got := n.Tail(); got.State != want.State || got.End != want.End || n.Stopped() != nil {
			t.Errorf("restarted, it has %v, stopped by %v", got, n.Stopped())
		}
		if !strings.HasPrefix(c.told[away].String(), "installed:") {
			t.Errorf("restarted, it was told %s", c.told[away])
		}
		c.mesh.Mend(away)
		c.leader()
		c.agree("after")
	})
}

// What a snapshot covers is not replayed at start; the rest of the log is, and the
// floor is looked for in both.
func TestARestartAfterASnapshot(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		trailing uint64
		after    int // entries above the snapshot
		away     string
		want     error
	}{
		{"the whole log is gone", 0, 0, "", nil},
		{"entries stand above it", 0, 3, "", nil},
		{"entries stand below it, too", 4, 3, "", nil},
		{"the snapshot is gone", 0, 3, snapshotName, ErrGap},
		{"the snapshot is gone, and the log ends below the floor", 0, 0, snapshotName, ErrFork},
		{"the log is gone", 0, 3, "*.wal wal-meta.db", ErrFork},
		{"the floor is in the snapshot", 0, 0, "*.wal wal-meta.db", nil},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := small
				p.Trailing = tt.trailing
				c := newClusterWith(t, 1, p)
				defer c.close()
				c.leader()
				c.fill("n1", "e", 12)
				c.snapshot("n1")
				c.fill("n1", "f", tt.after)
				want := c.nodes["n1"].Tail()
				c.stop("n1")
				for _, name := range strings.Fields(tt.away) {
					gone, _ := filepath.Glob(filepath.Join(c.dirs["n1"], "raft", name))
					for _, path := range gone {
						if err := os.Remove(path); err != nil {
							t.Fatal(err)
						}
					}
				}
				c.start("n1")
				n := c.nodes["n1"]
				if err := n.Stopped(); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("stopped by %v, want %v", err, tt.want)
				}
				if tt.want != nil {
					return
				}
				if got := n.Tail(); got != want {
					t.Errorf("the tail is %v, was %v", got, want)
				}
				c.submit(c.leader(), "more")
				c.agree("e11", "more")
				if told := c.told["n1"].String(); strings.Contains(told, ":e") || strings.Count(told, ":f") != tt.after {
					t.Errorf("it was told %s", told)
				}
			})
		})
	}
}

// A snapshot that was damaged on disk is refused by name.
func TestADamagedSnapshotIsRefusedAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 1, small)
		defer c.close()
		c.leader()
		c.fill("n1", "e", 12)
		c.snapshot("n1")
		c.stop("n1")
		good := c.fileOf("n1")
		for i := 0; i < len(good); i += 1 + len(good)/50 {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			if err := os.WriteFile(c.file("n1"), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(c.config("n1")); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("byte %d of %d: %v", i, len(good), err)
			}
		}
		for _, bad := range [][]byte{nil, good[:30], good[:len(good)-1]} {
			if err := os.WriteFile(c.file("n1"), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(c.config("n1")); !errors.Is(err, ErrSnapshot) {
				t.Errorf("%d bytes of %d: %v", len(bad), len(good), err)
			}
		}
		if err := os.WriteFile(c.file("n1"), good, 0o600); err != nil {
			t.Fatal(err)
		}
		c.start("n1")
		c.submit(c.leader(), "more")
	})
}

// Without t signatures nothing is filed, and when they come it is.
func TestASnapshotWaitsForItsSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, small)
		defer c.close()
		leader := c.leader()
		c.fill(leader, "e", 5)
		c.agree("e4")
		for _, id := range c.followers(leader) {
			c.running.Delete(id) // nobody hears them
		}
		begin := time.Now()
		if err := c.nodes[leader].raft.Snapshot().Error(); err == nil || !strings.Contains(err.Error(), ErrTooFewSignatures.Error()) {
			t.Errorf("with one signature of three: %v", err)
		}
		if waited := time.Since(begin); waited < gatherTime || waited > gatherTime+time.Second {
			t.Errorf("it waited %v", waited)
		}
		if _, err := os.Stat(c.file(leader)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it was filed: %v", err)
		}
		if first, _ := c.nodes[leader].store.FirstIndex(); first != 1 {
			t.Errorf("the log begins at %d", first)
		}
		if !c.logs.has("no snapshot was made", "too few members") {
			t.Error("the log does not say so")
		}
		if left, _ := filepath.Glob(filepath.Join(c.dirs[leader], "raft", snapshotNew+"*")); left != nil {
			t.Errorf("%v were left", left)
		}
		for _, id := range c.followers(leader) {
			c.running.Store(id, c.nodes[id])
		}
		c.snapshot(leader)
		if _, err := os.Stat(c.file(leader)); err != nil {
			t.Error(err)
		}
		if err := c.nodes[leader].raft.Snapshot().Error(); !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			t.Errorf("again, with nothing new: %v", err)
		}
	})
}

// A node that leaves does not wait for signatures.
func TestClosingDoesNotWaitForSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, small)
		defer c.close()
		leader := c.leader()
		c.fill(leader, "e", 5)
		for _, id := range c.voters {
			c.running.Delete(id)
		}
		f := c.nodes[leader].raft.Snapshot()
		time.Sleep(time.Second)
		begin := time.Now()
		c.stop(leader)
		if waited := time.Since(begin); waited > 5*time.Second {
			t.Errorf("it waited %v", waited)
		}
		if f.Error() == nil {
			t.Error("a snapshot was made")
		}
	})
}

// R39: a configuration entry at the end does not stop a snapshot.
func TestASnapshotAfterAConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, small)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "one")
		// The same membership again, which changes nothing, is written as an entry.
		if err := c.nodes[leader].raft.AddVoter(raft.ServerID(leader), raft.ServerAddress(leader), 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
		c.agree("one")
		c.snapshot(leader)
		have := c.nodes[leader].snapshots.last()
		if have.ConfigurationIndex != have.Index || have.Index != c.nodes[leader].Tail().End {
			t.Errorf("it ends at %d, its membership is of %d, the log ends at %d", have.Index, have.ConfigurationIndex, c.nodes[leader].Tail().End)
		}
		away := c.followers(leader)[0]
		c.stop(away)
		c.submit(leader, "two")
		c.snapshot(leader)
		c.start(away)
		c.leader()
		c.agree("one", "two")
	})
}

// forgery is what a lying member puts into an InstallSnapshot.
type forgery struct {
	index, term   uint64
	certificate   certificate
	state         string
	configuration raft.Configuration
	raw           []byte // instead of certificate and state
}

func (f *forgery) signed(by ...string) {
	f.certificate.Signatures = nil
	for _, id := range by {
		f.certificate.Signatures = append(f.certificate.Signatures, signedBy("cluster", id, f.certificate.Index, f.certificate.Link))
	}
}

// install sends a snapshot as a member of a higher term would.
func (c *cluster) install(liar, victim string, f *forgery) (bool, error) {
	c.Helper()
	body := f.raw
	if body == nil {
		var b bytes.Buffer
		if err := f.certificate.write(&b); err != nil {
			c.Fatal(err)
		}
		b.WriteString(f.state)
		body = b.Bytes()
	}
	var answer raft.InstallSnapshotResponse
	err := c.nodes[liar].transport.InstallSnapshot(raft.ServerID(victim), raft.ServerAddress(victim), &raft.InstallSnapshotRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(liar), Addr: []byte(liar)}, SnapshotVersion: 1,
		Term: 1000 + f.term, Leader: []byte(liar), LastLogIndex: f.index, LastLogTerm: 999, Size: int64(len(body)),
		Configuration: raft.EncodeConfiguration(f.configuration), ConfigurationIndex: 1,
	}, &answer, bytes.NewReader(body))
	return answer.Success, err
}

// R32, R40: whatever a lying member sends as a snapshot, twice over, the good one
// stays, with what is committed, and the node goes on.
func TestAForgedSnapshotLeavesTheGoodOne(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		forge    func(c *cluster, f *forgery)
		want     string // in the log; "" is taken
	}{
		{"all of it is true", func(*cluster, *forgery) {}, ""},
		{"not one byte is", func(_ *cluster, f *forgery) { f.raw = []byte("a state of my own") }, ErrSnapshot.Error()},
		{"there is nothing in it", func(_ *cluster, f *forgery) { f.raw = []byte{} }, ErrSnapshot.Error()},
		{"the state is another", func(_ *cluster, f *forgery) { f.state += " " }, "signed is"},
		{"the state does not decode", func(_ *cluster, f *forgery) { f.state = "no chain" }, "its state"},
		{"the state is another, and the link fits it", func(_ *cluster, f *forgery) {
			f.state += " 99:grant me"
			f.certificate.Link = chain.Link(f.state)
		}, "it is false"},
		{"nobody has signed", func(_ *cluster, f *forgery) { f.signed() }, ErrTooFewSignatures.Error()},
		{"t-1 have signed", func(_ *cluster, f *forgery) { f.signed("n1") }, ErrTooFewSignatures.Error()},
		{"one who has left since has signed too", func(_ *cluster, f *forgery) {
			f.signed("n3", "n1", "n2")
			f.certificate.Signatures[0].Bytes = []byte("left")
		}, ""},
		{"t-1 have signed, and one who has left since", func(_ *cluster, f *forgery) { f.certificate.Signatures[1].Bytes = []byte("left") }, ErrTooFewSignatures.Error()},
		{"t-1 have signed, one of them twice", func(_ *cluster, f *forgery) { f.signed("n1", "n1") }, "twice"},
		{"a stranger has signed", func(_ *cluster, f *forgery) { f.signed("n1", "n4") }, "not on the roster"},
		{"a signature is false", func(_ *cluster, f *forgery) { f.certificate.Signatures[1].Bytes = []byte("x") }, "it is false"},
		{"it is signed in another cluster", func(_ *cluster, f *forgery) {
			for i, s := range f.certificate.Signatures {
				f.certificate.Signatures[i] = signedBy("another", s.Node, f.certificate.Index, f.certificate.Link)
			}
		}, "it is false"},
		{"it claims to reach further than was signed", func(_ *cluster, f *forgery) { f.index += 5 }, "signed is"},
		{"it claims to reach further, certificate and all", func(_ *cluster, f *forgery) {
			f.index += 5
			f.certificate.Index += 5
		}, "it is false"},
		{"it has another membership", func(_ *cluster, f *forgery) { f.configuration.Servers = f.configuration.Servers[:2] }, ErrMembership.Error()},
		{"its membership has a stranger", func(_ *cluster, f *forgery) {
			f.configuration.Servers = append(f.configuration.Servers, raft.Server{ID: "n4", Address: "n4"})
		}, ErrMembership.Error()},
		{"it is older than what is applied", func(c *cluster, f *forgery) {
			f.index = 3
			f.state = c.nodes["n1"].prefix(3)
			f.certificate = certificate{Index: 3, Link: chain.Link(f.state)}
			f.signed("n1", "n2")
		}, ErrBehind.Error()},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClusterWith(t, 3, small)
				defer c.close()
				leader := c.leader()
				c.fill(leader, "e", 12)
				c.agree("e11")
				liar, victim := c.followers(leader)[0], c.followers(leader)[1]
				c.snapshot(victim)
				good := c.fileOf(victim)
				n := c.nodes[victim]
				before := n.Committed()
				// What the liar has: a true state further on, signed by t.
				later := before + " 900:later"
				f := &forgery{index: 900, state: later, configuration: raft.Configuration{Servers: rosterOf(c.voters)}, certificate: certificate{Index: 900, Link: chain.Link(later)}}
				f.signed("n1", "n2")
				tt.forge(c, f)
				for range 2 { // two forged ones reaped the good one
					f.term++
					taken, err := c.install(liar, victim, f)
					if taken != (tt.want == "") || (err == nil) != taken {
						t.Errorf("taken: %v, %v", taken, err)
					}
				}
				if err := n.Stopped(); err != nil {
					t.Errorf("it stopped: %v", err)
				}
				if tt.want == "" {
					if n.Committed() != later || n.AppliedIndex() != 900 || bytes.Equal(c.fileOf(victim), good) {
						t.Errorf("it has %q, applied %d", n.Committed(), n.AppliedIndex())
					}
					return
				}
				if !bytes.Equal(c.fileOf(victim), good) || n.Committed() != before {
					t.Error("the good one is gone")
				}
				if !c.logs.has("a snapshot was refused", "own=false", tt.want) {
					t.Errorf("the log does not say %q", tt.want)
				}
				if left, _ := filepath.Glob(filepath.Join(c.dirs[victim], "raft", snapshotNew+"*")); left != nil {
					t.Errorf("%v were left", left)
				}
				time.Sleep(time.Minute)
				c.submit(c.leader(), "after")
				c.agree("e11", "after")
				c.stop(victim)
				c.start(victim)
				c.leader()
				c.agree("e11", "after")
			})
		})
	}
}

// prefix is the state after the commands up to an index.
func (c *Consensus[S, R]) prefix(index uint64) S {
	state := c.states.machine.Genesis
	for i := uint64(1); i <= index; i++ {
		var l raft.Log
		if c.log.GetLog(i, &l) == nil && l.Type == raft.LogCommand {
			state, _ = c.states.machine.Apply(state, i, l.Data)
		}
	}
	return state
}

// Two histories with t signatures each: then too many members lie, and this node
// says so instead of choosing.
func TestASignedSnapshotOfAnotherHistoryIsAFork(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		back     uint64 // how far below what is applied
	}{{"at what is applied", 0}, {"below what is applied", 3}} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClusterWith(t, 3, small)
				defer c.close()
				leader := c.leader()
				c.fill(leader, "e", 12)
				c.agree("e11")
				liar, victim := c.followers(leader)[0], c.followers(leader)[1]
				n := c.nodes[victim]
				before := n.Committed()
				index := n.AppliedIndex() - tt.back
				other := fmt.Sprintf("genesis %d:another past", index)
				f := &forgery{index: index, state: other, configuration: raft.Configuration{Servers: rosterOf(c.voters)}, certificate: certificate{Index: index, Link: chain.Link(other)}}
				f.signed("n1", "n2")
				if taken, err := c.install(liar, victim, f); taken || err == nil {
					t.Error("it was taken")
				}
				if err := n.Stopped(); !errors.Is(err, ErrFork) {
					t.Errorf("stopped by %v", err)
				}
				if n.Committed() != before {
					t.Error("committed moved")
				}
				if _, err := os.Stat(c.file(victim)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("it was filed: %v", err)
				}
			})
		})
	}
}

// R37, R38: a deny that is stored above a snapshot's end is not lost by its
// install, which Raft would let delete the whole log.
func TestAnInstallTakesNoDenyOutOfTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, small)
		defer c.close()
		leader := c.leader()
		c.fill(leader, "e", 3)
		c.agree("e2")
		liar, victim := c.followers(leader)[0], c.followers(leader)[1]
		n := c.nodes[victim]
		applied := n.AppliedIndex()
		state := n.Committed()
		c.mesh.Cut(leader)
		end := n.Tail().End
		for i := uint64(1); i <= 5; i++ { // stored there, and committed nowhere
			if !c.append(liar, victim, 1000, end+i-1, &raft.Log{Data: fmt.Appendf(nil, "deny %d", i)}) {
				t.Fatal("it was not stored")
			}
		}
		if !strings.Contains(n.Tail().State, "deny 5") || n.AppliedIndex() != applied {
			t.Fatalf("the tail is %q", n.Tail().State)
		}
		for _, index := range []uint64{end, end + 2, end + 4} {
			f := &forgery{index: index, state: state, configuration: raft.Configuration{Servers: rosterOf(c.voters)}, certificate: certificate{Index: index, Link: chain.Link(state)}}
			f.signed("n1", "n2")
			if taken, err := c.install(liar, victim, f); taken || err == nil {
				t.Errorf("at %d it was taken", index)
			}
			if !strings.Contains(n.Tail().State, "deny 5") || c.logAt(victim, end+5) == nil {
				t.Errorf("at %d: the tail is %q", index, n.Tail().State)
			}
		}
		if !c.logs.has("a snapshot was refused", ErrBehind.Error(), "the log at") {
			t.Error("the log does not say so")
		}
		if err := n.Stopped(); err != nil {
			t.Errorf("it stopped: %v", err)
		}
	})
}

func (c *cluster) logAt(id string, index uint64) *raft.Log {
	c.Helper()
	var l raft.Log
	if err := c.nodes[id].store.GetLog(index, &l); err != nil {
		c.Fatalf("entry %d of %s: %v", index, id, err)
	}
	return &l
}

// A crash between any two steps of filing leaves the old one or the new one, and
// the node starts with it; an install that was filed and not restored goes on.
func TestACrashWhileASnapshotIsFiled(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		op       disk.Op
		path     string
		filed    bool
	}{
		{"before it is begun", disk.Create, snapshotNew, false},
		{"while it is written", disk.Write, snapshotNew, false},
		{"before it is synced", disk.Sync, snapshotNew, false},
		{"before it is renamed", disk.Rename, snapshotName, false},
		{"after it was renamed", disk.Sync, "raft", true},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClusterWith(t, 3, small)
				defer c.close()
				leader := c.leader()
				away := c.followers(leader)[0]
				c.fill(leader, "e", 5)
				c.agree("e4")
				c.snapshot(away)
				c.stop(away)
				old := c.fileOf(away)
				var dead fault
				c.disk[away] = func(op disk.Op, path string) error {
					if op == tt.op && strings.HasPrefix(filepath.Base(path), tt.path) && (op != disk.Sync || tt.path != "raft" || !bytes.Equal(c.fileOf(away), old)) {
						dead.set(errDisk) // nothing of this incarnation reaches the disk any more
					}
					return dead.before(op, path)
				}
				c.fill(leader, "f", 12)
				for _, id := range c.voters {
					if id != away {
						c.snapshot(id)
					}
				}
				c.start(away)
				time.Sleep(time.Minute)
				if dead.err.Load() == nil {
					t.Fatal("the crash did not come")
				}
				c.stop(away)
				if now := c.fileOf(away); bytes.Equal(now, old) == tt.filed {
					t.Errorf("filed is %v, want %v", !bytes.Equal(now, old), tt.filed)
				}
				delete(c.disk, away)
				c.start(away)
				if err := c.nodes[away].Stopped(); err != nil {
					t.Fatalf("it starts stopped: %v", err)
				}
				if tt.filed != strings.Contains(c.nodes[away].Committed(), "f11") {
					t.Errorf("it starts with %.60q", c.nodes[away].Committed())
				}
				if left, _ := filepath.Glob(filepath.Join(c.dirs[away], "raft", snapshotNew+"*")); left != nil {
					t.Errorf("%v were left", left)
				}
				c.submit(c.leader(), "after")
				c.agree("e4", "f11", "after")
			})
		})
	}
}

// A node's own snapshot does not take the place of a later one.
func TestAnOlderSnapshotIsNotFiledOverANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 1, small)
		defer c.close()
		c.leader()
		c.fill("n1", "e", 3)
		s := c.nodes["n1"].snapshots
		write := func(index uint64) error {
			k, err := s.Create(1, index, 1, raft.Configuration{Servers: s.roster}, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.(*sink[string, string]).own = true
			link := chain.Link(c.nodes["n1"].Committed())
			cert := certificate{Index: index, Link: link, Signatures: []Signature{signedBy("cluster", "n1", index, link)}}
			if err := errors.Join(cert.write(k), chain.Encode(c.nodes["n1"].Committed(), k)); err != nil {
				t.Fatal(err)
			}
			return k.Close()
		}
		if err := errors.Join(write(20), write(21)); err != nil {
			t.Fatal(err)
		}
		if err := write(20); !errors.Is(err, ErrBehind) {
			t.Errorf("got %v", err)
		}
		if have := s.last(); have.Index != 21 {
			t.Errorf("%d is filed", have.Index)
		}
		if _, _, err := s.Open("1-20"); err == nil {
			t.Error("what is gone is opened")
		}
	})
}

// A snapshot that never ends is cut off.
func TestASnapshotIsBounded(t *testing.T) {
	k := &sink[string, string]{meta: &filed{size: maxSnapshot}}
	if _, err := k.Write([]byte{1}); !errors.Is(err, ErrSnapshot) {
		t.Errorf("got %v", err)
	}
	g := &guard{roster: rosterOf([]string{"n1", "n2"}), node: "n1"}
	call := &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ID: []byte("n2"), Addr: []byte("n2")}, SnapshotVersion: 1, Configuration: raft.EncodeConfiguration(raft.Configuration{}), Size: maxSnapshot}
	if err := g.check(call); err != nil {
		t.Error(err)
	}
	call.Size++
	if err := g.check(call); !errors.Is(err, errCall) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadCertificate(f *testing.F) {
	var b bytes.Buffer
	c := certificate{Index: 9, Link: api.Digest{1}, Signatures: []Signature{{Node: "n1", Bytes: []byte("x")}}}
	if err := c.write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readCertificate(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := c.write(&again); err != nil || !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("written again, it is other bytes (%v)", err)
		}
	})
}
