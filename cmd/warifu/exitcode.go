package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/auditor"
	"warifu.dev/authority"
	"warifu.dev/backup"
	"warifu.dev/certificate"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/client/home"
	"warifu.dev/hsm"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/sharing/custodian"
	"warifu.dev/sharing/pieces"

	"github.com/spf13/cobra"
)

// exitCode is what a script sees of a failure. Numbers are never used again for
// another meaning.
type exitCode int

const (
	exitOK              exitCode = 0
	exitUnexpected      exitCode = 1
	exitUsage           exitCode = 2
	exitDenied          exitCode = 3
	exitUnauthenticated exitCode = 4
	exitQuorum          exitCode = 5
	exitInput           exitCode = 6
	exitUnknownKey      exitCode = 7
	exitAuthority       exitCode = 8
	exitUnknownOutcome  exitCode = 9
	exitLocal           exitCode = 10
	exitCheck           exitCode = 11
)

var exitMeanings = []struct {
	code    exitCode
	meaning string
}{
	{exitOK, "done"},
	{exitUnexpected, "something unexpected; the line on stderr says what"},
	{exitUsage, "the command line is wrong; nothing was done"},
	{exitDenied, "denied: the signed policy does not permit it, or not without a grant; or the key's state does not"},
	{exitUnauthenticated, "unauthenticated: a stranger's certificate, an expired one, or a wrong passphrase"},
	{exitQuorum, "quorum unavailable: too few nodes answered; each one's reason is on the line"},
	{exitInput, "the input is altered, truncated, malformed, of another context, or does not parse"},
	{exitUnknownKey, "unknown key"},
	{exitAuthority, "too few custodian signatures, or the ledger refused the entry"},
	{exitUnknownOutcome, "outcome unknown, or timed out: run it again, a change is taken only once"},
	{exitLocal, "trouble with a local file or token: missing, too loose a mode, there already, disk full"},
	{exitCheck, "what was to be so is not (policy test, policy lint, unseal, doctor, audit of a node that is missing, a key that is not gone); the output says what"},
}

func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every failure is one line on stderr that begins with \"warifu: \", and one of these codes:\n\n")
	for _, m := range exitMeanings {
		fmt.Fprintf(&b, "  %2d  %s\n", m.code, m.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What each exit code means", Long: strings.TrimRight(b.String(), "\n")}
}

// failure is an error whose exit code the place that made it knows best.
type failure struct {
	code exitCode
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail makes a [failure]; format may wrap an error with %w.
func fail(code exitCode, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// refusalCodes gives each code of the protocol its exit code.
var refusalCodes = map[api.Code]exitCode{
	api.CodeUnauthenticated: exitUnauthenticated,
	api.CodeDenied:          exitDenied,
	api.CodeGrant:           exitDenied,
	api.CodeSlot:            exitDenied,
	api.CodeRate:            exitQuorum,
	api.CodeKeyState:        exitDenied,
	api.CodeInterval:        exitQuorum,
	api.CodeMalformed:       exitInput,
	api.CodeEnvelope:        exitInput,
	api.CodePiece:           exitInput,
	api.CodeSealed:          exitQuorum,
	api.CodeUnborn:          exitQuorum,
	api.CodeStale:           exitQuorum,
	api.CodeFork:            exitQuorum,
	api.CodeNoShare:         exitQuorum,
	api.CodeAudit:           exitQuorum,
	api.CodeOverloaded:      exitQuorum,
	api.CodeUnknownKey:      exitUnknownKey,
	api.CodeRefusedEntry:    exitAuthority,
	api.CodeUnknownOutcome:  exitUnknownOutcome,
	api.CodeInternal:        exitUnexpected,
}

// exitBySentinel is read from the top: the first that fits decides.
var exitBySentinel = []struct {
	err  error
	code exitCode
}{
	{client.ErrUnknownOutcome, exitUnknownOutcome},
	{client.ErrRefusedEntry, exitAuthority},
	{client.ErrNoProposal, exitAuthority},
	{client.ErrNotOrdered, exitUnknownKey},
	{client.ErrAnotherKey, exitInput},
	{client.ErrImportAbandoned, exitQuorum},
	{errScalar, exitInput},
	{client.ErrParted, exitQuorum},
	{client.ErrEnvelope, exitInput},
	{client.ErrKeyPoints, exitInput},
	{client.ErrKeyState, exitDenied},
	{client.ErrSymmetric, exitUsage},
	{client.ErrAsymmetric, exitUsage},
	{client.ErrNoPrincipal, exitUnauthenticated},
	{client.ErrBranch, exitUsage},
	{authority.ErrKeyLife, exitInput},
	{authority.ErrDestroy, exitInput},
	{certificate.ErrCertificate, exitInput},
	{authority.ErrDataset, exitInput},
	{client.ErrNoEscrow, exitUnknownKey},
	{client.ErrNotKeeper, exitUnauthenticated},
	{client.ErrEscrowShort, exitInput},
	{client.ErrEscrow, exitInput},
	{client.ErrHanded, exitInput},
	{authority.ErrEscrow, exitInput},
	{authority.ErrRestoreOffer, exitInput},
	{client.ErrNoPiece, exitInput},
	{authority.ErrKeyAt, exitInput},
	{client.ErrUnknownNode, exitUsage},
	{agefile.ErrStanza, exitInput},
	{agefile.ErrFileKey, exitInput},
	{agefile.ErrNotAge, exitInput},
	{agefile.ErrHeaderMAC, exitInput},
	{home.ErrNone, exitLocal},
	{home.ErrNoIdentity, exitLocal},
	{home.ErrSettings, exitInput},
	{home.ErrOtherGenesis, exitInput},
	{home.ErrIdentity, exitInput},
	{home.ErrOtherKey, exitInput},
	{home.ErrExposed, exitLocal},
	{home.ErrNoFile, exitLocal},
	{home.ErrTooLarge, exitInput},
	{custodian.ErrPassphrase, exitUnauthenticated},
	{custodian.ErrInToken, exitUsage},
	{hsm.ErrWrongPIN, exitUnauthenticated},
	{hsm.ErrPINLocked, exitUnauthenticated},
	{hsm.ErrModule, exitLocal},
	{hsm.ErrNoToken, exitLocal},
	{hsm.ErrWrongToken, exitLocal},
	{hsm.ErrTokenInUse, exitLocal},
	{hsm.ErrPairExists, exitLocal},
	{hsm.ErrNoPair, exitLocal},
	{hsm.ErrTemplate, exitLocal},
	{hsm.ErrDevice, exitLocal},
	{hsm.ErrLabel, exitInput},
	{errOtherKeys, exitLocal},
	{errWritable, exitLocal},
	{errHandle, exitInput},
	{custodian.ErrFile, exitInput},
	{custodian.ErrName, exitInput},
	{authority.ErrTooFewSignatures, exitAuthority},
	{authority.ErrGenesis, exitInput},
	{authority.ErrChange, exitInput},
	{authority.ErrGrant, exitInput},
	{authority.ErrEntry, exitInput},
	{authority.ErrProposal, exitInput},
	{authority.ErrCustody, exitInput},
	{authority.ErrMembership, exitInput},
	{authority.ErrStranded, exitAuthority},
	{authority.ErrStatement, exitInput},
	{authority.ErrOrder, exitInput},
	{authority.ErrRecord, exitInput},
	{authority.ErrSignature, exitInput},
	{authority.ErrPublicKey, exitInput},
	{api.ErrName, exitInput},
	{api.ErrContext, exitInput},
	{api.ErrIdentifier, exitInput},
	{policy.ErrBadDocument, exitInput},
	{policy.ErrBadCases, exitInput},
	{pieces.ErrPiece, exitInput},
	{pieces.ErrOtherSet, exitInput},
	{pieces.ErrTwice, exitInput},
	{pieces.ErrTooFew, exitInput},
	{pieces.ErrSecret, exitInput},
	{audit.ErrBadRecord, exitInput},
	{audit.ErrBadCheckpoint, exitInput},
	{audit.ErrDamaged, exitInput},
	{audit.ErrNothingToArchive, exitInput},
	{audit.ErrOtherLog, exitInput},
	{auditor.ErrNoExport, exitInput},
	{auditor.ErrOtherExport, exitLocal},
	{auditor.ErrGenesis, exitInput},
	{auditor.ErrTooMuch, exitUsage},
	{audit.ErrOtherArchive, exitLocal},
	{audit.ErrLocked, exitLocal},
	{audit.ErrLooseMode, exitLocal},
	{audit.ErrReadOnly, exitLocal},
	{backup.ErrBackup, exitInput},
	{backup.ErrNoNode, exitLocal},
	{wire.ErrMalformed, exitInput},
	{fs.ErrNotExist, exitLocal},
	{fs.ErrExist, exitLocal},
	{fs.ErrPermission, exitLocal},
	{syscall.ENOSPC, exitLocal},
	{context.DeadlineExceeded, exitUnknownOutcome},
	{context.Canceled, exitUnknownOutcome},
}

// codeOf finds the exit code of an error.
func codeOf(err error) exitCode {
	if err == nil {
		return exitOK
	}
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	var quorum *client.QuorumError
	if errors.As(err, &quorum) {
		return codeOfQuorum(quorum.Reasons)
	}
	var nodes *client.NodesError
	if errors.As(err, &nodes) {
		return codeOfNodes(err)
	}
	var refusal *api.Error
	if errors.As(err, &refusal) {
		if code, ok := refusalCodes[refusal.Code]; ok {
			return code
		}
		return exitUnexpected
	}
	for _, s := range exitBySentinel {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return exitUnauthenticated
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return exitLocal
	}
	return exitUnexpected
}

// codeOfQuorum finds what most nodes said: one node that says "denied" while the
// others are down is no denial by the cluster.
func codeOfQuorum(reasons []client.NodeReason) exitCode {
	votes := map[exitCode]int{}
	for _, r := range reasons {
		code := refusalCodes[r.Code]
		switch code {
		case exitDenied, exitUnauthenticated, exitInput:
		default:
			code = exitQuorum
		}
		votes[code]++
	}
	most := exitQuorum
	for _, code := range []exitCode{exitInput, exitUnauthenticated, exitDenied} {
		if votes[code] > 0 && votes[code] >= votes[most] {
			most = code
		}
	}
	return most
}

// codeOfNodes finds the exit code of a question that any one node could have
// answered.
func codeOfNodes(err error) exitCode {
	for _, s := range []struct {
		err  error
		code exitCode
	}{
		{client.ErrUnknownOutcome, exitUnknownOutcome},
		{client.ErrRefusedEntry, exitAuthority},
		{client.ErrUnknownKey, exitUnknownKey},
		{client.ErrKeyState, exitDenied},
		{client.ErrDenied, exitDenied},
		{client.ErrUnauthenticated, exitUnauthenticated},
	} {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return exitQuorum
}
