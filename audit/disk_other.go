//go:build !unix

package audit

import (
	"fmt"
	"io/fs"
	"os"

	"warifu.dev/internal/disk"
)

// loose is always false: these systems keep no mode of Unix, and what Go shows
// as one is made up from whether the file may be written.
func loose(fs.FileInfo, fs.FileMode) bool { return false }

// lockDir refuses. Here a directory cannot be synced, so that what is written
// could not be promised to last. A log is read and verified everywhere.
func lockDir(_ disk.Hook, dir string) (*os.File, error) {
	return nil, fmt.Errorf("%w: %s", ErrReadOnly, dir)
}
