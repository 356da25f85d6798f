package softhsm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// system is a PATH of stand-ins: what script/deps sees of a machine on which
// SoftHSM is missing.
type system map[string]string // name of a command: what it does, in sh

// deps runs script/deps on a system and returns what it says and its exit code.
func (s system) deps(t *testing.T, env ...string) (string, int) {
	t.Helper()
	return s.depsFor(t, nil, env...)
}

// depsFor is deps with arguments.
func (s system) depsFor(t *testing.T, args []string, env ...string) (string, int) {
	t.Helper()
	bin := t.TempDir()
	for name, does := range s {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs(filepath.Join("..", "..", "..", "script", "deps"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", append([]string{script}, args...)...) // stdin is /dev/null
	cmd.Env = append([]string{"PATH=" + bin, "BIN=" + bin}, env...)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// with adds to what every system here has: Go, a C compiler, env, id and uname.
func with(more system) system {
	s := system{
		"go":  `case "$2" in GOVERSION) echo go1.26.4 ;; CC) echo cc ;; esac`,
		"cc":  "exit 0",
		"env": "exec /usr/bin/env \"$@\"",
		"id":  "echo 1000",

		"uname": "echo Linux",
	}
	for name, does := range more {
		s[name] = does
	}
	return s
}

// module is a file that stands in for the module, so that the machine's own
// does not matter.
func module(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.so")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return ModuleVariable + "=" + path
}

// apt stands in for apt-get: an install puts softhsm2-util on PATH.
const apt = `case "$*" in *install*) echo '#!/bin/sh' > "$BIN/softhsm2-util"; /bin/chmod +x "$BIN/softhsm2-util" ;; esac`

func TestDeps(t *testing.T) {
	tests := []struct {
		story string
		on    system
		exit  int
		says  []string // none: it is quiet
		never string
	}{
		{"all is there and it is quiet", with(system{"softhsm2-util": ""}), 0, nil, ""},
		{
			"root on Debian gets it installed", with(system{"apt-get": apt, "id": "echo 0"}), 0,
			[]string{"+ env DEBIAN_FRONTEND=noninteractive apt-get", "install softhsm2"},
			"sudo",
		},
		{
			"sudo without a password installs it too", with(system{"apt-get": apt, "sudo": `[ "$1" = -n ] && shift; "$@"`}), 0,
			[]string{"+ sudo -n env", "install softhsm2"},
			"",
		},
		{
			"sudo with a password and no terminal: the line", with(system{"apt-get": apt, "sudo": "exit 1"}), 3,
			[]string{"sudo apt-get install -y softhsm2", "make demo HSM=soft"},
			"+ ",
		},
		{
			"no sudo at all: the line", with(system{"apt-get": apt}), 3,
			[]string{"apt-get install -y softhsm2", "make demo HSM=soft"},
			"sudo",
		},
		{
			"no network: it says so and offers the soft device", with(system{"apt-get": "exit 100", "id": "echo 0"}), 1,
			[]string{"update", "network", "make demo HSM=soft"},
			"",
		},
		{
			"an installation that installed nothing is noticed", with(system{"apt-get": "exit 0", "id": "echo 0"}), 1,
			[]string{"Still missing"},
			"",
		},
		{"Fedora: the exact line", with(system{"dnf": "exit 9"}), 3, []string{"    sudo dnf install -y softhsm\n"}, ""},
		{"Arch: the exact line", with(system{"pacman": "exit 9"}), 3, []string{"    sudo pacman -S --needed softhsm\n"}, ""},
		{"Homebrew: the exact line", with(system{"brew": "exit 9"}), 3, []string{"    brew install softhsm\n"}, ""},
		{"the compiler is missing as well", with(system{"dnf": "exit 9", "cc": "exit 1"}), 3, []string{"sudo dnf install -y gcc softhsm\n"}, ""},
		{"Go is too old", with(system{"go": "echo go1.19", "apt-get": "exit 9"}), 3, []string{"go.dev/dl"}, "+ "},
		{"nothing we know installs packages", with(nil), 3, []string{"no package manager", ModuleVariable}, ""},
	}
	for _, test := range tests {
		t.Run(test.story, func(t *testing.T) {
			out, exit := test.on.deps(t, module(t))
			if exit != test.exit {
				t.Errorf("exit %d, want %d", exit, test.exit)
			}
			if test.says == nil && out != "" {
				t.Error("it is not quiet")
			}
			for _, words := range test.says {
				if !strings.Contains(out, words) {
					t.Errorf("it does not say %q", words)
				}
			}
			if test.never != "" && strings.Contains(out, test.never) {
				t.Errorf("it says %q", test.never)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// What only the tests need is asked for by name, and never for the demo.
func TestDepsOfTheTests(t *testing.T) {
	tests := []struct {
		story string
		on    system
		args  []string
		exit  int
		says  []string // none: it is quiet
	}{
		{"the demo needs none of it", with(system{"softhsm2-util": ""}), nil, 0, nil},
		{"all is there and it is quiet", with(system{"softhsm2-util": "", "age": "", "python3": "", "strace": ""}), []string{"--test"}, 0, nil},
		{"Debian: the line", with(system{"softhsm2-util": "", "apt-get": apt}), []string{"--test"}, 3, []string{"apt-get install -y age python3 strace\n"}},
		{"Fedora: the exact line", with(system{"softhsm2-util": "", "dnf": "exit 9"}), []string{"--test"}, 3, []string{"    sudo dnf install -y age python3 strace\n"}},
		{"Arch: the exact line", with(system{"pacman": "exit 9"}), []string{"--test"}, 3, []string{"    sudo pacman -S --needed softhsm age python strace\n"}},
		{"Homebrew: only one is missing", with(system{"softhsm2-util": "", "python3": "", "uname": "echo Darwin", "brew": "exit 9"}), []string{"--test"}, 3, []string{"    brew install age\n"}},
		{"an argument that is none", with(nil), []string{"--tests"}, 2, []string{"usage"}},
	}
	for _, test := range tests {
		t.Run(test.story, func(t *testing.T) {
			out, exit := test.on.depsFor(t, test.args, module(t))
			if exit != test.exit || test.says == nil && out != "" {
				t.Errorf("exit %d, want %d: %s", exit, test.exit, out)
			}
			for _, words := range test.says {
				if !strings.Contains(out, words) {
					t.Errorf("it does not say %q: %s", words, out)
				}
			}
			if !strings.Contains(strings.Join(test.says, ""), "softhsm") && strings.Contains(out, "HSM=soft") {
				t.Errorf("it offers to do without what is there: %s", out)
			}
		})
	}
}

func TestDepsDoesNotInstallOverAWrongModule(t *testing.T) {
	out, exit := with(system{"apt-get": "exit 9", "softhsm2-util": ""}).deps(t, ModuleVariable+"=/none.so")
	if exit != 3 || !strings.Contains(out, "/none.so") || strings.Contains(out, "+ ") {
		t.Fatalf("exit %d: %s", exit, out)
	}
}
