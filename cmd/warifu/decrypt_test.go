package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// zeros is n bytes that are never all in memory.
func zeros(n int64) io.Reader { return io.LimitReader(devZero{}, n) }

type devZero struct{}

func (devZero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestStreaming: what is encrypted comes back, armored or not, and memory does not
// grow with the file.
func TestStreaming(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	for _, armored := range []bool{false, true} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, w := io.Pipe()
		go func() {
			_, err := encrypt(w, zeros(size), id.Recipient(), armored)
			w.CloseWithError(err)
		}()
		n, err := decrypt(io.Discard, r, id)
		if err != nil || n != size {
			t.Fatalf("armored %v: %d bytes, %v", armored, n, err)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > size/2 {
			t.Errorf("the heap grew by %d bytes for a file of %d", grown, size)
		}
	}
}

// TestDecryptRefusals: a payload that was altered or cut is an error of the input,
// a full disk one of the machine, and no file appears for either.
func TestDecryptRefusals(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := encrypt(&file, zeros(200_000), id.Recipient(), false); err != nil {
		t.Fatal(err)
	}
	good := file.Bytes()
	altered := bytes.Clone(good)
	altered[len(altered)-100] ^= 1
	for _, c := range []struct {
		name string
		file []byte
		disk error
		want exitCode
	}{
		{"the whole file", good, nil, exitOK},
		{"an altered last chunk", altered, nil, exitInput},
		{"a file cut in a chunk", good[:len(good)-1000], nil, exitInput},
		{"a file cut between chunks", good[:len(good)-(200_000%(64<<10))-16], nil, exitInput},
		{"a file with bytes after its end", append(bytes.Clone(good), 0), nil, exitInput},
		{"an empty file", nil, nil, exitInput},
		{"a header cut short", good[:30], nil, exitInput},
		{"a full disk", good, &os.PathError{Op: "write", Path: "out", Err: syscall.ENOSPC}, exitLocal},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "out")
			dst, err := createFile(name, modeSecret, false)
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Abandon()
			_, err = decrypt(fullAfter{dst, c.disk}, bytes.NewReader(c.file), id)
			if codeOf(err) != c.want {
				t.Errorf("exit code %d, expected %d: %v", codeOf(err), c.want, err)
			}
			if err == nil {
				err = dst.Commit()
				if err != nil {
					t.Fatal(err)
				}
			}
			dst.Abandon()
			left, err := os.ReadDir(filepath.Dir(name))
			if err != nil {
				t.Fatal(err)
			}
			if (c.want == exitOK) != (len(left) == 1) {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// fullAfter fails each write with err, if there is one.
type fullAfter struct {
	io.Writer
	err error
}

func (w fullAfter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.Writer.Write(p)
}

// TestCreateFileNeverReplaces: a file that came in between is kept.
func TestCreateFileNeverReplaces(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	f, err := createFile(name, modeSecret, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abandon()
	if err := os.WriteFile(name, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); codeOf(err) != exitLocal || !errors.Is(err, os.ErrExist) {
		t.Errorf("Commit: %v", err)
	}
	if b, _ := os.ReadFile(name); string(b) != "theirs" {
		t.Errorf("the file holds %q", b)
	}
}

// TestExpecting: only pairs that were asked for are compared, and all of them.
func TestExpecting(t *testing.T) {
	asked := 0
	by := unwrapFunc(func() { asked++ })
	has := api.Context{"a": "1", "b": "2"}
	for _, c := range []struct {
		pairs api.Context
		want  bool
	}{
		{nil, true},
		{api.Context{"a": "1"}, true},
		{api.Context{"a": "1", "b": "2"}, true},
		{api.Context{"a": "2"}, false},
		{api.Context{"a": "1", "c": ""}, false},
	} {
		before := asked
		_, err := expecting{by, c.pairs}.Unwrap(t.Context(), nil, has, "")
		if (err == nil) != c.want || (asked > before) != c.want {
			t.Errorf("%v: %v", c.pairs, err)
		}
		if err != nil && (!errors.Is(err, client.ErrEnvelope) || codeOf(err) != exitInput) {
			t.Errorf("%v: %v", c.pairs, err)
		}
	}
}

type unwrapFunc func()

func (f unwrapFunc) Unwrap(context.Context, []byte, api.Context, string) (secret.Bytes, error) {
	f()
	return secret.Bytes{}, nil
}
