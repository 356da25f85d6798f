//go:build unix

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"warifu.dev/internal/disk"
)

// loose says whether others may do more with a file than most permits.
func loose(info fs.FileInfo, most fs.FileMode) bool { return info.Mode().Perm()&^most != 0 }

// lockDir takes the directory for this process. The lock ends with the process.
func lockDir(hook disk.Hook, dir string) (*os.File, error) {
	f, err := create(hook, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
