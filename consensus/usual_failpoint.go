//go:build failpoint

package consensus

import (
	"time"

	"warifu.dev/internal/failpoint"
)

// In the build that can be killed at each step, snapshots are so many that their
// steps are come to; but where a judge needs whole logs they are as usual.
func init() {
	if failpoint.Off("compaction") {
		return
	}
	usual = Policy{Segment: 64 << 10, Interval: time.Second, Threshold: 32, Trailing: 64}
}
