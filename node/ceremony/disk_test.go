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
