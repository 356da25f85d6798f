package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"warifu.dev/bench/alarm"
	"warifu.dev/client"
)

// Load says how operations are put in.
//
// A closed loop has InFlight callers, and each begins again when it has its answer: it
// asks less of who answers slowly. An open loop has a Rate: one operation is due every
// 1/Rate of a second, whatever became of those before, and its latency counts from when
// it was due. One that is put in late, because InFlight others wait, has waited, too:
// so nothing is left out that a real caller would have met (Tene, "coordinated omission").
type Load struct {
	N        int     `json:"operations"`
	InFlight int     `json:"in_flight"` // at most so many at a time
	Rate     float64 `json:"rate_per_second,omitempty"`

	wait  func(until time.Time) // nil means [alarm.Until]; for tests, whose clock is another
	watch *watch                // nil: nobody follows
}

const (
	maxOperations = 1_000_000 // envelopes are made beforehand, and held in memory
	maxInFlight   = 4096      // beyond it one measures the scheduler
	maxRate       = 1e6       // a microsecond is the shortest that is told apart
	maxKinds      = 16        // of failures that are counted apart
)

// Check holds the numbers against their bounds.
func (l Load) Check() error {
	switch {
	case l.N < 1 || l.N > maxOperations:
		return fmt.Errorf("bench: 1 to %d operations", maxOperations)
	case l.InFlight < 1 || l.InFlight > maxInFlight:
		return fmt.Errorf("bench: 1 to %d in flight", maxInFlight)
	case l.Rate < 0 || l.Rate > maxRate || l.Rate != l.Rate:
		return fmt.Errorf("bench: a rate of 0, which means a closed loop, to %.0f in a second", maxRate)
	}
	return nil
}

// ErrWrong means that an answer came and was not the right one.
var ErrWrong = errors.New("a data key came back different")

// Taken is what became of the operations of a load.
type Taken struct {
	Load
	Elapsed time.Duration  `json:"elapsed_ns"`
	Latency Latency        `json:"latency"` // of those that did not fail
	Wrong   int            `json:"wrong"`   // answers that were not the right ones
	Failed  map[string]int `json:"failed,omitempty"`
	First   string         `json:"first_failure,omitempty"`
	Refused Latency        `json:"refused"` // of those that failed
	// Behind is by how much, at most, an operation of an open loop began after it was due.
	Behind time.Duration `json:"behind_ns,omitempty"`
}

// Failures is how many operations did not end well, wrong answers among them.
func (t *Taken) Failures() int {
	n := t.Wrong
	for _, k := range t.Failed {
		n += k
	}
	return n
}

// failed counts one that did not end well.
func (t *Taken) failed(err error) {
	if t.First == "" {
		t.First = err.Error()
	}
	if errors.Is(err, ErrWrong) {
		t.Wrong++
		return
	}
	kind := kindOf(err)
	if _, known := t.Failed[kind]; !known && len(t.Failed) >= maxKinds {
		kind = "others"
	}
	t.Failed[kind]++
}

// Run does operations 0 to N-1, and returns when all have ended. A failed one is counted;
// the error is that of ctx.
func (l Load) Run(ctx context.Context, do func(ctx context.Context, i int) error) (*Taken, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	if l.wait == nil {
		l.wait = alarm.Until
	}
	out := &Taken{Load: l, Failed: map[string]int{}}
	took, refused := newLatencies(), newLatencies()
	var mu sync.Mutex
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		out.failed(err)
	}
	type turn struct {
		i   int
		due time.Time // zero in a closed loop
	}
	next := make(chan turn)
	var behind time.Duration
	var all sync.WaitGroup
	for range min(l.InFlight, l.N) {
		all.Go(func() {
			for t := range next {
				began := time.Now()
				if t.due.IsZero() {
					t.due = began
				}
				err := do(ctx, t.i)
				ended := time.Since(t.due)
				if l.watch != nil {
					l.watch.saw(event{t.due, ended, err})
				}
				if err == nil {
					took.record(ended)
					continue
				}
				refused.record(ended)
				failed(err)
			}
		})
	}
	began := time.Now()
	enough := ctx
	if l.watch != nil {
		l.watch.begun <- began
		enough = l.watch.until // no longer than ctx
	}
	out.N = 0 // those that were put in
	for i := 0; i < l.N; i++ {
		t := turn{i: i}
		if l.Rate > 0 {
			t.due = began.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
			l.wait(t.due)
		}
		if enough.Err() != nil {
			break
		}
		select {
		case next <- t:
			out.N++
			if l.Rate > 0 {
				behind = max(behind, time.Since(t.due))
			}
		case <-enough.Done():
		}
	}
	close(next)
	all.Wait()
	out.Elapsed, out.Latency, out.Refused, out.Behind = time.Since(began), took.latency(), refused.latency(), behind
	return out, ctx.Err()
}

// kindOf names a failure by what a client is told.
func kindOf(err error) string {
	var quorum *client.QuorumError
	var peer *PeerError
	switch {
	case errors.As(err, &peer):
		return peer.Kind
	case errors.Is(err, client.ErrDenied):
		return "denied"
	case errors.As(err, &quorum) && len(quorum.Reasons) > 0:
		return string(quorum.Reasons[0].Code)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "other"
}
