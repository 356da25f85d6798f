package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// flaky is a file whose calls can be broken.
type flaky struct {
	file
	onWrite    func(b []byte, off int64) (int, error)
	onSync     func() error
	onTruncate func(size int64) error
}

func (f *flaky) WriteAt(b []byte, off int64) (int, error) {
	if f.onWrite != nil {
		return f.onWrite(b, off)
	}
	return f.file.WriteAt(b, off)
}

func (f *flaky) Sync() error {
	if f.onSync != nil {
		return f.onSync()
	}
	return f.file.Sync()
}

func (f *flaky) Truncate(size int64) error {
	if f.onTruncate != nil {
		return f.onTruncate(size)
	}
	return f.file.Truncate(size)
}

// R26: each durable call broken as "failed" and as "failed but persisted"; the
// log refuses from then on, never syncs that file again, and reopens with every
// record that was acknowledged.
func TestBrokenDisk(t *testing.T) {
	eio := syscall.EIO
	for _, tt := range []struct {
		name  string
		arm   func(f *flaky, real file)
		want  error
		state string
		size  []uint64 // records after reopening: the 2 acknowledged, and what may have got through
	}{
		{"a write fails", func(f *flaky, _ file) {
			f.onWrite = func([]byte, int64) (int, error) { return 0, eio }
		}, ErrBroken, "audit broken", []uint64{2}},
		{"a write fails half way", func(f *flaky, real file) {
			f.onWrite = func(b []byte, off int64) (int, error) {
				n, _ := real.WriteAt(b[:len(b)/2], off)
				return n, eio
			}
		}, ErrBroken, "audit broken", []uint64{2}},
		{"a write fails but is persisted", func(f *flaky, real file) {
			f.onWrite = func(b []byte, off int64) (int, error) { n, _ := real.WriteAt(b, off); return n, eio }
		}, ErrBroken, "audit broken", []uint64{3}},
		{"a sync fails", func(f *flaky, real file) {
			f.onWrite = func(b []byte, _ int64) (int, error) { return len(b), nil }
			f.onSync = func() error { return eio }
		}, ErrBroken, "audit broken", []uint64{2}},
		{"a sync fails but is persisted", func(f *flaky, real file) {
			f.onSync = func() error { _ = real.Sync(); return eio }
		}, ErrBroken, "audit broken", []uint64{3}},
		{"a sync finds the disk full, which is broken and not full", func(f *flaky, real file) {
			f.onSync = func() error { f.onSync = nil; return syscall.ENOSPC }
		}, ErrBroken, "audit broken", []uint64{3}},
		{"the disk is full", func(f *flaky, real file) {
			f.onWrite = func([]byte, int64) (int, error) { f.onWrite = nil; return 0, syscall.ENOSPC }
		}, ErrFull, "audit full", []uint64{3}},
		{"the disk is full half way", func(f *flaky, real file) {
			f.onWrite = func(b []byte, off int64) (int, error) {
				f.onWrite = nil
				n, _ := real.WriteAt(b[:len(b)/2], off)
				return n, syscall.ENOSPC
			}
		}, ErrFull, "audit full", []uint64{3}},
		{"the disk is full, the write is persisted", func(f *flaky, real file) {
			f.onWrite = func(b []byte, off int64) (int, error) {
				f.onWrite = nil
				n, _ := real.WriteAt(b, off)
				return n, syscall.ENOSPC
			}
		}, ErrFull, "audit full", []uint64{3}},
		{"the quota is used up, and the reserve does not help", func(f *flaky, real file) {
			f.onWrite = func([]byte, int64) (int, error) { return 0, syscall.EDQUOT }
		}, ErrFull, "audit full", []uint64{2}},
		{"the disk is full and cannot be cut", func(f *flaky, real file) {
			f.onWrite = func([]byte, int64) (int, error) { return 0, syscall.ENOSPC }
			f.onTruncate = func(int64) error { return eio }
		}, ErrBroken, "audit broken", []uint64{2}},
		{"the record of the full disk cannot be synced", func(f *flaky, real file) {
			f.onWrite = func([]byte, int64) (int, error) { f.onWrite = nil; return 0, syscall.ENOSPC }
			f.onSync = func() error { return eio }
		}, ErrBroken, "audit broken", []uint64{3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
			var broken *flaky
			var real file
			cfg.open = func(path string) (file, error) {
				f, err := openFile(nil, path)
				broken, real = &flaky{file: f}, f
				return broken, err
			}
			l := mustOpen(t, cfg)
			mustAppend(t, l, numbered(0))
			mustAppend(t, l, numbered(1))
			tt.arm(broken, real)
			if _, err := l.Append(context.Background(), numbered(2)); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			} else if errors.Is(err, ErrBroken) && errors.Is(err, ErrFull) {
				t.Errorf("%v is two states", err)
			}
			fail := func() error { t.Error("the file was touched after it had failed"); return nil }
			broken.onWrite = func([]byte, int64) (int, error) { return 0, fail() }
			broken.onSync = fail
			broken.onTruncate = func(int64) error { return fail() }
			if _, err := l.Append(context.Background(), numbered(3)); !errors.Is(err, tt.want) {
				t.Fatalf("the second time: got %v, want %v", err, tt.want)
			}
			if l.State() != tt.state {
				t.Errorf("state %q, want %q", l.State(), tt.state)
			}
			if _, err := l.Checkpoint(); (err == nil) != (tt.want == ErrFull) {
				t.Errorf("checkpoint of a log in state %q: %v", l.State(), err)
			}
			l.Close()

			cfg.open = nil
			again := mustOpen(t, cfg)
			if again.Size() != tt.size[0] {
				t.Fatalf("%d records after reopening, want %d", again.Size(), tt.size[0])
			}
			for i := range uint64(2) {
				if r, err := again.Read(i); err != nil || r.Count != i+1 {
					t.Errorf("record %d: %+v, %v", i, r, err)
				}
			}
			if tt.want == ErrFull && tt.size[0] == 3 {
				if r, err := again.Read(2); err != nil || r.Kind != Full || r.Time != 1002 || r.Node != "node-1" {
					t.Errorf("the last record is %+v, %v; want that the audit is full", r, err)
				}
			}
			mustAppend(t, again, numbered(9))
			if _, err := VerifyDir(cfg.Dir, cfg.Public, Given{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// R26: the reserve makes the room in which the log says that it is full.
func TestReserveIsGivenUpAndMadeAgain(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	reserve := filepath.Join(cfg.Dir, "reserve")
	var broken *flaky
	cfg.open = func(path string) (file, error) {
		f, err := openFile(nil, path)
		broken = &flaky{file: f}
		return broken, err
	}
	l := mustOpen(t, cfg)
	if info, err := os.Stat(reserve); err != nil || info.Size() != cfg.ReserveBytes {
		t.Fatalf("reserve: %v", err)
	}
	broken.onWrite = func(b []byte, off int64) (int, error) {
		if _, err := os.Stat(reserve); err == nil {
			return 0, syscall.ENOSPC // until room is made
		}
		return broken.file.WriteAt(b, off)
	}
	if _, err := l.Append(context.Background(), numbered(0)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if _, err := os.Stat(reserve); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the reserve is still there: %v", err)
	}
	l.Close()
	l = mustOpen(t, cfg)
	if r, err := l.Read(0); err != nil || r.Kind != Full {
		t.Fatalf("%+v, %v", r, err)
	}
	if info, err := os.Stat(reserve); err != nil || info.Size() != cfg.ReserveBytes {
		t.Fatalf("the reserve was not made again: %v", err)
	}
}

// R26: a deleted or replaced file is noticed before anything is acknowledged,
// and by an idle log within a second.
func TestMissingFile(t *testing.T) {
	for name, hurt := range map[string]func(path string) error{
		"deleted": os.Remove,
		"renamed": func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.WriteFile(path, nil, 0o600)
		},
		"with its directory": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		for _, idle := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
				l := mustOpen(t, cfg)
				mustAppend(t, l, numbered(0))
				if err := hurt(filepath.Join(cfg.Dir, "records-00000000")); err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(5 * time.Second); idle && l.State() == "ok" && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond)
				}
				if idle && l.State() != "audit file missing" {
					t.Errorf("state %q", l.State())
				}
				if _, err := l.Append(context.Background(), numbered(1)); !errors.Is(err, ErrMissing) {
					t.Errorf("append: %v", err)
				}
				if _, err := l.Checkpoint(); !errors.Is(err, ErrMissing) {
					t.Errorf("checkpoint: %v", err)
				}
			})
		}
	}
}

// R26: a disk that hangs holds nobody longer than the caller's patience.
func TestHangingDisk(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	release := make(chan struct{})
	hang := false
	cfg.open = func(path string) (file, error) {
		f, err := openFile(nil, path)
		return &flaky{file: f, onSync: func() error {
			if hang {
				<-release
			}
			return f.Sync()
		}}, err
	}
	l := mustOpen(t, cfg)
	hang = true
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, numbered(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if l.Size() != 0 {
		t.Error("a record counts before it is synced")
	}
	close(release)
}

func TestOpenOnAFullDiskIsAuditFull(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	cfg.open = func(path string) (file, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	if _, err := Open(cfg); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "audit full") {
		t.Errorf("got %v", err)
	}
	cfg.open = nil
	mustOpen(t, cfg) // and the lock of the refused one is free again
}
