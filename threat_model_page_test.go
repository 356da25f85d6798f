package warifu_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const threatModel = "docs/threat-model.md"

// named finds the tests that a page names, as in `audit`: TestOne, TestTwo.
var named = regexp.MustCompile("`([a-z/0-9-]+)`: (Test[A-Za-z0-9_]+(?:, Test[A-Za-z0-9_]+)*)")

// rows are the cells of the table rows of a page, without the rules under heads.
func rows(page string) (out [][]string) {
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

// Every test that the threat model names is there, in the room it says, and is one
// that make prove runs for that promise. A promise has an assumption and a test, or
// it says that it is not built, and then make prove says so too.
func TestThreatModelPageHoldsAgainstTheCode(t *testing.T) {
	page := readText(t, threatModel)
	tests := map[string]bool{}
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && isTest && fn.Recv == nil {
				tests[room+" "+fn.Name.Name] = true
			}
		}
	})
	count := 0
	for _, m := range named.FindAllStringSubmatch(page, -1) {
		for test := range strings.SplitSeq(m[2], ", ") {
			count++
			if !tests[m[1]+" "+test] {
				t.Errorf("%s names %s of %s, which is not there", threatModel, test, m[1])
			}
		}
	}
	if all := len(regexp.MustCompile(`\bTest[A-Z]`).FindAllString(page, -1)); count < 20 || count != all {
		t.Errorf("%d of the page's %d tests stand after their room", count, all)
	}

	built := promisesOfProofs(t)
	if len(built) != 8 {
		t.Fatalf("proofs/table.go has %d promises", len(built))
	}
	for _, cells := range rows(page) {
		trials, ok := built[cells[0]]
		if !ok {
			continue
		}
		delete(built, cells[0])
		if len(cells) != 5 || slices.Contains(cells[:4], "") {
			t.Errorf("%s: a promise has its sentence, when it holds, what it rests on, and its tests: %q", cells[0], cells)
			continue
		}
		shown := named.FindAllStringSubmatch(cells[4], -1)
		switch {
		case trials == nil && (len(shown) > 0 || !strings.Contains(cells[4], "*not built*")):
			t.Errorf("%s is not built in proofs/table.go, and is on the page", cells[0])
		case trials != nil && (len(shown) == 0 || cells[3] == "-"):
			t.Errorf("%s is built in proofs/table.go, and the page has no test or no assumption", cells[0])
		}
		for _, m := range shown {
			for test := range strings.SplitSeq(m[2], ", ") {
				if !trials[m[1]+" "+test] {
					t.Errorf("%s: make prove does not run %s of %s for it", cells[0], test, m[1])
				}
			}
		}
	}
	for name := range built {
		t.Errorf("%s is not on the page", name)
	}
}

// promisesOfProofs reads the table of make prove: the trials of each promise, nil
// for one that is not built.
func promisesOfProofs(t *testing.T) map[string]map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "proofs/table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := func(e ast.Expr) string {
		s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	out := map[string]map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || lit.Type != nil {
			return true
		}
		fields := map[string]ast.Expr{}
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				fields[kv.Key.(*ast.Ident).Name] = kv.Value
			}
		}
		if fields["sentence"] == nil {
			return true
		}
		var trials map[string]bool
		if list, ok := fields["trials"].(*ast.CompositeLit); ok {
			trials = map[string]bool{}
			for _, trial := range list.Elts {
				parts := trial.(*ast.CompositeLit).Elts
				for _, test := range parts[1].(*ast.CompositeLit).Elts {
					trials[text(parts[0])+" "+text(test)] = true
				}
			}
		}
		out[text(fields["name"])] = trials
		return false
	})
	return out
}

// What each theft gives is said for every thing that can be stolen.
func TestThreatModelPageHasEveryTheft(t *testing.T) {
	page := readText(t, threatModel)
	_, thefts, _ := strings.Cut(page, "## What each theft gives")
	thefts, _, _ = strings.Cut(thefts, "\n## ")
	for _, stolen := range []string{"one node, root", "two nodes, root", "the leader", "a custodian", "a client key", "a backup"} {
		if !slices.ContainsFunc(rows(thefts), func(c []string) bool {
			return len(c) == 3 && strings.HasPrefix(c[0], stolen) && c[1] != "" && c[2] != ""
		}) {
			t.Errorf("%s does not say what %s gives", threatModel, stolen)
		}
	}
}
