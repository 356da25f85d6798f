//go:build !linux

package bench

import "time"

// cpuOf is known on Linux alone.
func cpuOf(int) (time.Duration, error) { return 0, errNoCPU }
