package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// MaxSize bounds what [Decode] looks at, in bytes: the largest ledger entry or
// frame is smaller (R24).
const MaxSize = 8 << 20

// Bounds of what is read (R24).
const (
	maxElements = 1 << 16
	maxPairs    = 1 << 12
)

// ErrMalformed is returned, wrapped, for any input that is not the canonical
// encoding of the value asked for.
var ErrMalformed = errors.New("malformed")

var (
	encoder = func() cbor.EncMode {
		opts := cbor.CoreDetEncOptions()
		opts.TimeTag = cbor.EncTagNone
		opts.IndefLength = cbor.IndefLengthForbidden
		opts.TagsMd = cbor.TagsForbidden
		opts.NilContainers = cbor.NilContainerAsEmpty
		mode, err := opts.EncMode()
		if err != nil {
			panic(err)
		}
		return mode
	}()
	decoder = func() cbor.DecMode {
		mode, err := cbor.DecOptions{
			DupMapKey:         cbor.DupMapKeyEnforcedAPF,
			ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
			IndefLength:       cbor.IndefLengthForbidden,
			TagsMd:            cbor.TagsForbidden,
			UTF8:              cbor.UTF8RejectInvalid,
			MaxNestedLevels:   16,
			MaxArrayElements:  maxElements,
			MaxMapPairs:       maxPairs,
		}.DecMode()
		if err != nil {
			panic(err)
		}
		return mode
	}()
)

// usual is room for most of what writes itself: a request with one envelope.
const usual = 512

// Encode returns the canonical encoding of v. It panics on a type that has
// none, which is a bug of ours: bytes from outside never get here.
func Encode(v any) []byte {
	if w, ok := v.(Writer); ok {
		return w.AppendWire(make([]byte, 0, usual))
	}
	b, err := encoder.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("wire: encode %T: %v", v, err))
	}
	return b
}

// EncodeIn is [Encode] of what takes up to about so many bytes, for which room is made at
// once.
func EncodeIn(room int, w Writer) []byte { return w.AppendWire(make([]byte, 0, room)) }

// Decode reads the canonical encoding b into v, a pointer. Every failure wraps
// [ErrMalformed]. v is left in an unspecified state on failure.
func Decode(b []byte, v any) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: empty", ErrMalformed)
	}
	if len(b) > MaxSize {
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrMalformed, len(b), MaxSize)
	}
	if r, ok := v.(Reader); ok {
		if Scan(b, r) {
			return nil
		}
		reflect.ValueOf(v).Elem().SetZero() // what was read of it so far
	}
	if err := decoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := encoder.Marshal(v) // and not [Encode]: neither way is checked by itself
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	defer clear(again) // what is decoded may be a sealed secret
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not the canonical encoding", ErrMalformed)
	}
	return nil
}
