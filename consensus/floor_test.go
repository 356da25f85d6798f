package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
)

func mustOpenFloor(t *testing.T, dir string) *floor {
	t.Helper()
	f, err := openFloor(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.close() })
	return f
}

func TestTheFloorOnlyRisesAndIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	f := mustOpenFloor(t, dir)
	if f.index.Load() != 0 {
		t.Errorf("a new floor is %d", f.index.Load())
	}
	for _, step := range []struct{ to, want uint64 }{{5, 5}, {3, 5}, {5, 5}, {6, 6}, {9, 9}} {
		if err := f.advance(step.to, api.Digest{byte(step.to)}); err != nil {
			t.Fatal(err)
		}
		again := mustOpenFloor(t, dir)
		if got := again.index.Load(); got != step.want || again.link != (api.Digest{byte(step.want)}) {
			t.Errorf("raised to %d, the floor on disk is %d with link %v", step.to, got, again.link)
		}
	}
	info, err := os.Stat(filepath.Join(dir, floorName))
	if err != nil || info.Mode().Perm() != 0o600 { // R27
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A write that is cut short costs at most that write.
func TestATornWriteOfTheFloorLeavesTheOneBefore(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		pages    []int64
		want     uint64 // 0: refused
	}{
		{"nothing is torn", nil, 8},
		{"the newest slot is torn", []int64{1}, 7},
		{"the older slot is torn", []int64{0}, 8},
		{"both are damaged", []int64{0, 1}, 0},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			dir := t.TempDir()
			f := mustOpenFloor(t, dir)
			for _, to := range []uint64{6, 7, 8} { // pages 1, 0, 1
				if err := f.advance(to, api.Digest{1}); err != nil {
					t.Fatal(err)
				}
			}
			for _, page := range tt.pages {
				if _, err := f.file.WriteAt([]byte("torn"), page*floorPage+12); err != nil {
					t.Fatal(err)
				}
			}
			again, err := openFloor(nil, dir)
			if tt.want == 0 {
				if !errors.Is(err, ErrFloor) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = again.close() }()
			if got := again.index.Load(); got != tt.want {
				t.Errorf("the floor is %d, want %d", got, tt.want)
			}
			if err := again.advance(9, api.Digest{2}); err != nil {
				t.Fatal(err)
			}
			if got := mustOpenFloor(t, dir); got.index.Load() != 9 || got.link != (api.Digest{2}) {
				t.Errorf("raised again, it is %d", got.index.Load())
			}
		})
	}
}

func TestAFloorThatCannotBeWrittenStopsTheNode(t *testing.T) {
	f := newFollower(t)
	f.floor = mustOpenFloor(t, t.TempDir())
	fsm := &fsm[string, string]{states: f.states, floor: f.floor, roster: f.roster, applied: func(uint64, []byte, string) {}, changed: func() {}}
	f.store(command(1, "a"), command(2, "b"))
	fsm.Apply(command(1, "a"))
	if err := f.states.halt.reason(); err != nil {
		t.Fatal(err)
	}
	file := f.floor.file
	f.floor.file, _ = os.Open(file.Name()) // not for writing
	fsm.Apply(command(2, "b"))
	if err := f.states.halt.reason(); !errors.Is(err, ErrFloor) {
		t.Errorf("stopped by %v", err)
	}
	f.want("1:a 2:b", "1:a 2:b", 2)
	if err := f.DeleteRange(2, 2); !errors.Is(err, ErrFork) {
		t.Errorf("what is applied was truncated: %v", err)
	}
	_ = f.floor.file.Close()
	f.floor.file = file
	if err := f.floor.advance(3, api.Digest{}); !errors.Is(err, ErrFloor) {
		t.Errorf("it was written again: %v", err)
	}
}

// Committed moves when the floor below it is durable, and not before.
func TestTheFloorIsDurableBeforeCommittedMoves(t *testing.T) {
	f := newFollower(t)
	dir := t.TempDir()
	f.floor = mustOpenFloor(t, dir)
	var fell []uint64
	fsm := &fsm[string, string]{states: f.states, floor: f.floor, roster: f.roster, changed: func() {}}
	fsm.applied = func(index uint64, _ []byte, _ string) { fell = append(fell, mustOpenFloor(t, dir).index.Load()) }
	f.store(membership(1), command(2, "a"), command(3, "b"))
	if out := fsm.ApplyBatch([]*raft.Log{membership(1), command(2, "a"), command(3, "b")}); out[1] != "a" || out[2] != "b" || len(out) != 3 {
		t.Errorf("the results are %v", out)
	}
	if len(fell) != 2 || fell[0] != 3 || fell[1] != 3 {
		t.Errorf("when entries were told, the floor on disk was %v", fell)
	}
	if want := chain.Link(*f.states.committed.Load()); f.floor.link != want {
		t.Error("the floor's link is not that of the committed state")
	}
}

// R35, R36: over the real log, with segments that rotate.
func TestNothingAtOrBelowTheFloorIsTruncated(t *testing.T) {
	dir := t.TempDir()
	disk, err := wal.Open(dir, wal.WithSegmentSize(4096))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{T: t, tailStore: tailOver(disk)}
	f.floor = mustOpenFloor(t, dir)
	fsm := &fsm[string, string]{states: f.states, floor: f.floor, roster: f.roster, applied: func(uint64, []byte, string) {}, changed: func() {}}
	pad := strings.Repeat("x", 500)
	for i := uint64(1); i <= 40; i++ {
		f.store(command(i, pad))
	}
	for i := uint64(1); i <= 30; i++ {
		fsm.Apply(command(i, pad))
	}
	before := *f.states.committed.Load()
	f.delete(36, 40)
	if err := f.states.halt.reason(); err != nil {
		t.Fatalf("truncation above the floor: %v", err)
	}
	queued := func() uint64 { return 33 } // Raft has handed these to its FSM
	f.queued.Store(&queued)
	for name, err := range map[string]error{
		"truncation at the floor":               f.DeleteRange(30, 35),
		"truncation of everything":              f.DeleteRange(1, 35),
		"truncation beyond the end":             f.DeleteRange(2, 99),
		"truncation of what waits in the queue": f.DeleteRange(33, 35),
		"a store over the floor":                f.StoreLog(command(30, "other")),
		"a store over what waits in the queue":  f.StoreLog(command(32, "other")),
	} {
		if !errors.Is(err, ErrFork) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.states.halt.reason(); !errors.Is(err, ErrFork) {
		t.Errorf("stopped by %v", err)
	}
	f.delete(34, 35) // what is not applied may go, also then
	if got := *f.states.committed.Load(); got != before || f.states.tail.Load().End != 33 {
		t.Errorf("the tail ends at %d", f.states.tail.Load().End)
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}

	if disk, err = wal.Open(dir, wal.WithSegmentSize(4096)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	again := tailOver(disk)
	again.floor = mustOpenFloor(t, dir)
	if err := errors.Join(again.replay(), again.states.halt.reason()); err != nil {
		t.Fatal(err)
	}
	if err := again.DeleteRange(30, 33); !errors.Is(err, ErrFork) {
		t.Errorf("after a restart: %v", err)
	}
}

// Raft's FSM can be handed an entry that its main goroutine has meanwhile
// truncated. Two histories are then known, whichever the log keeps.
func TestAnEntryAppliedThatTheLogDoesNotHoldIsAFork(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(2, "b"))
	f.states.apply(1, []byte("a"))
	if err := f.states.halt.reason(); err != nil {
		t.Fatal(err)
	}
	f.states.apply(2, []byte("planted"))
	if err := f.states.halt.reason(); !errors.Is(err, ErrFork) {
		t.Errorf("got %v", err)
	}
}

// find is where a node's log has a command.
func (c *cluster) find(id, entry string) *raft.Log {
	c.Helper()
	last, err := c.nodes[id].log.LastIndex()
	for i := uint64(1); err == nil && i <= last; i++ {
		var l raft.Log
		if err = c.nodes[id].log.GetLog(i, &l); err == nil && string(l.Data) == entry {
			return &l
		}
	}
	if err != nil {
		c.Fatal(err)
	}
	return nil
}

// append is one AppendEntries of a member that lies about its term: the entries
// come after the one with index previous in the victim's log.
func (c *cluster) append(liar, victim string, term, previous uint64, entries ...*raft.Log) bool {
	c.Helper()
	var before raft.Log
	if err := c.nodes[victim].log.GetLog(previous, &before); err != nil {
		c.Fatal(err)
	}
	for i, e := range entries {
		e.Index, e.Term = previous+1+uint64(i), term
	}
	request := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(liar), Addr: []byte(liar)},
		Term:      term, PrevLogEntry: before.Index, PrevLogTerm: before.Term, Entries: entries,
	}
	var answer raft.AppendEntriesResponse
	var err error
	for range 3 { // pooled streams to a node that has been started again are dead
		if err = c.nodes[liar].transport.AppendEntries(raft.ServerID(victim), raft.ServerAddress(victim), request, &answer); err == nil {
			return answer.Success
		}
	}
	c.Fatal(err)
	return false
}

// R35: one AppendEntries of a higher term from a member of the roster. Without the
// floor it takes a committed entry away, and after a restart nobody knows that
// there was one. With it the entry stays, and the node says what was tried.
func TestAMemberCannotMakeAnotherForgetWhatIsCommitted(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		floor    bool
	}{
		{"with the floor the entry stays", true},
		{"without the floor it is gone", false}, // the fault that the floor is for
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				leader := c.leader()
				c.submit(leader, "deny x")
				c.agree("deny x")
				liar, victim := c.followers(leader)[0], c.followers(leader)[1]
				n, deny := c.nodes[victim], c.find(victim, "deny x")
				before := n.Committed()
				file := filepath.Join(c.dirs[victim], "raft", floorName)
				if !tt.floor {
					n.store.floor.index.Store(0)
					n.store.queued.Store(nil)
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
				taken := c.append(liar, victim, 1000, deny.Index-1, &raft.Log{Data: []byte("nothing")})
				stopped := n.Stopped()
				c.mesh.Cut(victim)
				c.stop(victim)
				c.start(victim)
				n = c.nodes[victim]
				time.Sleep(time.Minute)
				if !tt.floor {
					if !taken || c.find(victim, "deny x") != nil || stopped != nil {
						t.Error("the entry stays without the floor: this test shows nothing")
					}
					return
				}
				if taken || !errors.Is(stopped, ErrFork) {
					t.Errorf("taken: %v, stopped by %v", taken, stopped)
				}
				if again := c.find(victim, "deny x"); again == nil || again.Index != deny.Index || again.Term != deny.Term {
					t.Errorf("the log has %v where %v was", again, deny)
				}
				if got := n.Tail().State; got != before {
					t.Errorf("the tail is %q, committed was %q", got, before)
				}
				if err := n.Stopped(); err != nil {
					t.Errorf("with the whole log, a node starts stopped: %v", err)
				}
				if n.Committed() != chain.Genesis {
					t.Fatal("nothing is applied while the node is alone")
				}
				// The floor is enforced before anything is applied again.
				c.mesh.Mend(victim)
				if c.append(liar, victim, 2000, deny.Index-1, &raft.Log{Data: []byte("nothing")}) || !errors.Is(n.Stopped(), ErrFork) {
					t.Errorf("after a restart: stopped by %v", n.Stopped())
				}
				if c.find(victim, "deny x") == nil {
					t.Error("after a restart the entry was taken away")
				}
				c.agree("deny x") // the rest goes on, and the victim follows
			})
		})
	}
}

// A log that is not the one this node has applied: somebody restored it (R46), or
// emptied it.
func TestANodeWhoseLogIsNotTheOneItAppliedDoesNotJoin(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		tamper   func(t *testing.T, disk *wal.WAL, last uint64)
		want     error
	}{
		{"the log is as it was", func(*testing.T, *wal.WAL, uint64) {}, nil},
		{"the log ends below the floor", func(t *testing.T, disk *wal.WAL, last uint64) {
			if err := disk.DeleteRange(last, last); err != nil {
				t.Fatal(err)
			}
		}, ErrFork},
		{"the log has another entry at the floor", func(t *testing.T, disk *wal.WAL, last uint64) {
			if err := errors.Join(disk.DeleteRange(last, last), disk.StoreLog(command(last, "other"))); err != nil {
				t.Fatal(err)
			}
		}, ErrFork},
		{"the log has another entry below the floor", func(t *testing.T, disk *wal.WAL, last uint64) {
			var l raft.Log
			if err := errors.Join(disk.GetLog(last, &l), disk.DeleteRange(last-1, last), disk.StoreLog(command(last-1, "other")), disk.StoreLog(&l)); err != nil {
				t.Fatal(err)
			}
		}, ErrFork},
		{"the log has a membership that is not the roster", func(t *testing.T, disk *wal.WAL, last uint64) {
			l := membership(last + 1)
			l.Data = raft.EncodeConfiguration(raft.Configuration{Servers: rosterOf([]string{"n1", "n2"})})
			if err := disk.StoreLog(l); err != nil {
				t.Fatal(err)
			}
		}, ErrMembership},
		{"the log has a membership that does not decode", func(t *testing.T, disk *wal.WAL, last uint64) {
			l := membership(last + 1)
			l.Data = []byte{0xff}
			if err := disk.StoreLog(l); err != nil {
				t.Fatal(err)
			}
		}, ErrMembership},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1)
				defer c.close()
				c.leader()
				c.submit("n1", "one")
				c.submit("n1", "two")
				c.stop("n1")
				disk, err := wal.Open(filepath.Join(c.dirs["n1"], "raft"), wal.WithSegmentSize(usual.Segment))
				if err != nil {
					t.Fatal(err)
				}
				last, err := disk.LastIndex()
				if err != nil {
					t.Fatal(err)
				}
				tt.tamper(t, disk, last)
				if err := disk.Close(); err != nil {
					t.Fatal(err)
				}
				c.start("n1")
				n := c.nodes["n1"]
				time.Sleep(time.Minute)
				if err := n.Stopped(); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("stopped by %v, want %v", err, tt.want)
				}
				if tt.want == nil {
					c.submit(c.leader(), "three")
					return
				}
				if n.raft != nil {
					t.Error("Raft runs over it")
				}
				if n.Leader() != "" || n.AppliedIndex() != 0 || n.Committed() != chain.Genesis {
					t.Errorf("it takes part: leader %q, applied %d", n.Leader(), n.AppliedIndex())
				}
				if _, err := n.Submit(t.Context(), []byte("no")); !errors.Is(err, ErrNotLeader) {
					t.Errorf("it answered %v", err)
				}
			})
		})
	}
}
