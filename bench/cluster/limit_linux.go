package cluster

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// LimitFiles makes every write of a running node beyond this offset of any file
// fail (RLIMIT_FSIZE), until the node is started again.
func (c *Cluster) LimitFiles(id string, bytes uint64) error {
	pid := c.PID(id)
	if pid == 0 {
		return fmt.Errorf("%s does not run", id)
	}
	limit := unix.Rlimit{Cur: bytes, Max: bytes}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return fmt.Errorf("limit the files of %s: %w", id, err)
	}
	return nil
}
