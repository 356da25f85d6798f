package authority

import (
	"encoding/binary"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// Bounds of an entry. They are the same in every version of the program.
const (
	// MaxEntrySize is the largest entry the ledger looks at, in bytes.
	MaxEntrySize = 256 << 10
	// MaxSignatures bounds the signatures of one entry: the largest custodian list.
	MaxSignatures = 16
	// MaxKindLength is the longest name of a kind, in bytes.
	MaxKindLength = 32
)

// ErrEntry is returned, wrapped, for bytes that are not an entry's outer frame.
var ErrEntry = errors.New("not a ledger entry")

// Entry is the outer frame of everything in the replicated log. This frame is
// fixed for ever, so that every version of the program can chain every entry:
//
//	"WE1"                        3 bytes
//	author                       1-byte length ‖ node id; empty for custodians and owners
//	kind                         1-byte length ‖ name
//	signatures                   1-byte count, each: 32-byte fingerprint ‖ 1-byte length ‖ ASN.1
//	body                         4-byte length ‖ bytes
//
// The body is what is signed; it repeats kind and author, and [ParseChange] and
// [VerifyStatement] refuse a frame that says otherwise.
type Entry struct {
	Author     string
	Kind       string
	Signatures []Signature
	Body       []byte
}

const entryMagic = "WE1"

// Encode returns the frame. It panics when a field is over its bound, which
// only code of ours can cause.
func (e *Entry) Encode() []byte {
	if len(e.Author) > api.MaxNameLength || len(e.Kind) > MaxKindLength || len(e.Signatures) > MaxSignatures {
		panic("authority: entry over its bounds")
	}
	b := append([]byte(nil), entryMagic...)
	b = append(b, byte(len(e.Author)))
	b = append(b, e.Author...)
	b = append(b, byte(len(e.Kind)))
	b = append(b, e.Kind...)
	b = append(b, byte(len(e.Signatures)))
	for _, s := range e.Signatures {
		b = append(b, s.Signer[:]...)
		b = append(b, byte(len(s.ASN1)))
		b = append(b, s.ASN1...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Body)))
	return append(b, e.Body...)
}

// ParseEntry reads a frame. It looks at no signature and at no body. Failures
// wrap [ErrEntry].
func ParseEntry(b []byte) (*Entry, error) {
	if len(b) > MaxEntrySize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrEntry, len(b), MaxEntrySize)
	}
	r := reader{b: b}
	if string(r.take(len(entryMagic))) != entryMagic {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrEntry, entryMagic)
	}
	e := &Entry{
		Author: string(r.take(int(r.byte()))),
		Kind:   string(r.take(int(r.byte()))),
	}
	count := int(r.byte())
	if r.failed || len(e.Author) > api.MaxNameLength || len(e.Kind) == 0 || len(e.Kind) > MaxKindLength || count > MaxSignatures {
		return nil, fmt.Errorf("%w: a field is out of bounds", ErrEntry)
	}
	for range count {
		var s Signature
		copy(s.Signer[:], r.take(len(s.Signer)))
		s.ASN1 = r.take(int(r.byte()))
		e.Signatures = append(e.Signatures, s)
	}
	if n := r.take(4); !r.failed {
		e.Body = r.take(int(binary.BigEndian.Uint32(n)))
	}
	if r.failed || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: truncated, or bytes after its end", ErrEntry)
	}
	return e, nil
}

// ID is the hash of the signed body.
func (e *Entry) ID() api.Digest {
	if e.Author == "" {
		return tag.Hash(tag.Change, e.Body)
	}
	return tag.Hash(tag.NodeEntry, e.Body)
}

type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.b) {
		r.failed = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}
