package schedule

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Bounds of what is drawn. They lie around the times of Raft and of freshness
// (lease 1.5 s, election 3 s, staleness 10 s), so that faults end on either side
// of each.
const (
	shortest    = 200 * time.Millisecond
	longest     = 14 * time.Second
	longestGap  = 3 * time.Second
	latest      = 800 * time.Millisecond
	slowestSync = 1500 * time.Millisecond
	farthestOff = time.Hour
)

// Generator draws faults from a seed.
type Generator struct {
	random *rand.Rand
	nodes  []string
	kinds  []Kind
}

// NewGenerator draws for these nodes, of these kinds, or of all if there are none.
func NewGenerator(seed uint64, nodes []string, kinds ...Kind) *Generator {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	return &Generator{random: rand.New(rand.NewPCG(seed, 0x7363686564)), nodes: slices.Clone(nodes), kinds: kinds}
}

// Next draws a fault, and how long to wait after it before the next begins.
func (g *Generator) Next() (f Fault, gap time.Duration) {
	f.Kind = g.kinds[g.random.IntN(len(g.kinds))]
	f.Nodes, f.To = g.victims()
	f.For = g.between(shortest, longest)
	switch f.Kind {
	case Delay:
		f.Time = g.between(20*time.Millisecond, latest)
	case Loss:
		f.Part = 0.05 + 0.6*g.random.Float64()
	case SlowDisk:
		f.Time, f.To = g.between(5*time.Millisecond, slowestSync), nil
	case ClockOffset:
		f.Time, f.To = g.between(-farthestOff, farthestOff), nil
	case Pause, Crash, FullDisk:
		f.To = nil
	}
	return f, g.between(0, longestGap)
}

// victims divides the nodes: mostly one or two suffer, sometimes any number, and
// at times all. The other side is all others, or some, with the clients or without.
func (g *Generator) victims() (nodes, to []string) {
	all := slices.Clone(g.nodes)
	g.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	n := 1 + g.random.IntN(2)
	if g.random.IntN(4) == 0 {
		n = 1 + g.random.IntN(len(all))
	}
	n = min(n, len(all))
	nodes, to = all[:n:n], all[n:]
	if len(to) > 1 && g.random.IntN(3) == 0 {
		to = to[:1+g.random.IntN(len(to)-1)]
	}
	if len(to) == 0 || g.random.IntN(3) == 0 {
		to = append(slices.Clone(to), Clients)
	}
	slices.Sort(nodes)
	slices.Sort(to)
	return nodes, to
}

// between draws a duration, the short ones more often.
func (g *Generator) between(low, high time.Duration) time.Duration {
	x := g.random.Float64()
	if low >= 0 {
		x *= x
	}
	return (low + time.Duration(x*float64(high-low))).Round(time.Millisecond)
}
