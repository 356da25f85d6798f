//go:build !cgo

package pkcs11

import (
	"fmt"

	"warifu.dev/hsm"
)

// Open always fails with hsm.ErrModule: this program was built without cgo.
func Open(c Config) (hsm.Device, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open a token: %w", err)
	}
	return nil, fmt.Errorf("open a token: this program was built without cgo, which PKCS#11 needs: %w", hsm.ErrModule)
}
