package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// Outcome is what became of one fault.
type Outcome struct {
	Fault
	Met uint64 // how often it met something; 0 means that it did not fire
	Err error  // why it was not inflicted, or not healed
}

// Tally counts faults by kind.
type Tally struct{ Planned, Fired map[Kind]int }

// NewTally counts outcomes.
func NewTally(outcomes []Outcome) Tally {
	t := Tally{map[Kind]int{}, map[Kind]int{}}
	for _, o := range outcomes {
		t.Planned[o.Kind]++
		if o.Met > 0 {
			t.Fired[o.Kind]++
		}
	}
	return t
}

// Add takes another tally in.
func (t Tally) Add(o Tally) {
	for k, n := range o.Planned {
		t.Planned[k] += n
	}
	for k, n := range o.Fired {
		t.Fired[k] += n
	}
}

func total(m map[Kind]int) (n int) {
	for c := range maps.Values(m) {
		n += c
	}
	return n
}

// AllFired is how many fired, of all kinds.
func (t Tally) AllFired() int { return total(t.Fired) }

func (t Tally) String() string {
	var parts []string
	for _, k := range Kinds() {
		if t.Planned[k] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d/%d", k, t.Fired[k], t.Planned[k]))
		}
	}
	return fmt.Sprintf("%d faults fired of %d planned (%s)", total(t.Fired), total(t.Planned), strings.Join(parts, ", "))
}

// ErrTooFew means that a schedule ended before enough of its faults had fired.
var ErrTooFew = errors.New("too few faults fired")

// patience is how many faults are planned at most for each that shall fire.
const patience = 4

// Play inflicts faults until at least enough of them have fired, and returns when
// all are healed. The outcomes are in the order of the plan. Its errors are
// [ErrTooFew], [ErrKind], and ctx's.
func Play(ctx context.Context, g *Generator, t Target, enough int) ([]Outcome, error) {
	var outcomes []*Outcome
	var playing sync.WaitGroup
	defer playing.Wait()
	fired := func() (n int) {
		playing.Wait()
		for _, o := range outcomes {
			if o.Met > 0 {
				n++
			}
		}
		return n
	}
	batch := enough
	for len(outcomes) < patience*enough && ctx.Err() == nil {
		for range batch {
			f, gap := g.Next()
			o := &Outcome{Fault: f}
			outcomes = append(outcomes, o)
			playing.Go(func() { o.play(ctx, t) })
			wait(ctx, gap)
		}
		if batch = enough - fired(); batch <= 0 {
			break
		}
	}
	n := fired()
	done := make([]Outcome, len(outcomes))
	for i, o := range outcomes {
		done[i] = *o
		if errors.Is(o.Err, ErrKind) {
			return done, o.Err
		}
	}
	switch {
	case ctx.Err() != nil:
		return done, ctx.Err()
	case n < enough:
		return done, fmt.Errorf("%w: %d of %d", ErrTooFew, n, enough)
	}
	return done, nil
}

func (o *Outcome) play(ctx context.Context, t Target) {
	in, err := t.Inflict(o.Fault)
	if err != nil {
		o.Err = err
		return
	}
	wait(ctx, o.For)
	o.Err = in.Heal()
	o.Met = in.Fired()
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
