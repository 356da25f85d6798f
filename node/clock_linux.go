package node

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is the time since the machine started, suspension included, which
// nobody can set. Freshness is measured on it.
func BootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("node: no boot-time clock: " + err.Error()) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}
