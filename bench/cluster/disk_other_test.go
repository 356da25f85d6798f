//go:build !linux

package cluster_test

import (
	"testing"

	"warifu.dev/bench/cluster"
)

// mayMount tries whether this process may mount a file system.
func mayMount(*testing.T) bool { return false }

func fillDisk(*testing.T, *cluster.Cluster, string)  {}
func emptyDisk(*testing.T, *cluster.Cluster, string) {}
