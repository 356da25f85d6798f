package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"warifu.dev/client"
)

// Run is everything that one run of the harness measured. As JSON it is what
// bench/results keeps.
type Run struct {
	Machine   Machine    `json:"machine"`
	Began     time.Time  `json:"began"`
	Key       string     `json:"key"`
	Keys      int        `json:"keys,omitempty"` // how many took turns, where it was not that one alone
	Threshold int        `json:"threshold"`
	Holders   int        `json:"holders"`
	Idle      []CPU      `json:"idle"` // what the processes use when nobody asks
	Floors    []Floor    `json:"floors,omitempty"`
	Shapes    []Measured `json:"shapes,omitempty"`
	Goals     []Row      `json:"goals,omitempty"`
	Held      *Held      `json:"held,omitempty"` // the first shape, against its own floor
	Scale     *Scale     `json:"scale,omitempty"`
	Loaded    *Overload  `json:"overload,omitempty"`
	Failing   *Failing   `json:"failing,omitempty"`
	Peer      *PeerInfo  `json:"peer,omitempty"` // whose shapes stand among the others
	Warnings  int        `json:"warnings"`       // of the clients, such as a false partial
	Warned    []string   `json:"warned,omitempty"`
}

// NewRun begins one.
func NewRun(key *client.Key) *Run {
	return &Run{
		Machine: ThisMachine(), Began: time.Now().UTC(),
		Key: key.Name(), Threshold: key.Threshold(), Holders: len(key.Holders()),
	}
}

// hear adds what the clients of a subject have warned of.
func (r *Run) hear(n *Noticed) {
	count, first := n.Warnings()
	r.Warnings += count
	r.Warned = append(r.Warned, first...)
}

// MeasureOne asks in one way, and that is the run. A peer, which may be nil, is asked in
// the same way for each of its operations.
func MeasureOne(ctx context.Context, s *Subject, shape Shape, peer *Peer) (*Run, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	run := NewRun(s.Key)
	if len(s.More) > 0 {
		run.Keys = 1 + len(s.More)
	}
	run.beside(peer)
	var err error
	if run.Idle, err = s.Idle(ctx); err != nil {
		return nil, err
	}
	m, err := s.Measure(ctx, shape, run.Idle)
	if err != nil {
		return nil, err
	}
	run.Shapes = []Measured{*m}
	run.hear(s.Noticed)
	if peer != nil {
		others, err := peer.Shapes(ctx, shape)
		if err != nil {
			return nil, err
		}
		run.Shapes = append(run.Shapes, others...)
	}
	return run, nil
}

// beside notes what is measured beside the cluster.
func (r *Run) beside(peer *Peer) {
	if peer != nil {
		r.Peer = &peer.PeerInfo
	}
}

// key says which key was used, and how many nodes it takes, if that is one number.
func (r *Run) key() string {
	if r.Holders == 0 {
		return r.Key
	}
	if r.Keys > 1 {
		return fmt.Sprintf("%s and %d more, %d of %d", r.Key, r.Keys-1, r.Threshold, r.Holders)
	}
	return fmt.Sprintf("%s, %d of %d", r.Key, r.Threshold, r.Holders)
}

// peer says what was measured beside the cluster, or how it would be.
func (r *Run) peer() string {
	if r.Peer == nil {
		return NotMeasured + ": " + howToAddAPeer
	}
	return r.Peer.String()
}

// ErrNotAsItShould is wrapped by what [Run.Err] finds.
var ErrNotAsItShould = errors.New("not as it should be")

// Err says what makes this run no good: a goal that is missed, an answer that is wrong
// or did not come, a node that lies.
func (r *Run) Err() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrNotAsItShould}, args...)...))
	}
	for _, s := range r.Shapes {
		if s.Taken.Wrong > 0 {
			bad("%s: %d of %d answers are wrong", s.Shape.Name, s.Taken.Wrong, s.Taken.N)
		}
		if n := s.Taken.Failures() - s.Taken.Wrong; n > 0 {
			bad("%s: %d of %d failed %v, the first: %s", s.Shape.Name, n, s.Taken.N, s.Taken.Failed, s.Taken.First)
		}
	}
	switch lies := r.Failing != nil && r.Failing.Lies; {
	case lies && r.Warnings == 0:
		bad("a node was to lie, and no client has noticed: does that warifud lie?")
	case !lies && r.Warnings > 0:
		bad("the clients warn %d times: %s", r.Warnings, strings.Join(r.Warned, "; "))
	}
	for _, g := range r.Goals {
		if g.Verdict == Miss {
			why := ""
			if g.Why != "" {
				why = "; " + g.Why
			}
			bad("%s: %s, at most %s%s", g.Shape, micro(g.Measured), micro(g.Limit), why)
		}
	}
	return errors.Join(errs...)
}

// Write renders the run as text. The ratio of a goal stands in the last column. What
// [Run.Err] says is left to the caller.
func (r *Run) Write(w io.Writer) error { return columns(w, r.lines) }

// columns lays lines out whose cells are separated by tabs.
func columns(w io.Writer, lines func(line func(format string, args ...any))) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines(func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) })
	return t.Flush()
}

func (r *Run) lines(line func(format string, args ...any)) {
	r.Machine.write(line, r.Began)
	line("key\t%s", r.key())
	line("peer\t%s", r.peer())
	if len(r.Shapes) > 0 {
		line("\nSHAPE\tP50\tP99\tP99.9\tLONGEST\tPER SECOND\tCPU EACH\tON THE WIRE EACH\tFAILED")
		for _, s := range r.Shapes {
			l := s.Taken.Latency
			line("%s\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\t%d of %d", s.Shape, micro(l.P50), micro(l.P99), micro(l.P999), micro(l.Longest), s.Items, micro(s.Used), s.sent(), s.Taken.Failures(), s.Taken.N)
		}
	}
	if rows := r.counted(); len(rows) > 0 {
		line("\nFOR EACH ITEM, BY PROCESS\tALLOCATED\tALLOCATIONS\tSYNCS OF THE AUDIT\tSENT")
		for _, m := range rows {
			for _, c := range m.Counts {
				line("%s: %s\t%.1f kB\t%.0f\t%.3f\t%.0f B", m.Shape.short(), c.Process, c.Allocated/1e3, c.Allocations, c.Syncs, c.Sent)
			}
		}
	}
	if r.Held != nil {
		line("\n%s, CPU each: %s", r.Held.Shape, r.Held)
	}
	if r.Scale != nil {
		r.Scale.write(line)
	}
	if r.Failing != nil {
		r.Failing.write(line)
	}
	if r.Loaded != nil {
		r.Loaded.write(line)
	}
	if len(r.Floors) > 0 {
		line("\nFLOOR OF EACH ROUND\tECHO\tMULTIPLICATION\tFIXED-BASE\tCLIENT\tDECISION\tSYNC, CPU\tSYNC, TIME\tECHO ROUND TRIP, TIME")
		for i, f := range r.Floors {
			line("%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", i+1, micro(f.Echo), micro(f.Multiplication), micro(f.FixedBase), micro(f.Client), micro(f.Decision), micro(f.SyncCPU), micro(f.Sync), micro(f.RoundTrip))
		}
	}
	if len(r.Floors) > 0 && r.Floors[0].SymmetricEcho > 0 {
		line("\nFLOOR OF EACH ROUND, SYMMETRIC\tECHO\tITEM OF AN ECHO OF %d\tPSEUDO-RANDOM FUNCTION\tCLIENT", symmetricBatch)
		for i, f := range r.Floors {
			line("%d\t%s\t%s\t%s\t%s", i+1, micro(f.SymmetricEcho), micro(f.BatchEcho), micro(f.PRF), micro(f.Opened))
		}
	}
	if len(r.Goals) > 0 {
		line("\nGOAL\tMEASURED\tAT MOST\t\tROUNDS\tRATIO")
		for _, g := range r.Goals {
			if g.Verdict == NotMeasured {
				line("%s\t-\t-\t%s\t\t-", g.Shape, g.Verdict)
				continue
			}
			line("%s\t%s\t%s\t%s\t%s\t%.2f", g.Shape, micro(g.Measured), micro(g.Limit), g.Verdict, ratios(g.Ratios), g.Ratio)
		}
		line("")
		for _, g := range r.Goals {
			line("%s: %s", g.Shape, g.Goal)
			if len(g.Base) > 0 {
				line("  %s", arithmetic(g.Base))
			}
			if g.Why != "" {
				line("  %s: %s", g.Verdict, g.Why)
			}
		}
	}
}

// sent says how many bytes an item put on the wire, if that is known.
func (m *Measured) sent() string {
	if m.Sent == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f B", m.Sent)
}

// counted are the shapes of which more is known than times.
func (r *Run) counted() (out []Measured) {
	for _, m := range r.last() {
		if len(m.Counts) > 0 {
			out = append(out, m)
		}
	}
	return out
}

func ratios(list []float64) string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%.2f", r))
	}
	return strings.Join(out, " ")
}

// String says how a shape asks, and how often.
func (s Shape) String() string { return fmt.Sprintf("%d, %s", s.N, s.short()) }

func (s Shape) short() string {
	out := s.Name + ", "
	switch {
	case s.Rate > 0:
		out += fmt.Sprintf("%.0f a second", s.Rate)
	case s.InFlight == 1:
		out += "one at a time"
	default:
		out += fmt.Sprintf("%d in flight", s.InFlight)
	}
	if s.Batch > 1 {
		out += fmt.Sprintf(", batches of %d", s.Batch)
	}
	if s.Clients > 1 {
		out += fmt.Sprintf(", %d clients", s.Clients)
	}
	return out
}
