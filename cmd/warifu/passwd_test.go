package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/custodian"
)

func sealedFor(t *testing.T, c *custodian.Custodian, passphrase string) []byte {
	t.Helper()
	b, err := c.SealCost(secret.New([]byte(passphrase)), minWorkFactor)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCustodian(t *testing.T, name string) *custodian.Custodian {
	t.Helper()
	c, err := custodian.Create(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The old file goes only when the new one has been opened and holds the same keys.
func TestWhatDoesNotReadBackReplacesNothing(t *testing.T) {
	const old, next = "six words of the old one", "six words of the new one"
	alice := newCustodian(t, "alice")
	good := sealedFor(t, alice, next)
	for _, row := range []struct {
		name   string
		sealed []byte
		want   error
	}{
		{"under another passphrase than was typed", sealedFor(t, alice, old), custodian.ErrPassphrase},
		{"the keys of somebody else", sealedFor(t, newCustodian(t, "bob"), next), errReadBack},
		{"other keys of the same name", sealedFor(t, newCustodian(t, "alice"), next), errReadBack},
		{"half of it", good[:len(good)/2], custodian.ErrFile},
		{"nothing", nil, custodian.ErrFile},
		{"the same keys under the new passphrase", good, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			file, was := filepath.Join(dir, "alice"), sealedFor(t, alice, old)
			if err := os.WriteFile(file, was, 0o600); err != nil {
				t.Fatal(err)
			}
			err := writeSealed(file, true, row.sealed, alice, secret.New([]byte(next)))
			if !errors.Is(err, row.want) || row.want != nil && (!errors.Is(err, errReadBack) || codeOf(err) != exitLocal) {
				t.Fatalf("%v, expected %v", err, row.want)
			}
			is, _ := os.ReadFile(file)
			if row.want != nil && !bytes.Equal(is, was) || row.want == nil && !bytes.Equal(is, row.sealed) {
				t.Error("another file is there")
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%d files are left", len(left))
			}
		})
	}
}

// Killed at any moment, there is a file that opens: by the old passphrase or the new one.
func TestAPasswdThatDiesLosesNothing(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	alice := newCustodian(t, "alice")
	phrases := []string{"six words of the old one", "six words of the new one"}
	for i, name := range []string{"old", "new"} {
		if err := os.WriteFile(at(name), []byte(phrases[i]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outcome := map[string]int{}
	// From before the process reads a file to after it has ended on an idle machine.
	for wait := time.Duration(0); wait < 60*time.Millisecond || outcome["new"] == 0 && wait < 5*time.Second; wait += 2 * time.Millisecond {
		if err := os.WriteFile(at("alice"), sealedFor(t, alice, phrases[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("warifu", "custodian", "passwd", at("alice"), "--passphrase-file", at("old"), "--new-passphrase-file", at("new"), "--work-factor", "10")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
		_ = c.Process.Kill()
		_ = c.Wait()
		b, err := os.ReadFile(at("alice"))
		if err != nil {
			t.Fatal(err)
		}
		opened := ""
		for i, name := range []string{"old", "new"} {
			if again, err := custodian.Open(b, secret.New([]byte(phrases[i]))); err == nil && sameKeys(alice, again) {
				opened = name
			}
		}
		if opened == "" {
			t.Fatalf("killed after %v, the file opens by neither passphrase", wait)
		}
		outcome[opened]++
	}
	if outcome["old"] == 0 || outcome["new"] == 0 {
		t.Errorf("all were killed too early, or too late: %v", outcome)
	}
}
