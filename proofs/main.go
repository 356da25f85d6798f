package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	held    = 0
	failed  = 1
	misused = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("proofs", flag.ContinueOnError)
	flags.SetOutput(stderr)
	output := flags.String("o", "table", "table or json")
	verbose := flags.Bool("v", false, "with what each caught test said")
	long := flags.String("long", "", "run the table and every long run, or those named, and write a page about each into this directory")
	if err := flags.Parse(args); err != nil {
		return misused
	}
	var chosen []promise
	var err error
	if *long == "" {
		chosen, err = choose(flags.Args())
	} else if err = checkNames(flags.Args()); err == nil && (*output != "table" || *verbose) {
		err = errors.New("-long writes pages: -o and -v do not go with it")
	}
	if err == nil && *output != "table" && *output != "json" {
		err = fmt.Errorf("-o is table or json, not %q", *output)
	}
	if err != nil {
		fmt.Fprintln(stderr, "proofs:", err)
		return misused
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "proofs:", err)
		return failed
	}
	if *long != "" {
		return runLong(ctx, root, *long, flags.Args(), stdout, stderr)
	}
	results, err := prove(ctx, root, chosen)
	if err != nil {
		fmt.Fprintln(stderr, "proofs:", err)
		return failed
	}
	if *output == "json" {
		err = writeJSON(stdout, results)
	} else {
		err = writeTable(stdout, results)
	}
	if *verbose {
		writeCaught(stderr, results)
	}
	if err != nil {
		fmt.Fprintln(stderr, "proofs:", err)
		return failed
	}
	if broken(results) {
		return failed
	}
	return held
}

func runLong(ctx context.Context, root, dir string, names []string, stdout, stderr io.Writer) int {
	ok, err := proveLong(ctx, root, dir, names, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "proofs:", err)
	}
	if err != nil || !ok {
		return failed
	}
	return held
}

// checkNames refuses what cannot be run at length.
func checkNames(names []string) error {
	known := campaignNames()
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("there is no long run %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	return nil
}

// choose returns the promises named, or all.
func choose(names []string) ([]promise, error) {
	if len(names) == 0 {
		return promises, nil
	}
	var out []promise
	for _, n := range names {
		i := slices.IndexFunc(promises, func(p promise) bool { return p.name == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no promise %q", n)
		}
		out = append(out, promises[i])
	}
	return out, nil
}

// moduleRoot is the directory of this module's go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	b, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	path := strings.TrimSpace(string(b))
	if filepath.Base(path) != "go.mod" {
		return "", fmt.Errorf("find go.mod: not inside the module")
	}
	return filepath.Dir(path), nil
}
