package warifu_test

import (
	"go/ast"
	"strings"
	"testing"
)

// R11: each tag of the table says one thing, so it stands in one place of the
// house, and none is left over. What shows signatures names their tags again, and so does
// what opens seals in the place of a thief.
func TestEachTagHasOneUse(t *testing.T) {
	roomsOf := map[string]map[string]bool{}
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		if room == "internal/tag" && !isTest {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok {
					for _, spec := range g.Specs {
						if v, ok := spec.(*ast.ValueSpec); ok && baseType(v.Type) == "Tag" {
							roomsOf[v.Names[0].Name] = map[string]bool{}
						}
					}
				}
			}
		}
	})
	if len(roomsOf) < 30 {
		t.Fatalf("only %d tags were found", len(roomsOf))
	}
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		if isTest || strings.HasPrefix(room, "cmd/") || room == "internal/plunder" {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && baseType(sel.X) == "tag" && roomsOf[sel.Sel.Name] != nil {
				roomsOf[sel.Sel.Name][room] = true
			}
			return true
		})
	})
	excused := map[string]string{
		"SelfTest":      "tests seed their generators with it",
		"LinkSignature": "it is what snapshots will be signed with",
		"PolicyDigest":  "the ledger and the policy room hash the same document",
	}
	for name, rooms := range roomsOf {
		if len(rooms) != 1 && excused[name] == "" {
			t.Errorf("the tag %s is used by %d rooms: %v", name, len(rooms), rooms)
		}
	}
}
