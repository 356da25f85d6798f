package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"warifu.dev/hsm"
	"warifu.dev/node"
)

// errCheck means that something is not as the node needs it.
var errCheck = errors.New("not everything is as this node needs it")

func checkCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Look whether a node has what it needs: files, token, ports, machine",
		Long: `Looks whether the node in DIR has what it needs, and prints for each thing that is
wrong what to do next. It changes nothing. The token's PIN is tried once, as at a
start; while the daemon runs, neither token nor ports are tried.

Run it as the user that the daemon runs as. What a limit is depends on who asks:
a shell's is not the unit's.`,
		Example: `  warifud check /var/lib/warifu`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("%w: --output is table or json, not %q", errUsage, format)
			}
			log := newLog(io.Discard)
			findings := node.Check(args[0], func(c node.HSMConfig) (hsm.Device, error) { return openDevice(args[0], c, log) })
			wrong := 0
			for _, f := range findings {
				if !f.Fine {
					wrong++
				}
			}
			if err := printFindings(cmd.OutOrStdout(), format, findings); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%w: %d of %d", errCheck, wrong, len(findings))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func printFindings(w io.Writer, format string, findings []node.Finding) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(findings)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		mark := "ok"
		if !f.Fine {
			mark = "WRONG"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark, f.Subject, f.Says)
		if f.Next != "" {
			fmt.Fprintf(t, "\t\tnext: %s\n", f.Next)
		}
	}
	return t.Flush()
}
