package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
)

// upTo is a snapshot that ends there.
func upTo(index uint64) func() (uint64, uint64) {
	return func() (uint64, uint64) { return index, 1 }
}

func nowhere(api.Digest) Standing { return Absent }

func mustOpenDenies(t *testing.T, dir string) *denies {
	t.Helper()
	d, err := openDenies(nil, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	return d
}

// revokes is the entry "revoke name" of each name.
func revokes(names ...string) []deny {
	var list []deny
	for _, n := range names {
		list = append(list, deny{denyID(n), []byte("revoke " + n)})
	}
	return list
}

func (d *denies) names() string {
	var out []string
	for id := range d.kept.Load().Entries {
		out = append(out, string(bytes.TrimRight(id[:], "\x00")))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// denying is a follower with denies on disk, and its FSM.
type denying struct {
	*follower
	dir string
	fsm *fsm[string, string]
}

func newDenying(t *testing.T) *denying {
	f := newFollower(t)
	return f.denying(t.TempDir())
}

func (f *follower) denying(dir string) *denying {
	f.tailStore.denies = mustOpenDenies(f.T, dir)
	f.floor = mustOpenFloor(f.T, dir)
	return &denying{follower: f, dir: dir, fsm: &fsm[string, string]{
		states: f.states, floor: f.floor, denies: f.tailStore.denies, roster: f.roster,
		applied: func(uint64, []byte, string) {}, changed: func() {},
	}}
}

// onDisk is what a node that starts now would deny.
func (d *denying) onDisk() string {
	d.Helper()
	return mustOpenDenies(d.T, d.dir).names()
}

func (d *denying) wantKept(sentence, want string) {
	d.Helper()
	if got := d.tailStore.denies.names(); got != want {
		d.Errorf("%s: %q is kept, not %q", sentence, got, want)
	}
	if got := d.onDisk(); got != want {
		d.Errorf("%s: %q is kept on disk, not %q", sentence, got, want)
	}
}

// A follower has not applied the entry, nor stored it, and it denies already.
func TestADenyIsDurableBeforeItsEntryIsStored(t *testing.T) {
	d := newDenying(t)
	d.store(command(1, "a"))
	seen := ""
	d.inner = peek{d.disk, func() { seen = d.onDisk() }}
	d.store(command(2, "revoke x"), command(3, "b"), command(4, "revoke y"))
	if seen != "x y" {
		t.Errorf("while the entries were written, %q was kept on disk", seen)
	}
	d.wantKept("stored, not applied", "x y")
	d.want("", "1:a 2:revoke x 3:b 4:revoke y", 4)
}

// What is signed by nobody is an entry like any other.
func TestAForgedDenyIsNotKept(t *testing.T) {
	d := newDenying(t)
	d.store(command(1, "forged revoke x"))
	d.wantKept("stored", "")
}

// R35, R37: truncation, compaction and a store over the entry leave it denied.
func TestADenyOutlivesItsEntry(t *testing.T) {
	for sentence, lose := range map[string]func(*denying){
		"truncated":    func(d *denying) { d.delete(2, 3) },
		"written over": func(d *denying) { d.store(command(2, "other")) },
		"compacted": func(d *denying) {
			d.fsm.Apply(command(1, "a"))
			d.fsm.Apply(command(2, "revoke x"))
			d.covered = upTo(2)
			d.delete(1, 2)
		},
		"all deleted, to install": func(d *denying) { d.delete(1, 3) },
	} {
		d := newDenying(t)
		d.store(command(1, "a"), command(2, "revoke x"), command(3, "b"))
		lose(d)
		d.wantKept(sentence, "x")
	}
}

// R38: an entry that could not be written is denied all the same.
func TestADenyIsKeptOverAWriteOfTheLogThatFails(t *testing.T) {
	d := newDenying(t)
	d.disk.fail = true
	if err := d.StoreLogs([]*raft.Log{command(1, "revoke x")}); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	d.wantKept("not stored", "x")
	if last, err := d.disk.LastIndex(); last != 0 || err != nil {
		t.Errorf("the log has %d entries, %v", last, err)
	}
}

// What is refused as another history is denied before it is refused.
func TestADenyInARefusedHistoryIsKept(t *testing.T) {
	d := newDenying(t)
	d.store(command(1, "a"))
	d.fsm.Apply(command(1, "a"))
	if err := d.StoreLogs([]*raft.Log{command(1, "revoke x")}); !errors.Is(err, ErrFork) {
		t.Errorf("got %v", err)
	}
	d.wantKept("refused", "x")
}

func TestOnlyACommittedLiftEndsADeny(t *testing.T) {
	d := newDenying(t)
	d.store(command(1, "revoke x"), command(2, "revoke y"), command(3, "lift x"))
	d.wantKept("the lift is stored", "x y")
	d.fsm.Apply(command(1, "revoke x"))
	d.fsm.Apply(command(2, "revoke y"))
	d.wantKept("the denies are committed", "x y")
	d.fsm.Apply(command(3, "lift x"))
	d.wantKept("the lift is committed", "y")
	d.store(command(4, "revoke x"))
	d.wantKept("stored again", "y")
	if err := d.tailStore.denies.keep(revokes("x", "z"), d.states.standing); err != nil {
		t.Fatal(err)
	}
	d.wantKept("handed over again", "y z")
}

// A node that died between the commit and the drop drops it when it applies, or
// restores, that state again.
func TestALiftThatWasNotDroppedYetIsDroppedAfterARestart(t *testing.T) {
	d := newDenying(t)
	if err := d.tailStore.denies.keep(revokes("x"), nowhere); err != nil {
		t.Fatal(err)
	}
	d.store(command(1, "lift x"))
	d.fsm.Apply(command(1, "lift x"))
	d.wantKept("applied", "")
}

func TestDenyTakesWhatIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		n := c.nodes[c.followers(leader)[0]]
		if _, err := n.Deny([]byte("forged revoke x")); !errors.Is(err, ErrNoDeny) {
			t.Errorf("forged: %v", err)
		}
		if id, err := n.Deny([]byte("revoke x")); err != nil || id != denyID("x") || n.store.denies.names() != "x" || !n.HoldsDeny(id) {
			t.Errorf("%v, %v, kept %q", id, err, n.store.denies.names())
		}
		if id, err := n.Deny([]byte("revoke x")); err != nil || id != denyID("x") {
			t.Errorf("again: %v, %v", id, err)
		}
		if c.nodes[leader].HoldsDeny(denyID("x")) || n.HoldsDeny(denyID("y")) {
			t.Error("a node holds what it never saw")
		}
		c.submit(leader, "lift x")
		c.agree("lift x")
		if n.HoldsDeny(denyID("x")) || n.store.denies.names() != "" {
			t.Error("it is held after its lift")
		}
		if _, err := n.Deny([]byte("revoke x")); !errors.Is(err, ErrDenyLifted) {
			t.Errorf("lifted: %v", err)
		}
		c.submit(leader, "revoke y")
		c.agree("revoke y")
		for id, n := range c.nodes {
			if !n.HoldsDeny(denyID("y")) {
				t.Errorf("%s does not hold what is committed", id)
			}
		}
	})
}

// Whoever may deny one thing, be it one custodian alone, hands over no more entries
// that deny it than people can lift again, and takes no room from others. What is
// committed has a bound of its own, and does not count.
func TestWhatDeniesTheSameIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		n := c.nodes[c.followers(leader)[0]]
		for i := range maxDeniesOfOne {
			if _, err := n.Deny(fmt.Appendf(nil, "revoke x/%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if id, err := n.Deny([]byte("revoke x/more")); !errors.Is(err, ErrDenyEnough) || !id.IsZero() || n.HoldsDeny(denyID("x/more")) || n.Stopped() != nil {
			t.Errorf("one more: %v, stopped %v", err, n.Stopped())
		}
		if _, err := n.Deny([]byte("revoke x/0")); err != nil {
			t.Errorf("again one that is kept: %v", err)
		}
		if _, err := n.Deny([]byte("revoke y/0")); err != nil {
			t.Errorf("of another: %v", err)
		}
		c.submit(leader, "revoke x/more")
		c.agree("revoke x/more")
		if !n.HoldsDeny(denyID("x/more")) {
			t.Error("one more that is committed is not held")
		}
		c.submit(leader, "revoke x/0")
		c.agree("revoke x/more", "revoke x/0")
		if _, err := n.Deny([]byte("revoke x/now")); err != nil {
			t.Errorf("when one is committed: %v", err)
		}
	})
}

// R35: a member of a higher term gives a follower a deny, takes it out of its log
// again, and the follower is restarted where nobody can tell it anything.
func TestADenyIsThereAfterTruncationAndARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		leader := c.leader()
		c.submit(leader, "one")
		c.agree("one")
		liar, victim := c.followers(leader)[0], c.followers(leader)[1]
		end, err := c.nodes[victim].log.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		if !c.append(liar, victim, 1000, end, &raft.Log{Data: []byte("revoke x")}, &raft.Log{Data: []byte("forged revoke y")}) {
			t.Fatal("the deny is not stored")
		}
		if !strings.Contains(c.nodes[victim].Tail().State, "revoke x") {
			t.Fatal("the deny is not in the tail")
		}
		if !c.append(liar, victim, 1001, end, &raft.Log{Data: []byte("nothing")}) || c.find(victim, "revoke x") != nil {
			t.Fatal("the entry was not truncated: this test shows nothing")
		}
		if got := c.nodes[victim].store.denies.names(); got != "x" {
			t.Errorf("truncated, %q is kept", got)
		}
		c.mesh.Cut(victim)
		c.stop(victim)
		c.start(victim)
		time.Sleep(time.Minute)
		n := c.nodes[victim]
		if got := n.store.denies.names(); got != "x" || !n.HoldsDeny(denyID("x")) {
			t.Errorf("after a restart, alone, %q is kept", got)
		}
		if len(n.Kept().Entries) != 1 || string(n.Kept().Entries[denyID("x")]) != "revoke x" {
			t.Errorf("kept: %q", n.Kept().Entries)
		}
		c.mesh.Mend(victim)
		c.agree("one")
		if n.store.denies.names() != "x" {
			t.Error("the others made it forget")
		}
	})
}

// A node that dies between the denies and the log comes back denying.
func TestACrashBetweenTheDeniesAndTheLogKeepsTheDeny(t *testing.T) {
	d := newDenying(t)
	d.inner = peek{d.disk, func() { panic("the power fails") }}
	func() {
		defer func() { _ = recover() }()
		_ = d.StoreLogs([]*raft.Log{command(1, "revoke x")})
	}()
	again := &follower{T: t, disk: d.disk, tailStore: tailOver(d.disk)}
	b := again.denying(d.dir)
	if err := b.replay(); err != nil {
		t.Fatal(err)
	}
	b.wantKept("started again", "x")
	b.want("", "", 0)
}

// What the log holds above the floor is kept at start: the write may have failed
// when it was stored.
func TestReplayKeepsWhatTheLogDenies(t *testing.T) {
	f := newFollower(t)
	f.disk.LogStore = raft.NewInmemStore()
	for i, e := range []string{"revoke x", "a", "revoke y"} {
		if err := f.disk.StoreLog(command(uint64(i+1), e)); err != nil {
			t.Fatal(err)
		}
	}
	d := f.denying(t.TempDir())
	if err := d.replay(); err != nil {
		t.Fatal(err)
	}
	d.wantKept("replayed", "x y")
}

// A full disk is said by name, refuses, and takes nothing back.
func TestDeniesThatCannotBeWrittenStopTheNode(t *testing.T) {
	for _, op := range []disk.Op{disk.Write, disk.Sync} {
		d := newDenying(t)
		d.store(command(1, "revoke x"))
		var full atomic.Bool
		d.tailStore.denies.hook = func(o disk.Op, _ string) error {
			if o == op && full.Load() {
				return syscall.ENOSPC
			}
			return nil
		}
		full.Store(true)
		err := d.StoreLogs([]*raft.Log{command(2, "revoke y")})
		if !errors.Is(err, ErrDenies) || !errors.Is(err, syscall.ENOSPC) || !errors.Is(d.states.halt.reason(), ErrDenies) {
			t.Errorf("%s: %v, stopped by %v", op, err, d.states.halt.reason())
		}
		if got := d.tailStore.denies.names(); got != "x y" {
			t.Errorf("%s: in memory, %q is kept", op, got)
		}
		if d.tailStore.denies.holds(denyID("y")) {
			t.Errorf("%s: it is taken for durable", op)
		}
		if last, err := d.disk.LastIndex(); last != 1 || err != nil {
			t.Errorf("%s: the log ends at %d, %v", op, last, err)
		}
		full.Store(false)
		if err := d.StoreLogs([]*raft.Log{command(2, "revoke y")}); !errors.Is(err, ErrDenies) {
			t.Errorf("%s: written again: %v", op, err)
		}
	}
}

// The set is bounded. What is committed makes room, for the floor keeps it.
func TestTheDeniesAreBounded(t *testing.T) {
	dir := t.TempDir()
	d := mustOpenDenies(t, dir)
	var names []string
	for i := range maxDenies {
		names = append(names, fmt.Sprint(i))
	}
	if err := d.keep(revokes(names...), nowhere); err != nil {
		t.Fatal(err)
	}
	taken := func(id api.Digest) Standing {
		if id == denyID("7") || id == denyID("9") {
			return Taken
		}
		return Absent
	}
	if err := d.keep(revokes("more"), taken); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if kept := d.kept.Load().Entries; len(kept) != maxDenies || kept[denyID("7")] != nil || kept[denyID("9")] == nil || kept[denyID("more")] == nil {
			t.Fatalf("%d are kept", len(kept))
		}
		d = mustOpenDenies(t, dir)
	}
	if err := d.keep(revokes("one too many"), nowhere); !errors.Is(err, ErrDenies) {
		t.Errorf("got %v", err)
	}
}

func TestTheFileOfTheDeniesIsWrittenAnewWhenMostIsDropped(t *testing.T) {
	dir := t.TempDir()
	d := mustOpenDenies(t, dir)
	entry := bytes.Repeat([]byte("x"), maxDeny)
	for i := range 2 * deniesSparse / maxDeny {
		id := denyID(fmt.Sprint(i))
		if err := d.keep([]deny{{id, entry}}, nowhere); err != nil {
			t.Fatal(err)
		}
		if err := d.settle(func(other api.Digest) Standing {
			if other == id && i > 0 {
				return Lifted
			}
			return Absent
		}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, deniesName))
	if err != nil || info.Size() > deniesStart+deniesSparse+2*maxDeny || info.Mode().Perm() != 0o600 { // R27
		t.Errorf("%d bytes, %v, %v", info.Size(), info.Mode(), err)
	}
	if got := mustOpenDenies(t, dir).names(); got != "0" {
		t.Errorf("%q is kept", got)
	}
}

// A write that is cut short costs at most that write; what was answered for is
// there, or the node says that it is not.
func TestDamageOfTheDeniesIsSaid(t *testing.T) {
	dir := t.TempDir()
	d := mustOpenDenies(t, dir)
	path := filepath.Join(dir, deniesName)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := d.keep(revokes("x"), nowhere); err != nil {
		t.Fatal(err)
	}
	one, before := size(), read()
	if err := d.keep(revokes("y"), nowhere); err != nil {
		t.Fatal(err)
	}
	after := read()
	try := func(b []byte) (string, error) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, deniesName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openDenies(nil, dir, false)
		if err != nil {
			if !errors.Is(err, ErrDenies) {
				t.Errorf("a nameless error: %v", err)
			}
			return "", err
		}
		defer func() { _ = d.close() }()
		if err := d.keep(revokes("z"), nowhere); err != nil {
			t.Fatal(err)
		}
		again := mustOpenDenies(t, dir)
		return again.names(), nil
	}
	for cut := one; cut < int64(len(after)); cut++ { // y is being written
		b := append(bytes.Clone(before), after[one:cut]...)
		if got, err := try(b); err != nil || got != "x z" {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
	}
	// The record is there, and the slot that says so was cut short: either may be.
	if got, err := try(append(bytes.Clone(before), after[one:]...)); err != nil || got != "x y z" {
		t.Errorf("before the slot: %q, %v", got, err)
	}
	for at := deniesStart; at < len(after); at++ { // what was answered for
		b := bytes.Clone(after)
		b[at] ^= 1
		if got, err := try(b); err == nil {
			t.Fatalf("flipped at %d: %q", at, got)
		}
	}
	for _, cut := range []int{0, 10, deniesStart - 1, deniesStart, int(one), len(after) - 1} {
		if got, err := try(after[:cut]); err == nil {
			t.Errorf("cut to %d: %q", cut, got)
		}
	}
	if _, err := openDenies(nil, t.TempDir(), false); !errors.Is(err, ErrDenies) {
		t.Errorf("none, of a node that has applied something: %v", err)
	}
}

// Over the real log, whose segments rotate.
func TestADenyOutlivesTheSegmentsOfTheLog(t *testing.T) {
	dir := t.TempDir()
	log, err := wal.Open(dir, wal.WithSegmentSize(4096))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	f := &follower{T: t, tailStore: tailOver(log)}
	d := f.denying(dir)
	pad := strings.Repeat("x", 500)
	d.store(command(1, "revoke x"))
	d.fsm.Apply(command(1, "revoke x"))
	for i := uint64(2); i <= 40; i++ {
		d.store(command(i, pad))
		d.fsm.Apply(command(i, pad))
	}
	d.covered = upTo(30)
	d.delete(1, 30)
	d.wantKept("compacted", "x")
}

func FuzzLoadDenies(f *testing.F) {
	dir := f.TempDir()
	d, err := openDenies(nil, dir, true)
	if err != nil {
		f.Fatal(err)
	}
	if err := d.keep(revokes("x", "y"), nowhere); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(d.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:deniesSlot], b[deniesStart:])
	f.Add([]byte{}, []byte{recordKeep, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, slot, records []byte) {
		page := make([]byte, deniesStart)
		copy(page, slot)
		_, durable, _, err := readSlots(append(page, records...))
		list, end, _ := readRecords(records)
		if end > len(records) || err == nil && durable > 0 && uint64(end) < durable && len(list) > len(records) {
			t.Fatal("it reads what is not there")
		}
		var again []byte
		var sum api.Digest
		for _, r := range list {
			again, sum = appendRecord(again, sum, r)
		}
		if !bytes.Equal(again, records[:end]) {
			t.Fatal("a second encoding was read")
		}
	})
}
