package tag

import (
	"bytes"
	"crypto/sha256"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// R11: no two lists give the same bytes, and none is a prefix of another.
func TestListsNeverCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 5), 0, 5)
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		ta := Tag(rapid.SampledFrom([]string{"x", "xy", ""}).Draw(t, "ta"))
		tb := Tag(rapid.SampledFrom([]string{"x", "xy", ""}).Draw(t, "tb"))
		same := ta == tb && len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = bytes.Equal(a[i], b[i])
		}
		la, lb := List(ta, a...), List(tb, b...)
		if prefix := bytes.HasPrefix(la, lb); prefix != same {
			t.Fatalf("prefix=%v, same=%v: %x %x", prefix, same, la, lb)
		}
		if Hash(ta, a...) != sha256.Sum256(la) {
			t.Fatal("Hash is not SHA-256 of List")
		}
	})
}

func TestTableHasNoDuplicates(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := seen[value]; dup {
			t.Errorf("%s and %s share the tag %q", spec.Names[0].Name, other, value)
		}
		seen[value] = spec.Names[0].Name
		return true
	})
	if len(seen) < 30 {
		t.Fatalf("only %d tags found", len(seen))
	}
}
