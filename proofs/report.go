package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what became of one promise.
type result struct {
	Promise  string   `json:"promise"`
	Sentence string   `json:"sentence"`
	What     string   `json:"what,omitempty"` // was tried
	Built    bool     `json:"built"`
	Tried    int      `json:"tried"` // tests and subtests
	Failed   int      `json:"failed"`
	Planted  int      `json:"planted"`
	Caught   int      `json:"caught"`
	Seconds  float64  `json:"seconds"` // of all its runs, which share the machine
	Wrong    []string `json:"wrong,omitempty"`
	Caughts  []caught `json:"faults,omitempty"`
}

// caught is a fault that was noticed.
type caught struct {
	Fault string `json:"fault"`
	Test  string `json:"test"`
	said  string
}

func (r *result) tried(t trial, o *outcome, err error, took time.Duration) {
	r.Seconds += took.Seconds()
	if err != nil {
		r.Failed++
		r.Wrong = append(r.Wrong, err.Error())
		return
	}
	// What was skipped failed: no promise is held by a test that did not run.
	bad := slices.Concat(o.failed, o.skipped)
	r.Tried += len(o.passed) + len(bad)
	r.Failed += len(bad)
	if len(bad) > 0 {
		r.Wrong = append(r.Wrong, fmt.Sprintf("in %s, failed or skipped: %s\n%s", t.room, strings.Join(bad, ", "), o.said))
	}
}

func (r *result) plantedOne(f fault, said string, err error, took time.Duration) {
	r.Seconds += took.Seconds()
	if err != nil {
		r.Wrong = append(r.Wrong, fmt.Sprintf("not caught: %s: %v", f.name, err))
		return
	}
	r.Caught++
	r.Caughts = append(r.Caughts, caught{f.name, f.test, said})
}

// holds says whether a promise that is built held and every fault was caught.
func (r *result) holds() bool {
	return !r.Built || r.Failed == 0 && r.Tried > 0 && r.Caught == r.Planted && len(r.Wrong) == 0
}

func writeTable(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		if !r.Built {
			fmt.Fprintf(t, "%s\tnot built\t\t\t\t%s\n", r.Promise, r.Sentence)
			continue
		}
		fmt.Fprintf(t, "%s\t%d tried\t%d failed\tplanted %d/%d caught\t%.0f s\t%s: %s\n",
			r.Promise, r.Tried, r.Failed, r.Caught, r.Planted, r.Seconds, r.Sentence, r.What)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, r := range results {
		for _, why := range r.Wrong {
			fmt.Fprintf(w, "\n%s: %s\n", r.Promise, strings.TrimSpace(why))
		}
	}
	return nil
}

// writeCaught lists every fault that was caught with what its test said.
func writeCaught(w io.Writer, results []result) {
	for _, r := range results {
		for _, c := range r.Caughts {
			fmt.Fprintf(w, "\n%s: %s\n%s\n", r.Promise, c.Fault, c.said)
		}
	}
}

func writeJSON(w io.Writer, results []result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(results); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// broken says whether a promise that is built does not hold.
func broken(results []result) bool {
	return slices.ContainsFunc(results, func(r result) bool { return !r.holds() })
}
