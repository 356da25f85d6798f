package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/backup"
	"warifu.dev/node/keyring"
)

// R46: a directory that has recorded something, and has lost what the node promised, does
// not start; one whose first start a crash cut short does.
func TestADirectoryThatWasPutBackDoesNotStart(t *testing.T) {
	c := newCluster(t)
	c.run(func() { c.logged(3, "state=unsealed") })
	start := func(dir string) error {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute) // if it says nothing
		defer stop()
		var log buffer
		go func() {
			for ctx.Err() == nil && !strings.Contains(log.String(), "node is up") {
				time.Sleep(50 * time.Millisecond)
			}
			stop() // it has started
		}()
		return Run(ctx, options(dir, openSoft(t, dir), slog.New(slog.NewTextHandler(&log, nil))))
	}
	without := func(dir string, names ...string) string {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "node")
		must(t, os.CopyFS(copied, os.DirFS(dir)))
		must(t, filepath.WalkDir(copied, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return os.Chmod(path, 0o600)
		}))
		for _, name := range names {
			must(t, os.RemoveAll(filepath.Join(copied, name)))
		}
		return copied
	}
	if err := start(without(c.dirs[0], "raft", "slots")); !errors.Is(err, ErrCopied) {
		t.Errorf("what a backup has: %v", err)
	}
	if err := start(without(c.dirs[0], "raft")); !errors.Is(err, ErrCopied) {
		t.Errorf("the log was taken away: %v", err)
	}
	if err := start(without(c.dirs[0])); err != nil {
		t.Errorf("nothing was taken away, and it does not start: %v", err)
	}
	// A first start that ended before there was a log: a record, and nothing promised.
	fresh := newCluster(t).dirs[0]
	if err := start(fresh); err != nil {
		t.Fatal(err)
	}
	must(t, os.RemoveAll(filepath.Join(fresh, "raft")))
	if err := start(fresh); err != nil {
		t.Errorf("cut short before it took anything: %v", err)
	}
}

// P8: the backups of all nodes, made while they run, hold no share in the clear, and open
// with no token but their own: without it there is nothing to open them with.
func TestBackupsOfAllNodesOpenNothing(t *testing.T) {
	c := newCluster(t)
	var backups [][]byte
	c.run(func() {
		c.logged(3, "state=unsealed")
		for _, dir := range c.dirs {
			var b bytes.Buffer
			_, err := backup.Write(&b, dir, time.Now())
			must(t, err)
			if _, err := backup.Verify(bytes.NewReader(b.Bytes())); err != nil {
				t.Fatal(err)
			}
			backups = append(backups, b.Bytes())
		}
	})
	for _, dir := range c.dirs {
		cfg, err := LoadConfig(dir)
		must(t, err)
		g, err := loadGenesis(dir)
		must(t, err)
		at := keyring.Config{Dir: filepath.Join(dir, sealDir), Cluster: g.Cluster, Node: cfg.Node, Device: openSoft(t, dir), Rand: rand.Reader}
		ring, err := keyring.Open(at)
		must(t, err)
		share := ring.Root().Share.Bytes()
		for i, b := range backups {
			if bytes.Contains(b, share) {
				t.Errorf("the backup of node %d holds the root share of %s", i+1, cfg.Node)
			}
		}
		keys, err := os.ReadDir(filepath.Join(dir, "soft-hsm"))
		must(t, err)
		for _, key := range keys {
			content, err := os.ReadFile(filepath.Join(dir, "soft-hsm", key.Name()))
			must(t, err)
			for i, b := range backups {
				if len(content) >= 16 && bytes.Contains(b, content) && key.Name() != "serial" {
					t.Errorf("the backup of node %d holds %s of the token", i+1, key.Name())
				}
			}
		}
		at.Device = openSoft(t, t.TempDir()) // another token
		if _, err := keyring.Open(at); err == nil {
			t.Error("another token opens the sealed store")
		}
	}
}
