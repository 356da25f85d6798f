package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What the kernel says of this process by its id agrees with what it says to it.
func TestCPUOfAProcess(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := ownCPU(); ownCPU()-began < 100*time.Millisecond; {
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used < 80*time.Millisecond {
		t.Errorf("100 ms of work count as %v", used)
	}
	if _, err := cpuOf(-1); err == nil {
		t.Error("a process that does not exist has used CPU")
	}
}

func TestNodesOfTheDemoAreFound(t *testing.T) {
	demo := t.TempDir()
	for id, pid := range map[string]string{"a": "12\n", "b": "34\n"} {
		dir := filepath.Join(demo, "nodes", id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(pid), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := NodePIDs(filepath.Join(demo, "app"))
	if err != nil || len(got) != 2 || got["a"] != 12 || got["b"] != 34 {
		t.Errorf("found %v, %v", got, err)
	}
	if got, err := NodePIDs(filepath.Join(t.TempDir(), "app")); err != nil || len(got) != 0 {
		t.Errorf("where no demo is, found %v, %v", got, err)
	}
}

func TestAHomeThatIsNoneIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Home(dir, nil); err == nil {
		t.Error("an empty directory is taken for a client's home")
	}
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), []byte(`{"genesis_hash":"zz"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Home(dir, nil); err == nil {
		t.Error("settings with a bad hash are taken")
	}
}
