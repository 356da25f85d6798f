//go:build !cgo

package pkcs11

import (
	"errors"
	"strings"
	"testing"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// A program that was built without cgo says so, and what for it would be needed.
func TestWithoutCgoTokensAreRefusedByName(t *testing.T) {
	c := Config{Module: "/usr/lib/softhsm/libsofthsm2.so", TokenLabel: "card", PIN: secret.New([]byte("1234"))}
	_, device := Open(c)
	_, pairs := OpenPairs(c)
	for name, err := range map[string]error{"a device": device, "key pairs": pairs} {
		if !errors.Is(err, hsm.ErrModule) || !strings.Contains(err.Error(), "built without cgo") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
