package node

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warifu.dev/hsm/soft"
	"warifu.dev/internal/disk"
)

// watched is a disk that remembers what it was asked, and can die under one node.
type watched struct {
	mu    sync.Mutex
	asked map[string]bool // paths that came to be or were written; guarded by mu
	dead  string          // directory under which nothing changes any more; guarded by mu
}

func (w *watched) before(_ disk.Op, path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != "" && strings.HasPrefix(path, w.dead) {
		return syscall.EIO
	}
	w.asked[path] = true
	return nil
}

// durable is the content of every file of a node but those that no hook is asked
// about: the token's own, the locks, and the small database of Raft's term and vote.
func durable(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == "soft-hsm":
			return fs.SkipDir
		case e.IsDir(), e.Name() == lockName, e.Name() == "wal-meta.db":
			return nil
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

// Every file that a node makes while it runs was asked for, and when its disk dies
// nothing that it still does reaches it, its stop included; it is not held up, says
// so, and goes on from what was there when it is started on a disk that works.
func TestNothingReachesADeadDisk(t *testing.T) {
	c := newCluster(t)
	w := &watched{asked: map[string]bool{}}
	c.disk = w.before
	made := map[string]string{}
	for _, dir := range c.dirs {
		for path, b := range durable(t, dir) {
			made[path] = b
		}
	}
	var last map[string]string
	c.run(func() {
		c.logged(3, "state=unsealed")
		w.mu.Lock()
		w.dead = c.dirs[0]
		w.mu.Unlock()
		for calm := 0; calm < 5; { // what was asked before is done
			time.Sleep(200 * time.Millisecond)
			now := durable(t, c.dirs[0])
			if calm++; !maps.Equal(now, last) {
				last, calm = now, 0
			}
		}
	})
	c.logged(1, "the audit log takes no more records") // of the node's stop
	for path := range last {
		w.mu.Lock()
		if _, before := made[path]; !before && !w.asked[path] {
			t.Errorf("%s was written unasked", path)
		}
		w.mu.Unlock()
	}
	for path, b := range durable(t, c.dirs[0]) {
		if last[path] != b {
			t.Errorf("%s changed on a dead disk", path)
		}
	}
	for _, room := range []string{auditDir, "raft", sealDir, ceremonyDir} {
		found := false
		for path := range w.asked {
			found = found || strings.HasPrefix(path, filepath.Join(c.dirs[0], room)+"/")
		}
		if !found {
			t.Errorf("nothing was asked about %s", room)
		}
	}
	w.dead = ""
	c.run(func() { c.logged(6, "state=unsealed") })
}

// An init that was cut off at any place can be run again, and takes nothing from a
// token that belongs to another node.
func TestAnInitThatWasCutOffIsRunAgain(t *testing.T) {
	cfg := Config{Node: "n1", Region: "jp-east", Client: "127.0.0.1:0", Peer: "127.0.0.1:0", HSM: HSMConfig{Kind: "soft"}}
	for sentence, cut := range map[string]func(dir string, dev *soft.Device) error{
		"after the claim": func(dir string, dev *soft.Device) error { return claimToken(dir, dev) },
		"after the key": func(dir string, dev *soft.Device) error {
			return errors.Join(claimToken(dir, dev), dev.CreateKey(identityLabel))
		},
		"after the configuration": func(dir string, _ *soft.Device) error {
			return os.WriteFile(filepath.Join(dir, configName), []byte("node = 'n1'"), 0o600)
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			dir := t.TempDir()
			dev := openSoft(t, dir)
			if err := cut(dir, dev); err != nil {
				t.Fatal(err)
			}
			line, err := Init(rand.Reader, dir, cfg, dev)
			if err != nil {
				t.Fatal(err)
			}
			if kept, err := os.ReadFile(filepath.Join(dir, lineName)); err != nil || string(kept) != RosterLine(line)+"\n" {
				t.Errorf("kept is %q, %v", kept, err)
			}
			if _, err := os.Stat(filepath.Join(dir, claimName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the claim is still there: %v", err)
			}
			if _, err := openIdentity(dir, "n1", dev); err != nil {
				t.Error(err)
			}
			// Another directory has no claim on this token, and one of another token is none.
			elsewhere := t.TempDir()
			for range 2 {
				if _, err := Init(rand.Reader, elsewhere, cfg, dev); !errors.Is(err, ErrTokenTaken) {
					t.Errorf("from another directory: %v", err)
				}
				if err := os.WriteFile(filepath.Join(elsewhere, claimName), []byte("another"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
