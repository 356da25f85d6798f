package bench

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// RegionsConfig says how far the nodes are from the clients, and what befalls two of them.
type RegionsConfig struct {
	N         int                      // unwraps of each of the two parts
	Distances map[string]time.Duration // round trips, by node
	Dead      string                   // the node that dies,
	Slow      string                   // and the one that becomes slow:
	Slowed    time.Duration            // so far away
	Suffer    func() error             // makes both so
	// Behind puts something in front of an address that is as far away.
	Behind func(addr string, roundTrip time.Duration) (string, error)
	// Echo starts the process of an echo: a command that ends in [ServeEcho].
	Echo            []string
	EchoEnvironment []string
	Progress        func(string) // may be nil
}

func (c *RegionsConfig) check(s *Subject) error {
	switch {
	case c.Suffer == nil || c.Behind == nil || len(c.Echo) == 0:
		return errors.New("bench: regions need Suffer, Behind and Echo")
	case c.Distances[c.Dead] == 0 || c.Distances[c.Slow] == 0 || c.Dead == c.Slow:
		return errors.New("bench: two nodes with a distance are to suffer")
	case len(c.Distances) < s.Key.Threshold()+1:
		return errors.New("bench: fewer nodes would be left than open an envelope")
	}
	return Load{N: c.N, InFlight: 1}.Check()
}

const (
	regionsBegin    = "five regions"
	regionsShape    = regionsBegin + ", 5 to 150 ms round trips"
	regionsGoal     = "p50 at most the t-th nearest + 1 ms"
	sufferingShape  = regionsBegin + ", one node slow and one dead"
	sufferingGoal   = "p99 at most 1.3 x (the t-th nearest of those that are well + 1 ms)"
	regionsPlus     = time.Millisecond
	sufferingFactor = 1.3
	// regionsInFlight is few: what is measured is the way.
	regionsInFlight = 4
)

// tthNearest is the round trip that a quorum cannot do without.
func tthNearest(distances map[string]time.Duration, t int) time.Duration {
	return slices.Sorted(maps.Values(distances))[t-1]
}

// Regions measures unwraps in a cluster whose nodes are far away, and again when two
// of them suffer, and replaces the rows of a run that are about it. The t-th nearest is
// an echo that is as far away, one at a time: so what relays cost is in both.
func (r *Run) Regions(ctx context.Context, s *Subject, conf RegionsConfig) error {
	if err := errors.Join(s.check(), conf.check(s)); err != nil {
		return err
	}
	if conf.Progress == nil {
		conf.Progress = func(string) {}
	}
	t := s.Key.Threshold()
	distances := maps.Clone(conf.Distances)
	part := func(name string, of func(Latency) time.Duration, row Row, term string) error {
		conf.Progress(name)
		nearest, err := conf.echo(ctx, s, tthNearest(distances, t))
		if err != nil {
			return err
		}
		m, err := s.Measure(ctx, Shape{Name: name, Load: Load{N: conf.N, InFlight: regionsInFlight}, Batch: 1, Clients: 1}, nil)
		if err != nil {
			return err
		}
		r.Shapes = append(r.Shapes, *m)
		row.Shape, row.Measured = name, of(m.Taken.Latency)
		row.Base = append([]Term{{term, 1, nearest}}, row.Base...)
		row.judge()
		r.put(row)
		return nil
	}
	if err := part(regionsShape, func(l Latency) time.Duration { return l.P50 }, Row{Goal: regionsGoal, Factor: 1, Plus: regionsPlus}, "t-th nearest"); err != nil {
		return err
	}
	if err := conf.Suffer(); err != nil {
		return err
	}
	delete(distances, conf.Dead)
	distances[conf.Slow] = conf.Slowed
	left := *s
	left.PIDs = maps.Clone(s.PIDs)
	delete(left.PIDs, conf.Dead)
	left.Numbers = maps.Clone(s.Numbers)
	delete(left.Numbers, conf.Dead)
	s = &left
	err := part(sufferingShape, func(l Latency) time.Duration { return l.P99 }, Row{
		Goal: sufferingGoal, Factor: sufferingFactor, Base: []Term{{"allowance", 1, regionsPlus}},
	}, "t-th nearest that is well")
	r.hear(s.Noticed)
	return err
}

// put puts a row in the place of the one of its shape, or after all.
func (r *Run) put(row Row) {
	if i := slices.IndexFunc(r.Goals, func(g Row) bool { return g.Shape == row.Shape }); i >= 0 {
		r.Goals[i] = row
		return
	}
	r.Goals = append(r.Goals, row)
}

// echo is the median of one frame at a time to a process that is as far away.
func (c *RegionsConfig) echo(ctx context.Context, s *Subject, roundTrip time.Duration) (time.Duration, error) {
	e, err := StartEcho(ctx, 1, c.Echo, c.EchoEnvironment, func(addr string) (string, error) { return c.Behind(addr, roundTrip) })
	if err != nil {
		return 0, err
	}
	defer e.Close()
	one, err := s.wrap(ctx, 1)
	if err != nil {
		return 0, err
	}
	_, p50, err := e.measure(ctx, requestFor(s.Key, one[0].item.Envelope), Load{N: c.N, InFlight: 1})
	return p50, err
}
