package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// KeepTo has a process run on some cores alone, numbered from 0: all its threads, and
// those that they start. A Go program notices within a second or so, and takes as many
// cores for its GOMAXPROCS.
func KeepTo(pid int, cores []int) error {
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	if set.Count() == 0 {
		return errors.New("a process needs a core to run on")
	}
	// A thread that is started meanwhile has the cores of the one that starts it: the
	// second look finds what the first has missed.
	for range 2 {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return fmt.Errorf("the threads of process %d: %w", pid, err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("keep process %d to the cores %v: %w", pid, cores, err)
			}
		}
	}
	return nil
}

// CoresOf are the cores that a process may run on.
func CoresOf(pid int) (cores []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		return nil, fmt.Errorf("the cores of process %d: %w", pid, err)
	}
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			cores = append(cores, c)
		}
	}
	return cores, nil
}
