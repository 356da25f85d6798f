package audit

import (
	"errors"
	"fmt"
)

// What an open log, or one that is being opened, can be unable to do. Each is a
// state with a name: nothing hangs and nothing goes on without its audit (R26).
var (
	// ErrFull: the disk is full. The log has said so in its last record and
	// takes no more until it is reopened with room to spare.
	ErrFull = errors.New("audit full")
	// ErrBroken: a write or a sync failed. Whether the last records are on disk
	// is unknown until the log is reopened and verified.
	ErrBroken = errors.New("audit broken")
	// ErrMissing: the file being written is no longer in its directory.
	ErrMissing = errors.New("audit file missing")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("audit closed")
	// ErrLocked: another process has this directory open.
	ErrLocked = errors.New("audit directory is in use")
	// ErrReadOnly: this system can read and verify a log, and not keep one.
	ErrReadOnly = errors.New("audit logs are not written on this system")
	// ErrLooseMode: somebody else may read or write a file of the log (R27).
	ErrLooseMode = errors.New("file mode is too loose")
	// ErrDamaged: records that were synced are missing or altered.
	ErrDamaged = errors.New("audit log is damaged")
)

// DamagedError names the first bad record. It wraps [ErrDamaged].
type DamagedError struct {
	Index    uint64 // the first record that is missing or altered, or the first that may be
	Unplaced bool   // some record differs, nothing left says which, and Index says nothing
	Segment  string // file name; empty when the damage is in no one place
	Offset   int64  // of the frame in the segment
	Why      string
}

func (e *DamagedError) Error() string {
	if e.Segment == "" {
		return fmt.Sprintf("%v: %s", ErrDamaged, e.Why)
	}
	return fmt.Sprintf("%v: record %d (%s, offset %d): %s", ErrDamaged, e.Index, e.Segment, e.Offset, e.Why)
}

func (e *DamagedError) Unwrap() error { return ErrDamaged }
