package gate

import (
	"sync"

	"warifu.dev/sharing/tdh2"
)

// maxChecked is how many envelopes are remembered at least, once so many were released:
// twice that many take some 5 MB.
const maxChecked = 1 << 15

// checked remembers the envelopes that this node has verified and released, by their
// endorsements: to open one again costs a hash, where its proof costs as much as three
// partials. An endorsement is under a key that is the node's, the epoch's and secret, so
// what the memory holds nobody can choose, and it is worth nothing in the next epoch.
//
// It forgets in two halves: when the newer is full it becomes the older, and the older
// is dropped. What is found in the older is remembered anew.
type checked struct {
	mu           sync.Mutex
	newer, older map[[tdh2.EndorsementSize]byte]struct{} // guarded by mu
}

func (c *checked) has(e [tdh2.EndorsementSize]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.newer[e]; ok {
		return true
	}
	_, ok := c.older[e]
	return ok
}

func (c *checked) remember(e [tdh2.EndorsementSize]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.newer[e]; ok {
		return
	}
	if c.newer == nil || len(c.newer) >= maxChecked {
		c.newer, c.older = map[[tdh2.EndorsementSize]byte]struct{}{}, c.newer
	}
	c.newer[e] = struct{}{}
}
