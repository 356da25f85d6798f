package cluster_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// stage is when a node comes to a step.
type stage int

const (
	atFirst       stage = iota // init, join, the first start, the root key's birth: of a new cluster
	atStart                    // at each start
	inBirth                    // while a named key is born
	inUnwrap                   // when a partial is asked for
	whenGranted                // when it is asked for by a grant
	whenLate                   // when a holder is silent past a phase's end
	whenLost                   // when a holder's state of a session is lost
	whenAsked                  // when an auditor asks for a checkpoint
	whenDenied                 // when custodians revoke, and the ledger grows until it is written down whole
	whenSparse                 // when what is denied is little of what its file holds
	whenElsewhere              // when a node is started at other addresses
	atStop                     // at each stop
	whenSealed                 // when custodians open a seal
	whenReplaced               // when custodians are replaced, and the seal is locked anew for others
	whenRerooted               // when the root key has new shares, and a node takes up its own
	whenMissed                 // when a node comes back that has missed a refresh
	whenDue                    // when the policy's rotation is due
	inRefresh                  // while a refresh runs
	inReshare                  // while a reshare runs
	whenRotated                // when an epoch is over, and its shares go
	whenEscrowed               // when custodians have shares of a key sealed to them
	whenDestroyed              // when a key is destroyed, and all of its shares go
	whenMoved                  // when a node takes another's place, at whoever leads
	whenNew                    // when a node takes another's place, at that node
	whenLeft                   // when a node takes another's place, at the other
	whenRestored               // when a node takes the share of a node whose cluster is lost
)

// row is one line of the table of kills.
type row struct {
	step  string // the failpoint
	hit   int    // the n-th of that name
	what  string // more, where one name stands for several steps
	stage stage
	first bool // only the first holder is sure to come there
}

// kills are all steps that are durable or outward, in the order in which a node
// comes to them.
var kills = []row{
	{step: "init/write-config", hit: 1, stage: atFirst},
	{step: "init/claim-token", hit: 1, stage: atFirst},
	{step: "init/create-key", hit: 1, stage: atFirst},
	{step: "init/write-line", hit: 1, stage: atFirst},
	{step: "init/write-identity", hit: 1, stage: atFirst},
	{step: "join/write-genesis", hit: 1, stage: atFirst},
	{step: "gate/make-slots", hit: 1, stage: atFirst},
	{step: "audit/make-reserve", hit: 1, stage: atFirst},
	{step: "audit/begin-segment", hit: 1, stage: atFirst},
	{step: "consensus/make-floor", hit: 1, stage: atFirst},
	{step: "consensus/make-denies", hit: 1, stage: atFirst},
	{step: "consensus/bootstrap", hit: 1, stage: atFirst},
	{step: "node/post-lock", hit: 1, stage: atFirst},
	{step: "keyring/create-key", hit: 1, stage: atFirst},
	{step: "keyring/write-kept", hit: 1, stage: atFirst},
	{step: "keyring/write-root", hit: 1, stage: atFirst},
	{step: "keyring/read-back", hit: 1, stage: atFirst},
	{step: "node/post-anchor", hit: 1, stage: atFirst}, // at any moment, and after each start again
	{step: "node/open-seal", hit: 1, stage: whenSealed},

	{step: "node/post-lock", hit: 1, what: "for other custodians", stage: whenReplaced},
	{step: "keyring/create-key", hit: 1, what: "of the next generation", stage: whenReplaced},
	{step: "keyring/write-kept", hit: 1, what: "of the next generation", stage: whenReplaced},
	{step: "keyring/write-root", hit: 1, what: "of the next generation", stage: whenReplaced},
	{step: "keyring/read-back", hit: 1, what: "of the next generation", stage: whenReplaced},
	{step: "keyring/destroy-key", hit: 1, what: "of the last generation", stage: whenReplaced},
	{step: "keyring/remove-files", hit: 1, what: "of the last generation", stage: whenReplaced},
	{step: "node/post-locked", hit: 1, stage: whenReplaced},

	{step: "node/record-start", hit: 1, stage: atStart},
	{step: "audit/keep-tile", hit: 1, stage: atStart},
	{step: "keyring/destroy-key", hit: 1, stage: atStart},
	{step: "keyring/remove-files", hit: 1, stage: atStart},
	{step: "keyring/destroy-unused", hit: 1, stage: atStart},
	{step: "keyring/remove-unused", hit: 1, stage: atStart},
	{step: "node/open-keyring", hit: 1, stage: atStart},
	{step: "node/record-unseal", hit: 1, stage: atStart},
	{step: "ceremony/destroy-unused", hit: 1, stage: atStart},

	{step: "ceremony/open", hit: 1, stage: inBirth, first: true},
	{step: "ceremony/create-key", hit: 1, stage: inBirth},
	{step: "ceremony/seal-state", hit: 1, what: "with the receive key", stage: inBirth},
	{step: "ceremony/post", hit: 1, what: "join", stage: inBirth},
	{step: "ceremony/seal-state", hit: 2, what: "with the polynomial", stage: inBirth},
	{step: "ceremony/post", hit: 2, what: "commit", stage: inBirth},
	{step: "ceremony/post", hit: 3, what: "deal", stage: inBirth},
	{step: "ceremony/post", hit: 4, what: "verdict", stage: inBirth},
	{step: "keyring/write-shares", hit: 1, stage: inBirth},
	{step: "ceremony/post", hit: 5, what: "receipt", stage: inBirth},
	{step: "ceremony/activate", hit: 1, stage: inBirth, first: true},
	{step: "ceremony/destroy-key", hit: 1, stage: inBirth},
	{step: "ceremony/remove-state", hit: 1, stage: inBirth},
	{step: "ceremony/record", hit: 1, stage: inBirth},
	{step: "node/submit", hit: 2, stage: inBirth},
	{step: "consensus/store-logs", hit: 5, stage: inBirth},
	{step: "consensus/raise-floor", hit: 5, stage: inBirth},

	{step: "gate/record", hit: 1, stage: inUnwrap},
	{step: "audit/write", hit: 1, stage: inUnwrap},
	{step: "audit/sync", hit: 1, stage: inUnwrap},
	{step: "gate/release", hit: 1, stage: inUnwrap},

	{step: "gate/bind-slot", hit: 1, stage: whenGranted},

	{step: "audit/checkpoint", hit: 1, stage: whenAsked},
	{step: "ceremony/deadline", hit: 1, stage: whenLate},
	{step: "ceremony/abandon", hit: 1, stage: whenLost},

	{step: "consensus/append-denies", hit: 1, stage: whenDenied},
	{step: "consensus/count-denies", hit: 1, stage: whenDenied},
	{step: "consensus/write-snapshot", hit: 1, stage: whenDenied},
	{step: "consensus/file-snapshot", hit: 1, stage: whenDenied},
	{step: "consensus/delete-logs", hit: 1, stage: whenDenied},
	{step: "consensus/rewrite-denies", hit: 1, stage: whenSparse},
	{step: "node/claim-address", hit: 1, stage: whenElsewhere},
	{step: "node/record-stop", hit: 1, stage: atStop},
}

// turns are the steps of shares that turn over and of a key that ends, in the order in
// which a node comes to them.
var turns = slices.Concat(
	run(inReshare, "of a reshare"),
	[]row{{step: "ceremony/repair", hit: 1, stage: whenMissed}},
	generation(whenRerooted, "with a new root share"),
	[]row{{step: "ceremony/standing", hit: 1, stage: whenDue, first: true}},
	run(inRefresh, "of a refresh"),
	[]row{{step: "ceremony/retire", hit: 1, stage: whenRotated, first: true}},
	generation(whenRotated, "without old shares"),
	[]row{{step: "node/post-erased", hit: 1, what: "of old shares", stage: whenRotated}},
	[]row{
		{step: "node/record-escrow", hit: 1, stage: whenEscrowed},
		{step: "node/post-escrowed", hit: 1, stage: whenEscrowed},
	},
	[]row{{step: "ceremony/destroy", hit: 1, stage: whenDestroyed, first: true}},
	generation(whenDestroyed, "without a destroyed key"),
	[]row{{step: "node/post-erased", hit: 1, what: "of a destroyed key", stage: whenDestroyed}},
)

// moves are the steps of one node that takes another's place: it follows, votes, and
// gets shares, those of the other go, and then the other goes.
var moves = slices.Concat(
	[]row{
		{step: "consensus/move-member", hit: 1, what: "who comes follows", stage: whenMoved},
		{step: "join/write-genesis", hit: 1, what: "with the chain of changes", stage: whenNew},
		{step: "node/post-anchor", hit: 1, what: "of who comes", stage: whenNew},
		{step: "consensus/move-member", hit: 2, what: "who comes votes", stage: whenMoved},
		{step: "join/write-chain", hit: 1, stage: whenNew},
		{step: "ceremony/create-key", hit: 1, what: "of who comes", stage: whenNew},
		{step: "ceremony/seal-state", hit: 1, what: "of who comes", stage: whenNew},
		{step: "ceremony/post", hit: 1, what: "join of who comes", stage: whenNew},
		{step: "ceremony/post", hit: 2, what: "verdict of who comes", stage: whenNew},
		{step: "keyring/create-key", hit: 1, what: "of who comes", stage: whenNew},
		{step: "keyring/write-kept", hit: 1, what: "of who comes", stage: whenNew},
		{step: "keyring/write-root", hit: 1, what: "of who comes", stage: whenNew},
		{step: "keyring/read-back", hit: 1, what: "of who comes", stage: whenNew},
		{step: "ceremony/post", hit: 3, what: "receipt of who comes", stage: whenNew},
		{step: "ceremony/destroy-key", hit: 1, what: "of who comes", stage: whenNew},
		{step: "ceremony/remove-state", hit: 1, what: "of who comes", stage: whenNew},
		{step: "keyring/write-shares", hit: 1, what: "of who comes", stage: whenNew},
		{step: "ceremony/record", hit: 1, what: "of who comes", stage: whenNew},
	},
	generation(whenLeft, "of who goes"),
	[]row{
		{step: "node/post-erased", hit: 1, what: "of who goes", stage: whenLeft},
		{step: "consensus/move-member", hit: 3, what: "who goes has no vote", stage: whenMoved},
	},
)

// restores are the steps by which a share of a lost cluster moves to a node of another one.
var restores = []row{
	{step: "node/offer-restore", hit: 1, what: "two seals", stage: whenRestored},
	{step: "keyring/write-shares", hit: 1, what: "of a lost cluster", stage: whenRestored},
	{step: "keyring/bury", hit: 1, stage: whenRestored},
}

// run are the steps of a refresh or a reshare until the new epoch is the current one.
func run(at stage, what string) []row {
	return []row{
		{step: "ceremony/open", hit: 1, what: what, stage: at, first: true},
		{step: "ceremony/create-key", hit: 1, what: what, stage: at},
		{step: "ceremony/seal-state", hit: 1, what: "with the receive key " + what, stage: at},
		{step: "ceremony/post", hit: 1, what: "join " + what, stage: at},
		{step: "ceremony/seal-state", hit: 2, what: "with the polynomial " + what, stage: at},
		{step: "ceremony/post", hit: 2, what: "commit " + what, stage: at},
		{step: "ceremony/post", hit: 3, what: "deal " + what, stage: at},
		{step: "ceremony/post", hit: 4, what: "verdict " + what, stage: at},
		{step: "keyring/write-shares", hit: 1, what: what, stage: at},
		{step: "ceremony/post", hit: 5, what: "receipt " + what, stage: at},
		{step: "ceremony/activate", hit: 1, what: what, stage: at, first: true},
		{step: "ceremony/record", hit: 1, what: what, stage: at},
		{step: "ceremony/destroy-key", hit: 1, what: what, stage: at},
		{step: "ceremony/remove-state", hit: 1, what: what, stage: at},
	}
}

// generation are the steps of a keyring's next generation.
func generation(at stage, what string) (rows []row) {
	for _, step := range []string{"create-key", "write-kept", "write-root", "read-back", "destroy-key", "remove-files"} {
		rows = append(rows, row{step: "keyring/" + step, hit: 1, what: what, stage: at})
	}
	return rows
}

// failpoints finds each step that the source marks, by its name.
func failpoints(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != root || e.Name() == "failpoint") {
			return fs.SkipDir
		}
		if e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			of, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || of.Sel.Name != "Step" || len(call.Args) != 2 {
				return true
			}
			if room, ok := of.X.(*ast.Ident); !ok || room.Name != "failpoint" {
				return true
			}
			name := ""
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				name, _ = strconv.Unquote(lit.Value)
			}
			if name == "" {
				t.Errorf("%s: a step whose name is not written out", path)
			}
			found[name] = append(found[name], path)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The table has every failpoint of the source, and no other, and no two share a name.
func TestTheTableOfKillsHasEveryFailpoint(t *testing.T) {
	found := failpoints(t)
	kills := slices.Concat(kills, turns, moves, restores)
	for name, places := range found {
		if len(places) > 1 {
			t.Errorf("%s is the name of %d steps, in %v", name, len(places), places)
		}
		if !slices.ContainsFunc(kills, func(r row) bool { return r.step == name }) {
			t.Errorf("%s of %s is not in the table", name, places[0])
		}
	}
	for i, r := range kills {
		if len(found[r.step]) == 0 {
			t.Errorf("%s is in the table and not in the source", r.step)
		}
		if slices.ContainsFunc(kills[:i], func(o row) bool { return o.step == r.step && o.hit == r.hit && o.stage == r.stage }) {
			t.Errorf("%s, hit %d, is in the table twice for one stage", r.step, r.hit)
		}
	}
	if len(found) < 30 {
		t.Errorf("only %d failpoints were found", len(found))
	}
}

// The released warifud has no fault switch. The build with the tag has one, so that
// this test can fail.
func TestTheReleasedDaemonHasNoFaultSwitch(t *testing.T) {
	for _, tt := range []struct {
		dir   string
		armed bool
	}{{bin, false}, {faultyBin(t), true}} {
		path := filepath.Join(tt.dir, "warifud")
		symbols, err := exec.Command("go", "tool", "nm", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, has := range map[string]bool{
			"a symbol of internal/failpoint": strings.Contains(string(symbols), "internal/failpoint."),
			"the variable's name":            strings.Contains(string(content), "WARIFU_FAILPOINT"),
			"the name of a step":             strings.Contains(string(content), "keyring/write-root"),
		} {
			if has != tt.armed {
				t.Errorf("%s: %s: %v", path, what, has)
			}
		}
	}
}
