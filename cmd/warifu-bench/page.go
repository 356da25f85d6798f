package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
)

func pageCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "page RUN.json",
		Short:   "Show a run that was saved as one page of HTML with plots",
		Example: "  warifu-bench page bench/results/today.json > bench/results/today.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			var r bench.Run
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("%s is not a run of this program: %w", args[0], err)
			}
			return r.Page(c.OutOrStdout())
		},
	}
}
