package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// Pair is what the same load took with an old program and with a new one, one right after
// the other.
type Pair struct {
	Old time.Duration `json:"old_ns"`
	New time.Duration `json:"new_ns"`
}

// Judgement holds pairs against each other.
type Judgement struct {
	What  string  `json:"what"`
	Pairs []Pair  `json:"pairs"`
	Ratio float64 `json:"ratio"` // the median of new to old
	// P is how often as large a mean change as this one, and in this direction, would come
	// of pairs in which old and new are the same and stand in either order by chance: an
	// exact permutation test of the logarithms of the ratios (Fisher, The Design of
	// Experiments, 1935, section 21). It asks for no shape of the noise.
	P       float64 `json:"p"`
	Verdict string  `json:"verdict"`
}

// Verdicts of a comparison.
const (
	Slower = "SLOWER"
	Faster = "faster"
	Same   = "no difference that is significant"
)

const (
	significant = 0.01
	worthwhile  = 0.02 // a change that is smaller is none that anybody would act on
	fewestPairs = 7    // 1/128 is the least P that there can be
	mostPairs   = 20   // each of a million orders is looked at
)

// ErrPairs means that so many pairs say nothing.
var ErrPairs = fmt.Errorf("bench: %d to %d pairs are compared", fewestPairs, mostPairs)

// Judge says whether the new is slower.
func Judge(what string, pairs []Pair) (*Judgement, error) {
	if len(pairs) < fewestPairs || len(pairs) > mostPairs {
		return nil, ErrPairs
	}
	j := &Judgement{What: what, Pairs: pairs, Verdict: Same}
	var logs, ratios []float64
	for _, p := range pairs {
		if p.Old <= 0 || p.New <= 0 {
			return nil, errors.New("bench: a load that took no time is not compared")
		}
		ratio := float64(p.New) / float64(p.Old)
		logs, ratios = append(logs, math.Log(ratio)), append(ratios, ratio)
	}
	slices.Sort(ratios)
	j.Ratio = (ratios[(len(ratios)-1)/2] + ratios[len(ratios)/2]) / 2
	seen := 0.0
	for _, l := range logs {
		seen += l
	}
	as := 0 // orders in which the change is at least as large
	for order := range 1 << len(logs) {
		sum := 0.0
		for i, l := range logs {
			if order>>i&1 == 1 {
				l = -l
			}
			sum += l
		}
		if sum*math.Copysign(1, seen) >= math.Abs(seen)-1e-12 {
			as++
		}
	}
	j.P = float64(as) / float64(int(1)<<len(logs))
	switch {
	case j.P > significant:
	case seen > 0 && j.Ratio > 1+worthwhile:
		j.Verdict = Slower
	case seen < 0 && j.Ratio < 1-worthwhile:
		j.Verdict = Faster
	}
	return j, nil
}

// Comparison is all that was compared of two programs.
type Comparison struct {
	Machine Machine      `json:"machine"`
	Began   time.Time    `json:"began"`
	Old     string       `json:"old"`
	New     string       `json:"new"`
	Judged  []*Judgement `json:"judged"`
}

// Err is of one in which something is slower.
func (c *Comparison) Err() error {
	var errs []error
	for _, j := range c.Judged {
		if j.Verdict == Slower {
			errs = append(errs, fmt.Errorf("%w: %s is slower: %.3f of the old (p = %.4f)", ErrNotAsItShould, j.What, j.Ratio, j.P))
		}
	}
	return errors.Join(errs...)
}

// Write renders it as text.
func (c *Comparison) Write(w io.Writer) error { return columns(w, c.lines) }

func (c *Comparison) lines(line func(format string, args ...any)) {
	c.Machine.write(line, c.Began)
	line("old\t%s", c.Old)
	line("new\t%s", c.New)
	line("\nFOR EACH UNWRAP\tOLD\tNEW\tPAIRS\tNEW / OLD\tP\t")
	for _, j := range c.Judged {
		middle := func(of func(Pair) time.Duration) time.Duration {
			var all []time.Duration
			for _, p := range j.Pairs {
				all = append(all, of(p))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		line("%s\t%s\t%s\t%d\t%.3f\t%.4f\t%s", j.What, micro(middle(func(p Pair) time.Duration { return p.Old })), micro(middle(func(p Pair) time.Duration { return p.New })), len(j.Pairs), j.Ratio, j.P, j.Verdict)
	}
}
