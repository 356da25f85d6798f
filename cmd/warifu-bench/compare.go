package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
)

// compareFlags say which programs are compared, and by what load.
type compareFlags struct {
	old, new, hsm string
	n, inFlight   int
	pairs         int
}

func compareCommand() *cobra.Command {
	var f compareFlags
	var output string
	c := &cobra.Command{
		Use:   "compare --old DIR --new DIR",
		Short: "Judge whether one build is slower than another",
		Long: `Has the warifu-bench of both directories measure the warifud beside it, in turn: old
and new, new and old, and so on, a new cluster each time. What differs from one moment to
the next then falls on both. Ends with an error if the new is slower by more than 2 %, and
that would come by chance in fewer than one of a hundred comparisons.`,
		Example: "  make bench-compare OLD=main NEW=HEAD",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			load := bench.Load{N: f.n, InFlight: f.inFlight}
			if err := errors.Join(checkOutput(output), load.Check(), f.check()); err != nil {
				return err
			}
			out, err := f.compare(c.Context(), func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) })
			if err != nil {
				return err
			}
			return errors.Join(show(c.OutOrStdout(), output, out), out.Err())
		},
	}
	c.Flags().StringVar(&f.old, "old", "", "directory with the old warifu-bench and warifud")
	c.Flags().StringVar(&f.new, "new", "", "directory with the new ones")
	c.Flags().StringVar(&f.hsm, "hsm", cluster.HSMToken, "pkcs11, a SoftHSM token each, or soft, which protects nothing")
	c.Flags().IntVarP(&f.n, "unwraps", "n", 2000, "how many unwraps of each shape, in each run")
	c.Flags().IntVarP(&f.inFlight, "in-flight", "c", 64, "how many are in flight")
	c.Flags().IntVar(&f.pairs, "pairs", 9, "how many pairs of runs")
	addOutput(c.Flags(), &output)
	return c
}

func (f *compareFlags) check() error {
	if f.pairs < 7 || f.pairs > 20 {
		return bench.ErrPairs
	}
	for flag, dir := range map[string]string{"--old": f.old, "--new": f.new} {
		if _, err := os.Stat(filepath.Join(dir, "warifu-bench")); dir == "" || err != nil {
			return fmt.Errorf("%s is a directory with warifu-bench and warifud, not %q", flag, dir)
		}
	}
	return nil
}

// compared are the shapes, as arguments, and what they are called.
var compared = []struct {
	what string
	args []string
}{
	{"repeated envelopes", []string{"--envelopes", "64"}},
	{"first sight", nil},
}

func (f *compareFlags) compare(ctx context.Context, progress func(string)) (*bench.Comparison, error) {
	out := &bench.Comparison{Machine: bench.ThisMachine(), Began: time.Now().UTC()}
	for _, shape := range compared {
		var pairs []bench.Pair
		for i := range f.pairs {
			progress(fmt.Sprintf("%s: pair %d of %d", shape.what, i+1, f.pairs))
			var p bench.Pair
			sides := []struct {
				dir    string
				into   *time.Duration
				commit *string
			}{{f.old, &p.Old, &out.Old}, {f.new, &p.New, &out.New}}
			if i%2 == 1 {
				sides[0], sides[1] = sides[1], sides[0]
			}
			for _, side := range sides {
				run, err := f.run(ctx, side.dir, shape.args)
				if err != nil {
					return nil, err
				}
				*side.into, *side.commit = run.Shapes[0].Used, run.Machine.Commit
			}
			pairs = append(pairs, p)
		}
		j, err := bench.Judge("CPU, "+shape.what, pairs)
		if err != nil {
			return nil, err
		}
		out.Judged = append(out.Judged, j)
	}
	return out, nil
}

// run has one build measure itself.
func (f *compareFlags) run(ctx context.Context, dir string, more []string) (*bench.Run, error) {
	args := []string{"load", "--start", "--bin", dir, "--hsm", f.hsm, "-n", strconv.Itoa(f.n), "-c", strconv.Itoa(f.inFlight), "-o", "json"}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "warifu-bench"), append(args, more...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the build in %s: %w: %s", dir, err, bytes.TrimSpace(said.Bytes()))
	}
	var run bench.Run
	if err := json.Unmarshal(b, &run); err != nil {
		return nil, fmt.Errorf("the build in %s: %w", dir, err)
	}
	if len(run.Shapes) == 0 {
		return nil, fmt.Errorf("the build in %s has measured nothing", dir)
	}
	return &run, nil
}
