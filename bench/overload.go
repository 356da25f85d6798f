package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
)

// OverloadConfig says how a cluster is asked for more than it can do.
type OverloadConfig struct {
	For      time.Duration // how long
	InFlight int           // when the peak is measured
	Progress func(string)  // may be nil
}

// Overload is what became of it.
type Overload struct {
	Peak    Measured `json:"peak"` // a closed loop
	Load    Measured `json:"load"` // an open one, of Times as many a second
	Nodes   []int    `json:"cores_of_nodes,omitempty"`
	Callers []int    `json:"cores_of_callers,omitempty"`

	// Elections is by how much Raft's term has grown; of nobody who shows it: -1.
	Elections int      `json:"elections"`
	Memory    []Memory `json:"memory,omitempty"`
	Refusals  float64  `json:"refused_by_nodes"` // requests, of which one unwrap makes several
	// Late is how late this process woke up when it had nothing to do but that: what its
	// own callers, and others on the machine, do to every latency.
	Late Latency `json:"woken_late"`
}

// Memory is that of one process: its largest in the first third of the time, after the
// peak, and in the last.
type Memory struct {
	Process string `json:"process"`
	First   int64  `json:"first_third_bytes"`
	Last    int64  `json:"last_third_bytes"`
}

// What the goal says.
const (
	overloadTimes   = 3
	overloadGoodput = 0.9
	overloadRefused = 50 * time.Millisecond
	overloadLate    = overloadRefused / 4 // beyond it, what is measured is the caller
)

const (
	overloadShape   = "overload at 3 x capacity, time of one opened"
	overloadRefusal = "overload at 3 x capacity, p99 of refusals"
	overloadAbsent  = "--overload 60s asks for it, with nodes that were started for it"

	peakFor      = 3 * time.Second
	wakeEvery    = 5 * time.Millisecond
	memoryEvery  = 250 * time.Millisecond
	memoryGrows  = 1.1      // what a collector's pace makes of the same work,
	memoryAllows = 16 << 20 // and a step of a small heap
	maxOverload  = 10 * time.Minute
)

// Check holds the numbers against their bounds.
func (c *OverloadConfig) Check() error {
	if c.For < time.Second || c.For > maxOverload {
		return fmt.Errorf("bench: an overload of 1 s to %v", maxOverload)
	}
	return Load{N: 1, InFlight: c.InFlight}.Check()
}

// grows says whether a process holds more and more.
func (m Memory) grows() bool {
	return float64(m.Last) > memoryGrows*float64(m.First)+memoryAllows
}

// apart has nodes and callers run on cores of their own, where there are two: whoever
// asks for three times as much needs a machine for it, and does not take it from those
// who are asked. undo puts them together again.
func (s *Subject) apart() (nodes, callers []int, undo func() error, err error) {
	all, err := CoresOf(os.Getpid())
	if err != nil || len(all) < 2 || len(s.PIDs) == 0 {
		return nil, nil, func() error { return nil }, nil
	}
	nodes, callers = all[:len(all)/2], all[len(all)/2:]
	undo = func() (err error) {
		for _, pid := range s.PIDs {
			err = errors.Join(err, KeepTo(pid, all))
		}
		return errors.Join(err, KeepTo(os.Getpid(), all))
	}
	err = KeepTo(os.Getpid(), callers)
	for _, pid := range s.PIDs {
		err = errors.Join(err, KeepTo(pid, nodes))
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, undo())
	}
	return nodes, callers, undo, nil
}

// Overload measures the most that a cluster does, asks for three times as much, and
// replaces the rows of a run that are about it.
func (r *Run) Overload(ctx context.Context, s *Subject, conf OverloadConfig) (err error) {
	if err := errors.Join(s.check(), conf.Check()); err != nil {
		return err
	}
	if conf.Progress == nil {
		conf.Progress = func(string) {}
	}
	o := &Overload{}
	var undo func() error
	if o.Nodes, o.Callers, undo, err = s.apart(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	shape := Shape{Name: "peak", Load: Load{N: 100 * conf.InFlight, InFlight: conf.InFlight}, Batch: 1, Clients: len(s.Clients), Envelopes: repeatedEnvelopes}
	for range 2 { // the first finds out how many there are in some seconds
		conf.Progress("overload: the peak")
		m, err := s.Measure(ctx, shape, nil)
		if err != nil {
			return err
		}
		o.Peak, shape.N = *m, max(1, int(m.Items*peakFor.Seconds()))
	}
	if o.Peak.Taken.Failures() > 0 || o.Peak.Items <= 0 {
		return fmt.Errorf("overload: %d of %d failed at the peak: %s", o.Peak.Taken.Failures(), o.Peak.Taken.N, o.Peak.Taken.First)
	}
	shape.Name, shape.Rate, shape.InFlight = "overload", overloadTimes*o.Peak.Items, maxInFlight
	shape.N = min(maxOperations, int(shape.Rate*conf.For.Seconds()))
	conf.Progress("overload: " + shape.String())
	before, err := s.shown(ctx)
	if err != nil {
		return err
	}
	remembered, woken := s.watchMemory(&o.Memory), watchWaking(&o.Late)
	m, err := s.Measure(ctx, shape, nil)
	remembered()
	woken()
	if err != nil {
		return err
	}
	after, err := s.shown(ctx)
	if err != nil {
		return err
	}
	o.Load, o.Elections = *m, -1
	for name, then := range before {
		o.Elections = max(o.Elections, int(after[name][termShown]-then[termShown]))
		o.Refusals += after[name][overloadedShown] - then[overloadedShown]
	}
	r.Loaded = o
	for _, row := range o.rows() {
		r.put(row)
	}
	r.hear(s.Noticed)
	return nil
}

// shown is what each node shows.
func (s *Subject) shown(ctx context.Context) (map[string]map[string]float64, error) {
	out := map[string]map[string]float64{}
	for name, address := range s.Numbers {
		shown, err := scrape(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = shown
	}
	return out, nil
}

// watchWaking sleeps for short times until it is stopped.
func watchWaking(into *Latency) (stop func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	late := newLatencies()
	go func() {
		defer close(gone)
		for {
			began := time.Now()
			select {
			case <-time.After(wakeEvery):
				late.record(time.Since(began) - wakeEvery)
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-gone
		*into = late.latency()
	}
}

// watchMemory looks at the nodes' memory until it is stopped. A process whose memory is
// not to be had has none of the lines.
func (s *Subject) watchMemory(into *[]Memory) (stop func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	seen := map[string][]int64{}
	go func() {
		defer close(gone)
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			for name, pid := range s.PIDs {
				if n, err := resident(pid); err == nil {
					seen[name] = append(seen[name], n)
				}
			}
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-gone
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			all := seen[name]
			third := (len(all) + 2) / 3
			*into = append(*into, Memory{name, slices.Max(all[:third]), slices.Max(all[len(all)-third:])})
		}
	}
}

// rows are what the goal makes of it.
func (o *Overload) rows() []Row {
	each := func(m *Measured) time.Duration {
		return time.Duration(float64(time.Second) / max(m.Items, 1e-3))
	}
	goodput := Row{
		Shape: overloadShape, Goal: "goodput at least 90 % of peak, no election, memory flat",
		Measured: each(&o.Load), Base: []Term{{"at the peak", 1, each(&o.Peak)}}, Factor: 1 / overloadGoodput,
	}
	goodput.judge()
	if broken := o.broken(); len(broken) > 0 {
		goodput.Verdict, goodput.Why = Miss, strings.Join(broken, "; ")
	}
	refused := Row{
		Shape: overloadRefusal, Goal: "within 50 ms, and by name",
		Measured: o.Load.Taken.Refused.P99, Base: []Term{{"bound", 1, overloadRefused}}, Factor: 1,
	}
	refused.judge()
	if n := o.otherwise(); n > 0 {
		refused.Verdict, refused.Why = Miss, fmt.Sprintf("%d failed otherwise than by %s: %v, the first: %s", n, api.CodeOverloaded, o.Load.Taken.Failed, o.Load.Taken.First)
	}
	for _, row := range []*Row{&goodput, &refused} {
		row.Ratios = []float64{row.Ratio}
	}
	if refused.Verdict == Miss && o.Late.P99 > overloadLate {
		refused = Row{Shape: refused.Shape, Goal: refused.Goal, Verdict: NotMeasured, Why: fmt.Sprintf(
			"the callers have not the CPU for it: they wake up %s late (p99), and say that refusals took %s", micro(o.Late.P99), micro(refused.Measured))}
	}
	return []Row{goodput, refused}
}

// broken is what else the goal asks for, and is not so.
func (o *Overload) broken() (out []string) {
	switch {
	case o.Elections < 0:
		out = append(out, "no node shows Raft's term")
	case o.Elections > 0:
		out = append(out, fmt.Sprintf("%d elections", o.Elections))
	}
	for _, m := range o.Memory {
		if m.grows() {
			out = append(out, fmt.Sprintf("%s grows from %d to %d MiB", m.Process, m.First>>20, m.Last>>20))
		}
	}
	return out
}

// otherwise is how many were neither opened nor refused by name.
func (o *Overload) otherwise() int {
	return o.Load.Taken.Failures() - o.Load.Taken.Failed[string(api.CodeOverloaded)]
}

// write is the part of a report that is about it.
func (o *Overload) write(line func(format string, args ...any)) {
	l := o.Load.Taken
	line("\nOVERLOAD\tPEAK\tASKED FOR\tOPENED\tREFUSED\tP50\tP99\tLONGEST\tELECTIONS\tCALLERS WAKE LATE, P99")
	line("%s\t%.0f/s\t%.0f/s\t%.0f/s\t%d of %d\t%s\t%s\t%s\t%d\t%s", l.Elapsed.Round(time.Second), o.Peak.Items, l.Rate, o.Load.Items, l.Failures(), l.N, micro(l.Refused.P50), micro(l.Refused.P99), micro(l.Refused.Longest), o.Elections, micro(o.Late.P99))
	if len(o.Nodes) > 0 {
		line("nodes on cores %v, callers on %v", o.Nodes, o.Callers)
	}
	for _, m := range o.Memory {
		line("%s\tmemory\t%d MiB\t%d MiB", m.Process, m.First>>20, m.Last>>20)
	}
}
