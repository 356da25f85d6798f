package gate

import (
	"errors"
	"time"

	"warifu.dev/api"
)

// Meter is told what becomes of requests, and how long each part of the gate took.
// It is told nothing that names a principal, a key or a request. It is asked from
// several goroutines, and must be quick.
type Meter interface {
	// Decided is told of each item: its outcome, and the code of its refusal or nothing.
	Decided(outcome, code string)
	// Took is told of each request that came so far.
	Took(part string, d time.Duration)
}

// Outcomes of an item.
const (
	OutcomeReleased = "released"
	OutcomeRefused  = "refused"
	OutcomeWithheld = "withheld" // denied while its record was written
	OutcomeFailed   = "failed"   // it would have been released, and something could not be recorded
)

// Parts of a request's time in the gate.
const (
	PartDecision = "decision" // every step of the contract
	PartSync     = "sync"     // uses of grants and the record made durable
	PartPartial  = "partial"  // what came in between asked again, and the partials made
)

// noMeter is for a gate that nobody watches.
type noMeter struct{}

func (noMeter) Decided(string, string)     {}
func (noMeter) Took(string, time.Duration) {}

// stopwatch tells a meter how long each part took.
type stopwatch struct {
	meter Meter
	last  time.Time
}

func (g *Gate) watch() *stopwatch { return &stopwatch{g.cfg.Meter, time.Now()} }

func (w *stopwatch) took(part string) {
	now := time.Now()
	w.meter.Took(part, now.Sub(w.last))
	w.last = now
}

// tell counts what became of each item, when failed is what the whole request came to.
func (g *Gate) tell(items []*item, failed error) {
	for _, it := range items {
		switch {
		case it.refusal != nil && it.withheld:
			g.cfg.Meter.Decided(OutcomeWithheld, string(it.refusal.Code))
		case it.refusal != nil:
			g.cfg.Meter.Decided(OutcomeRefused, string(it.refusal.Code))
		case failed != nil:
			g.cfg.Meter.Decided(OutcomeFailed, failureCode(failed))
		default:
			g.cfg.Meter.Decided(OutcomeReleased, "")
		}
	}
}

// failureCode is the code of an error about a whole request.
func failureCode(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return string(api.CodeInternal)
}
