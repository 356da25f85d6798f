package warifu_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/protocol.md from the source")

const protocolPage = "docs/protocol.md"

// spoken are the packages whose messages the page has tables for. Each of their
// exported types with numbered fields must have one.
var spoken = []string{"api", "authority", "sharing/dkg"}

// source is what the page's tables are made from: numbered fields and constants.
type source struct {
	structs map[string]*ast.StructType // "api.UnwrapRequest"
	groups  map[string][]*ast.ValueSpec
}

func readSource(t *testing.T, dirs ...string) *source {
	t.Helper()
	s := &source{map[string]*ast.StructType{}, map[string][]*ast.ValueSpec{}}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no source, %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			s.read(f)
		}
	}
	return s
}

func (s *source) read(f *ast.File) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if st, ok := spec.Type.(*ast.StructType); ok && numbered(st) {
					s.structs[f.Name.Name+"."+spec.Name.Name] = st
				}
			case *ast.ValueSpec:
				if g.Tok != token.CONST || len(spec.Names) != 1 || len(spec.Values) != 1 {
					continue
				}
				for _, prefix := range []string{"Method", "Code", "Kind"} {
					if strings.HasPrefix(spec.Names[0].Name, prefix) {
						s.groups[f.Name.Name+"."+prefix] = append(s.groups[f.Name.Name+"."+prefix], spec)
					}
				}
			}
		}
	}
}

func number(f *ast.Field) (n int, optional, ok bool) {
	if f.Tag == nil {
		return 0, false, false
	}
	text, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return 0, false, false
	}
	words := strings.Split(reflect.StructTag(text).Get("cbor"), ",")
	n, err = strconv.Atoi(words[0])
	return n, slices.Contains(words, "omitempty"), err == nil && slices.Contains(words, "keyasint")
}

func numbered(st *ast.StructType) bool {
	return slices.ContainsFunc(st.Fields.List, func(f *ast.Field) bool { _, _, ok := number(f); return ok })
}

// wireTypes says how a type goes over the wire, in CBOR's words.
var wireTypes = map[string]string{
	"string": "text", "bool": "bool", "byte": "byte", "uint16": "uint", "uint32": "uint", "uint64": "uint", "int64": "int",
	"Digest": "32 bytes", "ClusterID": "32 bytes", "KeyID": "32 bytes", "RequestID": "16 bytes", "Fingerprint": "32 bytes",
	"Code": "text", "Context": "map of text to text", "Index": "uint",
}

func wireType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if as, ok := wireTypes[e.Name]; ok {
			return as
		}
		return "`" + e.Name + "`"
	case *ast.SelectorExpr:
		return wireType(e.Sel)
	case *ast.StarExpr:
		return wireType(e.X)
	case *ast.MapType:
		return "map of " + wireType(e.Key) + " to " + wireType(e.Value)
	case *ast.ArrayType:
		of := wireType(e.Elt)
		switch size, fixed := e.Len.(*ast.BasicLit); {
		case fixed:
			return size.Value + " " + of + "s"
		case of == "byte":
			return "bytes"
		default:
			return "list of " + of
		}
	}
	return fmt.Sprintf("%T", e)
}

var pitfall = regexp.MustCompile(` \(R\d+\)`)

func comment(c *ast.CommentGroup) string {
	return strings.NewReplacer("[", "", "]", "", "|", "\\|", "\n", " ").Replace(strings.TrimSpace(pitfall.ReplaceAllString(c.Text(), "")))
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString(strings.TrimRight("| "+strings.Join(cells, " | ")+" |", "\n") + "\n")
}

// table makes one table of the page: "fields api.UnwrapRequest" or "values api.Code".
func (s *source) table(t *testing.T, of string) string {
	t.Helper()
	var b strings.Builder
	what, name, _ := strings.Cut(of, " ")
	switch what {
	case "fields":
		st, ok := s.structs[name]
		if !ok {
			t.Fatalf("%s asks for a table of %s, which is no message", protocolPage, name)
		}
		row(&b, "`"+name[strings.Index(name, ".")+1:]+"`", "Field", "Type", "")
		row(&b, "--:", "---", "---", "---")
		for _, f := range st.Fields.List {
			n, optional, ok := number(f)
			if !ok {
				t.Fatalf("%s has a field without a number", name)
			}
			as := wireType(f.Type)
			if optional {
				as += ", absent if empty"
			}
			row(&b, strconv.Itoa(n), f.Names[0].Name, as, comment(f.Comment))
		}
	case "values":
		specs, ok := s.groups[name]
		if !ok {
			t.Fatalf("%s asks for a table of %s, and there are none", protocolPage, name)
		}
		row(&b, "Value", "Name", "")
		row(&b, "---", "---", "---")
		prefix := name[strings.Index(name, ".")+1:]
		for _, v := range specs {
			value := v.Values[0].(*ast.BasicLit).Value
			row(&b, "`"+strings.Trim(value, `"`)+"`", strings.TrimPrefix(v.Names[0].Name, prefix), comment(v.Comment))
		}
	default:
		t.Fatalf("%s asks for %q", protocolPage, of)
	}
	return b.String()
}

var tableMark = regexp.MustCompile(`(?s)(<!-- ((?:fields|values) [a-zA-Z.]+) -->\n).*?(<!-- end -->)`)

// The tables of the page are those of the source, and none is left out.
func TestProtocolPage(t *testing.T) {
	s := readSource(t, append([]string{"transport"}, spoken...)...)
	page := readText(t, protocolPage)
	shown := map[string]bool{}
	fresh := tableMark.ReplaceAllStringFunc(page, func(old string) string {
		m := tableMark.FindStringSubmatch(old)
		shown[m[2]] = true
		return m[1] + s.table(t, m[2]) + m[3]
	})
	if *update {
		if err := os.WriteFile(protocolPage, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if fresh != page {
		t.Errorf("a table of %s is not what the source says; run: go test -run ProtocolPage -update .", protocolPage)
	}
	for name := range s.structs {
		room, of, _ := strings.Cut(name, ".")
		if room == "transport" || !ast.IsExported(of) {
			continue
		}
		if !shown["fields "+name] {
			t.Errorf("%s has no table for %s", protocolPage, name)
		}
	}
	for name := range s.groups {
		if !strings.HasPrefix(name, "transport.") && !shown["values "+name] {
			t.Errorf("%s has no table for the constants %s", protocolPage, name)
		}
	}
}
