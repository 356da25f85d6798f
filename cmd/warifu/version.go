package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program",
		Long:    "Prints the version of this program, the commit it was built from, and Go's version.",
		Example: "  warifu version -o json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Commit  string `json:"commit"`
				Go      string `json:"go"`
			}{"unknown", "unknown", runtime.Version()}
			if info, ok := debug.ReadBuildInfo(); ok {
				v.Version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Commit = s.Value
					}
				}
			}
			return a.show(v, func(w io.Writer) { fmt.Fprintf(w, "warifu %s, commit %s, %s\n", v.Version, v.Commit, v.Go) })
		},
	}
}
