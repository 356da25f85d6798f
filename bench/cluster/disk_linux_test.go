package cluster_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"warifu.dev/bench/cluster"
)

// diskSize has room for the reserve and for what a test records.
const diskSize = "size=8m,mode=0700"

// mayMount tries whether this process may mount a file system.
func mayMount(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize) != nil {
		return false
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	return true
}

// fillDisk puts a node's audit on a small disk of its own, and fills that.
func fillDisk(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	if err := c.Stop(id); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Dir(id), "audit")
	kept := t.TempDir()
	copyFiles(t, dir, kept)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // if the test ended before emptyDisk
	copyFiles(t, kept, dir)
	if err := c.Restart(id); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitServing(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	filler, err := os.OpenFile(fillerPath(c, id), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}

// emptyDisk makes room again, on the disk the audit was on before.
func emptyDisk(t *testing.T, c *cluster.Cluster, id string) {
	t.Helper()
	if err := os.Remove(fillerPath(c, id)); err != nil {
		t.Fatal(err)
	}
	dir, kept := filepath.Join(c.Dir(id), "audit"), t.TempDir()
	copyFiles(t, dir, kept)
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, kept, dir)
}

func fillerPath(c *cluster.Cluster, id string) string {
	return filepath.Join(c.Dir(id), "audit", "filler")
}

// copyFiles copies a directory and what is below it over another.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, below), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, below), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
