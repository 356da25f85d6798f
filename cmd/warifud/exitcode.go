package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"warifu.dev/authority"
	"warifu.dev/backup"
	"warifu.dev/hsm"
	"warifu.dev/node"
)

// Exit codes of warifud. Numbers are never used again for another meaning.
const (
	exitOK         = 0
	exitUnexpected = 1
	exitConfig     = 2
	exitInUse      = 3
	exitModes      = 4
	exitToken      = 5
	exitCheck      = 6
)

var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "done, or stopped because it was told to"},
	{exitUnexpected, "something unexpected; the line on stderr says what"},
	{exitConfig, "the command line, node.toml, the PIN file or the genesis document is missing or wrong; or the directory is a copy"},
	{exitInUse, "another daemon runs on this directory, or directory or token belong to a node already"},
	{exitModes, "file modes are too loose"},
	{exitToken, "the token: wrong PIN (tried once), another token, none, unsafe keys, or what it sealed was altered"},
	{exitCheck, "check: something is not as the node needs it; try, restore: the backup is damaged, or its shares are of no use, or go elsewhere; the output says what"},
}

// exitRows lead from an error to its code; the first that fits counts.
var exitRows = []struct {
	code int
	errs []error
}{
	{exitCheck, []error{
		errCheck, errUseless, node.ErrDead, node.ErrMisfit, backup.ErrBackup, authority.ErrRecord,
		authority.ErrAdopt, node.ErrOtherBackup, node.ErrNotTaker, node.ErrLeftOver, node.ErrPieces, node.ErrNoLock, authority.ErrRestoreOffer, node.ErrUnborn, node.ErrSameToken,
	}},
	{exitInUse, []error{node.ErrInUse, node.ErrNotEmpty, node.ErrTokenTaken, hsm.ErrTokenInUse}},
	{exitModes, []error{node.ErrLooseMode}},
	{exitToken, []error{
		hsm.ErrWrongPIN, hsm.ErrPINLocked, hsm.ErrNoToken, hsm.ErrWrongToken,
		hsm.ErrModule, hsm.ErrTemplate, node.ErrWrongToken, node.ErrIdentity, node.ErrKeyring,
	}},
	{exitConfig, []error{errUsage, node.ErrConfig, node.ErrNoGenesis, node.ErrGenesis, node.ErrCopied}},
}

// errUsage means that the command line is wrong.
var errUsage = errors.New("usage")

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	for _, row := range exitRows {
		for _, e := range row.errs {
			if errors.Is(err, e) {
				return row.code
			}
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) && errors.Is(err, fs.ErrNotExist) {
		return exitConfig
	}
	return exitUnexpected
}

func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every failure is one line on stderr that begins with \"warifud: \", and one of these codes:\n\n")
	for _, m := range exitMeanings {
		fmt.Fprintf(&b, "  %2d  %s\n", m.code, m.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What each exit code means", Long: strings.TrimRight(b.String(), "\n")}
}
