package hsm

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzParseBlob(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, Overhead+1))
	f.Add(append([]byte{BlobVersion}, make([]byte, Overhead)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		blob, err := ParseBlob(b)
		if err != nil {
			if !errors.Is(err, ErrOpen) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if len(blob.Nonce) != NonceSize || len(blob.Sealed) <= TagSize || !bytes.Equal(blob.Bytes(), b) {
			t.Fatalf("%x became %x", b, blob.Bytes())
		}
	})
}
