//go:build failpoint

package consensus

import "time"

// In the build that can be killed at each step, snapshots are so many that their
// steps are come to.
func init() {
	usual = Policy{Segment: 64 << 10, Interval: time.Second, Threshold: 32, Trailing: 64}
}
