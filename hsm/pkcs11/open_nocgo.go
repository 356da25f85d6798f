//go:build !cgo

package pkcs11

import (
	"fmt"

	"warifu.dev/hsm"
)

// Open always fails with hsm.ErrModule: this program was built without cgo.
func Open(c Config) (hsm.Device, error) { return nil, withoutCgo(c) }

// OpenPairs always fails as [Open] does.
func OpenPairs(c Config) (hsm.Pairs, error) { return nil, withoutCgo(c) }

func withoutCgo(c Config) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("open a token: %w", err)
	}
	return fmt.Errorf("open a token: this program was built without cgo, which PKCS#11 needs: %w", hsm.ErrModule)
}
