package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a histogram tells apart: half a microsecond, and 0.1 % above half a millisecond.
const (
	shortest = time.Microsecond
	longest  = 100 * time.Second // what takes longer counts as this; every client gives up before
	digits   = 3
)

// latencies collects what single operations take. It is safe for concurrent use.
type latencies struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram // guarded by mu
}

func newLatencies() *latencies {
	return &latencies{h: hdrhistogram.New(int64(shortest), int64(longest), digits)}
}

func (l *latencies) record(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.h.RecordValue(int64(min(max(took, 0), longest))); err != nil {
		panic("bench: a histogram does not hold what it was made for: " + err.Error())
	}
}

// Latency is how long operations took: as many percents of them at most so long.
type Latency struct {
	P50     time.Duration `json:"p50_ns"`
	P90     time.Duration `json:"p90_ns"`
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p99.9_ns"`
	Longest time.Duration `json:"longest_ns"`
	// Curve is the same, close enough to be drawn.
	Curve []Quantile `json:"curve"`
}

// Quantile is one point of a curve.
type Quantile struct {
	Percent float64       `json:"percent"`
	Took    time.Duration `json:"took_ns"`
}

// drawn are the percents of a curve: even steps of a logarithmic axis of what is left.
var drawn = []float64{0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99, 99.5, 99.75, 99.9, 99.95, 99.99}

func (l *latencies) latency() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := func(percent float64) time.Duration { return time.Duration(l.h.ValueAtPercentile(percent)) }
	out := Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Longest: time.Duration(l.h.Max())}
	for _, p := range drawn {
		if p > 0 && float64(l.h.TotalCount())*(100-p) < 100 {
			break // fewer than one operation lies above
		}
		out.Curve = append(out.Curve, Quantile{Percent: p, Took: at(p)})
	}
	return out
}
