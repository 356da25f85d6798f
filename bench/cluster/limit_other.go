//go:build !linux

package cluster

import "errors"

// LimitFiles is Linux's alone.
func (c *Cluster) LimitFiles(string, uint64) error { return errors.ErrUnsupported }
