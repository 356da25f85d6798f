package disk

import "io/fs"

// Op is what is about to be done to a file or a directory.
type Op string

// Every way in which a durable file changes.
const (
	Create   Op = "create" // of a file or a directory that is not there
	Write    Op = "write"
	Truncate Op = "truncate"
	Sync     Op = "sync"   // of a file, or of a directory
	Rename   Op = "rename" // the path is the new name
	Remove   Op = "remove"
)

// Hook is asked before every change, from several goroutines at once. With an
// error the change is not made, and the room takes it as the disk's own.
type Hook func(op Op, path string) error

// Before asks the hook, if there is one. Its error is worded like one of package
// os, and matches what it wraps.
func (h Hook) Before(op Op, path string) error {
	if h == nil {
		return nil
	}
	if err := h(op, path); err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}
