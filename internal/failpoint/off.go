//go:build !failpoint

package failpoint

import "time"

// Step takes a step.
func Step(_ string, do func() error) error { return do() }

// Off says whether a loop does not run. It always does.
func Off(string) bool { return false }

// Ahead is how far the process's clock is put ahead: it never is.
func Ahead() time.Duration { return 0 }
