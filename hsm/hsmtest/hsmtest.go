// Package hsmtest holds every sealing device to the contract of hsm.Device.
package hsmtest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
)

// Run runs the suite. open opens the device under test, the same one with the
// same keys in each call that runs within one subtest's t, and a device without
// keys of ours on the first call of each subtest. At most one is open at a time.
func Run(t *testing.T, open func(t *testing.T) hsm.Device) {
	story := func(name string, test func(t *testing.T, d hsm.Device)) {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(t, d)
		})
	}

	story("what was sealed opens, and each seal is fresh", sealAndOpen)
	story("an empty, the smallest, the largest and a too large plaintext", sizes)
	story("a blob altered in any byte does not open", altered)
	story("a blob opens under its own key and associated data only", bound)
	story("keys are made once, listed, and gone when destroyed", keys)
	story("what is not a label is refused", labels)
	story("a fresh device passes the check, with keys and without", check)
	story("eight goroutines share one device", hammer)

	t.Run("keys outlive the device that made them", func(t *testing.T) {
		d := open(t)
		serial := d.Serial()
		must(t, d.CreateKey("stays"))
		must(t, d.CreateKey("goes"))
		blob := seal(t, d, "stays", "secret", "aad")
		lost := seal(t, d, "goes", "secret", "aad")
		must(t, d.DestroyKey("goes"))
		must(t, d.Close())

		d = open(t)
		defer d.Close()
		if d.Serial() != serial {
			t.Errorf("serial %q became %q", serial, d.Serial())
		}
		expect(t, d, "stays", blob, "secret", "aad")
		// R33, P8: a destroyed key stays destroyed.
		_, err := d.Open("goes", lost, []byte("aad"))
		want(t, err, hsm.ErrNoKey)
	})

	t.Run("a closed device does nothing, and closes again", func(t *testing.T) {
		d := open(t)
		must(t, d.CreateKey("k"))
		must(t, d.Close())
		must(t, d.Close())
		want(t, d.CreateKey("l"), hsm.ErrClosed)
		want(t, d.DestroyKey("k"), hsm.ErrClosed)
		want(t, d.Check(), hsm.ErrClosed)
		_, err := d.HasKey("k")
		want(t, err, hsm.ErrClosed)
		_, err = d.Labels()
		want(t, err, hsm.ErrClosed)
		_, err = d.Seal("k", secret.Clone([]byte("x")), nil)
		want(t, err, hsm.ErrClosed)
		_, err = d.Open("k", make([]byte, 100), nil)
		want(t, err, hsm.ErrClosed)
	})

	t.Run("closing under load answers every caller", func(t *testing.T) {
		d := open(t)
		must(t, d.CreateKey("k"))
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for {
					if _, err := d.Seal("k", secret.Clone([]byte("x")), nil); err != nil {
						if !errors.Is(err, hsm.ErrClosed) {
							t.Errorf("got %v", err)
						}
						return
					}
				}
			})
		}
		must(t, d.Close())
		callers.Wait()
	})
}

func sealAndOpen(t *testing.T, d hsm.Device) {
	if d.Serial() == "" || d.Kind() != hsm.KindPKCS11 && d.Kind() != hsm.KindSoft {
		t.Errorf("serial %q, kind %q", d.Serial(), d.Kind())
	}
	must(t, d.CreateKey("k"))
	a, b := seal(t, d, "k", "secret", "aad"), seal(t, d, "k", "secret", "aad")
	if len(a) != len("secret")+hsm.Overhead || a[0] != hsm.BlobVersion {
		t.Errorf("blob %x", a)
	}
	if bytes.Equal(a[1:1+hsm.NonceSize], b[1:1+hsm.NonceSize]) {
		t.Error("two seals share a nonce")
	}
	if bytes.Contains(a, []byte("secret")) {
		t.Error("the blob shows the plaintext")
	}
	expect(t, d, "k", a, "secret", "aad")
	expect(t, d, "k", b, "secret", "aad")
	expect(t, d, "k", seal(t, d, "k", "no aad", ""), "no aad", "")
}

func sizes(t *testing.T, d hsm.Device) {
	must(t, d.CreateKey("k"))
	aad := strings.Repeat("a", hsm.MaxAAD)
	for _, n := range []int{1, 15, 16, 17, 4096, hsm.MaxPlaintext} {
		plaintext := make([]byte, n)
		rand.Read(plaintext)
		expect(t, d, "k", seal(t, d, "k", string(plaintext), aad), string(plaintext), aad)
	}
	_, err := d.Seal("k", secret.Bytes{}, nil)
	want(t, err, hsm.ErrEmpty)
	_, err = d.Seal("k", secret.New(make([]byte, hsm.MaxPlaintext+1)), nil)
	want(t, err, hsm.ErrTooLarge)
	_, err = d.Seal("k", secret.New(make([]byte, 1)), make([]byte, hsm.MaxAAD+1))
	want(t, err, hsm.ErrTooLarge)
	_, err = d.Open("k", make([]byte, hsm.MaxPlaintext+hsm.Overhead+1), nil)
	want(t, err, hsm.ErrOpen)
}

func altered(t *testing.T, d hsm.Device) {
	must(t, d.CreateKey("k"))
	blob := seal(t, d, "k", "a short secret", "aad")
	for i := range blob {
		for _, flip := range []byte{0x01, 0x80} {
			bad := slices.Clone(blob)
			bad[i] ^= flip
			_, err := d.Open("k", bad, []byte("aad"))
			if !errors.Is(err, hsm.ErrOpen) {
				t.Fatalf("byte %d flipped by %#x: got %v", i, flip, err)
			}
		}
	}
	for n := range blob {
		_, err := d.Open("k", blob[:n], []byte("aad"))
		if !errors.Is(err, hsm.ErrOpen) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
	}
	_, err := d.Open("k", append(slices.Clone(blob), 0), []byte("aad"))
	want(t, err, hsm.ErrOpen)
	expect(t, d, "k", blob, "a short secret", "aad") // the device has taken no harm
}

func bound(t *testing.T, d hsm.Device) {
	must(t, d.CreateKey("k"))
	must(t, d.CreateKey("other"))
	blob := seal(t, d, "k", "secret", "aad")
	for _, aad := range []string{"", "aad2", "aa", "bad", strings.Repeat("a", hsm.MaxAAD+1)} {
		_, err := d.Open("k", blob, []byte(aad))
		want(t, err, hsm.ErrOpen)
	}
	_, err := d.Open("other", blob, []byte("aad"))
	want(t, err, hsm.ErrOpen)
	_, err = d.Open("none", blob, []byte("aad"))
	want(t, err, hsm.ErrNoKey)
	_, err = d.Seal("none", secret.Clone([]byte("x")), nil)
	want(t, err, hsm.ErrNoKey)
}

func keys(t *testing.T, d hsm.Device) {
	names(t, d)
	want(t, d.DestroyKey("b"), hsm.ErrNoKey)
	must(t, d.CreateKey("b"))
	must(t, d.CreateKey("a/1"))
	must(t, d.CreateKey("A"))
	want(t, d.CreateKey("b"), hsm.ErrKeyExists)
	names(t, d, "A", "a/1", "b")
	has(t, d, "b", true)
	has(t, d, "b2", false)
	has(t, d, "a", false)

	blob := seal(t, d, "b", "secret", "aad")
	must(t, d.DestroyKey("b"))
	has(t, d, "b", false)
	names(t, d, "A", "a/1")
	want(t, d.DestroyKey("b"), hsm.ErrNoKey)
	_, err := d.Open("b", blob, []byte("aad"))
	want(t, err, hsm.ErrNoKey)

	// A new key of the old label is another key.
	must(t, d.CreateKey("b"))
	_, err = d.Open("b", blob, []byte("aad"))
	want(t, err, hsm.ErrOpen)
}

func labels(t *testing.T, d hsm.Device) {
	must(t, d.CreateKey(strings.Repeat("l", hsm.MaxLabel)))
	must(t, d.CreateKey("../x"))
	for _, label := range []string{"", strings.Repeat("l", hsm.MaxLabel+1), "a b", "a\x00", "ü", "a\n"} {
		want(t, d.CreateKey(label), hsm.ErrLabel)
		want(t, d.DestroyKey(label), hsm.ErrLabel)
		_, err := d.HasKey(label)
		want(t, err, hsm.ErrLabel)
		_, err = d.Seal(label, secret.Clone([]byte("x")), nil)
		want(t, err, hsm.ErrLabel)
		_, err = d.Open(label, make([]byte, 64), nil)
		want(t, err, hsm.ErrLabel)
	}
	names(t, d, "../x", strings.Repeat("l", hsm.MaxLabel))
}

func check(t *testing.T, d hsm.Device) {
	must(t, d.Check())
	must(t, d.CreateKey("k"))
	must(t, d.CreateKey("l"))
	must(t, d.Check())
}

// hammer: SoftHSM 2.6.1 dies when goroutines share a session. R33
func hammer(t *testing.T, d hsm.Device) {
	must(t, d.CreateKey("shared"))
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			own := fmt.Sprintf("own-%d", i)
			if err := d.CreateKey(own); err != nil {
				t.Error(err)
				return
			}
			for j := range 40 {
				label, text, aad := own, fmt.Sprintf("secret %d of %d", j, i), fmt.Appendf(nil, "aad %d", j)
				if j%2 == 0 {
					label = "shared"
				}
				blob, err := d.Seal(label, secret.Clone([]byte(text)), aad)
				if err != nil {
					t.Error(err)
					return
				}
				opened, err := d.Open(label, blob, aad)
				if err != nil || string(opened.Reveal()) != text {
					t.Errorf("opened with error %v", err)
					return
				}
				if _, err := d.Open(label, blob, nil); !errors.Is(err, hsm.ErrOpen) {
					t.Errorf("got %v", err)
					return
				}
			}
			if err := d.DestroyKey(own); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	names(t, d, "shared")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got %v, want %v", err, target)
	}
}

func seal(t *testing.T, d hsm.Device, label, plaintext, aad string) []byte {
	t.Helper()
	blob, err := d.Seal(label, secret.Clone([]byte(plaintext)), []byte(aad))
	must(t, err)
	return blob
}

func expect(t *testing.T, d hsm.Device, label string, blob []byte, plaintext, aad string) {
	t.Helper()
	got, err := d.Open(label, blob, []byte(aad))
	must(t, err)
	if string(got.Reveal()) != plaintext {
		t.Errorf("opened %d bytes that are not the %d sealed", got.Len(), len(plaintext))
	}
}

func has(t *testing.T, d hsm.Device, label string, want bool) {
	t.Helper()
	got, err := d.HasKey(label)
	must(t, err)
	if got != want {
		t.Errorf("HasKey(%q) = %v", label, got)
	}
}

func names(t *testing.T, d hsm.Device, want ...string) {
	t.Helper()
	got, err := d.Labels()
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
}
