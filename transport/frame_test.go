package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"warifu.dev/internal/wire"
)

func announced(n uint32, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, n), content...)
}

func TestReadFrame(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 100<<10)
	for _, c := range []struct {
		name string
		in   []byte
		want []byte
		err  error
	}{
		{"a frame is read", announced(3, []byte("abc")), []byte("abc"), nil},
		{"a long frame is read", announced(uint32(len(long)), long), long, nil},
		{"the end between frames is the end", nil, nil, io.EOF},
		{"the end in a length is named", []byte{0, 0}, nil, io.ErrUnexpectedEOF},
		{"the end in a frame is named", announced(3, []byte("ab")), nil, io.ErrUnexpectedEOF},
		{"the end before a frame's first byte is named", announced(3, nil), nil, io.ErrUnexpectedEOF},
		{"the end in a long frame is named", announced(100<<10, long[:1000]), nil, io.ErrUnexpectedEOF},
		{"an empty frame is refused", announced(0, nil), nil, wire.ErrMalformed},
		{"a frame above the limit is refused", announced(200<<10, long), nil, ErrTooLarge},   // R24
		{"the largest length is refused", announced(1<<32-1, long), nil, ErrTooLarge},        // R24
		{"the sign bit makes no small number", announced(0x80000000, nil), nil, ErrTooLarge}, // R24
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readFrame(bytes.NewReader(c.in), 128<<10)
			if !errors.Is(err, c.err) || !bytes.Equal(got, c.want) {
				t.Errorf("got %d bytes and %v, want %d and %v", len(got), err, len(c.want), c.err)
			}
		})
	}
}

// R24
func TestAnnouncedBytesAreNotAllocated(t *testing.T) {
	measure := func(in []byte) uint64 {
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := readFrame(bytes.NewReader(in), 8<<20); err == nil {
				t.Fatal("a frame that is not there was read")
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / runs
	}
	if n := measure(announced(1<<32-1, nil)); n > 1<<10 {
		t.Errorf("a refused length took %d bytes", n)
	}
	if n := measure(announced(8<<20, []byte("a few"))); n > 64<<10 {
		t.Errorf("a frame of 8 MiB of which 5 bytes came took %d bytes", n)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add((&request{ID: 1, Method: 2, TimeoutMS: 3, Body: []byte("body")}).frame())
	f.Add((&answer{ID: 1, Code: CodeInternal, Sentence: "no", Retryable: true, Detail: []byte("d")}).frame())
	f.Add(announced(1<<32-1, nil))
	f.Add(announced(0, nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 64 << 10
		content, err := readFrame(bytes.NewReader(in), limit)
		if err != nil {
			return
		}
		if len(content) == 0 || len(content) > limit || !bytes.Equal(announced(uint32(len(content)), content), in[:lengthSize+len(content)]) {
			t.Fatalf("%x was read as the frame %x", in, content)
		}
		var req request
		if wire.Decode(content, &req) == nil && !bytes.Equal(req.frame(), in[:lengthSize+len(content)]) {
			t.Errorf("the request %x has a second encoding", in)
		}
		var a answer
		if wire.Decode(content, &a) == nil && !bytes.Equal(a.frame(), in[:lengthSize+len(content)]) {
			t.Errorf("the answer %x has a second encoding", in)
		}
	})
}
