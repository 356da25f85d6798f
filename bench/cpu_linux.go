package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf is the CPU time, user and system, that a process has used. Its clock is that
// of clock_getcpuclockid(3), which counts nanoseconds, where /proc/PID/stat counts
// in hundredths of a second: the kernel makes the clock's id of the process's, as
// MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED does.
func cpuOf(pid int) (time.Duration, error) {
	const sched = 2
	if pid < 1 {
		return 0, fmt.Errorf("%w: no process has the id %d", errNoCPU, pid)
	}
	var t unix.Timespec
	if err := unix.ClockGettime(^int32(pid)<<3|sched, &t); err != nil {
		return 0, fmt.Errorf("%w: process %d: %w", errNoCPU, pid, err)
	}
	return time.Duration(t.Nano()), nil
}
