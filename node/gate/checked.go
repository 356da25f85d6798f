package gate

import (
	"encoding/binary"

	"warifu.dev/internal/cache"
	"warifu.dev/sharing/tdh2"
)

// maxChecked is how many envelopes are remembered at most: they take some 3 MB. Of the
// last quarter as many nearly all are.
const maxChecked = 1 << 17

// checked remembers the envelopes that this node has verified and released, by their
// endorsements: to open one again costs a hash, where its proof costs as much as three
// partials. An endorsement is under a key that is the node's, the epoch's and secret, so
// what the memory holds nobody can choose, and it is worth nothing in the next epoch.
type checked struct{ places *cache.Cache[endorsement] }

type endorsement = [tdh2.EndorsementSize]byte

func newChecked() checked { return checked{cache.New[endorsement](maxChecked)} }

// placeOf is a hash of an endorsement: it is one itself, of which half is enough.
func placeOf(e *endorsement) uint64 { return binary.BigEndian.Uint64(e[:]) }

func (c *checked) has(e endorsement) bool {
	return c.places.Find(placeOf(&e), func(known *endorsement) bool { return *known == e }) != nil
}

func (c *checked) remember(e endorsement) {
	if !c.has(e) {
		kept := e // another variable: this one costs nothing where it is known
		c.places.Keep(placeOf(&e), &kept)
	}
}
