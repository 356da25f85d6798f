package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const unit = "../../packaging/warifud.service"

// The unit says what the daemon needs, and does not try again what another try only
// makes worse.
func TestTheUnitFitsTheDaemon(t *testing.T) {
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		fmt.Sprintf("RestartPreventExitStatus=%d %d %d %d", exitConfig, exitInUse, exitModes, exitToken),
		"Restart=on-failure", "LimitMEMLOCK=infinity", "LimitCORE=0", "UMask=0077", "StateDirectoryMode=0700",
		"LoadCredential=pin:/etc/warifu/pin", `#   pin_file = "$` + credentials + `/pin"`, "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=",
	} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the unit lacks the line %s", line)
		}
	}
}

// Where systemd is installed, it has nothing to say against the unit, and counts it
// among the well protected ones: 10 is no protection, 0 all there is.
func TestSystemdTakesTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the lines above are all that is tried")
		return
	}
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "warifud.service")
	text := strings.Replace(string(b), "/usr/local/bin/warifud", self, 1) // verify wants to find it
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", at).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", at).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
	t.Log(regexp.MustCompile(`Overall exposure.*`).FindString(string(out)))
}
