package warifu_test

import (
	"go/ast"
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
