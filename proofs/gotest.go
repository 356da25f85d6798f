package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// patience bounds one run: the longest takes five processes through fifty deaths on a
	// busy machine.
	patience = 8 * time.Minute
	// grace is what a run has to end in after it was told to.
	grace = 10 * time.Second
)

// outcome is what one `go test` did.
type outcome struct {
	passed  []string // tests and subtests
	failed  []string
	skipped []string
	said    string // all output of the tests
	unbuilt string // what the compiler said; empty when it built
}

// event is a line of `go test -json` (cmd/test2json, and cmd/go for builds).
type event struct {
	Action string
	Test   string
	Output string
}

// goTest runs the named tests of one package, fresh. Its error means that the
// run says nothing: it did not build, or a test of that name was not run.
func goTest(ctx context.Context, root string, t trial, overlay string) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := []string{"test", "-json", "-count=1", "-vet=off", "-run", "^(" + strings.Join(t.tests, "|") + ")$", "./" + t.room}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	if overlay != "" {
		// A failure that a planted fault brought about is kept by nobody.
		cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=true", "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("test %s: %w", t.room, ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("test %s: %w", t.room, err)
	}
	o, err := readEvents(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("test %s: %w: %s", t.room, err, stderr.Bytes())
	}
	if o.unbuilt != "" {
		return nil, fmt.Errorf("test %s: it does not build: %s", t.room, o.unbuilt)
	}
	for _, name := range t.tests {
		if !slices.Contains(slices.Concat(o.passed, o.failed, o.skipped), name) {
			return nil, fmt.Errorf("test %s: %s was not run: %s%s", t.room, name, o.said, stderr.Bytes())
		}
	}
	return o, nil
}

// readEvents sums up the lines of `go test -json`.
func readEvents(stdout []byte) (*outcome, error) {
	o := &outcome{}
	for line := range bytes.Lines(stdout) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read what go test says: %w: %q", err, line)
		}
		switch {
		case e.Action == "build-output":
			o.unbuilt += e.Output
		case e.Action == "build-fail" && o.unbuilt == "":
			o.unbuilt = "no reason was given"
		case e.Action == "output":
			o.said += e.Output
		case e.Action == "pass" && e.Test != "":
			o.passed = append(o.passed, e.Test)
		case e.Action == "fail" && e.Test != "":
			o.failed = append(o.failed, e.Test)
		case e.Action == "skip" && e.Test != "":
			o.skipped = append(o.skipped, e.Test)
		}
	}
	return o, nil
}

// caught says whether the run failed in the named test and said what a run with
// the fault must say.
func (o *outcome) caught(f fault) error {
	if !slices.Contains(o.failed, f.test) {
		return fmt.Errorf("%s does not fail with it", f.test)
	}
	if !strings.Contains(o.said, f.says) {
		return fmt.Errorf("%s fails, and does not say %q: %s", f.test, f.says, o.said)
	}
	return nil
}
