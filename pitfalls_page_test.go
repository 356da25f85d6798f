package warifu_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	pitfalls = "docs/pitfalls.md"
	// lastPitfall is the last row of the page.
	lastPitfall = 46
)

// rowNumber finds a row's number in a comment.
var rowNumber = regexp.MustCompile(`\bR([1-9][0-9]?)\b`)

// pitfallsMet says which rows each test carries, in the comment above it or in one
// of its own; the key is room and name.
func pitfallsMet(room string, f *ast.File, met map[string][]string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		key, begin := room+" "+fn.Name.Name, fn.Pos()
		if fn.Doc != nil {
			begin = fn.Doc.Pos()
		}
		met[key] = nil
		for _, c := range f.Comments {
			if c.Pos() < begin || c.Pos() > fn.End() {
				continue
			}
			// Not Text, which leaves out what looks like a directive.
			for _, line := range c.List {
				met[key] = append(met[key], rowNumber.FindAllString(line.Text, -1)...)
			}
		}
	}
}

// pitfallsPage is what is wrong with a page, given the rows that each test carries.
func pitfallsPage(page string, met map[string][]string) (wrong []string) {
	next := 1
	for _, cells := range rows(page) {
		if cells[0] == "R" {
			continue
		}
		row := fmt.Sprintf("R%d", next)
		next++
		if cells[0] != row || len(cells) != 3 {
			wrong = append(wrong, fmt.Sprintf("%s has %d cells, want the 3 of %s", cells[0], len(cells), row))
			continue
		}
		if cells[1] == "" {
			wrong = append(wrong, row+" does not say what must hold")
		}
		tests := 0
		for _, m := range named.FindAllStringSubmatch(cells[2], -1) {
			for test := range strings.SplitSeq(m[2], ", ") {
				tests++
				switch carries, there := met[m[1]+" "+test]; {
				case !there:
					wrong = append(wrong, fmt.Sprintf("%s names %s of %s, which is not there", row, test, m[1]))
				case !slices.Contains(carries, row):
					wrong = append(wrong, fmt.Sprintf("%s names %s of %s, whose comments do not speak of it", row, test, m[1]))
				}
			}
		}
		if all := len(regexp.MustCompile(`\bTest[A-Z]`).FindAllString(cells[2], -1)); tests == 0 || tests != all {
			wrong = append(wrong, fmt.Sprintf("%s has %d tests after their room, of %d", row, tests, all))
		}
	}
	if next != lastPitfall+1 {
		wrong = append(wrong, fmt.Sprintf("the last row is R%d", next-1))
	}
	return wrong
}

// Every row has a test, which is there and says that it meets the row.
func TestPitfallsPageHoldsAgainstTheTests(t *testing.T) {
	met := map[string][]string{}
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		if isTest {
			pitfallsMet(room, f, met)
		}
	})
	page := readText(t, pitfalls)
	for _, w := range pitfallsPage(page, met) {
		t.Errorf("%s: %s", pitfalls, w)
	}
	if t.Failed() {
		return
	}
	// The rule itself must be able to fail.
	for what, altered := range map[string]string{
		"a row is gone":               strings.Replace(page, "| R7 |", "| R8 |", 1),
		"a row has no test":           strings.Replace(page, "`sharing/tdh2`: TestPartialTakesNoTimeOfTheShare", "", 1),
		"a test is not there":         strings.Replace(page, "TestPartialTakesNoTimeOfTheShare", "TestPartialTakesNoTime", 1),
		"a test is of another room":   strings.Replace(page, "`sharing/tdh2`: TestPartialTakes", "`sharing`: TestPartialTakes", 1),
		"a test is about another row": strings.Replace(page, "TestPartialTakesNoTimeOfTheShare", "TestALiarIsFound", 1),
		"a test has no room":          strings.Replace(page, "`cmd/warifud`: TestHarden", "TestHarden", 1),
		"the last row is gone":        page[:strings.LastIndex(page, "| R46")],
	} {
		if altered == page || pitfallsPage(altered, met) == nil {
			t.Errorf("%s, and it is not noticed", what)
		}
	}
}
