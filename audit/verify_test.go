package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whoever holds the node's disk, and not its key, can rewrite records with right
// hashes; one older checkpoint shows it.
func TestAnOlderCheckpointShowsARewrittenLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	for n := range 5 {
		mustAppend(t, l, numbered(n))
	}
	older, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		mustAppend(t, l, numbered(5+n))
	}
	newer, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	whole, err := os.ReadFile(segmentPath(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(older []byte) error {
		_, err := VerifyDir(dir, cfg.Public, Given{Checkpoint: older})
		return err
	}
	if err := errors.Join(verify(nil), verify(older), verify(newer)); err != nil {
		t.Fatal(err)
	}

	// Record 3 says something else, with its hash made right.
	var b []byte
	for offset := 0; offset < len(whole); {
		f, n, err := parseFrame(whole[offset:])
		if err != nil {
			t.Fatal(err)
		}
		if f.index == 3 {
			r := numbered(3)
			r.KeyName = "another"
			if f.body, err = EncodeRecord(r); err != nil {
				t.Fatal(err)
			}
			f.leaf = leafHash(f.first, f.body)
		}
		b = f.append(b)
		offset += n
	}
	overwrite(t, dir, b)
	if err := verify(nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "its own checkpoint") {
		t.Errorf("against its own checkpoint: %v", err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if err := verify(nil); err != nil {
		t.Errorf("without any checkpoint nothing shows: %v", err)
	}
	var damage *DamagedError
	if err := verify(older); !errors.As(err, &damage) || damage.Index != 3 || damage.Unplaced {
		t.Errorf("against the older checkpoint: %v, want record 3 named", err)
	}
	// Without tiles, or with tiles that were rewritten too, one record cannot be
	// named; that there is one shows all the same.
	tiles := filepath.Join(dir, tileDir)
	if err := os.RemoveAll(tiles); err != nil {
		t.Fatal(err)
	}
	if err := verify(older); !errors.As(err, &damage) || !damage.Unplaced || !strings.Contains(err.Error(), "the first 5 records") {
		t.Errorf("without tiles: %v", err)
	}
	mustOpen(t, cfg).Close()
	if _, err := os.Stat(tiles); err != nil {
		t.Errorf("an opened log has its tiles again: %v", err)
	}
	if err := verify(older); !errors.As(err, &damage) || !damage.Unplaced {
		t.Errorf("with tiles of the altered records: %v", err)
	}
	overwrite(t, dir, whole[:len(whole)/4])
	if err := verify(older); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "are missing") {
		t.Errorf("a shortened log: %v", err)
	}
}

func TestVerifyNamesABadRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	mustAppend(t, l, numbered(0))
	mustAppend(t, l, numbered(1))
	l.Close()
	// A record outside of the allow-list, correctly framed and hashed.
	f, err := os.OpenFile(segmentPath(dir, 0), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{0xa1, 0x18, 0x63, 0x01}
	if _, err := f.Write(frame{index: 2, first: 2, body: body, leaf: leafHash(2, body)}.append(nil)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var damage *DamagedError
	if report, err := VerifyDir(dir, cfg.Public, Given{}); !errors.As(err, &damage) || damage.Index != 2 || report.Size != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestCheckpointRefusals(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	l := mustOpen(t, cfg)
	empty, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ParseCheckpoint(empty, cfg.Public); err != nil || p.Size != 0 || p.Root != obviousRoot(nil) {
		t.Errorf("the checkpoint of nothing: %+v, %v", p, err)
	}
	mustAppend(t, l, numbered(0))
	good, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	resigned := func(p Checkpoint) []byte {
		b, err := p.sign(l.signer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for sentence, tt := range map[string]struct {
		b   []byte
		pub *ecdsa.PublicKey
	}{
		"nothing":            {nil, cfg.Public},
		"another key":        {good, &other.PublicKey},
		"a key of P-384":     {good, &p384.PublicKey},
		"no key":             {good, nil},
		"another size":       {bytes.Replace(good, []byte("\n1\n"), []byte("\n2\n"), 1), cfg.Public},
		"another origin":     {bytes.ReplaceAll(good, []byte("node-1"), []byte("node-2")), cfg.Public},
		"no signature":       {good[:bytes.Index(good, []byte("\n\n"))+2], cfg.Public},
		"a size beyond tlog": {resigned(Checkpoint{Origin: cfg.Origin, Size: maxSize + 1}), cfg.Public},
		"too long":           {append(bytes.Clone(good), make([]byte, maxCheckpoint)...), cfg.Public},
	} {
		if _, err := ParseCheckpoint(tt.b, tt.pub); !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	l.Close()
	moved := cfg
	moved.Origin = "warifu/0a1b2c3d/node-2"
	if _, err := Open(moved); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("another node's directory: %v", err)
	}
	moved = cfg
	moved.Public = &other.PublicKey
	if _, err := Open(moved); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("another node's key: %v", err)
	}
	if err := os.Remove(filepath.Join(cfg.Dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, moved)
	if _, err := l.Checkpoint(); err == nil {
		t.Error("signed with a key that is not the public one's")
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	cfg := testConfig(filepath.Join(f.TempDir(), "audit"))
	l := mustOpen(f, cfg)
	good, err := l.Checkpoint()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParseCheckpoint(b, cfg.Public); err == nil && (p.Size != 0 || p.Origin != cfg.Origin) {
			t.Errorf("forged %+v", p)
		} else if err != nil && !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("unnamed error %v", err)
		}
	})
}

// An older checkpoint is somebody's file: only what the node signed counts.
func FuzzVerifyDir(f *testing.F) {
	cfg := testConfig(filepath.Join(f.TempDir(), "audit"))
	l := mustOpen(f, cfg)
	var signed [][]byte
	for n := range 3 {
		mustAppend(f, l, numbered(n))
		c, err := l.Checkpoint()
		if err != nil {
			f.Fatal(err)
		}
		signed = append(signed, c)
		f.Add(c)
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, kept []byte) {
		r, err := VerifyDir(cfg.Dir, cfg.Public, Given{Checkpoint: kept})
		if err != nil {
			if !errors.Is(err, ErrBadCheckpoint) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		c, err := ParseCheckpoint(kept, cfg.Public)
		switch {
		case len(kept) == 0:
			if r.TailChecked {
				t.Fatal("checked against nothing")
			}
		case err != nil || !r.TailChecked || r.Kept != c.Size:
			t.Fatalf("%q was kept: %+v, %v", kept, r, err)
		}
		// A signature can be spelled anew, what it signs cannot.
		body, _, _ := bytes.Cut(kept, []byte("\n\n"))
		if len(kept) > 0 && !slices.ContainsFunc(signed, func(s []byte) bool { return bytes.HasPrefix(s, append(body, "\n\n"...)) }) {
			t.Fatalf("%q was never signed", kept)
		}
	})
}
