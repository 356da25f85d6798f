package main

import (
	"errors"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
)

func decryptCommand() *cobra.Command {
	var f subjectFlags
	var conf bench.Config
	var output string
	c := &cobra.Command{
		Use:   "decrypt",
		Short: "Measure unwraps: latency, throughput, CPU of every process and of every step",
		Long: `Unwraps data keys one at a time and then many in flight, with a cluster that runs
or, with --start, with nodes started for the purpose on this machine and
removed afterwards. Then measures each step of one unwrap in this process.

Every unwrap leaves a record in the audit of the nodes that were asked.`,
		Example: `  warifu-bench decrypt --start
  . .demo/env.sh && warifu-bench decrypt --key demo
  warifu-bench decrypt --home ~/app --key payroll --pid node-1=4711 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), conf.Check(), f.checkLayout()); err != nil {
				return err
			}
			s, clean, err := f.prepare(c.Context(), 1)
			if err != nil {
				return err
			}
			conf.Client, conf.Key, conf.PIDs, conf.Dir = s.Clients[0], s.Key, s.PIDs, s.Dir
			report, err := bench.Decrypt(c.Context(), conf)
			if err := errors.Join(err, clean()); err != nil {
				return err
			}
			return show(c.OutOrStdout(), output, report)
		},
	}
	f.add(c.Flags())
	c.Flags().IntVarP(&conf.N, "unwraps", "n", 1000, "how many unwraps, one at a time and again in flight")
	c.Flags().IntVarP(&conf.InFlight, "in-flight", "c", 64, "how many are in flight in the second part")
	addOutput(c.Flags(), &output)
	return c
}
