package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what this program was built from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (b build) String() string {
	return fmt.Sprintf("warifu %s, commit %s, %s", b.Version, b.Commit, b.Go)
}

func readBuild() build {
	b := build{"unknown", "unknown", runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program",
		Long:    "Prints the version of this program, the commit it was built from, and Go's version.",
		Example: "  warifu version -o json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			return a.show(b, func(w io.Writer) { fmt.Fprintln(w, b) })
		},
	}
}
