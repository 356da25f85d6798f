package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func TestNothingPrintsASecret(t *testing.T) {
	const canary = "canary-4f1c"
	s := New([]byte(canary))
	holder := struct{ S Bytes }{s}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		if strings.Contains(verb, "T") {
			out = append(out, fmt.Sprintf(verb, holder, holder))
			continue
		}
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, string(js))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "p", &s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "h", holder)
	out = append(out, log.String())
	if _, err := cbor.Marshal(holder); err == nil {
		t.Error("a secret was encoded as CBOR")
	}
	for _, o := range out {
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))[1:10]} {
			if strings.Contains(o, form) {
				t.Errorf("%q shows the secret", o)
			}
		}
	}
}

func TestWipeAndEqual(t *testing.T) {
	b := []byte{1, 2, 3}
	s := New(b)
	if !s.Equal(Clone(b)) || s.Equal(New([]byte{1, 2})) {
		t.Error("Equal is wrong")
	}
	s.Wipe()
	if !bytes.Equal(b, make([]byte, 3)) {
		t.Error("Wipe left bytes behind")
	}
	if err := s.UnmarshalText([]byte("x")); err == nil {
		t.Error("a secret was decoded from text")
	}
}

// No text becomes a secret in passing, and none changes one.
func FuzzUnmarshalText(f *testing.F) {
	f.Add([]byte(Redacted))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := New([]byte("kept"))
		if err := s.UnmarshalText(text); !errors.Is(err, ErrNotEncodable) || string(s.Reveal()) != "kept" {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
