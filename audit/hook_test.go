package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/internal/disk"
)

// content is every file below dir, by path.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func changed(a, b map[string]string) (paths []string) {
	for path := range a {
		if b[path] != a[path] {
			paths = append(paths, path)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// R26: a disk that is full, by the hook, is `audit full` and takes the record that
// says so; one that is dead is `audit broken`, and from then on nothing of the old
// process reaches it: no record, checkpoint or tile.
func TestAFullAndADeadDiskAreNamedStates(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error
		want  error
		state string
	}{
		{"full", syscall.ENOSPC, ErrFull, "audit full"},
		{"dead", syscall.EIO, ErrBroken, "audit broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
			var broken atomic.Bool
			cfg.Disk = func(op disk.Op, _ string) error {
				if broken.Load() && (op == disk.Create || op == disk.Write || tt.cause == syscall.EIO) {
					return tt.cause
				}
				return nil
			}
			l := mustOpen(t, cfg)
			mustAppend(t, l, numbered(0))
			if _, err := l.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			before := content(t, cfg.Dir)
			broken.Store(true)
			for range 2 {
				if _, err := l.Append(context.Background(), numbered(1)); !errors.Is(err, tt.want) || !errors.Is(err, tt.cause) {
					t.Errorf("appended: %v", err)
				}
			}
			if l.State() != tt.state || l.Size() != 1 {
				t.Errorf("state %q, %d records", l.State(), l.Size())
			}
			if _, err := l.Checkpoint(); err == nil {
				t.Error("a checkpoint was kept")
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if got := changed(before, content(t, cfg.Dir)); tt.cause == syscall.EIO && len(got) > 0 {
				t.Errorf("changed on a dead disk: %v", got)
			}
			cfg.Disk = nil
			again := mustOpen(t, cfg)
			if again.Size() != 1 {
				t.Errorf("%d records after a restart", again.Size())
			}
			mustAppend(t, again, numbered(1))
		})
	}
}

// A slow disk keeps those who write waiting, and nobody waits in a way that a simulated
// clock cannot see: a checkpoint and a tile that is full come at the same time.
func TestASlowDiskIsWaitedForOnTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(filepath.Join(t.TempDir(), "log"))
		cfg.Disk = func(disk.Op, string) error {
			time.Sleep(time.Second)
			return nil
		}
		l, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 3 {
					if _, err := l.Checkpoint(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range 5 * tileWidth / 128 {
			batch := make([]Record, 128)
			for k := range batch {
				batch[k] = numbered(128*i + k)
			}
			mustAppend(t, l, batch...)
		}
		wg.Wait()
	})
}
