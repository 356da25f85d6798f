// Package warifu_test holds the house in order: which room may import which.
package warifu_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A room is a package; may lists the rooms of ours that its own files (not its
// tests) may import. "x/..." is x and everything below it. Every room may also
// import the rooms of everywhere, below. A pure room imports no
// network, no file system, no clock and no randomness: those come in as
// arguments. Change the table when the house should change, in its own commit.
var rooms = []struct {
	room string
	pure bool
	may  []string
}{
	{"cmd/warifud", false, []string{"node", "authority", "backup", "hsm/...", "internal/spoken"}},
	{"cmd/warifu", false, []string{"client/...", "certificate", "policy", "audit", "auditor", "authority", "backup", "api", "sharing/custodian", "sharing/pieces", "hsm/...", "internal/spoken"}},
	{"cmd/age-plugin-warifu", false, []string{"client", "client/agefile", "client/home", "api"}},
	{"cmd/warifu-bench", false, []string{"bench/..."}},
	{"client", false, []string{"sharing/...", "transport", "api", "authority"}},
	{"client/agefile", false, []string{"client", "api", "sharing/tdh2"}},
	{"client/home", false, []string{"client", "api", "authority"}},
	{"client/internal/dealt", false, []string{"sharing/...", "authority"}}, // for tests
	{"api", true, nil},
	{"authority", true, []string{"api"}},
	{"sharing", true, []string{"sharing/group"}},
	{"sharing/group", true, nil},
	{"sharing/tdh2", true, []string{"sharing", "sharing/group"}},
	{"sharing/tprf", true, []string{"sharing"}},
	{"sharing/dkg", true, []string{"sharing", "sharing/group", "sharing/tprf"}},
	{"sharing/opening", true, nil},
	{"sharing/custodian", true, []string{"sharing/opening"}},
	{"sharing/pieces", true, nil},
	{"sharing/unseal", true, []string{"sharing/opening"}},
	{"sharing/escrow", true, []string{"sharing/opening"}},
	{"sharing/internal/slow", true, nil}, // for tests
	{"consensus", false, []string{"api"}},
	{"consensus/internal/mesh", false, nil}, // for tests
	{"consensus/ledger", true, []string{"api", "authority", "sharing/...", "consensus/board"}},
	{"consensus/board", true, []string{"api", "authority", "sharing/..."}},
	{"certificate", true, []string{"api", "authority", "consensus/ledger"}},
	{"policy", true, []string{"api", "internal/cache"}},
	{"transport", false, []string{"api"}},
	{"transport/netsim", false, nil},
	{"hsm", true, nil},
	{"hsm/hsmtest", false, []string{"hsm"}},
	{"hsm/pkcs11", false, []string{"hsm"}},
	{"hsm/pkcs11/softhsm", false, nil},
	{"hsm/soft", false, []string{"hsm"}},
	{"audit", false, []string{"api"}},
	{"auditor", false, []string{"api", "audit", "authority", "policy"}},
	{"node", false, []string{"api", "audit", "authority", "consensus/...", "hsm", "policy", "sharing/...", "transport", "node/...", "internal/ports"}},
	{"node/machine", false, nil},
	{"node/ops", false, nil},
	{"node/gate", false, []string{"api", "audit", "authority", "consensus/ledger", "policy", "sharing/...", "node/keyring", "internal/cache"}},
	{"node/seal", true, []string{"api", "sharing/group", "sharing/unseal"}},
	{"node/keyring", false, []string{"api", "hsm", "sharing", "sharing/group", "sharing/tprf"}},
	{"node/ceremony", false, []string{"api", "authority", "consensus/ledger", "hsm", "sharing/...", "node/keyring"}},
	{"node/internal/trial", false, []string{"api", "authority", "consensus/ledger", "sharing/..."}}, // for tests
	{"backup", false, []string{"authority"}},
	{"bench", false, []string{"bench/alarm", "client", "api", "authority", "audit", "policy", "sharing/...", "transport"}},
	{"bench/alarm", false, nil},
	{"bench/liar", false, []string{"bench/cluster"}},
	{"bench/cluster", false, []string{"bench/alarm", "client", "warifutest/...", "api", "authority", "policy", "sharing/...", "hsm/...", "internal/ports"}},
	{"warifutest", false, []string{"api", "audit", "authority", "client", "consensus", "consensus/ledger", "hsm/soft", "node", "policy", "sharing/custodian", "transport/...", "warifutest/schedule"}},
	{"warifutest/schedule", false, nil},
	{"proofs", false, []string{"bench"}},
	{"internal/dealt", false, []string{"authority", "sharing/dkg"}}, // for tests
	{"internal/cache", true, nil},
	{"internal/disk", true, nil},
	{"internal/failpoint", true, nil},                                              // without its build tag
	{"internal/plunder", false, []string{"api", "hsm", "sharing", "sharing/tprf"}}, // for tests
	{"internal/ports", false, nil},
	{"internal/secret", true, nil},
	{"internal/spoken", true, nil},
	{"internal/tag", true, nil},
	{"internal/wire", true, nil},
	{"internal/wire/wiretest", false, nil}, // for tests
	{"internal/wycheproof", false, nil},    // for tests
}

var everywhere = []string{"internal/disk", "internal/failpoint", "internal/secret", "internal/tag", "internal/wire"}

// impure are the packages that a pure room may not import. Interfaces of io and
// io/fs, and the types of net/netip and time, are values.
var impure = []string{"net", "os", "os/exec", "os/signal", "syscall", "crypto/rand", "math/rand", "math/rand/v2", "net/http", "golang.org/x/sys/unix"}

type listed struct {
	ImportPath string
	Module     struct{ Path string }
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Module,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func permits(list []string, room string) bool {
	return slices.ContainsFunc(list, func(rule string) bool {
		if below, ok := strings.CutSuffix(rule, "/..."); ok {
			return room == below || strings.HasPrefix(room, below+"/")
		}
		return room == rule
	})
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		module := p.Module.Path + "/"
		room := strings.TrimPrefix(p.ImportPath, module)
		if room == p.Module.Path {
			continue // this test
		}
		i := slices.IndexFunc(rooms, func(r struct {
			room string
			pure bool
			may  []string
		},
		) bool {
			return r.room == room
		})
		if i < 0 {
			t.Errorf("%s is not in the table of rooms", room)
			continue
		}
		seen[room] = true
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module)
			switch {
			case ours && !permits(rooms[i].may, other) && !permits(everywhere, other):
				t.Errorf("%s may not import %s", room, other)
			case !ours && rooms[i].pure && slices.Contains(impure, imported):
				t.Errorf("%s is pure and may not import %s", room, imported)
			}
		}
	}
	for _, r := range rooms {
		if !seen[r.room] {
			t.Errorf("%s is in the table and not in the house", r.room)
		}
	}
}

// The rule itself must be able to fail.
func TestTheTableRefuses(t *testing.T) {
	for _, planted := range []struct{ room, imports string }{
		{"sharing/group", "transport"},
		{"consensus/ledger", "node"},
		{"client", "consensus"},
		{"api", "authority"},
	} {
		for _, r := range rooms {
			if r.room == planted.room && (permits(r.may, planted.imports) || permits(everywhere, planted.imports)) {
				t.Errorf("the table lets %s import %s", planted.room, planted.imports)
			}
		}
	}
}

// A pure room has no clock either: time.Now and its like are not called.
func TestPureRoomsReadNoClock(t *testing.T) {
	for _, r := range rooms {
		if !r.pure {
			continue
		}
		out, err := exec.Command("grep", "-lE", `time\.(Now|Since|Until|After|Tick|Sleep)\(`, "-r", "--include=*.go", "--exclude=*_test.go", r.room).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		for _, file := range strings.Fields(string(out)) {
			if i := strings.LastIndex(file, "/"); file[:i] == r.room {
				t.Errorf("%s reads the clock, and %s is pure", file, r.room)
			}
		}
	}
}

// hotPath are the rooms that a request passes at a node, once it is in a frame. Numbers of
// any length take variable time and memory of their own (R18), and come in by math/big, and
// by libraries that are made of it. One file may: it makes the second generator when a
// process starts, and the challenge of a share proof, which is asked for when an opening
// has failed.
var (
	hotPath    = []string{"api", "audit", "consensus/ledger", "internal/cache", "internal/secret", "internal/tag", "internal/wire", "node/gate", "node/keyring", "policy", "sharing", "sharing/group", "sharing/tdh2", "sharing/tprf"}
	bigNumbers = []string{"math/big", "github.com/cloudflare/circl", "go.dedis.ch/kyber"}
	mayBeBig   = []string{"sharing/group/hash.go"}
)

func TestTheHotPathHasNoBigNumbers(t *testing.T) {
	var found []string
	for _, room := range hotPath {
		files, err := filepath.Glob(room + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", room, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				if slices.ContainsFunc(bigNumbers, func(big string) bool { return path == big || strings.HasPrefix(path, big+"/") }) {
					found = append(found, file)
				}
			}
		}
	}
	if !slices.Equal(found, mayBeBig) {
		t.Errorf("numbers of any length on the hot path: %q, want %q", found, mayBeBig)
	}
}
