//go:build !linux

package alarm

import "time"

func exactly(d time.Duration) { time.Sleep(d) }
