package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const root = ".."

// What the table names is there: each test, and once each place of a fault, which
// leaves Go source behind. A fault's test is one that tries the promise.
func TestTheTableFitsTheTree(t *testing.T) {
	var names []string
	for _, p := range promises {
		names = append(names, p.name)
		for _, tr := range p.trials {
			for _, name := range tr.tests {
				if !hasTest(t, tr.room, name) {
					t.Errorf("%s: there is no %s in %s", p.name, name, tr.room)
				}
			}
		}
		for _, f := range p.faults {
			source, content, err := f.edited(root)
			if err != nil {
				t.Errorf("%s: %v", p.name, err)
				continue
			}
			if _, err := format.Source(content); err != nil {
				t.Errorf("%s: %q leaves %s unreadable: %v", p.name, f.name, source, err)
			}
			if !slices.ContainsFunc(p.trials, func(tr trial) bool { return tr.room == f.room && slices.Contains(tr.tests, f.test) }) {
				t.Errorf("%s: %q is tested by %s, which does not try the promise", p.name, f.name, f.test)
			}
			if f.says == "" {
				t.Errorf("%s: nothing tells how %q is noticed", p.name, f.name)
			}
		}
	}
	if got := strings.Join(names, " "); got != "P1 P2 P3 P4 P5 P6 P7 P8" {
		t.Errorf("the promises are %s", got)
	}
}

func hasTest(t *testing.T, room, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, room, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}

// house is a module with one room, whose test holds as long as Answer is 42.
func house(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":             "module example.test\n\ngo 1.26\n",
		"room/room.go":       "package room\n\n// Answer is 42.\nfunc Answer() int { return 42 }\n",
		"room/room_test.go":  "package room\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) {\n\tif a := Answer(); a != 42 {\n\t\tt.Errorf(\"the answer is %d\", a)\n\t}\n}\n\nfunc TestSkipped(t *testing.T) { t.Skip() }\n",
		"other/other.go":     "package other\n",
		"other/room_test.go": "package other\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A fault counts as caught for one reason only.
func TestWhatCountsAsCaught(t *testing.T) {
	dir := house(t)
	good := fault{name: "43", file: "room/room.go", old: "return 42", new: "return 43", room: "room", test: "TestAnswer", says: "the answer is 43"}
	alter := func(f func(*fault)) fault { g := good; f(&g); return g }
	for sentence, tt := range map[string]struct {
		fault fault
		want  string // in the error; empty: caught
	}{
		"the test fails and says why":       {good, ""},
		"the test passes":                   {alter(func(f *fault) { f.new = "return 6 * 7" }), "does not fail with it"},
		"the test fails for another reason": {alter(func(f *fault) { f.new = "return 44" }), "does not say"},
		"the place is gone":                 {alter(func(f *fault) { f.old = "return 41" }), "stands 0 times"},
		"the place is not one":              {alter(func(f *fault) { f.old = "42" }), "stands 2 times"},
		"the file is gone":                  {alter(func(f *fault) { f.file = "room/gone.go" }), "no such file"},
		"it does not build":                 {alter(func(f *fault) { f.new = "return \"42\"" }), "does not build"},
		"the test is gone":                  {alter(func(f *fault) { f.test = "TestGone" }), "TestGone was not run"},
		"the test is of another room":       {alter(func(f *fault) { f.room = "other" }), "does not fail with it"},
		"the test is skipped":               {alter(func(f *fault) { f.test = "TestSkipped" }), "does not fail with it"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := tt.fault.try(t.Context(), dir, filepath.Join(t.TempDir(), "planted"))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
	b, err := os.ReadFile(filepath.Join(dir, "room", "room.go"))
	if err != nil || !strings.Contains(string(b), "return 42") {
		t.Errorf("the tree was touched: %s, %v", b, err)
	}
}

// The report adds up, and says what does not hold.
func TestReport(t *testing.T) {
	dir := house(t)
	caught := fault{name: "43", file: "room/room.go", old: "return 42", new: "return 43", room: "room", test: "TestAnswer", says: "the answer is 43"}
	missed := caught
	missed.new = "return 6 * 7"
	answer := []trial{{"room", []string{"TestAnswer"}}}
	skipping := []trial{{"room", []string{"TestAnswer", "TestSkipped"}}}
	for _, tt := range []struct {
		sentence string
		promise  promise
		line     string
		broken   bool
	}{
		{"all is well", promise{"P1", "s", "w", answer, []fault{caught}}, "P1  1 tried  0 failed  planted 1/1 caught", false},
		{"a fault is not caught", promise{"P1", "s", "w", answer, []fault{caught, missed}}, "P1  1 tried  0 failed  planted 1/2 caught", true},
		{"a test does not run", promise{"P1", "s", "w", skipping, []fault{caught}}, "P1  2 tried  1 failed  planted 1/1 caught", true},
		{"tests without a fault", promise{"P1", "s", "w", skipping, nil}, "P1  not built", false},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			results, err := prove(t.Context(), dir, []promise{tt.promise})
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := writeTable(&out, results); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), tt.line) || broken(results) != tt.broken {
				t.Errorf("broken %v:\n%s", broken(results), out.String())
			}
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := prove(ended, dir, []promise{{"P1", "s", "w", answer, []fault{caught}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"P9"}, {"-o", "xml"}, {"-x"}, {"-long", "dir", "nothing"}, {"-long", "dir", "-o", "json"}} {
		var out, complaint strings.Builder
		if code := run(t.Context(), args, &out, &complaint); code != misused || out.Len() != 0 || complaint.Len() == 0 {
			t.Errorf("%q: exit %d, %q, %q", args, code, out.String(), complaint.String())
		}
	}
	if some, err := choose([]string{"P6", "P2"}); err != nil || fmt.Sprint(some[0].name, some[1].name) != "P6P2" {
		t.Errorf("%v", err)
	}
}

// A long run counts when it ended well and said what it counted.
func TestWhatALongRunSays(t *testing.T) {
	counts := regexp.MustCompile(`(?m)^[0-9]+ schedules.*$`)
	for sentence, tt := range map[string]struct {
		script  string
		patient time.Duration
		said    string
		wrong   string // in the error; empty: it held
	}{
		"it says what it counted":       {"echo first; echo '20 schedules, 0 violations'; echo last", time.Minute, "20 schedules, 0 violations", ""},
		"it says so on the other page":  {"echo '3 schedules' >&2", time.Minute, "3 schedules", ""},
		"it says several lines":         {"echo '3 schedules'; echo; echo '4 schedules'", time.Minute, "3 schedules\n4 schedules", ""},
		"it says nothing":               {"echo all is well", time.Minute, "", "did not say what it counted"},
		"it fails after it has counted": {"echo '20 schedules'; echo violated; exit 1", time.Minute, "20 schedules", "violated"},
		"it takes too long":             {"echo '20 schedules'; exec sleep 60", 3 * time.Second, "20 schedules", "was ended"},
		"it is not there":               {"exec nothing-of-this-name", time.Minute, "", "not found"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := campaign{"counting", "counting", []string{"sh", "-c", tt.script}, tt.patient, counts}
			got := c.run(t.Context(), t.TempDir(), io.Discard)
			if (got.err == nil) != (tt.wrong == "") || got.err != nil && !strings.Contains(got.err.Error(), tt.wrong) {
				t.Errorf("got %v, want %q", got.err, tt.wrong)
			}
			if got.said != tt.said {
				t.Errorf("said %q", got.said)
			}
			var page bytes.Buffer
			got.write(&page)
			if strings.Contains(page.String(), "**Failed**") != (tt.wrong != "") {
				t.Errorf("%s", page.String())
			}
		})
	}
}
