package pkcs11

import (
	"fmt"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// Config says which token to open.
type Config struct {
	// Module is the path of the PKCS#11 library. Required.
	Module string
	// TokenLabel is the label of the token. Required, unless Serial is given.
	TokenLabel string
	// Serial pins the token: one of another serial is hsm.ErrWrongToken.
	// Optional; several tokens of one label need it.
	Serial string
	// PIN is the user's PIN. Required. Open takes a copy; the caller wipes its own.
	PIN secret.Bytes
}

func (c Config) validate() error {
	switch {
	case c.Module == "":
		return fmt.Errorf("no module is configured: %w", hsm.ErrModule)
	case c.TokenLabel == "" && c.Serial == "":
		return fmt.Errorf("neither label nor serial of a token is configured: %w", hsm.ErrNoToken)
	case c.PIN.Len() == 0:
		return fmt.Errorf("the PIN is empty and was not tried: %w", hsm.ErrWrongPIN)
	}
	return nil
}
