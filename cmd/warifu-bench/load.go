package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
)

func loadCommand() *cobra.Command {
	var f subjectFlags
	var fails failFlags
	var beside peerFlags
	var output, save string
	var last time.Duration
	var floor bool
	shape := bench.Shape{Name: "load"}
	c := &cobra.Command{
		Use:   "load",
		Short: "Put in a load of one shape: closed or open, batches, many clients, envelopes again",
		Long: `Puts in unwraps, and compares every data key with the one that was wrapped. With
--encrypt it has the holders of a symmetric key encrypt, and opens what was made when the
clocks have stopped.

Without --rate the loop is closed: each of --in-flight callers asks again when it has
its answer. With --rate it is open: as many are due in a second, whatever becomes of
those before, and the latency of each counts from when it was due.
` + failHelp,
		Example: `  warifu-bench load --start --rate 500 --for 20s
  warifu-bench load --start --in-flight 64 --clients 64
  warifu-bench load --start --floor --envelopes 64
  warifu-bench load --start --batch 100 --envelopes 100 -n 200
  warifu-bench load --start --type symmetric --batch 100 -n 200
  warifu-bench load --start --type symmetric --encrypt
  warifu-bench load --start --nodes 6 --round-trips table.txt --keys 20
  warifu-bench load --start --rate 300 --fail kill,cut,reshare --save run.json
  warifu-bench load --start --peer vault=http://127.0.0.1:8200 --peer-token-file token`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if shape.Rate > 0 && last > 0 {
				shape.N = int(shape.Rate * last.Seconds())
			}
			if len(fails.kinds) > 0 && shape.Envelopes == 0 {
				shape.Envelopes = failEnvelopes
			}
			if err := errors.Join(checkOutput(output), shape.Check(), beside.check(), f.checkKind(), f.checkCores(), f.checkLayout(), f.checkKeys(), fails.check(&f, shape, beside.peer != "", last > 0)); err != nil {
				return err
			}
			if shape.Encrypts && f.start && f.kind != typeSymmetric {
				return errors.New("--encrypt needs --type symmetric: an asymmetric key wraps offline")
			}
			if floor && (shape.Encrypts || len(fails.kinds) > 0) {
				return errors.New("--floor is about envelopes that are opened, while nothing fails")
			}
			if last > 0 && shape.Rate == 0 {
				return errors.New("--for needs --rate: a closed loop is as long as --requests says")
			}
			echo, err := echoes()
			if err != nil {
				return err
			}
			peer, err := beside.find(c.Context())
			if err != nil {
				return err
			}
			if peer != nil {
				defer peer.Close()
			}
			if len(fails.kinds) > 0 {
				f.prepared = fails.prepare
			}
			s, clean, err := f.prepare(c.Context(), shape.Clients)
			if err != nil {
				return err
			}
			var run *bench.Run
			if len(fails.kinds) > 0 {
				var conf bench.FailingConfig
				if conf, err = fails.config(c.Context(), f.started, s); err == nil {
					conf.Progress = func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) }
					run, err = bench.MeasureFailing(c.Context(), s, shape, conf)
				}
			} else {
				run, err = bench.MeasureOne(c.Context(), s, shape, peer)
			}
			if err == nil && floor {
				err = run.Hold(c.Context(), s, echo, nil)
			}
			if err := errors.Join(err, clean()); err != nil {
				return err
			}
			return errors.Join(show(c.OutOrStdout(), output, run), keep(save, run), run.Err())
		},
	}
	f.add(c.Flags())
	f.addCores(c.Flags())
	fails.add(c.Flags())
	beside.add(c.Flags())
	c.Flags().IntVarP(&shape.N, "requests", "n", 2000, "how many requests")
	c.Flags().IntVarP(&shape.InFlight, "in-flight", "c", 64, "how many are in flight, at most")
	c.Flags().Float64Var(&shape.Rate, "rate", 0, "requests in a second (default: a closed loop)")
	c.Flags().DurationVar(&last, "for", 0, "with --rate: how long, in place of --requests")
	c.Flags().IntVar(&shape.Batch, "batch", 1, "envelopes in one request")
	c.Flags().IntVar(&shape.Clients, "clients", 1, "clients that take turns, each with its own connection to each node")
	c.Flags().IntVar(&shape.Envelopes, "envelopes", 0, "how many envelopes, asked for again and again (default: each once)")
	c.Flags().StringVar(&f.kind, "type", "", "with --start: the type of the key, asymmetric or symmetric (default: asymmetric)")
	c.Flags().IntVar(&f.keys, "keys", 1, "with --start: how many keys, which take turns")
	c.Flags().BoolVar(&floor, "floor", false, "also measure what the load takes at the least, and say how many times as much it took")
	c.Flags().BoolVar(&shape.Encrypts, "encrypt", false, "have the holders of a symmetric key encrypt (default: unwrap)")
	c.Flags().StringVar(&save, "save", "", "also write the run to this file, as JSON")
	addOutput(c.Flags(), &output)
	return c
}
