package api

import "fmt"

// Code is the machine-readable reason of a refusal. The list is closed: a
// client may switch over it.
type Code string

// Codes of refusal.
const (
	CodeUnauthenticated Code = "unauthenticated" // the connection shows no identity this cluster knows
	CodeDenied          Code = "denied"          // not permitted; unknown keys and revoked principals look the same (R28)
	CodeMalformed       Code = "malformed"       // the request does not decode, or breaks a bound
	CodeEnvelope        Code = "envelope"        // the envelope's proof fails: altered, or another context
	CodeSealed          Code = "sealed"          // the node has not opened its shares
	CodeUnborn          Code = "unborn"          // the cluster's root key is not born yet
	CodeStale           Code = "stale"           // the node has not heard from a majority recently enough
	CodeFork            Code = "fork"            // the node met another history or membership than its own, and stopped serving
	CodeNoShare         Code = "no-share"        // the node holds no share of this key in its current epoch
	CodeAudit           Code = "audit"           // the node cannot record decisions: audit full or broken
	CodeOverloaded      Code = "overloaded"      // try another node, or later
	CodeUnknownKey      Code = "unknown-key"     // no key of this name or id (public look-ups only)
	CodeRefusedEntry    Code = "refused-entry"   // the ledger did not take the entry, and never will
	CodeUnknownOutcome  Code = "unknown-outcome" // the entry may or may not have been taken: submit it again
	CodePiece           Code = "piece"           // a custodian's piece is not taken: wrong, stale, or here already
	CodeGrant           Code = "grant"           // the policy demands a grant, and none that fits was named
	CodeSlot            Code = "slot"            // this use of the grant is bound to another request at the node
	CodeRate            Code = "rate"            // the principal has used the key as often as the policy lets it for now
	CodeKeyState        Code = "key-state"       // the key is not active yet, suspended or compromised: nothing under it is opened
	CodeEpoch           Code = "epoch"           // the epoch asked for does not release at the node; another of the same key does
	CodeInterval        Code = "interval"        // the interval of a branch has not begun at the node, or is over for encrypting
	CodeInternal        Code = "internal"        // a fault of the node; its log says more
)

// Codes that no node sends: what a client says of a node it asked.
const (
	CodeUnreachable  Code = "unreachable"   // no connection, or it ended before the answer
	CodeTimeout      Code = "timeout"       // no answer in time
	CodeNoReceipt    Code = "no-receipt"    // it has no such revoke in force and durable
	CodeFalsePartial Code = "false-partial" // its answer is not one that an honest holder gives
)

// Error is a refusal as a client sees it: a code, one sentence, and whether
// trying again can help.
type Error struct {
	Code      Code   `cbor:"1,keyasint" json:"code"`
	Sentence  string `cbor:"2,keyasint,omitempty" json:"sentence"`
	Retryable bool   `cbor:"3,keyasint,omitempty" json:"retryable"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Sentence) }

// Refuse makes an [Error] that trying again cannot mend.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

// Retry makes an [Error] that trying again, here or elsewhere, may mend.
func Retry(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Sentence: fmt.Sprintf(format, args...), Retryable: true}
}
