package policy

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Format is the one format of a document this program knows.
const Format = 1

// Bounds of a document, in bytes. It travels in one ledger entry of at most
// 256 KiB, with its signatures.
const (
	MaxText     = 128 << 10 // the policies
	MaxSchema   = 32 << 10  // far above any schema seen
	MaxEntities = 64 << 10  // about 500 principals with their groups
	MaxZone     = 64        // the longest IANA name has 32
	MaxLimits   = 32 << 10  // as many approvers and rates as there may be
	MinRotate   = 3600      // seconds: a rotation overlaps for a minute
	MaxRotate   = 10 * 366 * 24 * 3600
	MaxDocument = 200 << 10 // all of them together
)

// ErrBadDocument is returned, wrapped, for a document that is malformed, out
// of bounds or does not compile.
var ErrBadDocument = errors.New("bad policy document")

// Document is what custodians sign: text, schema, entities and limits in one.
type Document struct {
	Format   uint64 `cbor:"1,keyasint"`           // [Format]
	Text     string `cbor:"2,keyasint"`           // Cedar policies; empty denies everything
	Schema   string `cbor:"3,keyasint,omitempty"` // Cedar schema; empty means the built-in one
	Entities string `cbor:"4,keyasint,omitempty"` // Cedar entities as JSON; empty means none
	Zone     string `cbor:"5,keyasint,omitempty"` // IANA zone of context.time; empty means UTC
	Limits   string `cbor:"6,keyasint,omitempty"` // approvers, approvals and rates as TOML; empty means none
	Rotate   uint64 `cbor:"7,keyasint,omitempty"` // seconds after which the shares of all keys are rotated; 0 means never
}

// Encode returns the canonical encoding. A zero Format means [Format].
func (d Document) Encode() []byte {
	if d.Format == 0 {
		d.Format = Format
	}
	return wire.Encode(d)
}

// Digest identifies the document: the tagged hash of its encoding.
func (d Document) Digest() [32]byte { return tag.Hash(tag.PolicyDigest, d.Encode()) }

// DecodeDocument reads what [Document.Encode] wrote. It checks form and bounds;
// [Compile] checks the rest.
func DecodeDocument(b []byte) (Document, error) {
	if len(b) > MaxDocument {
		return Document{}, fmt.Errorf("%w: %d bytes, at most %d", ErrBadDocument, len(b), MaxDocument)
	}
	var d Document
	if err := wire.Decode(b, &d); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrBadDocument, err)
	}
	if d.Format != Format {
		return Document{}, fmt.Errorf("%w: format %d, this program knows %d", ErrBadDocument, d.Format, Format)
	}
	return d, d.bounded()
}

func (d Document) bounded() error {
	if d.Rotate != 0 && (d.Rotate < MinRotate || d.Rotate > MaxRotate) {
		return fmt.Errorf("%w: shares are rotated after %d to %d seconds, not %d", ErrBadDocument, MinRotate, MaxRotate, d.Rotate)
	}
	for _, part := range []struct {
		name string
		text string
		max  int
	}{
		{"text", d.Text, MaxText},
		{"schema", d.Schema, MaxSchema},
		{"entities", d.Entities, MaxEntities},
		{"zone", d.Zone, MaxZone},
		{"limits", d.Limits, MaxLimits},
	} {
		if len(part.text) > part.max {
			return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrBadDocument, part.name, len(part.text), part.max)
		}
		if !utf8.ValidString(part.text) {
			return fmt.Errorf("%w: %s is not UTF-8", ErrBadDocument, part.name)
		}
	}
	return nil
}
