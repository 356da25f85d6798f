package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps key material out of core files, debuggers and swap (R34). What
// it cannot have is an error for dumps, and a warning for locked pages: an
// unprivileged daemon may lack the limit.
func harden() (warning string, err error) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return "", fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return "", fmt.Errorf("forbid core dumps: %w", err)
	}
	// Pages are locked when they are first touched: the address space that Go
	// only reserves stays free.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Sprintf("memory is not locked and may reach swap (%v): raise RLIMIT_MEMLOCK, or turn swap off", err), nil
	}
	return "", nil
}
