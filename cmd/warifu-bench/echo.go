package main

import (
	"os"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
)

// echoCommand is what the other commands start as other processes.
func echoCommand() *cobra.Command {
	return &cobra.Command{
		Use:    echoVerb,
		Short:  "Answer every frame with an empty one, until the input ends",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.ServeEcho(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

const echoVerb = "echo"

// echoes is the command that becomes one.
func echoes() ([]string, error) {
	self, err := os.Executable()
	return []string{self, echoVerb}, err
}
