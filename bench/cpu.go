package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux that Go
// runs on.
const clockTick = 10 * time.Millisecond

// Places in /proc/PID/stat after the command's closing parenthesis (proc_pid_stat(5)).
const (
	statUser   = 14 - 3
	statSystem = 15 - 3
)

var errNoCPU = errors.New("the CPU time of a process is not to be had here")

// cpuOf is the CPU time, user and system, that a process has used.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoCPU, err)
	}
	_, after, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(after)
	if len(fields) <= statSystem {
		return 0, fmt.Errorf("%w: /proc/%d/stat has %d fields", errNoCPU, pid, len(fields))
	}
	var ticks int64
	for _, f := range []string{fields[statUser], fields[statSystem]} {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errNoCPU, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bench: getrusage of this process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
