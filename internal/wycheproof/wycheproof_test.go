package wycheproof

import (
	"encoding/hex"
	"testing"
)

func FuzzHex(f *testing.F) {
	f.Add([]byte("00ff"))
	f.Add([]byte("0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h Hex
		if h.UnmarshalText(text) == nil && len(hex.EncodeToString(h)) != len(text) {
			t.Fatalf("%q became %x", text, h)
		}
	})
}
