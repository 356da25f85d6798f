package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/spf13/cobra"
)

func addFileFlags(c *cobra.Command, in, out *string, replace *bool) {
	c.Flags().StringVarP(in, "in", "i", "", "file to read (default: the argument, or stdin)")
	c.Flags().StringVar(out, "out", "", "file to write (default: stdout)")
	c.Flags().BoolVar(replace, "replace", false, "replace the file of --out if it exists")
}

func atMostOneFile(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s reads one file, and was given %q as well; several are best put in one with tar", c.CommandPath(), args[1])
	}
	if len(args) == 1 && c.Flags().Changed("in") {
		return fmt.Errorf("%s reads one file: either -i or %q", c.CommandPath(), args[0])
	}
	return nil
}

// openInput opens -i, the argument or stdin.
func (a *app) openInput(in string, args []string) (io.ReadCloser, error) {
	if len(args) == 1 {
		in = args[0]
	}
	if in == "" || in == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fail(exitLocal, "%s is a directory; put it in one file with tar", in)
	}
	return f, nil
}

// output is a [newFile], or stdout.
type output interface {
	io.Writer
	Commit() error
	Abandon()
}

type stdout struct{ io.Writer }

func (stdout) Commit() error { return nil }
func (stdout) Abandon()      {}

// openOutput opens --out or stdout. Binary data is not poured into a terminal
// unless --out - asks for it.
func (a *app) openOutput(out string, mode os.FileMode, replace, binary bool) (output, error) {
	if out != "" && out != "-" {
		return createFile(out, mode, replace)
	}
	if a.format == formatJSON {
		return nil, fail(exitUsage, "with -o json the data needs a file: --out FILE")
	}
	if f, ok := a.out.(*os.File); ok && binary && out == "" && term.IsTerminal(int(f.Fd())) {
		return nil, fail(exitUsage, "this would write binary data to the terminal; give --out FILE")
	}
	return stdout{a.out}, nil
}

type fileView struct {
	File  string `json:"file"`
	Key   string `json:"key,omitempty"`
	Bytes int64  `json:"plaintext_bytes"`
}

// finish commits the file. It says nothing unless asked for JSON: stdout may be
// the data.
func (a *app) finish(dst output, v fileView) error {
	if err := dst.Commit(); err != nil {
		return err
	}
	if a.format != formatJSON {
		return nil
	}
	return a.show(v, nil)
}
