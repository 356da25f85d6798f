package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// campaign is one long run: a command that counts what it did, and says so in one
// line. A run without its line did not do it.
type campaign struct {
	name    string // of its page
	what    string
	command []string
	patient time.Duration  // how long it may take
	says    *regexp.Regexp // each line that counts
}

// tally is what became of a campaign.
type tally struct {
	campaign
	took time.Duration
	said string // the line
	err  error
}

// lastWords is how much of a failed run's output goes into the report.
const lastWords = 4 << 10

// run runs the campaign in the module's root, its output copied to watch.
func (c campaign) run(ctx context.Context, root string, watch io.Writer) tally {
	ctx, cancel := context.WithTimeout(ctx, c.patient)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, watch)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	t := tally{campaign: c, took: time.Since(began), said: string(bytes.Join(c.says.FindAll(out.Bytes(), -1), []byte("\n")))}
	switch {
	case ctx.Err() != nil:
		t.err = fmt.Errorf("it was ended after %s: %w", t.took.Round(time.Second), ctx.Err())
	case err != nil:
		said := out.Bytes()
		t.err = fmt.Errorf("%w: %s", err, said[max(0, len(said)-lastWords):])
	case t.said == "":
		t.err = errors.New("it did not say what it counted")
	}
	return t
}

// write says on the campaign's page what it did.
func (t *tally) write(page *bytes.Buffer) {
	if t.err != nil {
		fmt.Fprintf(page, "**Failed** after %s: %v\n", t.took.Round(time.Second), t.err)
		return
	}
	for line := range strings.Lines(t.said) {
		fmt.Fprintf(page, "> %s\n", strings.TrimSpace(line))
	}
	fmt.Fprintf(page, "\nIt took %s.\n", t.took.Round(time.Second))
}
