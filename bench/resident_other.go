//go:build !linux

package bench

import "errors"

// resident is known on Linux alone.
func resident(int) (int64, error) {
	return 0, errors.New("the memory of a process is not to be had here")
}
