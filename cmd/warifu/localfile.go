package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"warifu.dev/client/home"
)

// Modes of what is written, whatever the umask.
const (
	modeSecret = 0o600
	modePublic = 0o644
	modeDir    = 0o700
)

// readSmall reads a public file whole.
func readSmall(name string) ([]byte, error) { return home.Read(name) }

// readSecret reads a file that nobody but its owner may read.
func readSecret(name string) ([]byte, error) { return home.ReadSecret(name) }

// newFile is a file being written next to its place. It appears there, complete
// and synced, at Commit; Abandon, which may always be deferred, removes what is
// not committed.
type newFile struct {
	*os.File
	name    string
	replace bool
}

// createFile starts a file. Unless replace is set, a file of that name is refused
// now and again at Commit.
func createFile(name string, mode fs.FileMode, replace bool) (*newFile, error) {
	if !replace {
		if err := mustNotExist(name); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, fail(exitLocal, "create %s: %w", name, err)
	}
	n := &newFile{File: f, name: name, replace: replace}
	if err := f.Chmod(mode); err != nil {
		n.Abandon()
		return nil, fail(exitLocal, "create %s: %w", name, err)
	}
	return n, nil
}

// Commit syncs the file and gives it its name.
func (n *newFile) Commit() error {
	if err := n.commit(); err != nil {
		return fail(exitLocal, "write %s: %w", n.name, err)
	}
	return nil
}

func (n *newFile) commit() error {
	if err := n.Sync(); err != nil {
		return err
	}
	if err := n.Close(); err != nil {
		return err
	}
	if n.replace {
		if err := os.Rename(n.File.Name(), n.name); err != nil {
			return err
		}
		return syncDir(filepath.Dir(n.name))
	}
	// A link, unlike a rename, never replaces a file that came in between. Where
	// the file system has no links, the check before has to do.
	err := os.Link(n.File.Name(), n.name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if err = mustNotExist(n.name); err == nil {
			err = os.Rename(n.File.Name(), n.name)
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(n.name))
}

// Abandon removes what was not committed.
func (n *newFile) Abandon() {
	n.Close()
	os.Remove(n.File.Name())
}

// writeNew writes a file that must not be there yet.
func writeNew(name string, mode fs.FileMode, b []byte) error { return writeFile(name, mode, b, false) }

// writeReplacing writes a file, in the place of what was there.
func writeReplacing(name string, mode fs.FileMode, b []byte) error {
	return writeFile(name, mode, b, true)
}

func writeFile(name string, mode fs.FileMode, b []byte, replace bool) error {
	f, err := createFile(name, mode, replace)
	if err != nil {
		return err
	}
	defer f.Abandon()
	if _, err := f.Write(b); err != nil {
		return fail(exitLocal, "write %s: %w", name, err)
	}
	return f.Commit()
}

func mustNotExist(name string) error {
	switch _, err := os.Lstat(name); {
	case err == nil:
		return fail(exitLocal, "%s exists already, and is left as it is", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// makeDir makes a private directory, or takes an empty or existing one.
func makeDir(name string) error {
	if err := os.MkdirAll(name, modeDir); err != nil {
		return fail(exitLocal, "make the directory %s: %w", name, err)
	}
	return nil
}
