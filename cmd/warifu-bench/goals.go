package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
)

func goalsCommand() *cobra.Command {
	var f subjectFlags
	var beside peerFlags
	var conf bench.GoalsConfig
	var output, save string
	var far int
	var over bench.OverloadConfig
	c := &cobra.Command{
		Use:   "goals",
		Short: "Hold what unwraps cost against the least that they could cost",
		Long: `Measures the floor (multiplications, an echo of the same frames between as many
processes, a sync) and the shapes that the goals are about, in rounds, and prints
each goal with its ratio to the floor. Of the rounds, the median counts.

MISS is over its goal; FLOOR says that the goal is under what was measured as its
minimum. What cannot be measured says why. Ends with an error on a MISS, on a wrong
answer, on a failed unwrap, and when a client warns of a node.`,
		Example: `  warifu-bench goals --start
  warifu-bench goals --start --rounds 1 --far 0 --overload 60s
  warifu-bench goals --start --nodes 7 --threshold 3 --far 0
  warifu-bench goals --start -o json --save bench/results/today.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if conf.Echo, err = echoes(); err != nil {
				return err
			}
			if err := errors.Join(checkOutput(output), conf.Check(), beside.check(), checkOverload(f.start, &over, conf.InFlight), f.checkCores(), f.checkLayout()); err != nil {
				return err
			}
			conf.Progress = func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) }
			if conf.Peer, err = beside.find(c.Context()); err != nil {
				return err
			}
			if conf.Peer != nil {
				defer conf.Peer.Close()
			}
			conf.Progress("find the cluster, or start it")
			if f.start && f.symmetric == "" && f.layout.nodes <= mostSymmetric {
				f.symmetric = f.key + "-" + typeSymmetric
			}
			clients := 1
			if over.For > 0 {
				clients = overloadClients
			}
			s, clean, err := f.prepare(c.Context(), clients)
			if err != nil {
				return err
			}
			run, err := bench.Goals(c.Context(), s, conf)
			if err == nil && over.For > 0 {
				over.Progress = conf.Progress
				err = run.Overload(c.Context(), s, over)
			}
			if err := errors.Join(err, clean()); err != nil {
				return err
			}
			if f.start && far > 0 {
				if err := f.inRegions(c.Context(), run, far, conf.Echo, conf.Progress); err != nil {
					return err
				}
			}
			return errors.Join(show(c.OutOrStdout(), output, run), keep(save, run), run.Err())
		},
	}
	f.add(c.Flags())
	f.addCores(c.Flags())
	beside.add(c.Flags())
	c.Flags().StringVar(&f.symmetric, "symmetric-key", "", "name of a symmetric key of a cluster that runs (default: none; --start has one born)")
	c.Flags().IntVarP(&conf.N, "unwraps", "n", 2000, "how many unwraps of each shape, in a round")
	c.Flags().IntVarP(&conf.InFlight, "in-flight", "c", 64, "how many are in flight, where it is not one at a time")
	c.Flags().IntVarP(&conf.Rounds, "rounds", "r", 5, "how many rounds, of which the median counts")
	c.Flags().IntVar(&far, "far", 400, "with --start: how many unwraps in a cluster of five regions, and again with two of them ill; 0: none")
	c.Flags().DurationVar(&over.For, "overload", 0, "with --start: ask for three times of what the nodes can do, for so long; 0: not at all")
	c.Flags().StringVar(&save, "save", "", "also write the run to this file, as JSON")
	addOutput(c.Flags(), &output)
	return c
}

// overloadClients are as many as it takes: each has 64 requests at a node at a time.
const overloadClients = 32

func checkOverload(start bool, over *bench.OverloadConfig, inFlight int) error {
	over.InFlight = inFlight
	switch {
	case over.For == 0:
		return nil
	case !start:
		return errors.New("--overload needs --start: it is no service to a cluster that has other work")
	}
	return over.Check()
}
