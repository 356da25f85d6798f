package softhsm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ConfVariable names the variable by which SoftHSM finds its configuration.
const ConfVariable = "SOFTHSM2_CONF"

const tool = "softhsm2-util"

// Conf is the path of the configuration that NewToken writes into dir.
func Conf(dir string) string { return filepath.Join(dir, "softhsm2.conf") }

// slotLine is how softhsm2-util says where it put the token.
var slotLine = regexp.MustCompile(`slot (\d+)`)

// NewToken makes a token in dir, which it creates and configures if need be,
// and returns the token's serial number. A PIN has 4 to 255 bytes. Several
// tokens may live in one directory; one process sees one directory.
//
// The PINs pass through the arguments of a process, where other users of the
// machine can read them: for tests and the demo only.
func NewToken(dir, label, pin, soPIN string) (serial string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the SoftHSM token %q in %s: %w", label, dir, err)
		}
	}()
	module, err := Module()
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := configure(dir); err != nil {
		return "", err
	}
	out, err := run(dir, "--module", module, "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", soPIN)
	if err != nil {
		return "", err
	}
	slot := slotLine.FindStringSubmatch(out)
	if slot == nil {
		return "", fmt.Errorf("%s did not name the slot: %q", tool, out)
	}
	if out, err = run(dir, "--module", module, "--show-slots"); err != nil {
		return "", err
	}
	if serial = serialOf(out, slot[1]); serial == "" {
		return "", fmt.Errorf("%s does not show the token in slot %s", tool, slot[1])
	}
	return serial, nil
}

// configure writes the configuration of dir, once.
func configure(dir string) error {
	tokens := filepath.Join(dir, "tokens")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(Conf(dir)); err == nil {
		return nil
	}
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens)
	return os.WriteFile(Conf(dir), []byte(text), 0o600)
}

// run runs softhsm2-util on the tokens of dir and returns what it printed.
func run(dir string, args ...string) (string, error) {
	path, err := exec.LookPath(tool)
	if err != nil {
		return "", fmt.Errorf("%s is not on PATH: %w", tool, ErrMissing)
	}
	cmd := exec.Command(path, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, ConfVariable+"=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, ConfVariable+"="+Conf(dir))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", tool, err, bytes.TrimSpace(append(out, stderr.Bytes()...)))
	}
	return string(out), nil
}

// serialOf finds the serial number of the token in a slot among what
// softhsm2-util --show-slots prints.
func serialOf(slots, slot string) string {
	here := false
	for line := range strings.Lines(slots) {
		if n, ok := strings.CutPrefix(line, "Slot "); ok {
			here = strings.TrimSpace(n) == slot
		}
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Serial number:"); ok && here {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
