package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Held is what an item of a load took, and what it takes at the least: the echo of the
// load's own frames, what holders and client have to compute, and nothing else.
type Held struct {
	Shape string        `json:"shape"`
	Used  time.Duration `json:"used_ns"`
	Floor []Term        `json:"floor"`
	Ratio float64       `json:"ratio"` // of what was used to the sum of the floor
}

func (h *Held) String() string {
	return fmt.Sprintf("%.2f x (%s)", h.Ratio, arithmetic(h.Floor))
}

// Hold measures the floor of the first shape that a run has measured, and holds the shape
// against it. The echo is a command that ends in [ServeEcho].
func (r *Run) Hold(ctx context.Context, s *Subject, command, environment []string) error {
	m := r.Shapes[0]
	switch {
	case len(s.PIDs) == 0:
		return errors.New("bench: nodes that are not on this machine have no CPU to be held against a floor")
	case m.Shape.Encrypts:
		return errors.New("bench: what it takes to encrypt at the least is not known here")
	}
	t, h := s.Key.Threshold(), len(s.Key.Holders())
	echo, err := StartEcho(ctx, t, command, environment, nil)
	if err != nil {
		return err
	}
	defer echo.Close()
	some, err := s.wrap(ctx, m.Shape.Batch)
	if err != nil {
		return err
	}
	var envelopes [][]byte
	for _, w := range some {
		envelopes = append(envelopes, w.item.Envelope)
	}
	f := Floor{Cores: r.Machine.Cores}
	each, _, err := echo.measure(ctx, requestFor(s.Key, envelopes...), Load{N: m.Shape.N, InFlight: m.Shape.InFlight})
	if err != nil {
		return err
	}
	held := &Held{Shape: m.Shape.String(), Used: m.Used, Floor: []Term{{"echo", 1 / float64(m.Shape.Batch), each}}}
	switch {
	case s.Key.Symmetric():
		if err := f.symmetric(t, h); err != nil {
			return err
		}
		held.Floor = append(held.Floor, f.computed()...)
	default:
		if err := f.crypto(s.Dir, t, h); err != nil {
			return err
		}
		mults := Term{"multiplication", float64(t), f.Multiplication}
		if m.Shape.Envelopes == 0 { // the proof of each is verified
			mults.Times *= 3
			held.Floor = append(held.Floor, Term{"fixed-base", 2 * float64(t), f.FixedBase})
		}
		held.Floor = append(held.Floor, mults, f.client())
	}
	held.Ratio = float64(held.Used) / float64(total(held.Floor))
	r.Held = held
	return nil
}
