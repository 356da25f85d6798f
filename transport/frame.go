package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"warifu.dev/internal/wire"
)

// request is a call on its way to the server.
type request struct {
	ID        uint64 `cbor:"1,keyasint"`
	Method    uint16 `cbor:"2,keyasint"`
	TimeoutMS uint32 `cbor:"3,keyasint,omitempty"`
	Body      []byte `cbor:"4,keyasint,omitempty"`
}

// answer is what comes back. Code is empty if and only if it is no refusal.
type answer struct {
	ID        uint64 `cbor:"1,keyasint"`
	Code      string `cbor:"2,keyasint,omitempty"`
	Sentence  string `cbor:"3,keyasint,omitempty"`
	Retryable bool   `cbor:"4,keyasint,omitempty"`
	Body      []byte `cbor:"5,keyasint,omitempty"`
	Detail    []byte `cbor:"6,keyasint,omitempty"`
}

// lengthSize is how many bytes announce a frame.
const lengthSize = 4

// readFrame returns the next frame's content from r. A length of zero or above
// limit ends it with [ErrTooLarge] or [wire.ErrMalformed] before anything is
// allocated; and memory grows only with what has arrived, not with what was
// announced. At the end of r, between frames, it returns io.EOF.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 {
		return nil, fmt.Errorf("%w: an empty frame", wire.ErrMalformed)
	}
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes are announced, at most %d are read", ErrTooLarge, n, limit)
	}
	const atOnce = 16 << 10 // most frames are smaller, and are read in one piece
	if n <= atOnce {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, noEOF(err)
		}
		return b, nil
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, noEOF(err)
	}
	return b.Bytes(), nil
}

// noEOF names an end in the middle of a frame.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendWire implements [wire.Writer].
func (r *request) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Uint(1, r.ID)
	f.Uint(2, uint64(r.Method))
	f.OptUint(3, uint64(r.TimeoutMS))
	f.OptBytes(4, r.Body)
	return f.End()
}

// ScanWire reads what AppendWire writes. The body is a part of what is read.
func (r *request) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*r = request{}
	r.ID = f.Uint(1, math.MaxUint64)
	r.Method = uint16(f.Uint(2, math.MaxUint16))
	r.TimeoutMS = uint32(f.OptUint(3, math.MaxUint32))
	r.Body = f.OptPart(4)
	f.End()
}

// AppendWire implements [wire.Writer].
func (a *answer) AppendWire(b []byte) []byte {
	f := wire.AppendFields(b)
	f.Uint(1, a.ID)
	f.OptText(2, a.Code)
	f.OptText(3, a.Sentence)
	f.OptTrue(4, a.Retryable)
	f.OptBytes(5, a.Body)
	f.OptBytes(6, a.Detail)
	return f.End()
}

// ScanWire reads what AppendWire writes. Body and detail are parts of what is read.
func (a *answer) ScanWire(s *wire.Scanner) {
	f := s.Fields()
	*a = answer{}
	a.ID = f.Uint(1, math.MaxUint64)
	a.Code = f.OptText(2)
	a.Sentence = f.OptText(3)
	a.Retryable = f.OptTrue(4)
	a.Body = f.OptPart(5)
	a.Detail = f.OptPart(6)
	f.End()
}

// frame returns v, a request or an answer with so many bytes in texts and bodies, as it
// goes on the wire.
func frame(v wire.Writer, size int) []byte {
	b := v.AppendWire(make([]byte, lengthSize, lengthSize+frameOverhead+size))
	binary.BigEndian.PutUint32(b, uint32(len(b)-lengthSize))
	return b
}

func (r *request) frame() []byte { return frame(r, len(r.Body)) }

func (a *answer) frame() []byte {
	return frame(a, len(a.Code)+len(a.Sentence)+len(a.Body)+len(a.Detail))
}
