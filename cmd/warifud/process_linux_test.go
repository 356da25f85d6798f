package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// R34: a process that holds shares leaves no core file and opens to no debugger.
// It runs in a child, since nothing of it can be undone.
func TestHarden(t *testing.T) {
	const child = "WARIFUD_TEST_HARDEN"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHarden$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "hardened") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || before != 1 {
		t.Fatalf("dumpable before: %d, %v; the test shows nothing", before, err)
	}
	warning, err := harden()
	if err != nil {
		t.Fatal(err)
	}
	if after, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || after != 0 {
		t.Errorf("dumpable after: %d, %v", after, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		t.Errorf("core limit %+v, %v", core, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, locked, _ := strings.Cut(string(status), "VmLck:")
	locked, _, _ = strings.Cut(locked, "\n")
	if none := strings.Fields(locked)[0] == "0"; none != (warning != "") {
		t.Errorf("locked %q, warned %q", locked, warning)
	}
	t.Log("hardened")
}
