package node

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"warifu.dev/internal/dealt"
)

// R42: a node compacts for what was dealt, for no other reason but a large log, not before
// those who are behind and other ceremonies are through, and at last in spite of them.
func TestWhenANodeCompacts(t *testing.T) {
	const start = time.Hour
	for _, tt := range []struct {
		sentence string
		place    int
		o        outlook
		first    time.Duration // when it compacts, after the log first held something; 0 is never
	}{
		{"nothing was dealt", 0, outlook{}, 0},
		{"nothing was dealt, and somebody is away", 0, outlook{open: true, behind: true}, 0},
		{"a run has ended", 0, outlook{owes: true}, compactQuiet},
		{"the third in the roster takes its turn", 2, outlook{owes: true}, compactQuiet + 2*compactApart},
		{"another ceremony is open", 0, outlook{owes: true, open: true}, compactLatest},
		{"somebody is away", 0, outlook{owes: true, behind: true}, compactLatest},
		{"the log is large, whoever is away", 0, outlook{large: true, behind: true}, compactQuiet},
	} {
		c := compaction{place: tt.place}
		first := time.Duration(0)
		for now := start; now < start+2*compactLatest && first == 0; now += compactLook {
			if c.due(now, tt.o) {
				first = now - start
			}
		}
		if first != tt.first {
			t.Errorf("%s: it compacts after %v, want %v", tt.sentence, first, tt.first)
		}
	}
	// A try that failed is followed by another, and what stays too long is said.
	c := compaction{}
	o := outlook{owes: true}
	c.due(start, o)
	now := start + compactQuiet
	if !c.due(now, o) {
		t.Fatal("it does not compact")
	}
	c.tried = now
	if c.due(now+compactRetry-1, o) || !c.due(now+compactRetry, o) {
		t.Error("it does not try again after a while, or at once")
	}
	if c.late(start+compactLatest) || !c.late(start+compactLatest+2*compactFor+1) {
		t.Error("it does not say that the bytes are still there, or too early")
	}
	if c.due(now, outlook{}); c.late(start + time.Hour) {
		t.Error("it says that they are there when they are gone")
	}
}

func TestProgressIsOfEveryMember(t *testing.T) {
	var p progress
	members := []string{"n2", "n3"}
	p.hear("n2", 7)
	if p.reached(7, members) {
		t.Error("n3 was never heard")
	}
	p.hear("n3", 6)
	if p.reached(7, members) || !p.reached(6, members) {
		t.Error("n3 has committed 6")
	}
}

// R42: what was dealt stood in every node's log, and is in no file of any of them when
// they have compacted, as daemons do by themselves. The same bytes are looked for
// before, so that the search is known to find them.
func TestWhatWasDealtLeavesTheDisk(t *testing.T) {
	c := newCluster(t)
	files := func(dir string, see func(path string, b []byte)) {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				if b, err := os.ReadFile(path); err == nil { // it may just have been deleted
					see(path, b)
				}
			}
			return nil
		})
	}
	seen := map[string]map[string]bool{} // parts of what was dealt, by node's directory
	for _, dir := range c.dirs {
		seen[dir] = map[string]bool{}
	}
	c.run(func() {
		eventually10(t, "three deals stand in every log", func() bool {
			for _, dir := range c.dirs {
				for _, d := range dealt.In(dir) {
					seen[dir][string(dealt.Mark(d))] = true
				}
			}
			return !slices.ContainsFunc(c.dirs, func(dir string) bool { return len(seen[dir]) < 3 })
		})
		c.logged(3, "state=unsealed")
		c.logged(3, "the log is compacted")
		for _, dir := range c.dirs {
			files(dir, func(path string, b []byte) {
				for of := range maps.Values(seen) {
					for d := range of {
						if bytes.Contains(b, []byte(d)) {
							t.Errorf("%s still holds what was dealt", path)
						}
					}
				}
			})
		}
	})
	// A node that starts again has nothing to compact, and the key is there.
	c.run(func() { c.logged(6, "state=unsealed") })
}

// Between two runs of a refresh of many keys the log is not compacted, though none runs,
// unless the next one does not come.
func TestARestBetweenRunsIsNoEnd(t *testing.T) {
	var c compaction
	now := time.Hour
	for _, step := range []struct {
		what          string
		after         time.Duration
		running, more bool
		open          bool
	}{
		{"a refresh waits that was not seen to run", 0, false, true, false},
		{"a run", time.Second, true, true, true},
		{"the rest after it", compactBetween - 1, false, true, true},
		{"a run that does not come", 1, false, true, false},
		{"another run", time.Second, true, true, true},
		{"the end", time.Second, false, false, false},
	} {
		now += step.after
		if got := c.open(now, step.running, step.more); got != step.open {
			t.Errorf("%s: %v", step.what, got)
		}
	}
}
