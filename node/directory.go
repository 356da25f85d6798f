package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"warifu.dev/node/gate"
)

// Errors of a node's directory.
var (
	// ErrInUse means another daemon runs on this directory.
	ErrInUse = errors.New("another process uses this directory")
	// ErrLooseMode means others could read or change what rests here (R27).
	ErrLooseMode = errors.New("file modes are too loose")
	// ErrNotEmpty means a directory is already a node's.
	ErrNotEmpty = errors.New("this directory belongs to a node already")
)

// Places in a node's directory.
const (
	sealDir     = "seal"     // root share and keyring
	ceremonyDir = "ceremony" // sealed states of running ceremonies
	auditDir    = "audit"
	raftDir     = "raft" // consensus makes it
	lockName    = "lock"
	genesisName = "genesis"
	chainName   = "chain"       // how the roster has changed, as far as join was told
	lineName    = "roster-line" // what init printed
)

// lockDirectory takes the directory for this process until release is called.
func lockDirectory(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	return f.Close, nil
}

// notCopied refuses a directory that has recorded something, and has neither Raft's log
// nor the uses of grants: both are made before anything is recorded that names the ledger,
// and no backup has them.
func notCopied(dir string, recorded bool) error {
	if recorded && !exists(filepath.Join(dir, raftDir)) && !exists(filepath.Join(dir, gate.SlotsName)) {
		return fmt.Errorf("%s: %w", dir, ErrCopied)
	}
	return nil
}

// exists says whether there is something under a name, or may be.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// checkModes refuses a directory in which anything is open to group or others.
// A token's own store below it is the token's business and is held to the same.
func checkModes(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("check file modes: %w", err)
		}
		info, err := e.Info()
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fmt.Errorf("check file modes: %w", err)
		}
		if info.Mode().Type()&(fs.ModeSymlink|fs.ModeSocket) != 0 {
			return nil
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("%s has mode %04o, at most 0700 for a directory and 0600 for a file: %w", path, mode, ErrLooseMode)
		}
		return nil
	})
}
