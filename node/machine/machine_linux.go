package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Free is how many bytes can still be written where path is, by a process without
// privileges.
func Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("ask how much room there is at %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// LockLimit is how many bytes of memory this process may lock, or all: RLIMIT_MEMLOCK,
// which the superuser is not held to.
func LockLimit() (bytes uint64, all bool, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
		return 0, false, fmt.Errorf("ask how much memory may be locked: %w", err)
	}
	return l.Cur, l.Cur == unix.RLIM_INFINITY || os.Geteuid() == 0, nil
}

// MaxReceiveBuffer is the largest receive buffer that a socket can have:
// net.core.rmem_max.
func MaxReceiveBuffer() (int64, error) {
	b, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		return 0, fmt.Errorf("ask how large a receive buffer may be: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ask how large a receive buffer may be: %w", err)
	}
	return n, nil
}

// ReceiveBuffer is what a socket's receive buffer holds. Linux says twice what it was
// asked for (socket(7), SO_RCVBUF).
func ReceiveBuffer(socket syscall.Conn) (int64, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var asked error
	err = raw.Control(func(fd uintptr) { n, asked = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	if err == nil {
		err = asked
	}
	return int64(n / 2), err
}

// ClockKept says whether somebody keeps this machine's clock: the kernel counts it as
// synchronised (adjtimex(2)).
func ClockKept() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("ask whether the clock is synchronised: %w", err)
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

// Swaps says whether anything that this machine holds in memory can reach a disk.
func Swaps() (bool, error) {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return false, fmt.Errorf("ask whether there is swap: %w", err)
	}
	return strings.Count(strings.TrimSpace(string(b)), "\n") > 0, nil
}
