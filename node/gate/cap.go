package gate

import (
	"sync"
	"time"
)

// Bounds of recorded refusals: a principal that is refused over and over must
// not fill the audit.
const (
	refusalsPerSecond = 20
	maxPrincipals     = 4096 // above this, those of the past second are forgotten
)

// Others stands for the principals above maxPrincipals, which are counted together.
const Others = "others"

// RefusalCap bounds how many refusals of one principal are written down each
// second. What is over the cap is counted. It is safe for concurrent use.
type RefusalCap struct {
	mu     sync.Mutex
	second int64             // guarded by mu
	seen   map[string]int    // in this second; guarded by mu
	over   map[string]uint64 // not written down; guarded by mu
}

// NewRefusalCap makes a cap with nothing counted.
func NewRefusalCap() *RefusalCap {
	return &RefusalCap{seen: map[string]int{}, over: map[string]uint64{}}
}

// Allow says whether this refusal is to be written down; if not, it is counted.
func (c *RefusalCap) Allow(principal string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := now.Unix(); s != c.second || len(c.seen) > maxPrincipals {
		c.second = s
		clear(c.seen)
	}
	c.seen[principal]++
	if c.seen[principal] <= refusalsPerSecond {
		return true
	}
	if _, counted := c.over[principal]; !counted && len(c.over) >= maxPrincipals {
		principal = Others
	}
	c.over[principal]++
	return false
}

// TakeOver returns the counts of refusals that were not written down, and
// begins again.
func (c *RefusalCap) TakeOver() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := c.over
	c.over = map[string]uint64{}
	return over
}
