package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
)

// Whatever change of a file is the one that fails, its name holds the old content
// or the new, whole.
func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	for nth := 1; ; nth++ {
		dir := t.TempDir()
		if err := WriteFile(nil, dir, "f", []byte("old")); err != nil {
			t.Fatal(err)
		}
		left := nth
		err := WriteFile(func(disk.Op, string) error {
			if left--; left == 0 {
				return syscall.ENOSPC
			}
			return nil
		}, dir, "f", []byte("newer"))
		got, readErr := ReadFile(dir, "f")
		if readErr != nil || string(got) != "old" && string(got) != "newer" {
			t.Fatalf("change %d failed, and the file holds %q, %v", nth, got, readErr)
		}
		if err == nil {
			if nth != 6 || string(got) != "newer" { // create, write, sync, rename, sync of the directory
				t.Errorf("%d changes were asked for, the file holds %q", nth-1, got)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("change %d: %v", nth, err)
		}
	}
}

// R26: on a full or a dead disk a share is refused and not given out; nothing that
// was there changes.
func TestAFullOrDeadDiskTakesNoShare(t *testing.T) {
	for _, broken := range []error{syscall.ENOSPC, syscall.EIO} {
		cfg, k := full(t)
		before, err := os.ReadFile(filepath.Join(cfg.Dir, sharesName(1)))
		if err != nil {
			t.Fatal(err)
		}
		k.cfg.Disk = func(disk.Op, string) error { return broken }
		if err := k.Put(testShare(10, 12)); !errors.Is(err, broken) {
			t.Errorf("put: %v", err)
		}
		if _, ok := k.Share(api.KeyID{10}, 1, 1); ok {
			t.Error("a share is given out that is not durable")
		}
		if _, err := Create(k.cfg, testRoot(2)); !errors.Is(err, broken) {
			t.Errorf("create: %v", err)
		}
		if after, err := os.ReadFile(filepath.Join(cfg.Dir, sharesName(1))); err != nil || string(after) != string(before) {
			t.Errorf("the keyring's file has changed, %v", err)
		}
		if k, err := Open(cfg); err != nil || k.Count() != 1 || k.Generation() != 1 {
			t.Errorf("after a restart: %v", err)
		}
	}
}

// An HSM key that was made just before a crash, and never sealed a generation, is
// destroyed at the next start. The key in use stays, and others' keys too.
func TestAKeyThatNeverSealedAGenerationGoes(t *testing.T) {
	cfg, _ := full(t)
	for _, label := range []string{"root.2", "root.17", "identity", "root.x"} {
		if err := cfg.Device.CreateKey(label); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(cfg); err != nil {
		t.Fatal(err)
	}
	labels, err := cfg.Device.Labels()
	if slices.Sort(labels); err != nil || !slices.Equal(labels, []string{"identity", "root.1", "root.x"}) {
		t.Errorf("the token holds %v, %v", labels, err)
	}
}
