// Package cache keeps what is cheaper to find again than to find out again, in a bounded
// number of places. Nobody who looks waits for anybody, and nobody who keeps something
// does: a place is read and replaced as a whole, and what is not found is found out anew.
package cache

import "sync/atomic"

// ways is how many places there are for each hash. What is kept takes the place of what
// has been there for the longest time; so it is found until as many others of the same
// hash have come after it. Of the last n, in a cache of 4n places, nearly all are.
const ways = 8

// Cache holds values by their hashes, some of them, and never more than it has places.
// Only [New] makes one; it is safe for concurrent use.
type Cache[T any] struct{ sets []set[T] }

type set[T any] struct {
	places [ways]atomic.Pointer[T]
	kept   atomic.Uint64 // how many, ever: the next one's place
}

// New makes a cache of so many places, eight at least.
func New[T any](places int) *Cache[T] { return &Cache[T]{make([]set[T], max(1, places/ways))} }

func (c *Cache[T]) of(hash uint64) *set[T] { return &c.sets[hash%uint64(len(c.sets))] }

// Find returns what was kept by a hash and is what is sought, or nil. Others may have the
// same hash: is has to look at all that matters.
func (c *Cache[T]) Find(hash uint64, is func(*T) bool) *T {
	s := c.of(hash)
	for i := range s.places {
		if v := s.places[i].Load(); v != nil && is(v) {
			return v
		}
	}
	return nil
}

// Keep keeps a value, which nobody changes any more.
func (c *Cache[T]) Keep(hash uint64, v *T) {
	s := c.of(hash)
	s.places[(s.kept.Add(1)-1)%ways].Store(v)
}

// Len is how many values there are.
func (c *Cache[T]) Len() (n int) {
	for i := range c.sets {
		for k := range c.sets[i].places {
			if c.sets[i].places[k].Load() != nil {
				n++
			}
		}
	}
	return n
}
