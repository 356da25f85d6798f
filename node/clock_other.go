//go:build !linux

package node

import "time"

var processStart = time.Now()

// BootTime is the time since this process started: without a boot-time clock, a
// suspended machine counts less time than passed.
func BootTime() time.Duration { return time.Since(processStart) }
