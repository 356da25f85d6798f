//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Variable names the file that arms a step. Beside it, in a file whose name ends
// with Fired, the process says at which step it died.
const (
	Variable = "WARIFU_FAILPOINT"
	Fired    = ".fired"
	// Later ends the name of a third file: how far the process's clock is ahead, as
	// [time.ParseDuration] reads it.
	Later = ".ahead"
	// OffVariable names a loop that does not run in this process.
	OffVariable = "WARIFU_FAILPOINT_OFF"
)

var (
	armory = os.Getenv(Variable)
	mu     sync.Mutex
	order  string // what the file said last; guarded by mu
	hits   int    // steps of that name since; guarded by mu
)

// Step takes a step, unless the process is to die before it, or after it.
func Step(name string, do func() error) error {
	mode := armed(name)
	if mode == "failed" {
		die(name, mode)
	}
	err := do()
	switch {
	case mode != "persisted":
	case err == nil:
		die(name, mode)
	default: // it did not take place: the next one does
		mu.Lock()
		hits--
		mu.Unlock()
	}
	return err
}

// armed counts a hit, and returns the mode if it is the one.
func armed(name string) string {
	if armory == "" {
		return ""
	}
	b, err := os.ReadFile(armory)
	if err != nil {
		return ""
	}
	var step, mode string
	var nth int
	if _, err := fmt.Sscanf(string(b), "%s %s %d", &step, &mode, &nth); err != nil || step != name {
		return ""
	}
	mu.Lock()
	defer mu.Unlock()
	if string(b) != order {
		order, hits = string(b), 0
	}
	if hits++; hits != nth {
		return ""
	}
	return mode
}

func die(name, mode string) {
	fmt.Fprintf(os.Stderr, "failpoint %s %s\n", name, mode)
	_ = os.WriteFile(armory+Fired, []byte(name+" "+mode), 0o600)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// Off says whether a loop does not run, because a judge needs what it would take away.
func Off(loop string) bool { return os.Getenv(OffVariable) == loop }

// Ahead is how far a judge has put the process's clock ahead, so that nobody waits for an
// hour.
func Ahead() time.Duration {
	if armory == "" {
		return 0
	}
	b, err := os.ReadFile(armory + Later)
	if err != nil {
		return 0
	}
	by, _ := time.ParseDuration(string(b)) // what does not read is nothing
	return by
}
