package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// What becomes of a goal.
const (
	Met         = "met"
	Miss        = "MISS"         // over its goal
	BelowFloor  = "FLOOR"        // the goal is under what was measured as its minimum
	NotMeasured = "not measured" // and the row says why
)

// Row is one goal: what was measured, and what it may be.
type Row struct {
	Shape    string        `json:"shape"`
	Goal     string        `json:"goal"` // in words
	Verdict  string        `json:"verdict"`
	Why      string        `json:"why,omitempty"` // it is not measured, or FLOOR
	Measured time.Duration `json:"measured_ns,omitempty"`
	Limit    time.Duration `json:"limit_ns,omitempty"`  // Factor x Base + Plus
	Base     []Term        `json:"base,omitempty"`      // its sum is what the ratio is to
	Factor   float64       `json:"factor,omitempty"`    //
	Plus     time.Duration `json:"plus_ns,omitempty"`   //
	Minimum  []Term        `json:"minimum,omitempty"`   // all that is known to be needed; empty: nothing is
	Ratio    float64       `json:"ratio,omitempty"`     // of Measured to the base
	Ratios   []float64     `json:"of_rounds,omitempty"` // each round's; the row is the median's
}

// Term is one part of a sum.
type Term struct {
	Name  string        `json:"name"`
	Times float64       `json:"times"`
	Each  time.Duration `json:"each_ns"`
}

func (t Term) String() string {
	if t.Times == 1 {
		return fmt.Sprintf("%s %s", t.Name, micro(t.Each))
	}
	return fmt.Sprintf("%.3g x %s %s", t.Times, t.Name, micro(t.Each))
}

func total(terms []Term) (sum time.Duration) {
	for _, t := range terms {
		sum += time.Duration(t.Times * float64(t.Each))
	}
	return sum
}

func arithmetic(terms []Term) string {
	var parts []string
	for _, t := range terms {
		parts = append(parts, t.String())
	}
	return strings.Join(parts, " + ") + " = " + micro(total(terms))
}

// judge fills in what follows from the figures of a row.
func (r *Row) judge() {
	base := total(r.Base)
	r.Limit = time.Duration(r.Factor*float64(base)) + r.Plus
	r.Ratio = float64(r.Measured) / float64(base)
	switch {
	case r.Measured <= r.Limit:
		r.Verdict = Met
	case r.Limit < total(r.Minimum):
		r.Verdict = BelowFloor
		r.Why = fmt.Sprintf("at most %s is asked for, and %s", micro(r.Limit), arithmetic(r.Minimum))
	default:
		r.Verdict = Miss
	}
}

// goal is a row before it is measured: how one round's figures make it.
type goal struct {
	shape, says string
	factor      float64
	// of takes what it needs of a round.
	of func(f *Floor, r *round, t float64) (measured time.Duration, base, minimum []Term)
	// absent, if not empty, says why it is not measured.
	absent string
	// lacks, if not nil, says what a round has not that is needed; empty: nothing.
	lacks func(*round) string
}

// round is what one round measured.
type round struct {
	repeated, first           *Measured // many in flight
	repeatedAlone, firstAlone *Measured // one at a time
	symmetric, symmetricBatch *Measured // many in flight; nil without a symmetric key
	peer                      *Measured // what a peer decrypts, many in flight; nil without one
}

// lacksSymmetric says why nothing is known of symmetric keys.
func lacksSymmetric(r *round) string {
	if r.symmetric == nil {
		return "no symmetric key was named: --start has one born, --symmetric-key names one of a cluster that runs"
	}
	return ""
}

// lacksPeer says why nothing can be held against a peer.
func lacksPeer(r *round) string {
	switch {
	case r.peer == nil:
		return "no peer was named: " + howToAddAPeer
	case len(r.peer.CPU) < 2:
		return "of the peer the time is known and the CPU is not"
	}
	return ""
}

// perSync is how many records share a sync, when as many are in flight.
const perSync = 64

var goals = []goal{
	{
		shape: "symmetric, one busy connection per node", factor: 2, lacks: lacksSymmetric,
		says: "at most 2.0 x echo",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			echo := []Term{{"echo", 1, f.SymmetricEcho}}
			return r.symmetric.Used, echo, slices.Concat(echo, f.computed(), f.recorded(t))
		},
	},
	{
		shape: "symmetric, batch of 100, per item", factor: 0.5, lacks: lacksSymmetric,
		says: "at most 0.5 x echo (of one item)",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			return r.symmetricBatch.Used, []Term{{"echo", 1, f.SymmetricEcho}},
				slices.Concat([]Term{{"item of an echo of 100", 1, f.BatchEcho}}, f.computed(), f.recorded(t/symmetricBatch))
		},
	},
	{
		shape: "asymmetric, endorsed or repeated envelope", factor: 1.3,
		says: "at most 1.3 x (echo + 3 multiplications + client floor)",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			base := []Term{f.echo(), {"multiplication", t, f.Multiplication}, f.client()}
			return r.repeated.Used, base, slices.Concat(base, f.recorded(t))
		},
	},
	{
		shape: "asymmetric, first sight", factor: 1.2,
		says: "at most 1.2 x (echo + 3 x (3 multiplications + 2 fixed-base) + client floor)",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			base := []Term{f.echo(), {"multiplication", 3 * t, f.Multiplication}, {"fixed-base", 2 * t, f.FixedBase}, f.client()}
			return r.first.Used, base, slices.Concat(base, f.recorded(t))
		},
	},
	{
		shape: "one at a time on loopback, p50, repeated envelope", factor: 1.5,
		says: "at most 1.5 x (echo round trip + crypto floor + one sync)",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			turns := f.turns(t)
			base := []Term{f.roundTrip(), {"multiplication", turns, f.Multiplication}, f.client(), f.synced()}
			return r.repeatedAlone.Taken.Latency.P50, base, append(base[:len(base):len(base)], Term{"decision", turns, f.Decision})
		},
	},
	{
		shape: "one at a time on loopback, p50, first sight", factor: 1.5,
		says: "at most 1.5 x (echo round trip + crypto floor + one sync)",
		of: func(f *Floor, r *round, t float64) (time.Duration, []Term, []Term) {
			turns := f.turns(t)
			base := []Term{f.roundTrip(), {"multiplication", 3 * turns, f.Multiplication}, {"fixed-base", 2 * turns, f.FixedBase}, f.client(), f.synced()}
			return r.firstAlone.Taken.Latency.P50, base, append(base[:len(base):len(base)], Term{"decision", turns, f.Decision})
		},
	},
	{
		shape: regionsShape, says: regionsGoal,
		absent: "a cluster in regions was not asked for",
	},
	{
		shape: sufferingShape, says: sufferingGoal,
		absent: "a cluster in regions was not asked for",
	},
	{
		shape: overloadShape, says: "goodput at least 90 % of peak, no election, memory flat",
		absent: overloadAbsent,
	},
	{
		shape: overloadRefusal, says: "within 50 ms, and by name",
		absent: overloadAbsent,
	},
	{
		shape: "against a peer, symmetric", factor: 0.2,
		lacks: func(r *round) string { return cmp.Or(lacksSymmetric(r), lacksPeer(r)) },
		says:  "at least 5 x cheaper than what the peer decrypts (OpenBao, a token without its default policy)",
		of: func(_ *Floor, r *round, _ float64) (time.Duration, []Term, []Term) {
			return r.symmetric.Used, []Term{{"peer", 1, r.peer.Used}}, nil
		},
	},
	{
		shape: "against a peer, endorsed or repeated envelope", factor: 1, lacks: lacksPeer,
		says: "no dearer than what the peer decrypts (OpenBao, a token without its default policy)",
		of: func(_ *Floor, r *round, _ float64) (time.Duration, []Term, []Term) {
			return r.repeated.Used, []Term{{"peer", 1, r.peer.Used}}, nil
		},
	},
}

func (f *Floor) echo() Term      { return Term{"echo", 1, f.Echo} }
func (f *Floor) client() Term    { return Term{"client floor", 1, f.Client} }
func (f *Floor) roundTrip() Term { return Term{"echo round trip", 1, f.RoundTrip} }
func (f *Floor) synced() Term    { return Term{"sync", 1, f.Sync} }

// recorded is what each of t nodes does besides, at the least: one decision, and a share
// in the sync of a record.
func (f *Floor) recorded(t float64) []Term {
	return []Term{{"decision", t, f.Decision}, {"sync", t / perSync, f.SyncCPU}}
}

// computed is what an item of a symmetric key takes besides, at all nodes and at the client.
func (f *Floor) computed() []Term {
	return []Term{{"pseudo-random function", 1, f.PRF}, {"client floor", 1, f.Opened}}
}

// turns is how often the time of one node's work passes until t nodes have done theirs,
// on the cores of this machine: they do it at the same time.
func (f *Floor) turns(t float64) float64 { return max(1, t/float64(f.Cores)) }

// GoalsConfig says how much is measured for the goals.
type GoalsConfig struct {
	N        int // unwraps of each shape in a round
	InFlight int // of those that are not one at a time
	Rounds   int // of which the median counts
	// Echo starts the processes of an echo: a command that ends in [ServeEcho].
	Echo            []string
	EchoEnvironment []string
	// Peer, if not nil, is measured in each round, too.
	Peer *Peer
	// Progress, if not nil, hears what begins.
	Progress func(string)
}

const maxRounds = 99

// Check holds the numbers against their bounds.
func (c *GoalsConfig) Check() error {
	if c.Rounds < 1 || c.Rounds > maxRounds {
		return fmt.Errorf("bench: 1 to %d rounds", maxRounds)
	}
	if len(c.Echo) == 0 {
		return errors.New("bench: a command that echoes is required")
	}
	return Load{N: c.N, InFlight: c.InFlight}.Check()
}

// aloneShare is the part of N that is asked for one at a time, which takes longer.
const aloneShare = 4

// repeatedEnvelopes are how many there are, where they are asked for again.
const repeatedEnvelopes = 64

// Goals measures the floor, and the shapes that the goals are about.
func Goals(ctx context.Context, s *Subject, conf GoalsConfig) (*Run, error) {
	if err := errors.Join(s.check(), conf.Check(), s.checkKeys()); err != nil {
		return nil, err
	}
	if conf.Progress == nil {
		conf.Progress = func(string) {}
	}
	run := NewRun(s.Key)
	t := s.Key.Threshold()
	echo, err := StartEcho(ctx, t, conf.Echo, conf.EchoEnvironment, nil)
	if err != nil {
		return nil, err
	}
	defer echo.Close()
	one, err := s.wrap(ctx, 1)
	if err != nil {
		return nil, err
	}
	body := requestFor(s.Key, one[0].item.Envelope)
	if run.Idle, err = s.Idle(ctx); err != nil {
		return nil, err
	}
	run.beside(conf.Peer)
	var peerIdle []CPU
	if conf.Peer != nil {
		if peerIdle, err = idleOf(ctx, conf.Peer.pids()); err != nil {
			return nil, err
		}
	}
	rows, lacks := map[string][]Row{}, map[string]string{}
	for i := range conf.Rounds {
		conf.Progress(fmt.Sprintf("round %d of %d: the floor", i+1, conf.Rounds))
		f := Floor{Cores: run.Machine.Cores}
		if err := errors.Join(f.crypto(s.Dir, t, len(s.Key.Holders())), f.transport(ctx, echo, body, conf.N, conf.InFlight)); err != nil {
			return nil, err
		}
		if s.Symmetric != nil {
			if err := errors.Join(f.symmetric(t, len(s.Symmetric.Holders())), f.echoes(ctx, echo, s.with(s.Symmetric), conf.N, conf.InFlight)); err != nil {
				return nil, err
			}
		}
		run.Floors = append(run.Floors, f)
		r := round{}
		for _, m := range r.shapes(s, conf) {
			m.shape.Batch, m.shape.Clients = max(1, m.shape.Batch), 1
			conf.Progress(fmt.Sprintf("round %d of %d: %s", i+1, conf.Rounds, m.shape))
			measured, err := m.of.Measure(ctx, m.shape, run.Idle)
			if err != nil {
				return nil, err
			}
			*m.into = measured
			run.Shapes = append(run.Shapes, *measured)
		}
		if conf.Peer != nil {
			conf.Progress(fmt.Sprintf("round %d of %d: the peer", i+1, conf.Rounds))
			if r.peer, err = conf.Peer.Measure(ctx, "decrypt", Shape{Load: Load{N: conf.N, InFlight: conf.InFlight}, Batch: 1}, peerIdle); err != nil {
				return nil, err
			}
			run.Shapes = append(run.Shapes, *r.peer)
		}
		for _, g := range goals {
			lacks[g.shape] = g.absent
			if g.lacks != nil {
				lacks[g.shape] = g.lacks(&r)
			}
			if lacks[g.shape] == "" {
				rows[g.shape] = append(rows[g.shape], g.row(&f, &r, float64(t)))
			}
		}
	}
	for _, g := range goals {
		if why := lacks[g.shape]; why != "" {
			run.Goals = append(run.Goals, Row{Shape: g.shape, Goal: g.says, Verdict: NotMeasured, Why: why})
			continue
		}
		run.Goals = append(run.Goals, median(rows[g.shape]))
	}
	run.hear(s.Noticed)
	return run, nil
}

// asked is a shape of a round, and where what was measured goes.
type asked struct {
	into  **Measured
	of    *Subject
	shape Shape
}

// shapes are what is asked for in a round.
func (r *round) shapes(s *Subject, conf GoalsConfig) []asked {
	many, alone := Load{N: conf.N, InFlight: conf.InFlight}, Load{N: max(1, conf.N/aloneShare), InFlight: 1}
	out := []asked{
		{&r.repeated, s, Shape{Name: "repeated envelopes", Load: many, Envelopes: repeatedEnvelopes}},
		{&r.first, s, Shape{Name: "first sight", Load: many}},
		{&r.repeatedAlone, s, Shape{Name: "repeated envelopes", Load: alone, Envelopes: repeatedEnvelopes}},
		{&r.firstAlone, s, Shape{Name: "first sight", Load: alone}},
	}
	if s.Symmetric == nil {
		return out
	}
	s = s.with(s.Symmetric)
	batches := Load{N: max(1, conf.N/batchShare), InFlight: max(1, conf.InFlight/batchesInFlight)}
	return append(out,
		asked{&r.symmetric, s, Shape{Name: "symmetric", Load: many}},
		asked{&r.symmetricBatch, s, Shape{Name: "symmetric", Load: batches, Batch: symmetricBatch, Envelopes: batchEnvelopes}},
		asked{new(*Measured), s, Shape{Name: "symmetric, encrypted", Load: many, Encrypts: true}},
	)
}

func (g *goal) row(f *Floor, r *round, t float64) Row {
	row := Row{Shape: g.shape, Goal: g.says, Factor: g.factor}
	row.Measured, row.Base, row.Minimum = g.of(f, r, t)
	row.judge()
	return row
}

// median is the row of the middle ratio, the higher of two, and keeps those of all.
func median(rows []Row) Row {
	var all []float64
	for _, r := range rows {
		all = append(all, math.Round(1000*r.Ratio)/1000)
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Ratio, b.Ratio) })
	out := rows[len(rows)/2]
	out.Ratios = all
	return out
}
