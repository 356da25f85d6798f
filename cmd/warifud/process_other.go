//go:build !linux

package main

// harden has nothing to offer outside Linux, and says so.
func harden() (warning string, err error) {
	return "core dumps are not forbidden and memory is not locked on this system", nil
}
