package main

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/client"
)

func TestASeedIsReadAsItIs(t *testing.T) {
	raw := bytes.Repeat([]byte{0x80, 7}, 16)
	hex := bytes.Repeat([]byte("8007"), 16)
	for form, b := range map[string][]byte{
		"raw": raw, "raw, with letters": bytes.Repeat([]byte{0x80, 'a'}, 16), "hexadecimal": hex, "with the end of a line": append(bytes.Clone(hex), '\n'), "with that of DOS": append(bytes.Clone(hex), '\r', '\n'),
	} {
		o, err := parseSeed(b)
		if err != nil || !o.Symmetric() {
			t.Errorf("%s: %v", form, err)
		}
	}
	for what, b := range map[string][]byte{
		"nothing":            nil,
		"31 bytes":           raw[:31],
		"33 bytes":           append(bytes.Clone(raw), 1),
		"32 characters":      []byte("0123456789abcdef0123456789abcdef"),
		"31 and a line":      []byte("correct horse battery staple 12\n"),
		"zeros":              make([]byte, 32),
		"no digits":          bytes.Repeat([]byte("80z7"), 16),
		"63 digits":          hex[:63],
		"a line before":      append([]byte{'\n'}, hex...),
		"64 digits, all 0":   bytes.Repeat([]byte("00"), 32),
		"two lines":          append(append(bytes.Clone(hex), '\n'), hex...),
		"a P-256 key in PEM": []byte("-----BEGIN PRIVATE KEY-----\n"),
	} {
		if _, err := parseSeed(b); !errors.Is(err, client.ErrSeed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
