package hsmtest

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// FuzzOpen gives open, which is the device's Open, blobs, labels and associated
// data that are not what the device sealed. Only what it sealed opens.
func FuzzOpen(f *testing.F, d hsm.Device, open func(label string, blob, aad []byte) (secret.Bytes, error)) {
	const label, aad, plain = "fuzz", "aad", "secret"
	if err := d.CreateKey(label); err != nil {
		f.Fatal(err)
	}
	if err := d.CreateKey("other"); err != nil {
		f.Fatal(err)
	}
	blob, err := d.Seal(label, secret.New([]byte(plain)), []byte(aad))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(label, blob, []byte(aad))
	f.Add("other", blob, []byte(aad))
	f.Add("", []byte{hsm.BlobVersion}, []byte(nil))
	f.Add(label, make([]byte, hsm.MaxPlaintext+hsm.Overhead+1), make([]byte, hsm.MaxAAD+1))
	f.Fuzz(func(t *testing.T, l string, b, a []byte) {
		got, err := open(l, b, a)
		if sealed := l == label && bytes.Equal(b, blob) && string(a) == aad; (err == nil) != sealed {
			t.Fatalf("open with %q: sealed %v, %v", l, sealed, err)
		}
		switch {
		case err == nil:
			if string(got.Reveal()) != plain {
				t.Fatal("other bytes came out")
			}
		case errors.Is(err, hsm.ErrOpen), errors.Is(err, hsm.ErrNoKey), errors.Is(err, hsm.ErrLabel), errors.Is(err, hsm.ErrTooLarge):
		default:
			t.Fatalf("unnamed error %v", err)
		}
	})
}
