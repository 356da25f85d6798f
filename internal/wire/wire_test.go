package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

type example struct {
	A uint64            `cbor:"1,keyasint"`
	B []byte            `cbor:"2,keyasint"`
	C map[string]string `cbor:"3,keyasint,omitempty"`
	D [4]byte           `cbor:"4,keyasint"`
}

func TestRoundTrip(t *testing.T) {
	in := example{A: 7, B: []byte("x"), C: map[string]string{"k": "v", "a": "b"}, D: [4]byte{1, 2, 3, 4}}
	b := Encode(in)
	var out example
	if err := Decode(b, &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Encode(out), b) {
		t.Error("the second encoding differs")
	}
}

func TestRefusals(t *testing.T) {
	valid := Encode(example{A: 1, B: []byte("x")})
	plain, err := cbor.Marshal(map[int]any{1: 1, 2: []byte("x"), 4: []byte{0, 0, 0, 0}, 9: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty input":        nil,
		"trailing bytes":     append(append([]byte(nil), valid...), 0),
		"truncated":          valid[:len(valid)-1],
		"an unknown field":   plain,
		"a duplicate key":    {0xa2, 0x01, 0x01, 0x01, 0x02},
		"indefinite length":  {0xbf, 0x01, 0x01, 0xff},
		"a long integer":     {0xa3, 0x01, 0x18, 0x01, 0x02, 0x41, 'x', 0x04, 0x44, 0, 0, 0, 0},
		"keys out of order":  {0xa3, 0x02, 0x41, 'x', 0x01, 0x01, 0x04, 0x44, 0, 0, 0, 0},
		"a tag":              {0xc1, 0x01},
		"a deep nest":        bytes.Repeat([]byte{0x81}, 1000),
		"a huge array claim": {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var out example
		if err := Decode(b, &out); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want %v", name, err, ErrMalformed)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(example{A: 1, B: []byte("x"), C: map[string]string{"a": "b"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out example
		if Decode(b, &out) == nil && !bytes.Equal(Encode(out), b) {
			t.Errorf("%x decodes and encodes to other bytes", b)
		}
	})
}
