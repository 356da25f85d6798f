package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"warifu.dev/bench"
)

// table is the name under which the report of [prove] is kept, beside those of the
// campaigns.
const table = "promises"

// proveLong runs the table and every campaign, or those that are named, one after
// the other. Each has a page of its own in dir, which is written when it has ended,
// so that a run that is cut short has reported what it did. It says whether all
// held.
func proveLong(ctx context.Context, root, dir string, names []string, watch io.Writer) (bool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("make a place for the reports: %w", err)
	}
	held := true
	if len(names) == 0 || slices.Contains(names, table) {
		var page bytes.Buffer
		heading(&page, "Each promise, and the faults planted", "go run ./proofs")
		results, err := prove(ctx, root, promises)
		if err != nil {
			return false, err
		}
		fmt.Fprintln(&page, "```")
		if err := writeTable(io.MultiWriter(&page, watch), results); err != nil {
			return false, err
		}
		fmt.Fprintln(&page, "```")
		if err := keep(dir, table, &page); err != nil {
			return false, err
		}
		held = held && !broken(results)
	}
	for _, c := range campaigns {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		fmt.Fprintf(watch, "\n== %s: %s\n", c.name, c.what)
		var page bytes.Buffer
		heading(&page, c.what, strings.Join(c.command, " "))
		t := c.run(ctx, root, watch)
		t.write(&page)
		if err := keep(dir, c.name, &page); err != nil {
			return false, err
		}
		held = held && t.err == nil
	}
	return held, ctx.Err()
}

// heading begins a page: what, where, when and with what.
func heading(page *bytes.Buffer, what, command string) {
	m := bench.ThisMachine()
	fmt.Fprintf(page, "# %s\n\n    %s\n\n", what, command)
	fmt.Fprintf(page, "%s, commit %s, %s, %d cores, Linux %s, %s.\n\n", time.Now().UTC().Format(time.DateOnly), m.Commit, m.CPU, m.Cores, m.Kernel, m.Go)
}

// keep writes a page in the place of the one of the last run.
func keep(dir, name string, page *bytes.Buffer) error {
	if err := os.WriteFile(filepath.Join(dir, name+".md"), page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// campaignNames lists what can be run at length.
func campaignNames() []string {
	names := []string{table}
	for _, c := range campaigns {
		names = append(names, c.name)
	}
	return names
}
