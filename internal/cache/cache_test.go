package cache

import (
	"math/rand/v2"
	"sync"
	"testing"
)

type pair struct{ question, answer uint64 }

func ask(c *Cache[pair], hash, question uint64) (answer uint64, known bool) {
	p := c.Find(hash, func(p *pair) bool { return p.question == question })
	if p == nil {
		return 0, false
	}
	return p.answer, true
}

// R24: however much is kept, there are no more values than places, and each is found by
// its own question alone.
func TestACacheIsBounded(t *testing.T) {
	const places = 256
	c := New[pair](places)
	if _, known := ask(c, 0, 0); known || c.Len() != 0 {
		t.Fatal("an empty cache knows something")
	}
	for q := range uint64(20 * places) {
		hash := rand.Uint64() >> (q % 64) // many are the same
		c.Keep(hash, &pair{q, q + 1})
		if a, known := ask(c, hash, q); !known || a != q+1 {
			t.Fatalf("%d: %d, %v", q, a, known)
		}
		if _, known := ask(c, hash, q+1); known {
			t.Fatalf("%d answers another question", q)
		}
	}
	if n := c.Len(); n != places {
		t.Errorf("%d values in %d places", n, places)
	}
}

// Of the last n, in a cache of 4n places, nearly all are found, however many there were.
func TestLittleIsForgottenEarly(t *testing.T) {
	const places, last = 1 << 14, 1 << 12
	c := New[pair](places)
	var hashes []uint64
	for q := range uint64(10 * places) {
		hashes = append(hashes, rand.Uint64())
		c.Keep(hashes[q], &pair{q, q})
		if q%places != places-1 {
			continue
		}
		lost := 0
		for back := range uint64(last) {
			if _, known := ask(c, hashes[q-back], q-back); !known {
				lost++
			}
		}
		if lost > last/100 {
			t.Errorf("after %d: of the last %d %d are forgotten", q, last, lost)
		}
	}
	if _, known := ask(c, hashes[0], 0); known {
		t.Error("the first is never forgotten")
	}
}

// Whoever asks while others keep hears the answer to the own question, or none.
func TestManyAskAndKeepAtOnce(t *testing.T) {
	c := New[pair](64)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5_000 {
				q := rand.Uint64N(200)
				if a, known := ask(c, q%16, q); !known {
					c.Keep(q%16, &pair{q, 3 * q})
				} else if a != 3*q {
					t.Errorf("%d: %d", q, a)
				}
			}
		})
	}
	all.Wait()
	if n := c.Len(); n > 64 {
		t.Error(n)
	}
}

func TestLookingAllocatesNothing(t *testing.T) {
	c := New[pair](64)
	c.Keep(5, &pair{5, 6})
	if n := testing.AllocsPerRun(100, func() { ask(c, 5, 5); ask(c, 5, 6) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
