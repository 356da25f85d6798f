package consensus

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
)

// fault is what a hook answers; nil lets everything through.
type fault struct{ err atomic.Pointer[error] }

func (f *fault) set(err error) {
	if err == nil {
		f.err.Store(nil)
		return
	}
	f.err.Store(&err)
}

func (f *fault) before(op disk.Op, _ string) error {
	err := f.err.Load()
	if err == nil || *err == syscall.ENOSPC && op == disk.Remove {
		return nil
	}
	return *err
}

// The log is laid down as the library does it, hook or not: the same files of the
// same sizes, a segment preallocated.
func TestAHookChangesNothingOfTheLog(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]bool{} // guarded by mu
	hook := disk.Hook(func(op disk.Op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		asked[string(op)+" "+filepath.Ext(path)] = true
		return nil
	})
	var laid []string
	for _, h := range []disk.Hook{nil, hook} {
		dir := t.TempDir()
		log, err := openLog(h, dir, usual.Segment)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.StoreLogs([]*raft.Log{membership(1), command(2, "a")}); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, fmt.Sprint(f.Name(), " ", info.Size(), " ", info.Mode()))
			if filepath.Ext(f.Name()) == ".wal" && info.Size() != int64(usual.Segment) {
				t.Errorf("the segment %s has %d bytes", f.Name(), info.Size())
			}
		}
		laid = append(laid, strings.Join(names, ", "))
	}
	if laid[0] != laid[1] {
		t.Errorf("without a hook: %s; with one: %s", laid[0], laid[1])
	}
	if got := slices.Sorted(maps.Keys(asked)); !slices.Equal(got, []string{"create .wal", "sync .wal", "write .wal"}) {
		t.Errorf("asked %q", got)
	}
}

// R26, R38: a log whose disk is full or dead stores nothing, keeps in the tail what
// an entry denies, and takes the same entry when it can again. What was stored
// before is there after a restart.
func TestAFullOrDeadDiskStoresNothingAndKeepsTheDeny(t *testing.T) {
	for _, broken := range []error{syscall.ENOSPC, syscall.EIO} {
		t.Run(broken.Error(), func(t *testing.T) {
			dir := t.TempDir()
			var f fault
			log, err := openLog(f.before, dir, usual.Segment)
			if err != nil {
				t.Fatal(err)
			}
			s := &follower{T: t, tailStore: tailOver(log)}
			s.store(membership(1), command(2, "a"))
			f.set(broken)
			for range 2 {
				if err := s.StoreLogs([]*raft.Log{command(3, "deny")}); !errors.Is(err, broken) {
					t.Errorf("stored: %v", err)
				}
				s.want("", "2:a 3:deny", 3)
			}
			if last, err := log.LastIndex(); err != nil || last != 2 {
				t.Errorf("the log ends at %d, %v", last, err)
			}
			f.set(nil)
			s.store(command(3, "deny"))
			s.want("", "2:a 3:deny", 3)
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := openLog(nil, dir, usual.Segment)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if last, err := again.LastIndex(); err != nil || last != 3 {
				t.Errorf("opened again, the log ends at %d, %v", last, err)
			}
		})
	}
}

// R26: a disk that is full just when a segment is full refuses by an error, and
// the log opens again with all that was stored.
func TestADiskThatIsFullAtTheEndOfASegment(t *testing.T) {
	dir := t.TempDir()
	var f fault
	log, err := openLog(func(op disk.Op, path string) error {
		if op == disk.Create {
			return f.before(op, path)
		}
		return nil
	}, dir, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	f.set(syscall.ENOSPC)
	stored := uint64(0)
	for i := uint64(1); i < 100; i++ {
		if err := log.StoreLog(command(i, strings.Repeat("x", 200<<10))); err != nil {
			break
		}
		stored = i
	}
	if stored == 0 || stored == 99 {
		t.Fatalf("%d entries were stored", stored)
	}
	_ = log.Close()
	again, err := openLog(nil, dir, usual.Segment)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if last, err := again.LastIndex(); err != nil || last != stored {
		t.Errorf("it ends at %d, %v; stored were %d", last, err, stored)
	}
	if err := again.StoreLog(command(stored+1, "more")); err != nil {
		t.Error(err)
	}
}

// R26: the floor of a dead disk is named, and nothing is written any more.
func TestAFloorOnADeadDiskIsNamed(t *testing.T) {
	dir := t.TempDir()
	var f fault
	floor, err := openFloor(f.before, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer floor.close()
	if err := floor.advance(1, api.Digest{1}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, floorName))
	f.set(syscall.EIO)
	for range 2 {
		if err := floor.advance(2, api.Digest{2}); !errors.Is(err, ErrFloor) || !errors.Is(err, syscall.EIO) {
			t.Errorf("advanced: %v", err)
		}
		f.set(nil)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, floorName)); string(after) != string(before) {
		t.Error("the file has changed")
	}
	f.set(syscall.ENOSPC)
	if _, err := openFloor(f.before, t.TempDir()); !errors.Is(err, ErrFloor) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("made on a full disk: %v", err)
	}
}

// R26, R41: a node whose disk is full falls behind and hangs nobody; the others go
// on, and it catches up when there is room again, under the same leader. (Raft's
// pipelining deadlocks here: whoever sends waits for a reader that has gone.)
func TestAFollowerWithAFullDiskFallsBehindAndCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.submit(c.leader(), "one")
		c.agree("one")
		slow := c.followers(c.leader())[0]
		c.stop(slow)
		var f fault
		cfg := c.config(slow)
		cfg.Disk = func(op disk.Op, path string) error {
			err := f.before(op, path)
			if err != nil {
				time.Sleep(25 * time.Millisecond) // meanwhile the leader sends on
			}
			return err
		}
		n, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[slow] = n
		c.agree("one")
		leader := c.leader()
		if leader == slow {
			t.Fatal("the node that came back leads")
		}
		f.set(syscall.ENOSPC)
		var entries []string
		for i := range 50 {
			entries = append(entries, fmt.Sprintf("deny %d", i))
			c.submit(leader, entries[i])
			time.Sleep(10 * time.Millisecond)
		}
		if strings.Contains(n.Committed(), "deny") || n.AppliedIndex() >= c.nodes[leader].AppliedIndex() {
			t.Error("it has applied what it could not store")
		}
		f.set(nil)
		c.agree(entries...)
		if now := c.leader(); now != leader {
			t.Errorf("%s led, %s leads", leader, now)
		}
	})
}

// R26: a log that could not delete entries, because its disk was full, is not asked
// again: the library would take a segment for sealed that is not, and what is in it
// could not be read after a restart.
func TestADeletionThatFailedIsNotTriedAgain(t *testing.T) {
	dir := t.TempDir()
	var f fault
	log, err := openLog(f.before, dir, usual.Segment)
	if err != nil {
		t.Fatal(err)
	}
	s := &follower{T: t, tailStore: tailOver(log)}
	s.store(membership(1), command(2, "a"), command(3, "b"))
	f.set(syscall.ENOSPC)
	for range 2 {
		if err := s.DeleteRange(3, 3); !errors.Is(err, errTorn) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("deleted: %v", err)
		}
	}
	f.set(nil)
	if err := s.DeleteRange(3, 3); !errors.Is(err, errTorn) {
		t.Errorf("deleted after that: %v", err)
	}
	if err := s.StoreLogs([]*raft.Log{command(4, "c")}); !errors.Is(err, errTorn) {
		t.Errorf("stored after that: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openLog(nil, dir, usual.Segment)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for i := uint64(1); i <= 3; i++ {
		var l raft.Log
		if err := again.GetLog(i, &l); err != nil {
			t.Errorf("opened again, entry %d: %v", i, err)
		}
	}
}
