package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"warifu.dev/api"
)

// Failure befalls a cluster while a load runs.
type Failure struct {
	Name string // in words: "jp-east-1 is killed"
	// Strike begins it. If it says whom it befalls, that is put before the name.
	Strike func(context.Context) (whom string, err error)
	// Heal undoes it, and returns when all nodes serve again. Nil: it is over when Strike
	// returns.
	Heal func(context.Context) error
	Dies string // the node whose process ends and is followed by another; empty: none
	Lies bool   // clients are to notice
}

// FailingConfig says what befalls a cluster, one failure after the other.
type FailingConfig struct {
	Failures []Failure
	For      time.Duration // how long each lasts before it is healed
	Quiet    time.Duration // before the first, between two, and after the last
	Progress func(string)  // may be nil
}

const (
	maxFailures   = 8
	maxFailingFor = 5 * time.Minute // each, and each rest
	// failingSlots are the parts of the time that are drawn, and none is shorter than a
	// shortestSlot: a few requests at least are to fall into each.
	failingSlots = 120
	shortestSlot = 250 * time.Millisecond
)

// Check holds the numbers against their bounds, and the load: an open one, since a closed
// one asks for less while something fails.
func (c *FailingConfig) Check(shape Shape) error {
	switch {
	case len(c.Failures) < 1 || len(c.Failures) > maxFailures:
		return fmt.Errorf("bench: 1 to %d failures", maxFailures)
	case c.For <= 0 || c.For > maxFailingFor || c.Quiet <= 0 || c.Quiet > maxFailingFor:
		return fmt.Errorf("bench: a failure lasts, and rests are, up to %v", maxFailingFor)
	case shape.Rate <= 0:
		return errors.New("bench: while nodes fail the load is an open one: a rate is needed")
	case shape.Envelopes == 0 || shape.Encrypts:
		return errors.New("bench: while nodes fail envelopes are opened again and again: how often nobody knows before")
	}
	return nil
}

// Failing is what became of a load while a cluster failed.
type Failing struct {
	Spells []Spell `json:"spells"` // by turns what is before, between and after, and failures
	Slots  []Slot  `json:"slots"`
	Lies   bool    `json:"lies,omitempty"` // one of the failures is to be noticed by the clients
	// Without names the nodes of which CPU and counts are not known: their processes end.
	Without []string `json:"without,omitempty"`
}

// Spell is what became of what was asked for before, while or after something failed. What
// was under way while something failed belongs to that.
type Spell struct {
	Name    string        `json:"name"`
	Fails   bool          `json:"fails,omitempty"`
	From    time.Duration `json:"from_ns"` // since the load began
	To      time.Duration `json:"to_ns"`
	Asked   int           `json:"asked"`
	P50     time.Duration `json:"p50_ns"` // of those that did not fail, since they were due
	P99     time.Duration `json:"p99_ns"`
	Longest time.Duration `json:"longest_ns"`
	Refused int           `json:"refused"` // nodes said no, by name
	Failed  int           `json:"failed"`  // all others: no answer, or a wrong one
}

// Slot is what was due in a short time.
type Slot struct {
	From   time.Duration `json:"from_ns"` // since the load began
	For    time.Duration `json:"for_ns"`
	P50    time.Duration `json:"p50_ns"` // of those that did not fail
	P99    time.Duration `json:"p99_ns"`
	Opened int           `json:"opened"`
	Failed int           `json:"failed"` // or were refused
}

// watch follows a load while it runs.
type watch struct {
	until context.Context // when it ends nothing more is put in
	begun chan time.Time  // buffered; when the load began

	mu  sync.Mutex
	all []event // guarded by mu
}

// event is what became of one operation.
type event struct {
	due  time.Time
	took time.Duration
	err  error
}

func newWatch(ctx context.Context) (w *watch, stop func()) {
	until, stop := context.WithCancel(ctx)
	return &watch{until: until, begun: make(chan time.Time, 1)}, stop
}

func (w *watch) saw(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, e)
}

// MeasureFailing asks in one way while a cluster fails, and that is the run.
func MeasureFailing(ctx context.Context, s *Subject, shape Shape, conf FailingConfig) (*Run, error) {
	if err := errors.Join(s.check(), conf.Check(shape)); err != nil {
		return nil, err
	}
	if conf.Progress == nil {
		conf.Progress = func(string) {}
	}
	lasting := *s
	lasting.PIDs, lasting.Numbers = maps.Clone(s.PIDs), maps.Clone(s.Numbers)
	failing := &Failing{}
	for _, f := range conf.Failures {
		if f.Dies != "" && !slices.Contains(failing.Without, f.Dies) {
			failing.Without = append(failing.Without, f.Dies)
		}
		delete(lasting.PIDs, f.Dies)
		delete(lasting.Numbers, f.Dies)
	}
	run := NewRun(s.Key)
	var err error
	if run.Idle, err = lasting.Idle(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, stop := newWatch(ctx)
	shape.N, shape.watch = maxOperations, w
	var director sync.WaitGroup
	director.Go(func() {
		defer stop()
		select {
		case began := <-w.begun:
			if err := failing.direct(ctx, began, conf); err != nil {
				cancel(err)
			}
		case <-ctx.Done():
		}
	})
	m, err := lasting.Measure(ctx, shape, run.Idle)
	cause := context.Cause(ctx)
	cancel(nil)
	director.Wait()
	if err != nil {
		return nil, errors.Join(err, cause)
	}
	if n := len(failing.Spells); n == 0 || failing.Spells[n-1].To == 0 {
		return nil, fmt.Errorf("bench: %d requests were not enough for what was to fail: a lower rate is needed", maxOperations)
	}
	failing.count(w.all)
	run.Shapes, run.Failing = []Measured{*m}, failing
	run.hear(s.Noticed)
	return run, nil
}

// busyFor is how many envelopes tell who is asked.
const busyFor = 32

// Busy are the nodes that show their numbers, those that are asked first at the moment
// before the others: what befalls a node that nobody asks is noticed by nobody.
func (s *Subject) Busy(ctx context.Context) ([]string, error) {
	some, err := s.wrap(ctx, busyFor)
	if err != nil {
		return nil, err
	}
	before, err := s.shown(ctx)
	if err != nil {
		return nil, err
	}
	for i := range some {
		if err := unwrap(ctx, s.Clients[0], some[i:i+1]); err != nil {
			return nil, err
		}
	}
	after, err := s.shown(ctx)
	if err != nil {
		return nil, err
	}
	did := func(name string) float64 { return after[name][syncsShown] - before[name][syncsShown] }
	return slices.SortedFunc(maps.Keys(after), func(a, b string) int {
		return cmp.Or(cmp.Compare(did(b), did(a)), strings.Compare(a, b))
	}), nil
}

// direct lets things fail, one after the other.
func (f *Failing) direct(ctx context.Context, began time.Time, conf FailingConfig) error {
	rest := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	begin := func(name string, fails bool) {
		now := time.Since(began)
		if n := len(f.Spells); n > 0 {
			f.Spells[n-1].To = now
		}
		f.Spells = append(f.Spells, Spell{Name: name, Fails: fails, From: now})
		conf.Progress(fmt.Sprintf("%s: %s", now.Round(time.Millisecond), name))
	}
	begin("before", false)
	f.Spells[0].From = 0
	for i, failure := range conf.Failures {
		f.Lies = f.Lies || failure.Lies
		if err := rest(conf.Quiet); err != nil {
			return err
		}
		begin(failure.Name, true)
		whom, err := failure.Strike(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", failure.Name, err)
		}
		if whom != "" {
			f.Spells[len(f.Spells)-1].Name = whom + " " + failure.Name
		}
		if failure.Heal != nil {
			if err := rest(conf.For); err != nil {
				return err
			}
			if err := failure.Heal(ctx); err != nil {
				return fmt.Errorf("%s, and is to be well again: %w", failure.Name, err)
			}
		}
		if i < len(conf.Failures)-1 {
			begin("between", false)
		}
	}
	begin("after", false)
	if err := rest(conf.Quiet); err != nil {
		return err
	}
	f.Spells[len(f.Spells)-1].To = time.Since(began)
	return nil
}

// count says of each spell and slot what became of the operations.
func (f *Failing) count(all []event) {
	if len(all) == 0 {
		return
	}
	began := slices.MinFunc(all, func(a, b event) int { return a.due.Compare(b.due) }).due
	spells := make([][]event, len(f.Spells))
	whole := f.Spells[len(f.Spells)-1].To
	width := max(shortestSlot, whole/failingSlots)
	slots := make([][]event, max(1, whole/width)) // what is left over falls into the last
	for _, e := range all {
		due := e.due.Sub(began)
		k := f.spellOf(due, due+e.took)
		spells[k] = append(spells[k], e)
		at := min(int(due/width), len(slots)-1)
		slots[at] = append(slots[at], e)
	}
	for k, list := range spells {
		s := &f.Spells[k]
		took, refused, failed := sorted(list)
		s.Asked, s.Refused, s.Failed = len(list), refused, failed
		s.P50, s.P99, s.Longest = at(took, 50), at(took, 99), at(took, 100)
	}
	for k, list := range slots {
		took, refused, failed := sorted(list)
		f.Slots = append(f.Slots, Slot{
			From: time.Duration(k) * width, For: min(width, whole), P50: at(took, 50), P99: at(took, 99), Opened: len(took), Failed: refused + failed,
		})
	}
	last := &f.Slots[len(f.Slots)-1]
	last.For = max(whole-last.From, 1)
}

// spellOf is the failure that was on at some time of an operation's life, or else the
// quiet time in which it was due.
func (f *Failing) spellOf(due, ended time.Duration) int {
	for k, s := range f.Spells {
		if s.Fails && due < s.To && ended > s.From {
			return k
		}
	}
	for k, s := range f.Spells {
		if !s.Fails && due < s.To {
			return k
		}
	}
	return len(f.Spells) - 1
}

// sorted are the times of those that did not fail, and how many did.
func sorted(list []event) (took []time.Duration, refused, failed int) {
	for _, e := range list {
		switch {
		case e.err == nil:
			took = append(took, e.took)
		case refusal(e.err):
			refused++
		default:
			failed++
		}
	}
	slices.Sort(took)
	return took, refused, failed
}

// refusal says whether nodes answered, and said no.
func refusal(err error) bool {
	if errors.Is(err, ErrWrong) {
		return false
	}
	switch kindOf(err) {
	case "other", string(api.CodeTimeout), string(api.CodeUnreachable), string(api.CodeFalsePartial):
		return false
	}
	return true
}

// at is the time in which so many of 100 were done; 0 if there were none.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max((len(sorted)*percent+99)/100, 1)-1]
}

// write is the part of a report that is about it.
func (f *Failing) write(line func(format string, args ...any)) {
	line("\nWHILE NODES FAIL\tFROM\tTO\tASKED\tP50\tP99\tLONGEST\tREFUSED\tFAILED")
	for _, s := range f.Spells {
		line("%s", strings.Join(s.cells(), "\t"))
	}
	for _, name := range f.Without {
		line("%s is in no CPU and no count above: its process ended, and was followed by another", name)
	}
}

func (s *Spell) cells() []string {
	return []string{
		s.Name, fmt.Sprintf("%.1f s", s.From.Seconds()), fmt.Sprintf("%.1f s", s.To.Seconds()), fmt.Sprint(s.Asked),
		micro(s.P50), micro(s.P99), micro(s.Longest), fmt.Sprint(s.Refused), fmt.Sprint(s.Failed),
	}
}

// page is the same on a page.
func (f *Failing) page(out func(format string, args ...any)) {
	out("<h2>While nodes fail</h2>")
	var rows [][]string
	for _, s := range f.Spells {
		rows = append(rows, s.cells())
	}
	table(out, []string{"when", "from", "to", "asked", "p50", "p99", "longest", "refused", "failed"}, rows)
}

// plots draw it over time, with each failure marked from its beginning to its end.
func (f *Failing) plots() []*plot {
	over := func(title, y string, log bool, names [2]string, of func(Slot) [2]float64) *plot {
		p := &plot{title: title, x: "time since the load began (s)", y: y, log: log}
		for _, s := range f.Spells {
			if s.Fails {
				p.spans = append(p.spans, span{s.From.Seconds(), s.To.Seconds(), s.Name})
			}
		}
		for i, name := range names {
			s := series{name: name}
			for _, slot := range f.Slots {
				if v := of(slot)[i]; v > 0 || !log {
					s.points = append(s.points, [2]float64{slot.From.Seconds(), v})
				}
			}
			p.series = append(p.series, s)
		}
		return p
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return []*plot{
		over("Latency while nodes fail", "latency, logarithmic (ms)", true, [2]string{"p50", "p99"}, func(s Slot) [2]float64 { return [2]float64{ms(s.P50), ms(s.P99)} }),
		over("Answers while nodes fail", "requests (1/s)", false, [2]string{"opened", "failed or refused"}, func(s Slot) [2]float64 {
			return [2]float64{float64(s.Opened) / s.For.Seconds(), float64(s.Failed) / s.For.Seconds()}
		}),
	}
}
