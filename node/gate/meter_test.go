package gate

import (
	"maps"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
)

// counted is a meter that remembers.
type counted struct {
	outcomes map[string]int // "outcome code"
	parts    []string
}

func (t *counted) Decided(outcome, code string) { t.outcomes[outcome+" "+code]++ }
func (t *counted) Took(part string, d time.Duration) {
	if d < 0 {
		panic("a part took less than no time")
	}
	t.parts = append(t.parts, part)
}

// Each item counts once, by what became of it, and each part that a request came to.
func TestTheMeterIsToldWhatBecameOfEachItem(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		ask      func(*testing.T, *world)
		outcomes map[string]int
		parts    []string
	}{
		{"released, and refused beside it", func(t *testing.T, w *world) {
			bad := w.item(t)
			bad.Context = api.Context{"file": "b"}
			if _, err := w.ask(app, w.item(t), w.item(t), bad); err != nil {
				t.Fatal(err)
			}
		}, map[string]int{"released ": 2, "refused envelope": 1}, []string{PartDecision, PartSync, PartPartial}},
		{"refused", func(t *testing.T, w *world) {
			w.one(t, visitor, w.item(t))
		}, map[string]int{"refused denied": 1}, []string{PartDecision, PartSync, PartPartial}},
		{"withheld", func(t *testing.T, w *world) {
			item := w.item(t)
			w.recorder.during = func() { w.recorder.during, w.unsealed = nil, api.Retry(api.CodeSealed, "sealed") }
			w.one(t, app, item)
		}, map[string]int{"withheld sealed": 1}, []string{PartDecision, PartSync, PartPartial}},
		{"failed, when nothing could be recorded", func(t *testing.T, w *world) {
			w.recorder.fail = audit.ErrFull
			if _, err := w.ask(app, w.item(t)); err == nil {
				t.Fatal("released")
			}
		}, map[string]int{"failed audit": 1}, []string{PartDecision}},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			w := newWorld(t)
			m := &counted{outcomes: map[string]int{}}
			w.gate.cfg.Meter = m
			tt.ask(t, w)
			if !maps.Equal(m.outcomes, tt.outcomes) {
				t.Errorf("outcomes %v, want %v", m.outcomes, tt.outcomes)
			}
			if !slices.Equal(m.parts, tt.parts) {
				t.Errorf("parts %v, want %v", m.parts, tt.parts)
			}
		})
	}
}
