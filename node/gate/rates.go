package gate

import (
	"sync"
	"time"

	"warifu.dev/policy"
)

// MaxBuckets bounds what is remembered of rates: about 200 bytes each. A bucket that
// is full again is forgotten, which changes nothing; above the bound a principal that
// is not remembered has to wait.
const MaxBuckets = 65_536

// sweepPause is how long a full table is not looked through again.
const sweepPause = time.Second

// Rates counts how often each principal uses each key at this node, by the generic
// cell rate algorithm (ITU-T I.371): of each rate, principal and key it remembers one
// moment, at which the bucket would be full again.
//
// It is kept in memory alone. A bucket that is not remembered counts as one that was
// empty when this process started: a restart never adds to what a rate lets through,
// and takes at most one Per until a principal has its full rate again. It is safe for
// concurrent use.
type Rates struct {
	boot func() time.Duration
	most int

	mu    sync.Mutex
	full  map[bucket]time.Duration // when a bucket is full; guarded by mu
	swept time.Duration            // when full was last looked through; guarded by mu
	start time.Duration
}

type bucket struct{ rate, principal, key string }

// NewRates counts from now on, by a clock that nobody can set.
func NewRates(boot func() time.Duration) *Rates {
	now := boot()
	return &Rates{boot: boot, most: MaxBuckets, full: map[bucket]time.Duration{}, start: now, swept: now - sweepPause}
}

// take lets a request through, or says by which rate not, and when to ask again.
// With look it takes nothing. Rates that let it through are not charged when another
// does not.
func (r *Rates) take(rates []policy.Rate, principal, key string, look bool) (by *policy.Rate, wait time.Duration) {
	if len(rates) == 0 {
		return nil, 0
	}
	now := r.boot()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rates {
		if rate := &rates[i]; rate.Applies(principal, key) {
			if wait := r.wait(rate, principal, key, now); wait > 0 {
				return rate, wait
			}
		}
	}
	for i := range rates {
		if rate := &rates[i]; !look && rate.Applies(principal, key) {
			b := bucket{rate.Name, principal, key}
			r.full[b] = max(now, r.fullAt(b, rate)) + rate.Per/time.Duration(rate.Count)
		}
	}
	return nil, 0
}

func (r *Rates) fullAt(b bucket, rate *policy.Rate) time.Duration {
	if at, known := r.full[b]; known {
		return at
	}
	return r.start + rate.Per
}

// wait is how long it takes until the bucket has one more; r.mu is held.
func (r *Rates) wait(rate *policy.Rate, principal, key string, now time.Duration) time.Duration {
	b := bucket{rate.Name, principal, key}
	if _, known := r.full[b]; !known && len(r.full) >= r.most {
		if now-r.swept >= sweepPause {
			r.swept = now
			for other, at := range r.full {
				if at <= now {
					delete(r.full, other)
				}
			}
		}
		if len(r.full) >= r.most {
			return sweepPause
		}
	}
	return max(0, max(now, r.fullAt(b, rate))+rate.Per/time.Duration(rate.Count)-now-rate.Per)
}
