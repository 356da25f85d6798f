package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"warifu.dev/hsm/pkcs11/softhsm"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"warifud": main})
}

// TestScripts runs the shell sessions of testdata.
func TestScripts(t *testing.T) {
	module, err := softhsm.Module()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "token": token, "mode": mode, "edit": edit,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("MODULE", module)
			e.Setenv(softhsm.ConfVariable, softhsm.Conf(e.WorkDir+"/tokens"))
			return nil
		},
	})
}

// exits CODE COMMAND ARG...: the command must end with this exit code. A failure
// must be one line on stderr that begins with the program's name.
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
	line := ts.ReadFile("stderr")
	if got != 0 && (!strings.HasPrefix(lastLine(line), "warifud: ") || strings.Count(line, "\nwarifud: ")+strings.Count(line[:min(9, len(line))], "warifud: ") != 1) {
		ts.Fatalf("not one line that begins with \"warifud: \": %q", line)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return lines[len(lines)-1]
}

// token LABEL PIN: a SoftHSM token.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: token LABEL PIN")
	}
	_, err := softhsm.NewToken(ts.MkAbs("tokens"), args[0], args[1], "so-"+args[1])
	ts.Check(err)
}

// edit FILE OLD NEW: changes the pin_file of a node.toml.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	path, line := ts.MkAbs(args[0]), "pin_file = '"
	b, err := os.ReadFile(path)
	ts.Check(err)
	if !strings.Contains(string(b), line+args[1]+"'") {
		ts.Fatalf("no pin_file %q in\n%s", args[1], b)
	}
	ts.Check(os.WriteFile(path, []byte(strings.Replace(string(b), line+args[1]+"'", line+args[2]+"'", 1)), 0o600))
}

// mode OCTAL FILE: changes the mode.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	m, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[1]), os.FileMode(m)))
}

// Each error has one code, and each code a meaning in the help.
func TestEveryCodeIsDocumented(t *testing.T) {
	meant := map[int]bool{}
	for _, m := range exitMeanings {
		meant[m.code] = true
	}
	seen := map[error]int{}
	for _, row := range exitRows {
		if !meant[row.code] {
			t.Errorf("the code %d has no meaning", row.code)
		}
		for _, e := range row.errs {
			if other, twice := seen[e]; twice {
				t.Errorf("%v has the codes %d and %d", e, other, row.code)
			}
			seen[e] = row.code
			if got := exitCode(e); got != row.code {
				t.Errorf("%v ends with %d", e, got)
			}
		}
	}
	if exitCode(nil) != exitOK || exitCode(errors.New("else")) != exitUnexpected {
		t.Error("nothing, or something else")
	}
}
