package home

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxFile bounds every file that is read whole: documents, certificates, keys,
// records. The largest, a genesis document, has some 20 KiB.
const MaxFile = 1 << 20

// Errors of files.
var (
	// ErrExposed means that a file with a secret has a mode that lets others read it.
	ErrExposed = errors.New("others may read")
	// ErrNoFile means that there is something else where a file was to be.
	ErrNoFile = errors.New("not a file")
	// ErrTooLarge means that a file is larger than [MaxFile].
	ErrTooLarge = errors.New("too large")
)

// Read reads a public file whole.
func Read(name string) ([]byte, error) { return read(name, false) }

// ReadSecret reads a file that nobody but its owner may read, and refuses a
// looser one. On Windows a file has no mode that could say so: there it is as
// private as its directory.
func ReadSecret(name string) ([]byte, error) { return read(name, true) }

func read(name string, private bool) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory, %w", name, ErrNoFile)
	case private && info.Mode().IsRegular() && exposed(info):
		return nil, fmt.Errorf("%w %s (mode %#o); run: chmod 600 %s", ErrExposed, name, info.Mode().Perm(), name)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s is larger than %d KiB: %w", name, MaxFile>>10, ErrTooLarge)
	}
	return b, nil
}
