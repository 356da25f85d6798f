package softhsm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokensInOneDirectoryHaveSerialsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	a, err := NewToken(dir, "same", "1234", "5678")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewToken(dir, "same", "1234", "5678")
	if err != nil {
		t.Fatal(err)
	}
	if a == "" || a == b {
		t.Fatalf("serials %q and %q", a, b)
	}
	if info, err := os.Stat(Conf(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("configuration: %v %v", info, err)
	}
}

func TestATokenWithAShortPINIsRefused(t *testing.T) {
	if _, err := NewToken(t.TempDir(), "x", "1", "5678"); err == nil {
		t.Fatal("a PIN of one digit was taken")
	}
}

func TestAModuleThatIsNotThereIsNotReplacedByAGuess(t *testing.T) {
	t.Setenv(ModuleVariable, filepath.Join(t.TempDir(), "none.so"))
	if _, err := Module(); !errors.Is(err, ErrMissing) {
		t.Fatalf("got %v", err)
	}
	if _, err := NewToken(t.TempDir(), "x", "1234", "5678"); !errors.Is(err, ErrMissing) {
		t.Fatalf("got %v", err)
	}
}

// The shell and Go look in the same places.
func TestTheScriptFindsTheSameModule(t *testing.T) {
	script := filepath.Join("..", "..", "..", "script", "deps")
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		if !strings.Contains(string(text), place) {
			t.Errorf("script/deps does not look in %s", place)
		}
	}
	want, err := Module()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(script, "--module").Output()
	if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
		t.Fatalf("script/deps --module says %q (%v), Module %q", got, err, want)
	}
}
