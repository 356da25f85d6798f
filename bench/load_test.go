package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sleeping waits in the time of a bubble.
func sleeping(until time.Time) { time.Sleep(time.Until(until)) }

// near says whether a histogram's value is one of 0.2 %.
func near(got, want time.Duration) bool {
	return max(got-want, want-got) <= want/500+2*time.Microsecond
}

// A server that takes 1 ms, but once stands still for a second: of 1,000 requests that
// were due in that second, a closed loop notices one, and an open loop all.
func TestAStandstillIsMetByAllWhoWereDue(t *testing.T) {
	for _, row := range []struct {
		name     string
		rate     float64
		p50, p99 time.Duration
		elapsed  time.Duration
		behind   time.Duration
	}{
		{"closed", 0, time.Millisecond, time.Millisecond, 3 * time.Second, 0},
		// Due every 2 ms: 1,000 ms of standstill, which is made good at 1 ms each in
		// another 999. Of 2,000, half wait, from nothing to a second.
		{"open", 500, 2 * time.Millisecond, 979 * time.Millisecond, 3999 * time.Millisecond, 999 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				taken, err := Load{N: 2000, InFlight: 1, Rate: row.rate, wait: sleeping}.Run(t.Context(), func(_ context.Context, i int) error {
					time.Sleep(time.Millisecond)
					if i == 500 {
						time.Sleep(time.Second)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				l := taken.Latency
				if !near(l.P50, row.p50) && row.rate == 0 || !near(l.P99, row.p99) && row.rate == 0 || !near(l.Longest, 1001*time.Millisecond) || !near(taken.Elapsed, row.elapsed) {
					t.Errorf("p50 %v, p99 %v, longest %v, in %v", l.P50, l.P99, l.Longest, taken.Elapsed)
				}
				if row.rate > 0 && (l.P99 < 900*time.Millisecond || l.P90 < 500*time.Millisecond || !near(taken.Behind, row.behind)) {
					t.Errorf("the open loop forgets who waited: p90 %v, p99 %v, behind %v", l.P90, l.P99, taken.Behind)
				}
			})
		})
	}
}

// As many are in flight as may be, each is done once, and those of an open loop do not
// wait for each other.
func TestEachOperationIsDoneOnce(t *testing.T) {
	for _, l := range []Load{{N: 100, InFlight: 7}, {N: 3, InFlight: 7}, {N: 100, InFlight: 50, Rate: 100}} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			done, now, most := map[int]int{}, 0, 0
			l.wait = sleeping
			taken, err := l.Run(t.Context(), func(_ context.Context, i int) error {
				mu.Lock()
				done[i]++
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
				return nil
			})
			if err != nil || len(done) != l.N || taken.Failures() != 0 {
				t.Fatalf("%+v: %d done, %v", l, len(done), err)
			}
			want := min(l.InFlight, l.N)
			if l.Rate > 0 {
				want = 10 // due in 100 ms
			}
			if most < want || most > want+1 || l.Rate == 0 && most != want {
				t.Errorf("%+v: %d in flight, want %d", l, most, want)
			}
			if !near(taken.Latency.P99, 100*time.Millisecond) {
				t.Errorf("%+v: p99 %v", l, taken.Latency.P99)
			}
		})
	}
}

func TestFailuresAreCountedByTheirKind(t *testing.T) {
	taken, err := Load{N: 10_000, InFlight: 1}.Run(t.Context(), func(_ context.Context, i int) error {
		switch {
		case i == 7777:
			return fmt.Errorf("item 3: %w", ErrWrong)
		case i%5000 == 1:
			return context.DeadlineExceeded
		case i == 9999:
			return errors.New("no")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if taken.Wrong != 1 || taken.Failed["timeout"] != 2 || taken.Failed["other"] != 1 || taken.Failures() != 4 || taken.First != context.DeadlineExceeded.Error() {
		t.Errorf("%+v", taken)
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := Load{N: 1000, InFlight: 1}.Run(ctx, func(context.Context, int) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n > 12 {
		t.Errorf("%d operations: %v", n, err)
	}
}

func TestLoadsOutOfBoundsAreRefused(t *testing.T) {
	good := Shape{Load: Load{N: 1, InFlight: 1}, Batch: 1, Clients: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Shape){
		"nothing to do":      func(s *Shape) { s.N = 0 },
		"a rate below zero":  func(s *Shape) { s.Rate = -1 },
		"a rate beyond all":  func(s *Shape) { s.Rate = 2e6 },
		"no batch":           func(s *Shape) { s.Batch = 0 },
		"too large a batch":  func(s *Shape) { s.Batch = 257 },
		"no client":          func(s *Shape) { s.Clients = 0 },
		"too many clients":   func(s *Shape) { s.Clients = 1025 },
		"too many envelopes": func(s *Shape) { s.N, s.Batch = 10_000, 101 },
		"fewer than none":    func(s *Shape) { s.Envelopes = -1 },
		"too many in flight": func(s *Shape) { s.InFlight = 4097 },
	} {
		s := good
		if change(&s); s.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	again := good
	again.N, again.Batch, again.Envelopes = 10_000, 256, 10
	if err := again.Check(); err != nil {
		t.Errorf("many requests for few envelopes: %v", err)
	}
}
