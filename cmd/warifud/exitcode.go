package main

import (
	"errors"

	"warifu.dev/hsm"
	"warifu.dev/node"
)

// Exit codes of warifud, as in docs/operations.md.
const (
	exitUnexpected = 1
	exitConfig     = 2 // usage, node.toml, genesis
	exitInUse      = 3 // another daemon runs on this directory, or it is a node already
	exitModes      = 4 // file modes are too loose
	exitToken      = 5 // wrong PIN, wrong token, no token, unsafe template
)

func exitCode(err error) int {
	for _, row := range []struct {
		code int
		errs []error
	}{
		{exitInUse, []error{node.ErrInUse, node.ErrNotEmpty}},
		{exitModes, []error{node.ErrLooseMode}},
		{exitToken, []error{
			hsm.ErrWrongPIN, hsm.ErrPINLocked, hsm.ErrNoToken, hsm.ErrWrongToken, hsm.ErrTokenInUse,
			hsm.ErrModule, hsm.ErrTemplate, node.ErrWrongToken, node.ErrIdentity,
		}},
		{exitConfig, []error{node.ErrConfig, node.ErrNoGenesis, node.ErrGenesis}},
	} {
		for _, e := range row.errs {
			if errors.Is(err, e) {
				return row.code
			}
		}
	}
	return exitUnexpected
}
