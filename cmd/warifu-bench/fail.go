package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

// Kinds of failures.
const (
	failKill    = "kill"
	failSlow    = "slow"
	failCut     = "cut"
	failReshare = "reshare"
	failLie     = "lie"
)

// cutRegion has two of the demo's five nodes.
const cutRegion = "jp-east"

// failFlags say what befalls a cluster that was started, while a load runs.
type failFlags struct {
	kinds  []string
	lasts  time.Duration
	quiet  time.Duration
	slow   atomic.Pointer[string] // the node that is; nil: none
	cut    atomic.Bool
	region map[string]string // by node; made before any packet passes
	dir    string            // of the cluster
}

func (f *failFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.kinds, "fail", nil, "with --start and --rate: what befalls the nodes, one after the other: kill, slow, cut, reshare, lie")
	flags.DurationVar(&f.lasts, "fail-for", 10*time.Second, "with --fail: how long each lasts before it is healed")
	flags.DurationVar(&f.quiet, "fail-quiet", 5*time.Second, "with --fail: how long nothing fails, before, between and after")
}

// failEnvelopes are how many there are, where nobody said so: how many requests there will
// be is not known before.
const failEnvelopes = 256

const failHelp = `
--fail has nodes fail while the load runs, of a cluster that --start started, one failure
after the other: kill (a node dies, and is started again), slow (a node is 400 ms away),
cut (a region of two nodes is cut off from all others), reshare (the key's shares are made
anew for one holder more) and lie (a node's partials are wrong). The report says when each
began, and when all nodes served again, and what became of what was asked for before,
meanwhile and after. With slow and cut relays stand in front of all nodes, which takes CPU.
No released warifud can lie: lie needs one that was built for it, by "make liar" and
--bin bin/liar.`

func (f *failFlags) check(of *subjectFlags, shape bench.Shape, peer, last bool) error {
	if len(f.kinds) == 0 {
		return nil
	}
	for _, k := range f.kinds {
		if !slices.Contains([]string{failKill, failSlow, failCut, failReshare, failLie}, k) {
			return fmt.Errorf("--fail is %s, not %q", strings.Join([]string{failKill, failSlow, failCut, failReshare, failLie}, ", "), k)
		}
		if of.kind == typeSymmetric && (k == failReshare || k == failLie) {
			return fmt.Errorf("--fail %s is about asymmetric keys", k)
		}
	}
	switch {
	case !of.start:
		return errors.New("--fail needs --start: it is no service to a cluster that has other work")
	case of.layout.asked():
		return errors.New("--fail is about the demo's five nodes: there is no --nodes, --threshold or --round-trips with it")
	case peer:
		return errors.New("--fail has no --peer beside it")
	case last:
		return errors.New("--fail lasts as long as what fails: --fail-for and --fail-quiet say how long that is")
	case slices.Contains(f.kinds, failLie) && of.bin == "":
		return errors.New(`--fail lie needs a warifud that was built to lie: "make liar", and --bin bin/liar`)
	}
	conf := bench.FailingConfig{Failures: make([]bench.Failure, len(f.kinds)), For: f.lasts, Quiet: f.quiet}
	return conf.Check(shape)
}

// prepare changes the configuration of a cluster that is to fail.
func (f *failFlags) prepare(c *cluster.Config) {
	if slices.Contains(f.kinds, failSlow) || slices.Contains(f.kinds, failCut) {
		f.region = map[string]string{}
		for _, n := range cluster.DemoNodes {
			f.region[n.ID] = n.Region
		}
		c.Distance = f.distance
	}
	f.dir = c.Dir
	c.Environment = func(node string) []string {
		return []string{cluster.LiesVariable + "=1 0", cluster.LiesWhileVariable + "=" + f.lying(node)}
	}
}

// lying is the file that makes a node lie while it is there, if it is one that can.
func (f *failFlags) lying(node string) string { return filepath.Join(f.dir, node+".lies") }

// distance is that of the moment.
func (f *failFlags) distance(a, b string) time.Duration {
	slow := f.slow.Load()
	switch {
	case f.cut.Load() && f.region[a] != f.region[b] && (f.region[a] == cutRegion || f.region[b] == cutRegion):
		return cluster.Lost
	case slow != nil && (a == *slow || b == *slow):
		return slowed
	}
	return 0
}

// failures are what there is, by kind. killed is the node that is killed.
func (f *failFlags) failures(c *cluster.Cluster, s *bench.Subject, killed string) map[string]bench.Failure {
	var lies, slow string
	well := func(undo func() error) func(context.Context) error {
		return func(ctx context.Context) error { return errors.Join(undo(), c.WaitServing(ctx)) }
	}
	busiest := func(whom *string, then func() error) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			busy, err := s.Busy(ctx)
			if err != nil {
				return "", err
			}
			*whom = busy[0]
			return *whom, then()
		}
	}
	return map[string]bench.Failure{
		failKill: {
			Name: killed + " is killed", Dies: killed,
			Strike: func(context.Context) (string, error) { return "", c.Kill(killed) },
			Heal: well(func() error {
				err := c.Restart(killed)
				s.PIDs[killed] = c.PID(killed)
				return err
			}),
		},
		failSlow: {
			Name:   "is slow",
			Strike: busiest(&slow, func() error { f.slow.Store(&slow); return nil }),
			Heal:   well(func() error { f.slow.Store(nil); return nil }),
		},
		failCut: {
			Name:   cutRegion + " is cut off",
			Strike: func(context.Context) (string, error) { f.cut.Store(true); return "", nil },
			Heal:   well(func() error { f.cut.Store(false); return nil }),
		},
		failLie: {
			Name: "lies", Lies: true,
			Strike: busiest(&lies, func() error { return os.WriteFile(f.lying(lies), nil, 0o600) }),
			Heal:   well(func() error { return os.Remove(f.lying(lies)) }),
		},
		failReshare: {
			Name: "reshare for one holder more",
			Strike: func(ctx context.Context) (string, error) {
				return "", c.Reshare(ctx, s.Key, s.Key.Threshold()+1)
			},
		},
	}
}

// config says what befalls a cluster that runs.
func (f *failFlags) config(ctx context.Context, c *cluster.Cluster, s *bench.Subject) (conf bench.FailingConfig, err error) {
	busy, err := s.Busy(ctx)
	if err != nil {
		return conf, err
	}
	conf = bench.FailingConfig{For: f.lasts, Quiet: f.quiet}
	all := f.failures(c, s, busy[0])
	for _, k := range f.kinds {
		conf.Failures = append(conf.Failures, all[k])
	}
	return conf, nil
}
