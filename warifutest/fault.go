package warifutest

import (
	"errors"
	"fmt"
	"sync"

	"warifu.dev/transport/netsim"
	"warifu.dev/warifutest/schedule"
)

// Inflict implements [schedule.Target]: all kinds.
func (c *Cluster) Inflict(f schedule.Fault) (schedule.Inflicted, error) {
	in, err := c.inflict(f)
	if err != nil {
		c.trace.add("not inflicted: %v: %v", f, err)
		return in, err
	}
	c.trace.add("fault: %v", f)
	heal := in.Heal
	var once sync.Once
	in.Heal = func() (err error) {
		once.Do(func() {
			c.trace.add("heal: %v: met %d", f, in.Fired())
			err = heal()
		})
		return err
	}
	return in, nil
}

func (c *Cluster) inflict(f schedule.Fault) (schedule.Inflicted, error) {
	for _, id := range f.Nodes {
		if c.members[id] == nil {
			return schedule.Inflicted{}, fmt.Errorf("no such node: %q", id)
		}
	}
	switch f.Kind {
	case schedule.CutOneWay, schedule.CutBoth, schedule.Delay, schedule.Loss:
		return c.disturb(f), nil
	case schedule.Pause:
		var effects []*netsim.Effect
		for _, id := range f.Nodes {
			effects = append(effects, c.net.Hold(id))
		}
		return ofEffects(effects), nil
	case schedule.Crash:
		return c.crashAll(f)
	case schedule.SlowDisk, schedule.FullDisk:
		return c.spoilDisks(f), nil
	case schedule.ClockOffset:
		return c.setOff(f), nil
	}
	return schedule.Inflicted{}, fmt.Errorf("%w: %s", schedule.ErrKind, f.Kind)
}

// disturb imposes rules on the ways between Nodes and To.
func (c *Cluster) disturb(f schedule.Fault) schedule.Inflicted {
	var effects []*netsim.Effect
	impose := func(r netsim.Rule) { effects = append(effects, c.net.Impose(r)) }
	for _, from := range f.Nodes {
		for _, to := range f.To {
			switch f.Kind {
			case schedule.CutBoth:
				impose(netsim.Rule{From: to, To: from, Loss: 1})
				impose(netsim.Rule{From: from, To: to, Loss: 1})
			case schedule.CutOneWay:
				impose(netsim.Rule{From: from, To: to, Loss: 1})
			case schedule.Delay:
				impose(netsim.Rule{From: from, To: to, Delay: f.Time, Jitter: f.Time})
			case schedule.Loss:
				impose(netsim.Rule{From: from, To: to, Loss: f.Part})
			}
		}
	}
	return ofEffects(effects)
}

func ofEffects(effects []*netsim.Effect) schedule.Inflicted {
	return schedule.Inflicted{
		Fired: func() (n uint64) {
			for _, e := range effects {
				n += e.Count()
			}
			return n
		},
		Heal: func() error {
			for _, e := range effects {
				e.Heal()
			}
			return nil
		},
	}
}

// crashAll ends the nodes that run, all at a time, and starts those again.
func (c *Cluster) crashAll(f schedule.Fault) (schedule.Inflicted, error) {
	var mu sync.Mutex
	var ended []string // guarded by mu
	var all sync.WaitGroup
	for _, id := range f.Nodes {
		all.Go(func() {
			if err := c.Crash(id); err == nil {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, id)
			}
		})
	}
	all.Wait()
	if len(ended) == 0 {
		return schedule.Inflicted{}, fmt.Errorf("crash: %w", ErrDown)
	}
	return schedule.Inflicted{
		Fired: func() uint64 { return uint64(len(ended)) },
		Heal: func() (err error) {
			for _, id := range ended {
				if again := c.Start(id); !errors.Is(again, ErrRuns) {
					err = errors.Join(err, again)
				}
			}
			return err
		},
	}, nil
}

// setOff moves the wall clocks.
func (c *Cluster) setOff(f schedule.Fault) schedule.Inflicted {
	before := c.clocksAsked(f.Nodes)
	for _, id := range f.Nodes {
		c.members[id].clock.off.Add(int64(f.Time))
	}
	return schedule.Inflicted{
		Fired: func() uint64 { return c.clocksAsked(f.Nodes) - before },
		Heal: func() error {
			for _, id := range f.Nodes {
				c.members[id].clock.off.Add(-int64(f.Time))
			}
			return nil
		},
	}
}

func (c *Cluster) clocksAsked(nodes []string) (n uint64) {
	for _, id := range nodes {
		n += c.members[id].clock.asked.Load()
	}
	return n
}

// Mend ends every fault that is still in force on the network, and starts every
// node that does not run.
func (c *Cluster) Mend() error {
	c.net.HealAll()
	var err error
	for _, n := range Nodes() {
		if again := c.Start(n.ID); !errors.Is(again, ErrRuns) {
			err = errors.Join(err, again)
		}
	}
	return err
}
