// Package alarm waits until a moment, more exactly than package time does.
//
// A timer of Go's may be a millisecond late where nothing else runs: the thread that
// waits for it counts in milliseconds. That is as much as what is measured here. So the
// last of a wait is a system call, which is late by tens of microseconds.
package alarm

import "time"

// last is the part of a wait that is not left to a timer: twice what that is late by.
const last = 2 * time.Millisecond

// Until returns at a moment, or at once if it has passed. While it waits for the last of
// it, it holds a thread: it is for a few goroutines.
func Until(t time.Time) {
	if d := time.Until(t) - last; d > 0 {
		time.Sleep(d)
	}
	for d := time.Until(t); d > 0; d = time.Until(t) {
		exactly(d)
	}
}
