package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/authority"
	"warifu.dev/hsm/pkcs11/softhsm"
)

func TestMain(m *testing.M) {
	callTimeout = 20 * time.Second // five nodes and what asks them may share one busy core
	testscript.Main(m, map[string]func(){"warifu": func() { os.Exit(runMain()) }})
}

// TestScripts runs the shell sessions of testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Cmds: scriptCommands, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("WARIFU_HOME", e.WorkDir+"/home")
			e.Setenv("GORACE", quickExit)
			return nil
		},
	})
}

// quickExit keeps the race detector from sleeping for a second at the end of each
// process.
const quickExit = "atexit_sleep_ms=0"

// scriptCommands are what our scripts have beside testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":     exits,
	"capture":   capture,
	"mode":      mode,
	"alter":     alter,
	"cut":       cut,
	"nodeline":  nodeline,
	"softtoken": softToken,
	"openkey":   openKey,
	"born":      born,
	"audited":   audited,
	"anchored":  anchored,
	"frames":    frames,
}

// exits CODE COMMAND ARG...: the command must end with this exit code, and not in a
// panic. A failure of warifu must be one line on stderr that begins with its name;
// one of warifud ends with such a line.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, expected %d", got, want)
	}
	said := ts.ReadFile("stderr")
	if strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") {
		ts.Fatalf("%s panics: %s", args[1], said)
	}
	name := args[1] + ": "
	switch {
	case got == 0:
	case args[1] == "warifu":
		if !strings.HasPrefix(said, name) || strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, "\n") {
			ts.Fatalf("not one line that begins with %q: %q", name, said)
		}
	case args[1] == "warifud": // which logs before
		lines := strings.Split(strings.TrimSuffix(said, "\n"), "\n")
		if !strings.HasPrefix(lines[len(lines)-1], name) {
			ts.Fatalf("the last line does not begin with %q: %q", name, said)
		}
	}
}

// capture NAME PATTERN: the first group of PATTERN, in the last stdout, becomes
// the variable NAME.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("stdout does not match %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// mode OCTAL FILE...: the files must have this mode.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL FILE...")
	}
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has the mode %s, expected %s", file, got, args[0])
		}
	}
}

// alter FILE OFFSET: one bit of the byte at OFFSET is flipped; from the end if
// negative.
func alter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: alter FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// cut FILE COUNT: the last COUNT bytes are cut off.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE COUNT")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-n]), 0o600))
}

// nodeline ID REGION FILE: FILE becomes the roster line of a node that nobody
// runs, FILE.key its identity key.
func nodeline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: nodeline ID REGION FILE")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	signer, err := authority.NewSigner(key)
	ts.Check(err)
	// Port 9 of this machine: nobody is there.
	claim, err := authority.SignClaim(rand.Reader, signer, authority.AddressClaim{Node: args[0], Counter: 1, Client: "127.0.0.1:9", Peer: "127.0.0.1:9"})
	ts.Check(err)
	line := authority.FormatNode(authority.Node{ID: args[0], Region: args[1], Key: signer.PublicKey(), Claim: claim})
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(line+"\n"), 0o644))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]+".key"), der, 0o600))
}

// softtoken LABEL PINFILE: a SoftHSM token of this label and PIN, beside those that the
// script has, and $MODULE, which speaks to it.
func softToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: softtoken LABEL PINFILE")
	}
	module, err := softhsm.Module()
	ts.Check(err)
	dir := ts.MkAbs("tokens")
	pin, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	_, err = softhsm.NewToken(dir, args[0], pin, "so-pin")
	ts.Check(err)
	ts.Setenv(softhsm.ConfVariable, softhsm.Conf(dir))
	ts.Setenv("MODULE", module)
}

// openkey LINE OUT KEY: OUT becomes the custodian's line LINE with another opening key.
func openKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: openkey LINE OUT KEY")
	}
	c, err := authority.ParseCustodian(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	c.Open = args[2]
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(authority.FormatCustodian(c)+"\n"), 0o644))
}

// born GENESIS CHANGE RECORD NODEKEY...: RECORD becomes the record of the key that
// CHANGE orders, signed by the nodes whose keys are given.
func born(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: born GENESIS CHANGE RECORD NODEKEY...")
	}
	_, g, err := authority.ParseSignedGenesis([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	e, err := authority.ParseEntry([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	c, err := authority.VerifyChange(g, e)
	ts.Check(err)
	o, err := authority.ParseOrder(c)
	ts.Check(err)
	s := authority.SignedRecord{Record: dealtRecord(ts, g, e, o)}
	for _, file := range args[3:] {
		key, err := x509.ParsePKCS8PrivateKey([]byte(ts.ReadFile(file)))
		ts.Check(err)
		signer, err := authority.NewSigner(key.(*ecdsa.PrivateKey))
		ts.Check(err)
		sig, err := authority.SignRecord(rand.Reader, signer, &s.Record)
		ts.Check(err)
		s.Signatures = append(s.Signatures, sig)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), s.Encode(), 0o644))
}
