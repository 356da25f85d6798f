package alarm

import (
	"syscall"
	"time"
)

// exactly may return early, when a signal comes.
func exactly(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil)
}
