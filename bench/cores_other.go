//go:build !linux

package bench

import "errors"

var errNoCores = errors.New("which cores a process runs on cannot be chosen here")

// KeepTo is known on Linux alone.
func KeepTo(int, []int) error { return errNoCores }

// CoresOf is known on Linux alone.
func CoresOf(int) ([]int, error) { return nil, errNoCores }
