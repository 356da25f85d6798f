//go:build !linux

package machine

import (
	"errors"
	"syscall"
)

// errUnknown is what is known of a system that is not Linux.
var errUnknown = errors.New("not known on this system")

// Free is unknown.
func Free(string) (int64, error) { return 0, errUnknown }

// LockLimit is unknown.
func LockLimit() (bytes uint64, all bool, err error) { return 0, false, errUnknown }

// MaxReceiveBuffer is unknown.
func MaxReceiveBuffer() (int64, error) { return 0, errUnknown }

// ReceiveBuffer is unknown.
func ReceiveBuffer(syscall.Conn) (int64, error) { return 0, errUnknown }

// ClockKept is unknown.
func ClockKept() (bool, error) { return false, errUnknown }

// Swaps is unknown.
func Swaps() (bool, error) { return false, errUnknown }
