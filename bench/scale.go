package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Scale is clusters of several sizes on several cores, and what a model of their costs
// says of machines that are not here.
type Scale struct {
	Points []ScalePoint `json:"points"`
	Costs  []Cost       `json:"model"` // one of each shape
}

// ScalePoint is one cluster on some cores, asked in one way.
type ScalePoint struct {
	Nodes     int           `json:"nodes"`
	Threshold int           `json:"threshold"`
	Cores     int           `json:"cores"` // of all nodes and the client together
	Shape     string        `json:"shape"`
	Items     float64       `json:"items_per_second"`
	Client    time.Duration `json:"client_ns"`     // CPU for each item
	Answer    time.Duration `json:"per_answer_ns"` // CPU of all nodes for each item, by the t answers
	Echo      time.Duration `json:"echo_ns"`       // of t processes and the caller
	P50       time.Duration `json:"p50_ns"`
}

// Cost is the model: what one item costs a client, and a node for each of its t answers.
// A client's part grows with the answers, and is a straight line through the points. It
// is a model of CPU alone: it takes every core to do as much as each does here, and knows
// of no lock, no disk and no network that is full before.
type Cost struct {
	Shape     string        `json:"shape"`
	Client    time.Duration `json:"client_ns"`            // whatever t is,
	PerAnswer time.Duration `json:"client_per_answer_ns"` // and for each answer
	Node      time.Duration `json:"node_per_answer_ns"`
}

// manyCores is the machine that the model is asked about.
const manyCores = 16

// PerItem is the CPU of an item on all machines.
func (c Cost) PerItem(t int) time.Duration { return c.OfClient(t) + time.Duration(t)*c.Node }

// OfClient is the client's.
func (c Cost) OfClient(t int) time.Duration { return c.Client + time.Duration(t)*c.PerAnswer }

// Together is how many items a second one machine does on which everything runs.
func (c Cost) Together(t, cores int) float64 { return perSecond(cores, c.PerItem(t)) }

// Apart is how many items a second n nodes do, each on a machine of its own, when they
// are asked in turn; and how many one machine with clients asks for.
func (c Cost) Apart(n, t, cores int) (nodes, clients float64) {
	return float64(n) / float64(t) * perSecond(cores, c.Node), perSecond(cores, c.OfClient(t))
}

func perSecond(cores int, each time.Duration) float64 {
	return float64(cores) * float64(time.Second) / float64(max(each, 1))
}

// Costs makes the model of each shape of some points, in their order: the mean of what an
// answer costs a node, and the line of least squares of what items cost the client.
func Costs(points []ScalePoint) (out []Cost) {
	for _, p := range points {
		known := false
		for _, c := range out {
			known = known || c.Shape == p.Shape
		}
		if !known {
			out = append(out, costOf(p.Shape, points))
		}
	}
	return out
}

func costOf(shape string, points []ScalePoint) Cost {
	var n, sumT, sumTT, sumC, sumTC, sumNode float64
	for _, p := range points {
		if p.Shape != shape {
			continue
		}
		t, c := float64(p.Threshold), float64(p.Client)
		n, sumT, sumTT, sumC, sumTC, sumNode = n+1, sumT+t, sumTT+t*t, sumC+c, sumTC+t*c, sumNode+float64(p.Answer)
	}
	slope := 0.0
	if d := n*sumTT - sumT*sumT; d > 0 { // else all have one t
		slope = max(0, (n*sumTC-sumT*sumC)/d)
	}
	return Cost{
		Shape: shape, Client: time.Duration(max(0, (sumC-slope*sumT)/n)),
		PerAnswer: time.Duration(slope), Node: time.Duration(sumNode / n),
	}
}

// ScaleConfig says how one cluster of a scale is measured.
type ScaleConfig struct {
	N        int // unwraps of each shape
	InFlight int
	Cores    []int // how many, one after the other
	// Echo starts the processes of an echo: a command that ends in [ServeEcho].
	Echo            []string
	EchoEnvironment []string
	Progress        func(string) // may be nil
}

// Check holds the numbers against their bounds.
func (c *ScaleConfig) Check() error {
	if len(c.Echo) == 0 || len(c.Cores) == 0 {
		return errors.New("bench: a command that echoes, and numbers of cores, are required")
	}
	for _, n := range c.Cores {
		if n < 1 {
			return errors.New("bench: a machine has one core at least")
		}
	}
	return Load{N: c.N, InFlight: c.InFlight}.Check()
}

// Keep has a subject's nodes and this process run on the first few of the cores there
// are, and says what undoes it; what this process starts from then on runs there, too. It
// returns when all have noticed. An error if there are fewer cores.
func (s *Subject) Keep(ctx context.Context, cores int) (undo func() error, err error) {
	all, err := CoresOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	if cores > len(all) {
		return nil, fmt.Errorf("bench: %d cores of %d", cores, len(all))
	}
	if len(s.PIDs) == 0 {
		return nil, errors.New("bench: the nodes are not on this machine")
	}
	to := func(list []int) (err error) {
		for _, pid := range s.PIDs {
			err = errors.Join(err, KeepTo(pid, list))
		}
		return errors.Join(err, KeepTo(os.Getpid(), list))
	}
	undo = func() error { return to(all) }
	if err := to(all[:cores]); err != nil {
		return nil, errors.Join(err, undo())
	}
	select {
	case <-time.After(gomaxprocsFollows):
		return undo, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), undo())
	}
}

// gomaxprocsFollows is longer than the Go runtime takes to notice other cores.
const gomaxprocsFollows = 1500 * time.Millisecond

// Measure adds a cluster's points, one of each shape and number of cores. The model is
// made anew of all points.
func (s *Scale) Measure(ctx context.Context, of *Subject, conf ScaleConfig) error {
	if err := errors.Join(of.check(), conf.Check()); err != nil {
		return err
	}
	if conf.Progress == nil {
		conf.Progress = func(string) {}
	}
	for _, cores := range conf.Cores {
		if err := s.measure(ctx, of, conf, cores); err != nil {
			return err
		}
	}
	s.Costs = Costs(s.Points)
	return nil
}

func (s *Scale) measure(ctx context.Context, of *Subject, conf ScaleConfig, cores int) (err error) {
	undo, err := of.Keep(ctx, cores)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	t, n := of.Key.Threshold(), len(of.Key.Holders())
	conf.Progress(fmt.Sprintf("%d of %d on %s", t, n, inCores(cores)))
	idle, err := of.Idle(ctx)
	if err != nil {
		return err
	}
	echo, err := StartEcho(ctx, t, conf.Echo, conf.EchoEnvironment, nil)
	if err != nil {
		return err
	}
	defer echo.Close()
	one, err := of.wrap(ctx, 1)
	if err != nil {
		return err
	}
	var f Floor
	if err := f.transport(ctx, echo, requestFor(of.Key, one[0].item.Envelope), conf.N, conf.InFlight); err != nil {
		return err
	}
	for _, shape := range []Shape{{Name: "repeated envelopes", Envelopes: repeatedEnvelopes}, {Name: "first sight"}} {
		shape.Load, shape.Batch, shape.Clients = Load{N: conf.N, InFlight: conf.InFlight}, 1, 1
		m, err := of.Measure(ctx, shape, idle)
		if err != nil {
			return err
		}
		if m.Taken.Failures() > 0 {
			return fmt.Errorf("%s: %d of %d failed: %s", shape, m.Taken.Failures(), m.Taken.N, m.Taken.First)
		}
		p := ScalePoint{
			Nodes: n, Threshold: t, Cores: cores, Shape: shape.Name, Items: m.Items,
			Client: m.used(idle, 0), Echo: f.Echo, P50: m.Taken.Latency.P50,
		}
		p.Answer = (m.Used - p.Client) / time.Duration(t)
		s.Points = append(s.Points, p)
	}
	return nil
}

func inCores(n int) string {
	if n == 1 {
		return "one core"
	}
	return fmt.Sprintf("%d cores", n)
}

// used is the CPU that one process used for each item, without what it uses when idle.
func (m *Measured) used(idle []CPU, i int) time.Duration {
	each := m.Taken.Elapsed.Seconds() / float64(m.Shape.N*m.Shape.Batch)
	return m.CPU[i].Each - time.Duration(idle[i].Share*each*float64(time.Second))
}

// write is the part of a report that is about it.
func (s *Scale) write(line func(format string, args ...any)) {
	line("\nNODES\tSHAPE\tCORES\tCLIENT, CPU\tNODE, CPU EACH ANSWER\tECHO, CPU OF ALL\tP50\tPER SECOND\tTHE MODEL SAYS")
	for _, p := range s.Points {
		line("%s", strings.Join(s.cells(p), "\t"))
	}
	line("\nTHE MODEL: CPU OF\tCLIENT\tCLIENT, EACH ANSWER\tNODE, EACH ANSWER")
	for _, c := range s.Costs {
		line("%s\t%s\t%s\t%s", c.Shape, micro(c.Client), micro(c.PerAnswer), micro(c.Node))
	}
	line("\n%d CORES IN EACH MACHINE\tSHAPE\tALL ON ONE, PER SECOND\tA NODE EACH, PER SECOND\tONE MACHINE OF CLIENTS ASKS FOR", manyCores)
	for _, cells := range s.predictions() {
		line("%s", strings.Join(cells, "\t"))
	}
}

// cells are a point's row.
func (s *Scale) cells(p ScalePoint) []string {
	says := 0.0
	for _, c := range s.Costs {
		if c.Shape == p.Shape {
			says = c.Together(p.Threshold, p.Cores)
		}
	}
	return []string{
		fmt.Sprintf("%d of %d", p.Threshold, p.Nodes), p.Shape, fmt.Sprint(p.Cores), micro(p.Client), micro(p.Answer), micro(p.Echo), micro(p.P50),
		fmt.Sprintf("%.0f", p.Items), fmt.Sprintf("%.0f", says),
	}
}

// predictions are what the model says of larger machines, for each size that was measured.
func (s *Scale) predictions() (rows [][]string) {
	for _, c := range s.Costs {
		seen := map[int]bool{}
		for _, p := range s.Points {
			if p.Shape != c.Shape || seen[p.Nodes] {
				continue
			}
			seen[p.Nodes] = true
			nodes, clients := c.Apart(p.Nodes, p.Threshold, manyCores)
			rows = append(rows, []string{
				fmt.Sprintf("%d of %d", p.Threshold, p.Nodes), c.Shape,
				fmt.Sprintf("%.0f", c.Together(p.Threshold, manyCores)), fmt.Sprintf("%.0f", nodes), fmt.Sprintf("%.0f", clients),
			})
		}
	}
	return rows
}

// page is the same on a page.
func (s *Scale) page(out func(format string, args ...any)) {
	var rows [][]string
	for _, p := range s.Points {
		rows = append(rows, s.cells(p))
	}
	out("<h2>Clusters of several sizes, on several cores</h2>")
	table(out, []string{"nodes", "shape", "cores", "client, CPU", "node, CPU of each answer", "echo, CPU of all", "p50", "per second", "the model says"}, rows)
	out("<h2>The model, on machines of %d cores</h2>", manyCores)
	table(out, []string{"nodes", "shape", "all on one machine, per second", "a machine for each node, per second", "one machine of clients asks for"}, s.predictions())
	rows = nil
	for _, c := range s.Costs {
		rows = append(rows, []string{c.Shape, micro(c.Client), micro(c.PerAnswer), micro(c.Node)})
	}
	table(out, []string{"CPU of", "client", "client, each answer", "node, each answer"}, rows)
}

// plot draws what was measured, and what the model says of it.
func (s *Scale) plot() *plot {
	p := &plot{title: "Unwraps a second, by size and cores", x: "threshold and nodes (number)", y: "unwraps (1/s)"}
	at := map[string]int{}
	for _, q := range s.Points {
		label := fmt.Sprintf("%d of %d", q.Threshold, q.Nodes)
		if _, ok := at[label]; !ok {
			at[label] = len(p.labels)
			p.labels = append(p.labels, label)
		}
		name := fmt.Sprintf("%s, %s", q.Shape, inCores(q.Cores))
		k := 0
		for k < len(p.series) && p.series[k].name != name {
			k++
		}
		if k == len(p.series) {
			p.series = append(p.series, series{name: name})
		}
		p.series[k].points = append(p.series[k].points, [2]float64{float64(at[label]), q.Items})
	}
	return p
}
