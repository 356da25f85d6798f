package warifu_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Every code that a client can hear is explained.
func TestFailuresPageHasEveryCode(t *testing.T) {
	page, err := os.ReadFile("docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	for _, group := range readSource(t, "api").groups {
		for _, spec := range group {
			for i, name := range spec.Names {
				if !strings.HasPrefix(name.Name, "Code") || i >= len(spec.Values) {
					continue
				}
				value, ok := spec.Values[i].(*ast.BasicLit)
				if !ok {
					continue
				}
				code, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatalf("%s: %v", name.Name, err)
				}
				codes++
				if !strings.Contains(string(page), "| `"+code+"` |") {
					t.Errorf("docs/failures.md does not explain %q", code)
				}
			}
		}
	}
	if codes < 15 {
		t.Errorf("only %d codes were found", codes)
	}
}

// Every refusal of the ledger, and every one that warifud has an exit code for, is
// explained in the words it says: meaning, check and remedy.
func TestFailuresPageHasEveryRefusal(t *testing.T) {
	said := map[string]string{} // "hsm.ErrWrongPIN": "hsm: wrong PIN"
	aliases := map[string]string{}
	name := func(e ast.Expr) string {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		return baseType(sel.X) + "." + sel.Sel.Name
	}
	var wanted []string
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		if isTest {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Err") {
				return true
			}
			sentinel := f.Name.Name + "." + spec.Names[0].Name
			if other := name(spec.Values[0]); other != "" {
				aliases[sentinel] = other
			}
			call, ok := spec.Values[0].(*ast.CallExpr)
			if !ok || name(call.Fun) != "errors.New" {
				return true
			}
			text, err := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			said[sentinel] = text
			if room == "consensus/ledger" && !strings.HasPrefix(text, "the state's") && !strings.HasPrefix(text, "not the encoding") ||
				sentinel == "authority.ErrEntry" || sentinel == "authority.ErrChange" || sentinel == "authority.ErrOrder" ||
				sentinel == "authority.ErrStatement" || sentinel == "authority.ErrSignature" || sentinel == "authority.ErrTooFewSignatures" {
				wanted = append(wanted, sentinel)
			}
			return true
		})
	})
	f, err := parser.ParseFile(token.NewFileSet(), "cmd/warifud/exitcode.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			if sentinel := name(e); strings.Contains(sentinel, ".Err") && sentinel != "fs.ErrNotExist" {
				wanted = append(wanted, sentinel)
			}
		}
		return true
	})
	explained := map[string]bool{}
	for _, cells := range rows(readText(t, "docs/failures.md")) {
		if len(cells) < 4 {
			t.Errorf("docs/failures.md: a refusal without meaning, check or remedy: %q", cells)
		}
		for _, says := range strings.Split(cells[0], "`, `") {
			explained[strings.Trim(says, "`")] = cells[1] != "" && cells[len(cells)-1] != ""
		}
	}
	for _, sentinel := range wanted {
		text, ok := said[sentinel]
		if other, isAlias := aliases[sentinel]; isAlias {
			text, ok = said[other]
		}
		short := strings.TrimPrefix(text, "hsm: ")
		if !ok || !explained[text] && !explained[short] {
			t.Errorf("docs/failures.md does not explain %s, %q", sentinel, text)
		}
	}
	if len(wanted) < 25 {
		t.Errorf("only %d refusals were found", len(wanted))
	}
}
