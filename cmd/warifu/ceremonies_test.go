//go:build unix

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/bench/cluster"
)

var updatePage = flag.Bool("update", false, "rewrite the transcripts of docs/ceremonies.md from what the scripts show")

const ceremoniesPage = "../../docs/ceremonies.md"

// transcriptOn finds the transcripts on the page, by name.
var transcriptOn = regexp.MustCompile("(?s)<!-- transcript: ([a-z-]+) -->\n```\n(.*?)```\n")

// transcript is what the scripts show, by the names under which the page has it.
type transcript struct {
	dirs  []string // which a reader does not have
	shown map[string]*strings.Builder
	order []string
	ids   map[string]string // of one script
}

// TestCeremonies runs the ceremonies of docs/ceremonies.md one after the other, against
// a cluster whose seals custodians open, and holds what they print against the page.
func TestCeremonies(t *testing.T) {
	tr := &transcript{shown: map[string]*strings.Builder{}}
	tr.run(t, cluster.Config{Sealed: true}, "testdata/ceremonies/*.txt")
	if !t.Failed() {
		tr.hold(t)
	}
}

// run runs the scripts one by one against a cluster of their own.
func (tr *transcript) run(t *testing.T, cfg cluster.Config, scripts string) {
	t.Helper()
	w := newWorld(t, cfg)
	commands := w.commands()
	commands["transcript"], commands["shown"] = tr.begin, tr.show
	files, err := filepath.Glob(scripts)
	if err != nil || len(files) == 0 {
		t.Fatalf("no ceremonies: %v", err)
	}
	for _, file := range files {
		t.Run("alone", func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Files: []string{file}, Cmds: commands, RequireExplicitExec: true, RequireUniqueNames: true,
				Setup: func(e *testscript.Env) error {
					tr.dirs, tr.ids = []string{e.WorkDir + "/", w.dir + "/"}, map[string]string{}
					if err := w.setup(e); err != nil {
						return err
					}
					e.Setenv("WARIFU_HOME", w.path("desk"))
					return nil
				},
			})
		})
	}
}

// hold compares the page with what was shown, both ways.
func (tr *transcript) hold(t *testing.T) {
	b, err := os.ReadFile(ceremoniesPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	var found []string
	next := transcriptOn.ReplaceAllStringFunc(page, func(block string) string {
		m := transcriptOn.FindStringSubmatch(block)
		found = append(found, m[1])
		shown := tr.shown[m[1]]
		if shown == nil {
			t.Errorf("no script shows the transcript %s of the page", m[1])
			return block
		}
		if m[2] != shown.String() && !*updatePage {
			t.Errorf("the transcript %s is, on the page:\n%s\nand in truth:\n%s\n(go test ./cmd/warifu -run Ceremonies -update)", m[1], m[2], shown)
		}
		return "<!-- transcript: " + m[1] + " -->\n```\n" + shown.String() + "```\n"
	})
	for _, name := range tr.order {
		if n := len(slices.DeleteFunc(slices.Clone(found), func(s string) bool { return s != name })); n != 1 {
			t.Errorf("the page has the transcript %s %d times", name, n)
		}
	}
	if *updatePage && next != page {
		if err := os.WriteFile(ceremoniesPage, []byte(next), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// begin: what is shown from here on belongs to the transcript NAME.
func (tr *transcript) begin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || tr.shown[args[0]] != nil {
		ts.Fatalf("usage: transcript NAME, each once")
	}
	tr.shown[args[0]] = &strings.Builder{}
	tr.order = append(tr.order, args[0])
}

// show CODE COMMAND ARG...: the command must end with this exit code, and stands in
// the transcript with what it prints. Of a table that was printed again and again the
// last is shown.
func (tr *transcript) show(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(tr.order) == 0 {
		ts.Fatalf("usage: shown CODE COMMAND ARG..., after transcript NAME")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, expected %d", got, want)
	}
	out := tr.shown[tr.order[len(tr.order)-1]]
	if out.Len() > 0 {
		out.WriteString("\n")
	}
	fmt.Fprintf(out, "$ %s\n", tr.plain(asTyped(args[1:])))
	out.WriteString(tr.plain(ts.ReadFile("stdout")))
	out.WriteString(tr.plain(ts.ReadFile("stderr")))
	if got != 0 {
		fmt.Fprintf(out, "(exit code %d)\n", got)
	}
}

// asTyped is the command line of somebody who types the passphrase, has made a home,
// and sits where the files are.
func asTyped(args []string) string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--passphrase-file", a == "--home", a == "--work-factor":
			i++
		case strings.ContainsAny(a, " '*"):
			out = append(out, "'"+a+"'")
		default:
			out = append(out, a)
		}
	}
	return strings.Join(out, " ")
}

// volatile is what differs from run to run, and what stands for it on the page; ids
// come before, see [transcript.plain].
var volatile = []struct {
	is *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "REQUEST"},
	{regexp.MustCompile(`(?m)^( *to read out +)[a-z]+( [a-z]+)*\n( +[a-z]+( [a-z]+)+\n)*`), "${1}24 words\n"},
	{regexp.MustCompile(`\bat index [0-9]+`), "at index N"},
	{regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[ _][0-9]{2}:[0-9]{2}:[0-9]{2}[ _]UTC`), "DATE TIME UTC"},
	{regexp.MustCompile(`\b(shown to|UTC, at) [a-z0-9-]+`), "$1 NODE"},
	{regexp.MustCompile(`\bage1[a-z0-9]{58}\b`), "AGE-KEY"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "ADDRESS"},
	{regexp.MustCompile(`(?m)^([a-z0-9-]+ +)(?:serving|stale|open) +-`), "${1}open  -"},
	{regexp.MustCompile(`(?m)^no receipt of +none\n`), ""},
}

var (
	idOnPage      = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	headingOnPage = regexp.MustCompile(`^[A-Z][A-Z-]*( +[A-Z][A-Z-]*)+$`)
	cellsOnPage   = regexp.MustCompile(` {2,}`)
)

// plain is a text with names in place of what is another at each run.
func (tr *transcript) plain(s string) string {
	for _, dir := range tr.dirs {
		s = strings.ReplaceAll(s, dir, "")
	}
	s = idOnPage.ReplaceAllStringFunc(s, func(id string) string {
		if tr.ids[id] == "" {
			tr.ids[id] = fmt.Sprintf("ID-%d", len(tr.ids)+1)
		}
		return tr.ids[id]
	})
	for _, v := range volatile {
		s = v.is.ReplaceAllString(s, v.by)
	}
	return aligned(lastTable(s))
}

// lastTable drops all tables but the last of those that follow each other.
func lastTable(s string) string {
	parts := strings.Split(s, "\n\n")
	for i := len(parts) - 1; i > 0; i-- {
		if first, _, _ := strings.Cut(parts[i], "\n"); headingOnPage.MatchString(strings.TrimSpace(first)) && strings.HasPrefix(parts[i-1], first) {
			return strings.Join(parts[i:], "\n\n")
		}
	}
	return s
}

// aligned sets the columns of tables anew: what stands in them has another length now.
func aligned(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n")
		}
		first, _, _ := strings.Cut(part, "\n")
		if !headingOnPage.MatchString(strings.TrimSpace(first)) {
			b.WriteString(part)
			continue
		}
		end := ""
		if strings.HasSuffix(part, "\n") {
			part, end = strings.TrimSuffix(part, "\n"), "\n"
		}
		var set strings.Builder
		w := tabwriter.NewWriter(&set, 0, 0, 2, ' ', 0)
		for _, line := range strings.Split(part, "\n") {
			cells := cellsOnPage.Split(strings.TrimRight(line, " "), -1)
			if len(cells) > 1 {
				cells = append(cells, "")
			}
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
		_ = w.Flush() // into memory
		var lines []string
		for _, line := range strings.Split(strings.TrimSuffix(set.String(), "\n"), "\n") {
			lines = append(lines, strings.TrimRight(line, " "))
		}
		b.WriteString(strings.Join(lines, "\n") + end)
	}
	return b.String()
}
