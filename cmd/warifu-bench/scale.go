package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

func scaleCommand() *cobra.Command {
	var f subjectFlags
	var conf bench.ScaleConfig
	var output, save string
	var sizes []int
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure clusters of several sizes on few cores, and say what larger machines would do",
		Long: `Starts a cluster of each size, of which a majority opens an envelope, keeps all its
nodes and this process to as many cores as are asked for, and measures unwraps and an
echo. What they cost makes a model: CPU of the client, of the client for each answer, and
of a node for each answer. What the model says of the measured clusters stands beside
them, and what it says of machines with 16 cores below.`,
		Example: `  warifu-bench scale
  warifu-bench scale --sizes 3,5 --cores 1 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if conf.Echo, err = echoes(); err != nil {
				return err
			}
			if err := errors.Join(checkOutput(output), conf.Check(), checkSizes(sizes)); err != nil {
				return err
			}
			conf.Progress = func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) }
			run := &bench.Run{Machine: bench.ThisMachine(), Began: time.Now().UTC(), Key: f.key, Scale: &bench.Scale{}}
			for _, n := range sizes {
				if err := f.scale(c.Context(), run.Scale, n, conf); err != nil {
					return fmt.Errorf("%d nodes: %w", n, err)
				}
			}
			return errors.Join(show(c.OutOrStdout(), output, run), keep(save, run), run.Err())
		},
	}
	c.Flags().StringVar(&f.hsm, "hsm", cluster.HSMToken, "pkcs11, a SoftHSM token each, or soft, which protects nothing")
	c.Flags().StringVar(&f.bin, "bin", "", "directory with warifud (default: where this program is)")
	c.Flags().StringVar(&f.key, "key", "demo", "name of the key")
	c.Flags().IntSliceVar(&sizes, "sizes", []int{3, 5, 7, 9}, "how many nodes, of one cluster after the other")
	c.Flags().IntSliceVar(&conf.Cores, "cores", []int{1, 2}, "how many cores, one after the other")
	c.Flags().IntVarP(&conf.N, "unwraps", "n", 2000, "how many unwraps of each shape")
	c.Flags().IntVarP(&conf.InFlight, "in-flight", "c", 64, "how many are in flight")
	c.Flags().StringVar(&save, "save", "", "also write the run to this file, as JSON")
	addOutput(c.Flags(), &output)
	return c
}

// scale starts a cluster of n nodes, adds its points, and removes it.
func (f *subjectFlags) scale(ctx context.Context, into *bench.Scale, n int, conf bench.ScaleConfig) (err error) {
	bin, err := f.beside()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "warifu-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &bench.Subject{Noticed: bench.NewNoticed(), Dir: dir, PIDs: map[string]int{}}
	within, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	conf.Progress(fmt.Sprintf("start %d nodes", n))
	layout := layoutFlags{nodes: n}
	if err := layout.check(true); err != nil {
		return err
	}
	config := cluster.Config{Dir: dir, Bin: bin, HSM: f.hsm, Log: slog.New(s.Noticed)}
	layout.apply(&config)
	c, err := cluster.Start(within, config)
	if err != nil {
		return err
	}
	clean := closing(s, c.Close)
	defer func() { err = errors.Join(err, clean()) }()
	if err := f.furnish(within, c, s, 1); err != nil {
		return err
	}
	for _, id := range c.IDs() {
		s.PIDs[id] = c.PID(id)
	}
	return into.Measure(ctx, s, conf)
}
