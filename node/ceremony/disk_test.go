package ceremony

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"warifu.dev/internal/disk"
)

// R26: a holder whose disk is full or dead posts nothing and leaves nothing; the
// birth waits for it, and goes on when it can write again.
func TestAHolderThatCannotWritePostsNothing(t *testing.T) {
	for _, broken := range []error{syscall.ENOSPC, syscall.EIO} {
		s := newStage(t)
		s.until("a session is open", func() bool { return !s.State().Orders()[0].Live.IsZero() }, "n1")
		s.drivers["n2"].cfg.Disk = func(disk.Op, string) error { return broken }
		for range 10 {
			s.tick("n2")
		}
		if slices.ContainsFunc(s.posts, func(p string) bool { return strings.HasPrefix(p, "n2 post") }) {
			t.Fatalf("posted: %v", s.posts)
		}
		if left, err := os.ReadDir(s.dirs["n2"]); err != nil || len(left) > 0 {
			t.Errorf("left on the disk: %v, %v", left, err)
		}
		s.drivers["n2"].cfg.Disk = nil
		s.until("the root key is born", s.rootBorn, all...)
		s.checkShares(s.State().RootKey(), all...)
		s.checkGone(all...)
	}
}

// An HSM key of a session, made just before a crash that left no file, goes with the
// first look at the ledger of the next start; the key of a session that runs stays.
func TestAKeyOfASessionThatIsOverGoes(t *testing.T) {
	s := newStage(t)
	s.until("n2 committed", func() bool { return slices.Contains(s.posts, "n2 post commit") }, all...)
	orphan := labelPrefix + strings.Repeat("0", 32)
	if err := s.devices["n2"].CreateKey(orphan); err != nil {
		t.Fatal(err)
	}
	s.start("n2", quiet)
	s.tick("n2")
	live := hsmLabel(s.State().Orders()[0].Live)
	if labels, err := s.devices["n2"].Labels(); err != nil || slices.Contains(labels, orphan) || !slices.Contains(labels, live) {
		t.Errorf("the token holds %v, %v", labels, err)
	}
	s.until("the root key is born", s.rootBorn, all...)
	s.checkGone(all...)
}
