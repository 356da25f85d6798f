package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"warifu.dev/client"
)

func main() { os.Exit(runMain()) }

// runMain is main with an exit code, so that tests can call it in their process.
func runMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return int(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does one command and says in one line what went wrong.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) exitCode {
	a := &app{in: in, out: out, errs: errs, colour: wantsColour(out)}
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errs, "warifu: %s\n", sentence(err))
	if !a.began {
		return exitUsage
	}
	return codeOf(err)
}

// leading words say first what the nodes' reasons come to.
var leading = map[exitCode]string{
	exitDenied:          "denied",
	exitUnauthenticated: "unauthenticated",
	exitUnknownKey:      "unknown key",
	exitAuthority:       "refused",
}

// sentence is an error on one line: what it lists on lines of their own, each
// node's reason, follows after semicolons.
func sentence(err error) string {
	var parts []string
	var quorum *client.QuorumError
	var nodes *client.NodesError
	if word := leading[codeOf(err)]; word != "" && (errors.As(err, &quorum) || errors.As(err, &nodes)) {
		parts = append(parts, word)
	}
	for line := range strings.Lines(err.Error()) {
		parts = append(parts, oneLine(strings.TrimSpace(line)))
	}
	return strings.Join(parts, "; ")
}
