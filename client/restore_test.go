package client

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// What an offer of a restore must be is tried where one is made (node:
// TestWhatARestoreAsksForIsVerified).
func FuzzParseRestoreOffer(f *testing.F) {
	f.Add([]byte{0xa3, 1, 0x40, 2, 0xa0, 3, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseRestoreOffer(b, api.Digest{1}); !errors.Is(err, authority.ErrRestoreOffer) {
			t.Errorf("of a cluster that nobody has: %v", err)
		}
	})
}
