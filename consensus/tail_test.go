package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
)

var errDisk = errors.New("the disk is full")

// failing is a log store whose writes can be made to fail.
type failing struct {
	raft.LogStore
	fail bool
}

func (f *failing) StoreLogs(logs []*raft.Log) error {
	if f.fail {
		return errDisk
	}
	return f.LogStore.StoreLogs(logs)
}

func (f *failing) DeleteRange(first, last uint64) error {
	if f.fail {
		return errDisk
	}
	return f.LogStore.DeleteRange(first, last)
}

// follower is a tail store over a store in memory, and the states behind it.
type follower struct {
	*testing.T
	*tailStore[string, string]
	disk *failing
}

func newFollower(t *testing.T) *follower {
	disk := &failing{LogStore: raft.NewInmemStore()}
	return &follower{T: t, disk: disk, tailStore: tailOver(disk)}
}

// tailOver is a tail store with a floor of 0 that nothing raises.
func tailOver(inner raft.LogStore) *tailStore[string, string] {
	return &tailStore[string, string]{inner: inner, states: newStates(chain), floor: &floor{}, roster: rosterOf([]string{"n1"}), covered: func() (uint64, uint64) { return 0, 0 }}
}

// membership is the entry that names the roster of tailOver.
func membership(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: rosterOf([]string{"n1"})})}
}

func command(index uint64, data string) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: []byte(data)}
}

func (f *follower) store(logs ...*raft.Log) {
	f.Helper()
	if err := f.StoreLogs(logs); err != nil {
		f.Fatal(err)
	}
}

// delete is what raft does: an inclusive range.
func (f *follower) delete(first, last uint64) {
	f.Helper()
	if err := f.DeleteRange(first, last); err != nil {
		f.Fatal(err)
	}
}

func (f *follower) want(committed, tail string, end uint64) {
	f.Helper()
	got := *f.states.tail.Load()
	if c := *f.states.committed.Load(); c != strings.TrimSpace("genesis "+committed) {
		f.Errorf("committed is %q, want %q", c, committed)
	}
	if got.State != strings.TrimSpace("genesis "+tail) || got.End != end {
		f.Errorf("the tail is %q to %d, want %q to %d", got.State, got.End, tail, end)
	}
}

// R30: the tail has moved when StoreLogs returns; committed moves on apply alone.
func TestADenyThatIsStoredIsInTheTail(t *testing.T) {
	f := newFollower(t)
	f.store(membership(1), command(2, "a"), &raft.Log{Index: 3, Type: raft.LogNoop}, command(4, "deny"))
	f.want("", "2:a 4:deny", 4)
	if got := f.states.applied(1); got != 1 {
		t.Errorf("applied is %d before the first command", got)
	}
	if got := f.states.applied(4); got != 1 {
		t.Errorf("applied is %d while commands wait", got)
	}
	if r := f.states.apply(2, []byte("a")); r != "a" {
		t.Errorf("the result is %q", r)
	}
	f.want("2:a", "2:a 4:deny", 4)
	if got := f.states.applied(4); got != 3 {
		t.Errorf("applied is %d while the deny waits", got)
	}
	f.states.apply(4, []byte("deny"))
	f.want("2:a 4:deny", "2:a 4:deny", 4)
	if got := f.states.applied(4); got != 4 {
		t.Errorf("applied is %d", got)
	}
	if err := f.StoreLogs(nil); err != nil {
		t.Error(err)
	}
	if err := f.StoreLog(command(5, "b")); err != nil {
		t.Error(err)
	}
	f.want("2:a 4:deny", "2:a 4:deny 5:b", 5)
}

// R38: the tail moves before the write.
func TestTheTailMovesBeforeTheWrite(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"))
	seen := ""
	f.inner = peek{f.disk, func() { seen = f.states.tail.Load().State }}
	f.store(command(2, "deny"))
	if !strings.Contains(seen, "deny") {
		t.Errorf("while it was written, the tail was %q", seen)
	}
}

type peek struct {
	raft.LogStore
	look func()
}

func (p peek) StoreLogs(logs []*raft.Log) error {
	p.look()
	return p.LogStore.StoreLogs(logs)
}

// R38: a write that failed keeps the deny; written again, it is there once.
func TestAWriteThatFailsKeepsTheDeny(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"))
	f.disk.fail = true
	if err := f.StoreLogs([]*raft.Log{command(2, "deny")}); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	f.want("", "1:a 2:deny", 2)
	f.disk.fail = false
	f.store(command(2, "deny"))
	f.want("", "1:a 2:deny", 2)
	f.store(command(2, "other"), command(3, "b"))
	f.want("", "1:a 2:other 3:b", 3)
	f.disk.fail = true
	if err := f.DeleteRange(3, 3); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	f.want("", "1:a 2:other 3:b", 3)
}

// R37: a deletion that reaches the last index is truncation.
func TestTruncationUndoesTailEntries(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(2, "b"), command(3, "deny"))
	f.states.apply(1, []byte("a"))
	f.delete(3, 3)
	f.want("1:a", "1:a 2:b", 2)
	f.store(command(3, "c"))
	f.want("1:a", "1:a 2:b 3:c", 3)
	f.delete(2, 9) // beyond the end
	f.want("1:a", "1:a", 1)
}

// R37: a store at or below the end truncates without saying so.
func TestAStoreAtOrBelowTheEndIsATruncation(t *testing.T) {
	for first := uint64(2); first <= 4; first++ {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			f := newFollower(t)
			f.store(command(1, "a"), command(2, "b"), command(3, "c"))
			f.states.apply(1, []byte("a"))
			f.store(command(first, "new"))
			kept := strings.Join(strings.Fields("1:a 2:b 3:c")[:first-1], " ")
			f.want("1:a", fmt.Sprintf("%s %d:new", kept, first), first)
		})
	}
}

// R37: compaction takes the front of the log, and the tail does not care.
func TestCompactionLeavesTheTailAlone(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(2, "b"), command(3, "deny"))
	f.states.apply(1, []byte("a"))
	if err := f.DeleteRange(1, 1); !errors.Is(err, errUncovered) {
		t.Errorf("what no snapshot holds was deleted: %v", err)
	}
	f.covered = func() (uint64, uint64) { return 1, 1 }
	f.delete(1, 1)
	f.want("1:a", "1:a 2:b 3:deny", 3)
	var l raft.Log
	if err := f.GetLog(1, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("what was deleted is found: %v, %v", l, err)
	}
}

// R37: on an idle node compaction takes the last entry, too; so does what follows
// an install.
func TestCompactionOfTheWholeLogLeavesTheTailAlone(t *testing.T) {
	f := newFollower(t)
	f.floor = mustOpenFloor(t, t.TempDir())
	f.store(command(1, "a"), command(2, "deny"))
	if err := f.floor.advance(2, api.Digest{}); err != nil {
		t.Fatal(err)
	}
	f.states.apply(1, []byte("a"))
	f.states.apply(2, []byte("deny"))
	f.covered = func() (uint64, uint64) { return 2, 1 }
	f.delete(1, 2)
	f.want("1:a 2:deny", "1:a 2:deny", 2)
	f.store(command(3, "b"))
	f.want("1:a 2:deny", "1:a 2:deny 3:b", 3)
	if err := f.states.halt.reason(); err != nil {
		t.Errorf("it took compaction for truncation: %v", err)
	}
	f.delete(3, 3) // truncation, above the snapshot
	f.want("1:a 2:deny", "1:a 2:deny", 2)
}

// R35: a leader can make Raft delete what is applied. Committed keeps it, and so
// does the tail: it is the state at max(first-1, applied).
func TestTruncationBelowCommittedTakesNothingBack(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(2, "deny"), command(3, "c"))
	f.states.apply(1, []byte("a"))
	f.states.apply(2, []byte("deny"))
	f.delete(1, 3)
	f.want("1:a 2:deny", "1:a 2:deny", 0)
	if got := f.states.applied(2); got != 2 {
		t.Errorf("applied is %d", got)
	}
	f.store(command(1, "x"), command(2, "y"))
	f.want("1:a 2:deny", "1:a 2:deny 1:x 2:y", 2)
	if got := f.states.applied(2); got != 0 {
		t.Errorf("with another log than the one applied, applied is %d", got)
	}
	f.store(command(3, "z"), command(4, "w"))
	f.states.apply(3, []byte("z")) // Raft never applies 1 and 2 again
	f.want("1:a 2:deny 3:z", "1:a 2:deny 3:z 4:w", 4)
}

// What is committed wins over what the tail took it for; the rest of the tail is
// computed again from there.
func TestApplyBelievesCommittedOverTheTail(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(2, "b"), command(3, "deny"))
	if r := f.states.apply(1, []byte("planted")); r != "planted" {
		t.Errorf("the result is %q", r)
	}
	f.want("1:planted", "1:planted 2:b 3:deny", 3)
	f.states.apply(2, []byte("b"))
	f.want("1:planted 2:b", "1:planted 2:b 3:deny", 3)
	f.states.apply(5, []byte("never stored"))
	f.want("1:planted 2:b 5:never stored", "1:planted 2:b 5:never stored", 5)
}

// Every command is computed once: what the tail has computed is what committed
// becomes (R43).
func TestEveryCommandIsComputedOnce(t *testing.T) {
	f := newFollower(t)
	calls := 0
	f.states.machine.Apply = func(s string, index uint64, entry []byte) (string, string) {
		calls++
		return chain.Apply(s, index, entry)
	}
	for i := uint64(1); i <= 100; i++ {
		f.store(command(i, "e"))
	}
	for i := uint64(1); i <= 100; i++ {
		f.states.apply(i, []byte("e"))
	}
	if calls != 100 {
		t.Errorf("100 commands were computed %d times", calls)
	}
}

func TestReplayRebuildsTheTailFromTheWholeLog(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), &raft.Log{Index: 2, Type: raft.LogNoop}, command(3, "deny"), &raft.Log{Index: 4, Type: raft.LogNoop})
	f.states.apply(1, []byte("a"))
	again := &follower{T: t, disk: f.disk, tailStore: tailOver(f.disk)}
	if err := again.replay(); err != nil {
		t.Fatal(err)
	}
	again.want("", "1:a 3:deny", 4)
	empty := newFollower(t)
	if err := empty.replay(); err != nil {
		t.Fatal(err)
	}
	empty.want("", "", 0)
}

func TestReplayNamesTheEntryItCannotRead(t *testing.T) {
	f := newFollower(t)
	f.store(command(1, "a"), command(3, "c")) // this store takes a gap
	if err := f.replay(); err == nil || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("got %v", err)
	}
}

// R36: the cache and Raft have to see that the log on disk is monotonic.
func TestIsMonotonicIsForwarded(t *testing.T) {
	disk, err := wal.Open(t.TempDir(), wal.WithSegmentSize(4096))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	for _, tt := range []struct {
		name  string
		inner raft.LogStore
		want  bool
	}{{"raft-wal", disk, true}, {"memory", raft.NewInmemStore(), false}} {
		cache, err := raft.NewLogCache(8, tailOver(tt.inner))
		if err != nil {
			t.Fatal(err)
		}
		if got := cache.IsMonotonic(); got != tt.want {
			t.Errorf("%s: monotonic is %v", tt.name, got)
		}
	}
}

// The tail store over the real log on disk, with segments that rotate.
func TestTheTailFollowsTheRealLog(t *testing.T) {
	dir := t.TempDir()
	disk, err := wal.Open(dir, wal.WithSegmentSize(4096))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{T: t, tailStore: tailOver(disk)}
	pad := strings.Repeat("x", 500)
	for i := uint64(1); i <= 40; i++ {
		f.store(command(i, pad))
	}
	f.delete(21, 40)
	f.store(command(21, "deny"))
	want := *f.states.tail.Load()
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if disk, err = wal.Open(dir, wal.WithSegmentSize(4096)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	again := tailOver(disk)
	if err := again.replay(); err != nil {
		t.Fatal(err)
	}
	if got := *again.states.tail.Load(); got != want {
		t.Errorf("reopened, the tail is %v, was %v", got, want)
	}
}
