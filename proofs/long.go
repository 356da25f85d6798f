package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"warifu.dev/bench"
)

// proveLong runs the table and then every campaign, one after the other, and
// writes the report into dir under the day's date. It reports whether all held.
func proveLong(ctx context.Context, root, dir string, watch io.Writer) (bool, error) {
	began := time.Now().UTC()
	machine := bench.ThisMachine()
	results, err := prove(ctx, root, promises)
	if err != nil {
		return false, err
	}
	if err := writeTable(watch, results); err != nil {
		return false, err
	}
	var tallies []tally
	for i, c := range campaigns {
		fmt.Fprintf(watch, "\n== %d of %d: %s: %s\n", i+1, len(campaigns), c.promise, c.what)
		tallies = append(tallies, c.run(ctx, root, watch))
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, "# The promises at full length, %s\n\n", began.Format(time.DateOnly))
	fmt.Fprintf(&page, "Made by `make prove-long` at commit %s, in %s, on %s, %d cores, Linux %s, %s. Every run is fresh.\n\n",
		machine.Commit, time.Since(began).Round(time.Minute), machine.CPU, machine.Cores, machine.Kernel, machine.Go)
	fmt.Fprint(&page, "## Each promise, and the faults planted\n\n```\n")
	if err := writeTable(&page, results); err != nil {
		return false, err
	}
	fmt.Fprint(&page, "```\n\n## The long runs\n")
	if err := writeCampaigns(&page, tallies); err != nil {
		return false, err
	}
	path := filepath.Join(dir, began.Format(time.DateOnly)+".md")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("make a place for the report: %w", err)
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return false, fmt.Errorf("write the report: %w", err)
	}
	fmt.Fprintln(watch, "\nThe report is in", path)
	held := !broken(results) && !slices.ContainsFunc(tallies, func(t tally) bool { return t.err != nil })
	return held, ctx.Err()
}
