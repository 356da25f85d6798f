package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

const ms = time.Millisecond

// The five regions, one node in each: any three open an envelope.
var regions = []cluster.Node{{ID: "jp-east-1", Region: "jp-east"}, {ID: "jp-west-1", Region: "jp-west"}, {ID: "kr-1", Region: "kr"}, {ID: "sg-1", Region: "sg"}, {ID: "us-1", Region: "us"}}

// roundTrips is between regions as they stand above, and clients after them.
var roundTrips = [][]time.Duration{
	{0, 10 * ms, 30 * ms, 70 * ms, 150 * ms, 5 * ms},
	{10 * ms, 0, 25 * ms, 75 * ms, 145 * ms, 10 * ms},
	{30 * ms, 25 * ms, 0, 80 * ms, 140 * ms, 35 * ms},
	{70 * ms, 75 * ms, 80 * ms, 0, 150 * ms, 70 * ms},
	{150 * ms, 145 * ms, 140 * ms, 150 * ms, 0, 150 * ms},
	{5 * ms, 10 * ms, 35 * ms, 70 * ms, 150 * ms, 0},
}

// What befalls two of them: the second nearest, of which a client knows that it is near,
// and the farthest.
const (
	slowNode = "jp-west-1"
	deadNode = "us-1"
	slowed   = 400 * ms
)

// place is a node's row in [roundTrips], or the clients'.
func place(id string) int {
	for i, n := range regions {
		if n.ID == id {
			return i
		}
	}
	return len(regions)
}

// inRegions starts a cluster of five regions, adds to a run what is measured there, and
// removes it.
func (f *subjectFlags) inRegions(ctx context.Context, run *bench.Run, n int, echo []string, progress func(string)) (err error) {
	bin, err := f.beside()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "warifu-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &bench.Subject{Noticed: bench.NewNoticed(), Dir: dir}
	var isSlow atomic.Bool
	within, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	progress("start a cluster in five regions")
	c, err := cluster.Start(within, cluster.Config{
		Dir: dir, Bin: bin, HSM: f.hsm, Nodes: regions, Log: slog.New(s.Noticed),
		Distance: func(a, b string) time.Duration {
			if isSlow.Load() && (a == slowNode || b == slowNode) {
				return slowed
			}
			return roundTrips[place(a)][place(b)]
		},
	})
	if err != nil {
		return err
	}
	clean := closing(s, c.Close)
	defer func() { err = errors.Join(err, clean()) }()
	far := *f
	far.symmetric = "" // the way is the same
	if err := far.furnish(within, c, s, 1); err != nil {
		return err
	}
	conf := bench.RegionsConfig{
		N: n, Distances: map[string]time.Duration{}, Dead: deadNode, Slow: slowNode, Slowed: slowed, Echo: echo, Progress: progress,
		Suffer: func() error {
			isSlow.Store(true)
			return c.Kill(deadNode)
		},
	}
	for i, r := range regions {
		conf.Distances[r.ID] = roundTrips[len(regions)][i]
	}
	var relays []*cluster.Relay
	defer func() {
		for _, r := range relays {
			err = errors.Join(err, r.Close())
		}
	}()
	conf.Behind = func(addr string, roundTrip time.Duration) (string, error) {
		r, err := cluster.Behind(addr, roundTrip)
		if err != nil {
			return "", err
		}
		relays = append(relays, r)
		return r.Address(), nil
	}
	return run.Regions(ctx, s, conf)
}
