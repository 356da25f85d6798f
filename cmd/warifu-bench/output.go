package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"warifu.dev/bench"
)

// report is what can be shown.
type report interface{ Write(io.Writer) error }

func addOutput(flags *pflag.FlagSet, into *string) {
	flags.StringVarP(into, "output", "o", "table", "table or json")
}

func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("--output is table or json, not %q", output)
	}
	return nil
}

func show(w io.Writer, output string, r report) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.Write(w)
}

// keep writes a run as JSON to a file, where one was named.
func keep(path string, r *bench.Run) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if err := show(f, "json", r); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
