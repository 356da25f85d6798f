package warifu_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reading matches the name of what makes something of bytes from outside;
// perhapsReading matches it if it takes bytes.
var (
	reading        = regexp.MustCompile(`^(Parse|Decode|Unmarshal)([A-Z]|$)`)
	perhapsReading = regexp.MustCompile(`^(Read|Load|Open|Verify|Restore|Import)([A-Z]|$)`)
)

// declared is an exported function, or a method of an exported type.
type declared struct {
	room, receiver, name string
}

func (d declared) String() string {
	if d.receiver == "" {
		return d.room + "." + d.name
	}
	return d.room + "." + d.receiver + "." + d.name
}

// target is a fuzz target, or a helper of one: what it names, and what is said
// above it.
type target struct {
	names map[declared]bool // without receivers
	calls map[string]bool   // helpers of the same room's tests
	doc   string
}

// Every exported function and method that reads bytes from outside is reached by
// a fuzz target: named in its body, or in a helper of the tests of that room. Of
// several methods of one name in a room, the target says above itself which it
// reaches, as in "Signature.Verify". The list is in the output of -v.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	var decoders []declared
	tests := map[string]map[string]*target{} // room, name
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case !isTest:
				if d, ok := decoder(room, fn); ok {
					decoders = append(decoders, d)
				}
			case fn.Body != nil:
				if tests[room] == nil {
					tests[room] = map[string]*target{}
				}
				tests[room][fn.Name.Name] = readTarget(room, f, fn)
			}
		}
	})
	slices.SortFunc(decoders, func(a, b declared) int { return strings.Compare(a.String(), b.String()) })
	decoders = slices.Compact(decoders) // one for each build tag

	reachedBy := map[declared][]string{}
	targets := 0
	for room, functions := range tests {
		for name := range functions {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			targets++
			for d := range reach(functions, name, map[string]bool{}) {
				reachedBy[d] = append(reachedBy[d], room+"."+name)
			}
		}
	}
	for _, d := range decoders {
		by := reachedBy[declared{room: d.room, name: d.name}]
		if d.receiver != "" && namesakes(decoders, d) > 1 {
			by = slices.DeleteFunc(slices.Clone(by), func(name string) bool {
				room, name, _ := strings.Cut(name, ".")
				return !strings.Contains(tests[room][name].doc, d.receiver+"."+d.name)
			})
		}
		if len(by) == 0 {
			t.Errorf("%s: no fuzz target reaches it", d)
			continue
		}
		slices.Sort(by)
		t.Logf("%-40s %s", d, strings.Join(by, " "))
	}
	t.Logf("%d decoders, %d fuzz targets", len(decoders), targets)
	if len(decoders) < 40 || targets < 40 {
		t.Errorf("only %d decoders and %d fuzz targets were found", len(decoders), targets)
	}
}

// The test above can fail.
func TestWhatReadsIsFound(t *testing.T) {
	const source = `package p
func ParseThing(s string) error { return nil }
func DecodeNothing() {}
func Verify(sig []byte) bool { return true }
func VerifyAll(list ...[]byte) bool { return true }
func Open(r io.Reader) error { return nil }
func (t Thing) Verify(b secret.Bytes) bool { return true }
func (t *Thing) UnmarshalText(b []byte) error { return nil }
func ReadyToGo(b []byte) {}
func Parser(b []byte) {}
func OpenDir(name string) {}
func (t Thing) Read(b []byte) (int, error) { return 0, nil }
func (t hidden) Verify(b []byte) bool { return true }
func parse(b []byte) {}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range f.Decls {
		if d, ok := decoder("p", d.(*ast.FuncDecl)); ok {
			got = append(got, d.String())
		}
	}
	want := []string{"p.ParseThing", "p.DecodeNothing", "p.Verify", "p.VerifyAll", "p.Open", "p.Thing.Verify", "p.Thing.UnmarshalText"}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}

	const tests = `package p
import q "warifu.dev/other/room"
func FuzzOne(f F) { helper(f, ParseThing) }
func FuzzTwo(f F) { f.Add(Open(nil)); f.Fuzz(func(t *testing.T, b []byte) { ParseThing(b) }) }
func helper(f F, of any) { q.DecodeIt(nil); thing.Verify(nil) }
func TestOther(t *testing.T) { Open(nil) }
`
	if f, err = parser.ParseFile(token.NewFileSet(), "p_test.go", tests, 0); err != nil {
		t.Fatal(err)
	}
	functions := map[string]*target{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			functions[fn.Name.Name] = readTarget("p", f, fn)
		}
	}
	one, two := reach(functions, "FuzzOne", map[string]bool{}), reach(functions, "FuzzTwo", map[string]bool{})
	for d, want := range map[declared][2]bool{
		{"p", "", "ParseThing"}: {true, true}, {"other/room", "", "DecodeIt"}: {true, false}, {"p", "", "Verify"}: {true, false},
		{"p", "", "DecodeIt"}: {false, false}, {"p", "", "Open"}: {false, false},
	} {
		if got := [2]bool{one[d], two[d]}; got != want {
			t.Errorf("%s is reached: %v, want %v", d, got, want)
		}
	}
}

// make fuzz runs what the test above counts.
func TestTheFuzzScriptFindsEveryTarget(t *testing.T) {
	var want []string
	walkSource(t, func(room string, f *ast.File, isTest bool) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && isTest && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				want = append(want, room+" "+fn.Name.Name)
			}
		}
	})
	out, err := exec.Command("script/fuzz", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("script/fuzz --list says\n%s\nthe source has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// walkSource gives every file of ours to visit, with the room it is in.
func walkSource(t *testing.T, visit func(room string, f *ast.File, isTest bool)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(name)), f, strings.HasSuffix(name, "_test.go"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func decoder(room string, fn *ast.FuncDecl) (declared, bool) {
	d := declared{room: room, name: fn.Name.Name}
	if fn.Recv != nil {
		d.receiver = baseType(fn.Recv.List[0].Type)
		if !ast.IsExported(d.receiver) || isReader(fn) {
			return d, false
		}
	}
	if reading.MatchString(d.name) {
		return d, true
	}
	return d, perhapsReading.MatchString(d.name) &&
		slices.ContainsFunc(fn.Type.Params.List, func(p *ast.Field) bool { return carriesBytes(p.Type) })
}

func baseType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return baseType(e.X)
	case *ast.IndexExpr:
		return baseType(e.X)
	case *ast.IndexListExpr:
		return baseType(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// isReader tells an io.Reader's Read, which gives bytes and takes none.
func isReader(fn *ast.FuncDecl) bool {
	return fn.Name.Name == "Read" && fn.Type.Results != nil && len(fn.Type.Results.List) == 2 && baseType(fn.Type.Results.List[0].Type) == "int"
}

func carriesBytes(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ellipsis:
		return carriesBytes(e.Elt)
	case *ast.ArrayType:
		return baseType(e.Elt) == "byte" || carriesBytes(e.Elt)
	case *ast.StarExpr:
		return carriesBytes(e.X)
	case *ast.SelectorExpr:
		switch baseType(e.X) + "." + e.Sel.Name {
		case "io.Reader", "io.ReadCloser", "secret.Bytes", "x509.Certificate":
			return true
		}
	}
	return false
}

// readTarget collects what a function of a test names.
func readTarget(room string, f *ast.File, fn *ast.FuncDecl) *target {
	imports := map[string]string{} // name in this file, room
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		p, ours := strings.CutPrefix(p, "warifu.dev/")
		if !ours {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		imports[name] = p
	}
	out := &target{map[declared]bool{}, map[string]bool{}, fn.Doc.Text()}
	ast.Inspect(fuzzed(fn), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if p, ok := imports[baseType(n.X)]; ok {
				out.names[declared{room: p, name: n.Sel.Name}] = true
				return false
			}
			out.names[declared{room: room, name: n.Sel.Name}] = true
			out.calls[n.Sel.Name] = true
		case *ast.Ident:
			out.names[declared{room: room, name: n.Name}] = true
			out.calls[n.Name] = true
		}
		return true
	})
	return out
}

// fuzzed is what runs on each input: the function given to f.Fuzz, if there is
// one. What a target names before that makes its seeds.
func fuzzed(fn *ast.FuncDecl) (body ast.Node) {
	body = fn.Body
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
			method, isMethod := call.Fun.(*ast.SelectorExpr)
			if each, ok := call.Args[0].(*ast.FuncLit); ok && isMethod && method.Sel.Name == "Fuzz" {
				body = each.Body
			}
		}
		return true
	})
	return body
}

// reach is what a function and the helpers it calls name.
func reach(functions map[string]*target, name string, seen map[string]bool) map[declared]bool {
	f := functions[name]
	if f == nil || seen[name] {
		return nil
	}
	seen[name] = true
	out := maps.Clone(f.names)
	for helper := range f.calls {
		maps.Copy(out, reach(functions, helper, seen))
	}
	return out
}

func namesakes(all []declared, d declared) (n int) {
	for _, o := range all {
		if o.room == d.room && o.name == d.name {
			n++
		}
	}
	return n
}
