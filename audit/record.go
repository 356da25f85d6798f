package audit

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"warifu.dev/internal/wire"
)

// Bounds of one record. A refusal is written down even when a stranger chose
// its words, so texts longer than these are cut, not refused; only an entry
// that is too large is refused.
const (
	MaxKind      = 32        // our own words
	MaxNode      = 64        // node ids are short
	MaxPrincipal = 512       // a SPIFFE ID is at most 2,048 bytes; ours are refused above 512
	MaxKeyName   = 128       // names of keys
	MaxAction    = 64        // our own words
	MaxReason    = 512       // a caller's free text
	MaxCode      = 64        // our own words
	MaxWhy       = 512       // our own words, with a policy's error in them
	MaxSession   = 64        // an identifier in hex
	MaxSource    = 64        // an address with port and zone
	MaxRegion    = 64        // a name
	MaxRule      = 128       // a policy's @id
	MaxRules     = 32        // rules that decided; more are counted, not listed
	MaxEntry     = 256 << 10 // a ledger entry is at most this (design of the ledger)

	// MaxRecord is the largest encoded record: all of the above, and the framing of CBOR.
	MaxRecord = MaxEntry + MaxRules*(MaxRule+8) + 4<<10
)

// ErrBadRecord is returned, wrapped, for a record outside the allow-list:
// malformed, oversized, of no kind.
var ErrBadRecord = errors.New("bad audit record")

// Kind says what happened.
type Kind string

// The kinds this program writes. A reader shows others as they are.
const (
	Start        Kind = "start"          // the daemon started
	Stop         Kind = "stop"           // the daemon stopped in good order
	Unseal       Kind = "unseal"         // the node opened its keyring
	Sealed       Kind = "sealed"         // the node wiped its secrets
	Piece        Kind = "piece"          // a custodian handed over its piece, or it was refused
	Release      Kind = "release"        // written and synced before a partial leaves
	Refusal      Kind = "refusal"        // the gate said no
	Withheld     Kind = "withheld"       // a deny came in after the release was written
	Strangers    Kind = "strangers"      // a count of refused callers without a name
	Capped       Kind = "capped"         // a count of one principal's refusals above the cap
	Change       Kind = "change"         // a custodian-signed change took effect
	Grant        Kind = "grant"          // a grant was committed
	Revocation   Kind = "revocation"     // a revocation was stored or committed
	Ceremony     Kind = "ceremony"       // a ceremony opened, posted, ended
	Activate     Kind = "activate"       // an epoch became usable
	Escrow       Kind = "escrow"         // written and synced before a share leaves that is sealed to custodians, by their order
	Fork         Kind = "fork"           // the node saw two histories and stopped serving
	CheckpointOf Kind = "checkpoint"     // an audit checkpoint was anchored in the ledger
	Snapshot     Kind = "snapshot"       // the node made a snapshot; its log may begin above it
	Gap          Kind = "gap"            // a snapshot took the place of entries that the node never saw
	Full         Kind = "audit-full"     // the disk is full; nothing is released any more
	Reopened     Kind = "audit-reopened" // the log was reopened after a failure
)

var known = map[Kind]bool{
	Start: true, Stop: true, Unseal: true, Sealed: true, Piece: true, Release: true, Refusal: true, Withheld: true,
	Strangers: true, Capped: true, Change: true, Grant: true, Revocation: true, Ceremony: true, Activate: true, Escrow: true,
	Fork: true, Snapshot: true, Gap: true, CheckpointOf: true, Full: true, Reopened: true,
}

// Record is one audit record: an allow-list of typed fields, never free maps,
// so that no secret can stray in (R25). What does not apply is left zero.
//
// Of a request's context only the digest is kept. The context is authenticated
// and not secret, but it is the caller's, and may name a patient.
type Record struct {
	Time         int64    `cbor:"1,keyasint"`            // this node's clock, Unix milliseconds
	Kind         Kind     `cbor:"2,keyasint"`            //
	Node         string   `cbor:"3,keyasint,omitempty"`  // the node that writes
	RequestID    [16]byte `cbor:"4,keyasint,omitzero"`   // the client's, the same in all t nodes' logs
	Principal    string   `cbor:"5,keyasint,omitempty"`  // SPIFFE ID
	Source       string   `cbor:"6,keyasint,omitempty"`  // the caller's address
	Region       string   `cbor:"28,keyasint,omitempty"` // where the caller says it is; a policy may ask for it
	Session      string   `cbor:"7,keyasint,omitempty"`  // the ceremony's or connection's id
	Action       string   `cbor:"8,keyasint,omitempty"`
	Key          [32]byte `cbor:"9,keyasint,omitzero"` // key id
	KeyName      string   `cbor:"10,keyasint,omitempty"`
	Version      uint32   `cbor:"11,keyasint,omitempty"`
	Epoch        uint64   `cbor:"12,keyasint,omitempty"`
	Reason       string   `cbor:"13,keyasint,omitempty"` // the caller's words
	Context      [32]byte `cbor:"14,keyasint,omitzero"`  // digest of the context
	Envelope     [32]byte `cbor:"15,keyasint,omitzero"`  // hash of the envelope; of a symmetric key the item's, from its encryption on
	Code         string   `cbor:"16,keyasint,omitempty"` // the refusal's code
	Rules        []string `cbor:"17,keyasint,omitempty"` // ids of the policies that decided
	PolicyDigest [32]byte `cbor:"18,keyasint,omitzero"`
	LedgerIndex  uint64   `cbor:"19,keyasint,omitempty"` // the state that was decided on
	EntryID      [32]byte `cbor:"20,keyasint,omitzero"`
	Entry        []byte   `cbor:"21,keyasint,omitempty"` // the whole signed entry, of changes, grants, revocations, activations
	Count        uint64   `cbor:"22,keyasint,omitempty"` // how many, in counting records
	LedgerTime   int64    `cbor:"26,keyasint,omitempty"` // of an entry that was taken: ledger time after it, Unix milliseconds
	LedgerFrom   uint64   `cbor:"24,keyasint,omitempty"` // of a gap: the last entry before it, LedgerIndex is the last in it; of a snapshot: its end
	Grant        [32]byte `cbor:"25,keyasint,omitzero"`  // id of the grant that the request named
	Slot         uint32   `cbor:"27,keyasint,omitempty"` // which of its uses
	BranchFrom   int64    `cbor:"29,keyasint,omitempty"` // of a branch key: when its interval begins, Unix seconds
	Branch       uint32   `cbor:"30,keyasint,omitempty"` // and how long it is, in seconds
	Writer       string   `cbor:"31,keyasint,omitempty"` // whose items it opens: SPIFFE ID of who encrypts them
	Why          string   `cbor:"23,keyasint,omitempty"` // what the refusal's code leaves out; for operators, never for the caller
}

// Indexed is a record and its place in the log, from 0.
type Indexed struct {
	Index uint64
	Record
}

// recordRoom is enough for the record of a release.
const recordRoom = 640

// EncodeRecord bounds r's texts, checks it and returns its canonical encoding,
// the bytes that are hashed. Failures wrap [ErrBadRecord].
func EncodeRecord(r Record) ([]byte, error) {
	if !known[r.Kind] {
		return nil, fmt.Errorf("%w: no such kind %q", ErrBadRecord, r.Kind)
	}
	if len(r.Entry) > MaxEntry {
		return nil, fmt.Errorf("%w: an entry of %d bytes, at most %d", ErrBadRecord, len(r.Entry), MaxEntry)
	}
	for _, t := range r.texts() {
		*t.text = printable(*t.text, t.max)
	}
	if len(r.Rules) > 0 {
		rules := make([]string, 0, min(len(r.Rules), MaxRules))
		for i, rule := range r.Rules {
			if i == MaxRules-1 && len(r.Rules) > MaxRules {
				rules = append(rules, fmt.Sprintf("and %d more", len(r.Rules)-i))
				break
			}
			rules = append(rules, printable(rule, MaxRule))
		}
		r.Rules = rules
	}
	return r.AppendWire(make([]byte, 0, recordRoom)), nil
}

// DecodeRecord reads the canonical encoding of a record and refuses anything
// out of bounds with [ErrBadRecord].
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, fmt.Errorf("%w: %d bytes, at most %d", ErrBadRecord, len(b), MaxRecord)
	}
	var r Record
	if err := wire.Decode(b, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	switch {
	case r.Kind == "" || len(r.Kind) > MaxKind || !isPrintable(string(r.Kind)):
		return Record{}, fmt.Errorf("%w: kind", ErrBadRecord)
	case len(r.Entry) > MaxEntry:
		return Record{}, fmt.Errorf("%w: entry of %d bytes", ErrBadRecord, len(r.Entry))
	case len(r.Rules) > MaxRules:
		return Record{}, fmt.Errorf("%w: %d rules", ErrBadRecord, len(r.Rules))
	}
	for _, t := range r.texts() {
		if len(*t.text) > t.max || !isPrintable(*t.text) {
			return Record{}, fmt.Errorf("%w: %s", ErrBadRecord, t.name)
		}
	}
	for _, rule := range r.Rules {
		if len(rule) > MaxRule || !isPrintable(rule) {
			return Record{}, fmt.Errorf("%w: rule", ErrBadRecord)
		}
	}
	return r, nil
}

type boundedText struct {
	name string
	text *string
	max  int
}

func (r *Record) texts() [11]boundedText {
	return [...]boundedText{
		{"node", &r.Node, MaxNode},
		{"principal", &r.Principal, MaxPrincipal},
		{"writer", &r.Writer, MaxPrincipal},
		{"source", &r.Source, MaxSource},
		{"region", &r.Region, MaxRegion},
		{"session", &r.Session, MaxSession},
		{"action", &r.Action, MaxAction},
		{"key name", &r.KeyName, MaxKeyName},
		{"reason", &r.Reason, MaxReason},
		{"code", &r.Code, MaxCode},
		{"why", &r.Why, MaxWhy},
	}
}

// printable escapes what a terminal or a log viewer could act on (controls,
// bidirectional marks, broken UTF-8) as \u{hex} or \x{hex}, and cuts the result
// at max bytes with an ellipsis. A stranger chooses these words.
func printable(s string, max int) string {
	const ellipsis = "…"
	if len(s) <= max && isPrintable(s) {
		return s
	}
	var b strings.Builder
	cut := 0 // the last place where an ellipsis still fits
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x{%02x}`, s[i])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		if b.Len() > max {
			return b.String()[:cut] + ellipsis
		}
		if b.Len()+len(ellipsis) <= max {
			cut = b.Len()
		}
		i += n
	}
	return b.String()
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); {
		if ' ' <= s[i] && s[i] <= '~' { // as nearly all of them are
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			return false
		}
		i += n
	}
	return true
}
