//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/bench/cluster"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing/custodian"
)

// world is a cluster of five processes that two custodians furnished by the
// commands of this program, and what the scripts need to be anybody in it.
type world struct {
	cluster *cluster.Cluster
	dir     string
	tokens  string // the SoftHSM configuration of the custodian's token, or none
}

// Names in a world. The scripts have them as variables, see [world.setup].
const (
	worldKey    = "payroll"
	passphrase  = "six words make a good passphrase"
	cheapScrypt = 10 // the files protect nothing
)

// patience bounds what a busy machine may need; nothing is measured by it.
const patience = 3 * time.Minute

// TestOnline runs the shell sessions of testdata/online against one cluster:
// first, at a time, those that leave its nodes alone, and then one by one those
// that stop and harm them.
func TestOnline(t *testing.T) {
	w := newWorld(t, cluster.Config{})
	params := testscript.Params{
		Dir: "testdata/online", Cmds: w.commands(), RequireExplicitExec: true, RequireUniqueNames: true, Setup: w.setup,
	}
	t.Run("together", func(t *testing.T) { testscript.Run(t, params) })
	alone, err := filepath.Glob("testdata/online/alone/*.txt")
	if err != nil || len(alone) == 0 {
		t.Fatalf("no scripts to run alone: %v", err)
	}
	for _, file := range alone {
		params.Dir, params.Files = "", []string{file}
		t.Run("alone", func(t *testing.T) { testscript.Run(t, params) })
	}
}

// TestSealed runs the shell sessions of testdata/sealed, each against a cluster whose
// seals two of three custodians open. The keys of the third are in a token.
func TestSealed(t *testing.T) {
	w := newWorldOf(t, cluster.Config{Sealed: true}, true)
	files, err := filepath.Glob("testdata/sealed/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run("alone", func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Files: []string{file}, Cmds: w.commands(), RequireExplicitExec: true, RequireUniqueNames: true, Setup: w.setup,
			})
		})
	}
}

func newWorld(t *testing.T, cfg cluster.Config) *world {
	t.Helper()
	return newWorldOf(t, cfg, false)
}

// newWorldOf makes a world, whose custodian-3 may be in a token.
func newWorldOf(t *testing.T, cfg cluster.Config, token bool) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	bin := w.path("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cluster.BuildBinaries(bin); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if token {
		cfg.Keys = []*custodian.Custodian{2: w.inToken(t)}
	}
	var err error
	cfg.Dir, cfg.Bin, cfg.AuditReserve = w.path("cluster"), bin, 1<<20
	w.cluster, err = cluster.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, id := range w.cluster.IDs() {
				b, _ := os.ReadFile(w.cluster.LogPath(id))
				t.Logf("log of %s:\n%s", id, b[max(0, len(b)-4000):])
			}
		}
		if err := w.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	w.furnish(ctx, t)
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// furnish gives the cluster an authority, a policy and a key, and makes a home
// for each kind of caller.
func (w *world) furnish(ctx context.Context, t *testing.T) {
	t.Helper()
	write := func(name string, mode os.FileMode, b []byte) {
		t.Helper()
		if err := os.WriteFile(w.path(name), b, mode); err != nil {
			t.Fatal(err)
		}
	}
	cli := func(args ...string) {
		t.Helper()
		var errs bytes.Buffer
		if code := run(ctx, args, strings.NewReader(""), io.Discard, &errs); code != exitOK {
			t.Fatalf("warifu %s: exit code %d: %s", strings.Join(args, " "), code, &errs)
		}
	}
	write("passphrase", 0o600, []byte(passphrase+"\n"))
	for _, c := range w.cluster.CustodianKeys() {
		if _, err := os.Stat(w.path(c.Name())); err == nil {
			continue // in a token, see inToken
		}
		sealed, err := c.SealCost(secret.New([]byte(passphrase)), cheapScrypt)
		if err != nil {
			t.Fatal(err)
		}
		write(c.Name(), 0o600, sealed)
		write(c.Name()+".pub", 0o644, []byte(publicLine(c)+"\n"))
	}
	signed := w.cluster.Genesis().Signed()
	write("genesis", 0o644, signed.Encode())
	home := func(name string, args ...string) {
		t.Helper()
		cli(append([]string{"client", "init", "--home", w.path(name), "--genesis", w.path("genesis"), "--hash", signed.Hash().String()}, args...)...)
	}
	desk := w.path("desk")
	for _, name := range []string{"policy.cedar", "entities.json"} {
		b, err := os.ReadFile(filepath.Join("testdata/online", name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, 0o644, b)
	}
	home("desk")
	put := func(change string, args ...string) {
		t.Helper()
		cli(append([]string{"--home", desk, "--out", w.path(change)}, args...)...)
		for _, c := range []string{"custodian-1", "custodian-2"} {
			cli("change", "sign", w.path(change), "--home", desk, "--custodian", w.path(c), "--passphrase-file", w.path("passphrase"))
		}
		cli("change", "submit", w.path(change), "--home", desk, "--custodian", w.path("custodian-1"), "--passphrase-file", w.path("passphrase"), "--wait")
	}
	cli("ca", "new", w.path("ca"))
	put("ca.change", "ca", "put", w.path("ca/ca.crt"), "--name", "trial")
	put("policy.change", "policy", "put", "--text", w.path("policy.cedar"), "--entities", w.path("entities.json"), "--base", "none")
	put("key.change", "key", "create", worldKey)
	for _, name := range []string{"app", "operator", "auditor", "visitor"} {
		prefix := w.path(name + "-identity")
		cli("identity", "new", "--ca", w.path("ca"), "--uri", "spiffe://trial/"+name, "--out", prefix)
		home(name, "--cert", prefix+".crt", "--key", prefix+".key")
	}
	cli("key", "show", worldKey, "--home", w.path("app"), "--out", w.path("payroll.record"))
}

// setup gives a script its variables: who it is, unless it says otherwise, is the
// application.
func (w *world) setup(e *testscript.Env) error {
	for name, value := range map[string]string{
		"WORLD":          w.dir,
		"WARIFU_HOME":    w.path("app"),
		"DESK":           w.path("desk"),
		"OPERATOR":       w.path("operator"),
		"AUDITOR":        w.path("auditor"),
		"VISITOR":        w.path("visitor"),
		"CUSTODIAN":      w.path("custodian-1"),
		"OTHERCUSTODIAN": w.path("custodian-2"),
		"THIRDCUSTODIAN": w.path("custodian-3"),
		"PASS":           w.path("passphrase"),
		"GENESIS":        w.path("genesis"),
		"HASH":           w.cluster.Genesis().Signed().Hash().String(),
		"RECORD":         w.path("payroll.record"),
		"GORACE":         quickExit,
		"PATH":           w.path("bin") + string(filepath.ListSeparator) + e.Getenv("PATH"),
	} {
		e.Setenv(name, value)
	}
	if w.tokens != "" {
		e.Setenv(softhsm.ConfVariable, w.tokens)
	}
	return nil
}

// inToken makes custodian-3 in a SoftHSM token, whose PIN is the passphrase of the
// others. What it returns is public: its token is closed again.
func (w *world) inToken(t *testing.T) *custodian.Custodian {
	t.Helper()
	module, err := softhsm.Module()
	if err != nil {
		t.Fatal(err)
	}
	dir, name := w.path("custodian-tokens"), "custodian-3"
	if _, err := softhsm.NewToken(dir, name, passphrase, "so-pin"); err != nil {
		t.Fatal(err)
	}
	w.tokens = softhsm.Conf(dir)
	t.Setenv(softhsm.ConfVariable, w.tokens)
	if err := os.WriteFile(w.path("passphrase"), []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	args := []string{"custodian", "new", name, "--token", name, "--module", module, "--pin-file", w.path("passphrase"), "--out", w.path(name)}
	if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &errs); code != exitOK {
		t.Fatalf("warifu %s: exit code %d: %s", strings.Join(args, " "), code, &errs)
	}
	a := &app{errs: &errs}
	defer a.close()
	c, err := a.openCustodian(w.path(name), w.path("passphrase"), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// commands are those of every script, and those that need a cluster.
func (w *world) commands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	all := map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"json":    parses,
		"soon":    soon,
		"settled": w.settled,
		"signed":  w.signed,
		"forge":   w.forge,
		"foreign": w.foreign,
		"cert":    w.cert,
		"damage":  damage,
		"sweep":   w.sweep,
		"traced":  w.traced,
		"node":    w.node,
		"atnode":  w.atNode,
	}
	for name, command := range scriptCommands {
		all[name] = command
	}
	return all
}

// parses: the last stdout must be one JSON value and nothing else.
func parses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: json")
	}
	text := ts.ReadFile("stdout")
	if !json.Valid([]byte(text)) {
		ts.Fatalf("stdout is not one JSON value: %q", text)
	}
}

// settled: every node that runs, and is on the roster, has applied what any of them has
// now. What was taken stands at one node, and a moment later at the others, of which the
// next command may ask any: so one that does not answer is waited for as well.
func (w *world) settled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: settled")
	}
	var goal uint64
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var status struct {
			Nodes []struct {
				Node   string
				Status *struct {
					Index    uint64
					Warnings []string
				}
			}
		}
		var out, errs bytes.Buffer
		if code := run(context.Background(), []string{"status", "--home", w.path("operator"), "-o", "json"}, strings.NewReader(""), &out, &errs); code == exitOK {
			ts.Check(json.Unmarshal(out.Bytes(), &status))
		}
		var most, least uint64 = 0, math.MaxUint64
		silent := slices.DeleteFunc(w.cluster.IDs(), func(id string) bool { return w.cluster.PID(id) == 0 })
		for _, n := range status.Nodes {
			if n.Status == nil {
				continue
			}
			silent = slices.DeleteFunc(silent, func(id string) bool { return id == n.Node })
			// Who has left gets no entries any more, and says so.
			if !slices.Contains(n.Status.Warnings, "this node is not on the roster") {
				most, least = max(most, n.Status.Index), min(least, n.Status.Index)
			}
		}
		if goal == 0 && len(silent) == 0 {
			goal = most
		}
		if goal > 0 && least >= goal && least <= most && len(silent) == 0 {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("the nodes are at %d to %d, expected is %d, and %v say nothing: %s", least, most, goal, silent, &errs)
		}
	}
}

// soon CODE PATTERN COMMAND ARG...: the command is run until it ends with this
// exit code and a line that matches, or, after a !, with none that does: nodes apply
// what was taken one after the other.
func soon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: soon CODE PATTERN COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	wanted, without := strings.CutPrefix(args[1], "!")
	pattern, err := regexp.Compile("(?m)" + wanted)
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		got := 0
		if err := ts.Exec(args[2], args[3:]...); err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				ts.Fatalf("run %s: %v", args[2], err)
			}
			got = exit.ExitCode()
		}
		if got == want && pattern.MatchString(ts.ReadFile("stdout")+ts.ReadFile("stderr")) != without {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("exit code %d, expected %d and lines that match %s", got, want, args[1])
		}
	}
}

// signed FILE...: two custodians sign each change.
func (w *world) signed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: signed FILE...")
	}
	for _, file := range args {
		for _, c := range []string{"custodian-1", "custodian-2"} {
			ts.Check(ts.Exec("warifu", "change", "sign", file, "--home", w.path("desk"), "--custodian", w.path(c), "--passphrase-file", w.path("passphrase")))
		}
	}
}

// traced REASON KIND COUNT: records of this kind with the caller's words REASON
// stand in the audit of at least COUNT nodes, all with one request id; $TRACED is one of
// these nodes. It is asked soon after: nodes show their last records, and other scripts'
// requests are among them.
func (w *world) traced(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: traced REASON KIND COUNT")
	}
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	requests, found := map[string]bool{}, map[string]bool{}
	for _, id := range w.cluster.IDs() {
		soon(ts, false, []string{"0", "", "warifu", "audit", "tail", id, "--home", w.path("auditor"), "-n", "1000", "-o", "json"})
		var records []recordView
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &records))
		for _, r := range records {
			if r.Reason == args[0] && r.Kind == args[1] {
				requests[r.RequestID] = true
				found[id] = true
				ts.Setenv("TRACED", id)
			}
		}
	}
	if len(found) < count || len(requests) != 1 || requests[""] {
		ts.Fatalf("records of %v with the request ids %v", found, requests)
	}
}

// node VERB ID...: starts nodes (and waits until all serve), boots them (and does
// not), stops or kills them, or makes each of their files take no more.
func (w *world) node(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: node start|boot|stop|kill|full ID...")
	}
	for _, id := range args[1:] {
		switch args[0] {
		case "start", "boot":
			ts.Check(w.cluster.Restart(id))
		case "stop":
			ts.Check(w.cluster.Stop(id))
		case "kill":
			ts.Check(w.cluster.Kill(id))
		case "full":
			ts.Check(w.cluster.LimitFiles(id, 1))
		default:
			ts.Fatalf("no such verb: %s", args[0])
		}
	}
	if args[0] == "start" {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ts.Check(w.cluster.WaitServing(ctx))
	}
}

// atnode ID: the script goes on with this node's directory as $DIR and its token
// as what SoftHSM finds; $TOKENS is the directory of that.
func (w *world) atNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: atnode ID")
	}
	ts.Setenv("DIR", w.cluster.Dir(args[0]))
	ts.Setenv("PIN", w.cluster.PIN(args[0]))
	ts.Setenv(softhsm.ConfVariable, softhsm.Conf(w.cluster.TokenDir(args[0])))
}

// sweep STEP FILE: one bit of every STEP-th byte of an encrypted file is flipped
// in turn, and the file is cut there; each must be refused as bad input, or as of
// an unknown key when it is the key's id that was hit, without a plaintext.
func (w *world) sweep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sweep STEP FILE")
	}
	step, err := strconv.Atoi(args[0])
	ts.Check(err)
	good := []byte(ts.ReadFile(args[1]))
	refused := func(what string, at int, b []byte) {
		in, out := ts.MkAbs("swept.age"), ts.MkAbs("swept")
		ts.Check(os.WriteFile(in, b, 0o600))
		var text, errs bytes.Buffer
		code := run(context.Background(), []string{"decrypt", in, "--out", out, "--home", w.path("app")}, strings.NewReader(""), &text, &errs)
		_, missing := os.Stat(out)
		if code != exitInput && code != exitUnknownKey || missing == nil || text.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
			ts.Fatalf("%s at %d of %d: exit code %d, %v, %q", what, at, len(good), code, missing, &errs)
		}
	}
	for at := 0; at < len(good); at += step {
		altered := bytes.Clone(good)
		altered[at] ^= 1
		refused("altered", at, altered)
		refused("cut", at, good[:at])
	}
}

// damage FILE REGION: one bit is flipped in a region of an encrypted file.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE REGION")
	}
	b := []byte(ts.ReadFile(args[0]))
	index := func(mark string) int {
		i := bytes.Index(b, []byte(mark))
		if i < 0 {
			ts.Fatalf("no %q in %s", mark, args[0])
		}
		return i + len(mark)
	}
	context := index("-> warifu ")
	body := context + bytes.IndexByte(b[context:], '\n') + 1
	mac := index("\n--- ")
	nonce := mac + bytes.IndexByte(b[mac:], '\n') + 1
	const nonceSize = 16
	at, ok := map[string]int{
		"version": 0, "context": context + 4, "envelope": body + 40, "mac": mac + 7,
		"nonce": nonce + 3, "payload": nonce + nonceSize, "tag": len(b) - 1,
	}[args[1]]
	if !ok {
		ts.Fatalf("no such region: %s", args[1])
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}
