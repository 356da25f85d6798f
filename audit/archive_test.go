package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/internal/wire"
)

const (
	archivable = 1500 // records
	olderPoint = 500
	changeAt   = 77 // the one record that tells of the ledger, in the first segment
)

// segmented is a closed log of several segments, with a checkpoint of 500 records
// and one of all, which is its own.
type segmented struct {
	cfg          Config
	older, newer []byte
	root         [32]byte
}

func (s segmented) archive() string { return s.cfg.Dir + "-archive" }

func makeSegmented(t testing.TB) segmented {
	t.Helper()
	s := segmented{cfg: testConfig(filepath.Join(t.TempDir(), "audit"))}
	s.cfg.SegmentBytes = 24 << 10
	l := mustOpen(t, s.cfg)
	for n := 0; n < archivable; {
		var records []Record
		for range 1 + n%7 {
			if n < archivable && (n != olderPoint || len(records) == 0) {
				r := numbered(n)
				if n == changeAt {
					r.Kind, r.LedgerIndex = Change, 4711
				}
				records = append(records, r)
				n++
			}
		}
		mustAppend(t, l, records...)
		if n == olderPoint {
			s.older = mustCheckpoint(t, l)
		}
	}
	s.newer = mustCheckpoint(t, l)
	s.root = l.Root()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if s.older == nil || len(l.segments) < 5 {
		t.Fatalf("%d segments", len(l.segments))
	}
	return s
}

func mustCheckpoint(t testing.TB, l *Log) []byte {
	t.Helper()
	b, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustArchive(t testing.TB, s segmented) Archived {
	t.Helper()
	moved, err := Archive(s.cfg.Dir, s.archive(), s.cfg.Public)
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

func TestAnArchivedLogVerifiesWithItsRecordsAndWithout(t *testing.T) {
	s := makeSegmented(t)
	moved := mustArchive(t, s)
	if moved.First != 0 || moved.End == 0 || moved.End > archivable/tileWidth*tileWidth || moved.Segments < 3 {
		t.Fatalf("%+v", moved)
	}
	for n := range moved.Segments {
		if _, err := os.Stat(segmentPath(s.cfg.Dir, n)); err == nil {
			t.Errorf("segment %d is still in the log", n)
		}
	}
	for name, kept := range map[string][]byte{"nothing": nil, "the older": s.older, "the newer": s.newer} {
		report, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Checkpoint: kept})
		if err != nil || report.Size != archivable || report.Root != s.root || report.Archived != moved.End || report.TilesMissed != 0 {
			t.Errorf("without the archive, against %s: %+v, %v", name, report, err)
		}
		report, err = VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Checkpoint: kept, Archive: s.archive()})
		if err != nil || report.Size != archivable || report.Root != s.root || report.Archived != 0 || report.First != numbered(0).Time {
			t.Errorf("with the archive, against %s: %+v, %v", name, report, err)
		}
	}
	if _, err := Archive(s.cfg.Dir, s.archive(), s.cfg.Public); !errors.Is(err, ErrNothingToArchive) {
		t.Errorf("again: %v", err)
	}
}

// A node starts, reads what is left, appends and serves, with the archive gone.
func TestALogGoesOnWithoutItsArchive(t *testing.T) {
	s := makeSegmented(t)
	moved := mustArchive(t, s)
	if err := os.RemoveAll(s.archive()); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		l := mustOpen(t, s.cfg)
		size := l.Size()
		if round == 0 && (size != archivable || l.Root() != s.root) {
			t.Fatalf("%d records, root %x", size, l.Root())
		}
		if l.Journaled() != 4711 {
			t.Errorf("the ledger was taken over up to %d, by an archived record", l.Journaled())
		}
		for i := range size {
			r, err := l.Read(i)
			if i < moved.End && !errors.Is(err, ErrArchived) {
				t.Fatalf("archived record %d: %v", i, err)
			}
			if i >= moved.End && (err != nil || r.Count != i+1) {
				t.Fatalf("record %d: %+v, %v", i, r, err)
			}
		}
		if all, err := l.Tail(MaxTail); err != nil || uint64(len(all)) != min(size-moved.End, MaxTail) || all[len(all)-1].Index != size-1 {
			t.Fatalf("a tail of %d: %v", len(all), err)
		}
		for n := range 300 {
			mustAppend(t, l, numbered(int(size)+n))
		}
		mustCheckpoint(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		report, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Checkpoint: s.newer})
		if err != nil || report.Size != size+300 || report.TilesMissed != 0 {
			t.Fatalf("%+v, %v", report, err)
		}
	}
	// What became closed since goes the same way, into another archive.
	further, err := Archive(s.cfg.Dir, s.archive()+"-2", s.cfg.Public)
	if err != nil || further.First != moved.End {
		t.Fatalf("%+v, %v", further, err)
	}
	if l := mustOpen(t, s.cfg); l.Size() != archivable+600 || l.Journaled() != 4711 {
		t.Errorf("%d records, ledger at %d", l.Size(), l.Journaled())
	}
}

// Damage in the archive is named by the record's index; with the archive left
// aside the hashes in the tiles still verify.
func TestDamageInTheArchiveIsNamedByIndex(t *testing.T) {
	s := makeSegmented(t)
	moved := mustArchive(t, s)
	path := segmentPath(s.archive(), 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	for b := whole; len(b) > 0; {
		f, n, err := parseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		frames, b = append(frames, f), b[n:]
	}
	first := int(frames[0].index)
	named := func(what string, b []byte, want int) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *DamagedError
		if _, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Archive: s.archive()}); !errors.As(err, &damage) || damage.Index != uint64(want) || damage.Unplaced || !strings.Contains(err.Error(), fmt.Sprint(want)) {
			t.Errorf("%s: %v, want record %d named", what, err, want)
		}
		if report, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{}); err != nil || report.Archived != moved.End {
			t.Errorf("%s, without the archive: %+v, %v", what, report, err)
		}
	}
	for _, i := range []int{0, 17, len(frames) - 1} {
		start := len(joined(frames[:i]))
		for what, at := range map[string]int{"index": 11, "commit": 19, "body": headerSize + 9} {
			b := bytes.Clone(whole)
			b[start+at] ^= 1
			named("flipped in its "+what, b, first+i)
		}
		altered := slices.Clone(frames)
		altered[i] = rewritten(t, altered[i])
		named("rewritten", joined(altered), first+i)
		named("dropped", joined(slices.Delete(slices.Clone(frames), i, i+1)), first+i)
		named("doubled", joined(slices.Insert(slices.Clone(frames), i, frames[i])), first+i+1)
	}
	swapped := slices.Clone(frames)
	swapped[3], swapped[40] = swapped[40], swapped[3]
	named("swapped", joined(swapped), first+3)
	named("cut", joined(frames[:len(frames)-1]), first+len(frames)-1)
	named("half a frame at the end", append(bytes.Clone(whole), whole[:30]...), first+len(frames))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var damage *DamagedError
	if _, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Archive: s.archive()}); !errors.As(err, &damage) || damage.Index != uint64(first) || !strings.Contains(err.Error(), "has no such file") {
		t.Errorf("gone: %v", err)
	}
}

// What stays in the log's directory in the records' place is held against what the
// node signed.
func TestAStubCannotLie(t *testing.T) {
	s := makeSegmented(t)
	moved := mustArchive(t, s)
	dir := s.cfg.Dir
	file := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good, err := readStub(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	restub := func(edit func(*stub)) []byte {
		s := *good
		edit(&s)
		return wire.Encode(s)
	}
	forged := frame{index: changeAt, first: changeAt, body: nil}
	forged.body, _ = EncodeRecord(Record{Kind: Change, LedgerIndex: 1 << 60})
	forged.leaf = leafHash(forged.first, forged.body)
	tile := file("tile/0/001")
	tile[40] ^= 1
	for _, tt := range []struct {
		sentence, name string
		b              []byte // nil: removed
		says           string
	}{
		{"a tile under it was altered", "tile/0/001", tile, "do not have the root"},
		{"a tile under it is gone", "tile/0/001", nil, "record 256 "},
		{"it is gone", "archived-00000000", nil, "segment 0 is missing"},
		{"it is of another segment", "archived-00000000", file("archived-00000001"), "of segment 1"},
		{"it begins elsewhere", "archived-00000000", restub(func(s *stub) { s.First = 1; s.Ledger = nil }), "the stub begins with record 1"},
		{"it counts one less", "archived-00000000", restub(func(s *stub) { s.Count-- }), "the stub begins with record"},
		{"it counts one more", "archived-00000000", restub(func(s *stub) { s.Count++ }), "the stub begins with record"},
		{"it counts more than can be", "archived-00000000", restub(func(s *stub) { s.Count = maxSize + 1 }), "out of bounds"},
		{"the record in it is forged", "archived-00000000", restub(func(s *stub) { s.Ledger = forged.append(nil) }), "record 77 "},
		{"the record in it is of elsewhere", "archived-00000000", restub(func(s *stub) { s.First = good.end(); s.Count = 1 }), "not of its segment"},
		{"it is junk", "archived-00000000", []byte("junk"), "not a stub"},
		{"nobody signed for it", "checkpoint", nil, "no checkpoint that covers them"},
		{"an older checkpoint does not reach its end", "checkpoint", s.older, "no checkpoint that covers them"},
		{"what follows it is gone", "records-" + fmt.Sprintf("%08d", moved.Segments), nil, "is missing"},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			path := filepath.Join(dir, tt.name)
			before := file(tt.name)
			defer func() {
				if err := os.WriteFile(path, before, 0o600); err != nil {
					t.Fatal(err)
				}
			}()
			if tt.b != nil {
				if err := os.WriteFile(path, tt.b, 0o600); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyDir(dir, s.cfg.Public, Given{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("verified: %v, want %q", err, tt.says)
			}
			if l, err := Open(s.cfg); !errors.Is(err, ErrDamaged) {
				if err == nil {
					l.Close()
				}
				t.Errorf("opened: %v", err)
			}
			if _, err := Archive(dir, s.archive(), s.cfg.Public); !errors.Is(err, ErrDamaged) {
				t.Errorf("archived further: %v", err)
			}
		})
	}
	// The records tell where the tiles are wrong, and the segment put back makes
	// the tiles again.
	if err := os.WriteFile(filepath.Join(dir, "tile/0/001"), tile, 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := VerifyDir(dir, s.cfg.Public, Given{Archive: s.archive()}); err != nil || report.TilesMissed != 1 {
		t.Errorf("with the archive: %+v, %v", report, err)
	}
	for n := range moved.Segments {
		b, err := os.ReadFile(segmentPath(s.archive(), n))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segmentPath(dir, n), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, s.cfg).Close()
	if report, err := VerifyDir(dir, s.cfg.Public, Given{}); err != nil || report.Archived != 0 || report.TilesMissed != 0 {
		t.Errorf("put back: %+v, %v", report, err)
	}
}

// A crash before each durable step, and one after it: no record is lost, the log
// verifies and opens, and the next call finishes what was begun.
func TestArchivingSurvivesACrashAtEveryStep(t *testing.T) {
	crash := errors.New("the power fails")
	whole := makeSegmented(t)
	var steps []string
	for at := 0; ; at++ {
		s := whole
		s.cfg.Dir = filepath.Join(t.TempDir(), "audit")
		copyLog(t, s.cfg.Dir, whole.cfg.Dir)
		count, last := 0, ""
		_, err := archive(s.cfg.Dir, s.archive(), s.cfg.Public, func(name string) error {
			last = name
			if count++; count > at {
				return crash
			}
			return nil
		})
		if err == nil {
			break
		}
		if !errors.Is(err, crash) {
			t.Fatal(err)
		}
		steps = append(steps, last)
		if report, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Checkpoint: s.newer, Archive: s.archive()}); err != nil || report.Size != archivable || report.Archived != 0 {
			t.Fatalf("step %d, %s: %+v, %v", at, last, report, err)
		}
		if l := mustOpen(t, s.cfg); l.Size() != archivable || l.Root() != s.root {
			t.Fatalf("step %d, %s: %d records", at, last, l.Size())
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Archive(s.cfg.Dir, s.archive(), s.cfg.Public); err != nil && (last != "sync the directory" || !errors.Is(err, ErrNothingToArchive)) {
			t.Fatalf("step %d, %s: again: %v", at, last, err)
		}
		if report, err := VerifyDir(s.cfg.Dir, s.cfg.Public, Given{Checkpoint: s.newer, Archive: s.archive()}); err != nil || report.Size != archivable {
			t.Fatalf("step %d, %s: finished: %+v, %v", at, last, report, err)
		}
	}
	if len(steps) < 3*6 {
		t.Errorf("only %d steps: %v", len(steps), steps)
	}
	t.Logf("%d steps", len(steps))
}

func TestWhatIsNotClosedIsNotArchived(t *testing.T) {
	few := func(t *testing.T, n int, checkpoint bool) segmented {
		s := segmented{cfg: testConfig(filepath.Join(t.TempDir(), "audit"))}
		s.cfg.SegmentBytes = 8 << 10
		l := mustOpen(t, s.cfg)
		for i := range n {
			mustAppend(t, l, numbered(i))
		}
		if checkpoint {
			mustCheckpoint(t, l)
		}
		l.Close()
		return s
	}
	refused := func(t *testing.T, s segmented, want error, says string) {
		t.Helper()
		before := listing(t, s.cfg.Dir)
		if _, err := Archive(s.cfg.Dir, s.archive(), s.cfg.Public); !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if after := listing(t, s.cfg.Dir); !slices.Equal(after, before) {
			t.Errorf("the log was changed: %v, %v", before, after)
		}
	}
	t.Run("the only segment", func(t *testing.T) {
		refused(t, few(t, 3, true), ErrNothingToArchive, "segment 0 is the last one")
	})
	t.Run("under no checkpoint", func(t *testing.T) {
		refused(t, few(t, 600, false), ErrNothingToArchive, "the node's own checkpoint covers 0 records")
	})
	t.Run("in no full tile", func(t *testing.T) {
		refused(t, few(t, 200, true), ErrNothingToArchive, "full tiles hold 0")
	})
	t.Run("the log is open", func(t *testing.T) {
		s := makeSegmented(t)
		mustOpen(t, s.cfg)
		refused(t, s, ErrLocked, s.cfg.Dir)
	})
	t.Run("damaged", func(t *testing.T) {
		s := makeSegmented(t)
		b, err := os.ReadFile(segmentPath(s.cfg.Dir, 1))
		if err != nil {
			t.Fatal(err)
		}
		b[100] ^= 1
		if err := os.WriteFile(segmentPath(s.cfg.Dir, 1), b, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, s, ErrDamaged, "records-00000001")
	})
	t.Run("another log's archive", func(t *testing.T) {
		s := makeSegmented(t)
		if err := os.Mkdir(s.archive(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segmentPath(s.archive(), 0), []byte("another's"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, s, ErrOtherArchive, "records-00000000")
		if b, err := os.ReadFile(segmentPath(s.archive(), 0)); err != nil || string(b) != "another's" {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("another node's log", func(t *testing.T) {
		s := makeSegmented(t)
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.cfg.Public = &other.PublicKey
		refused(t, s, ErrBadCheckpoint, "own checkpoint")
	})
	t.Run("inside of the log's directory", func(t *testing.T) {
		s := makeSegmented(t)
		for _, to := range []string{s.cfg.Dir, filepath.Join(s.cfg.Dir, "archive")} {
			if _, err := Archive(s.cfg.Dir, to, s.cfg.Public); !errors.Is(err, ErrOtherArchive) {
				t.Errorf("%s: %v", to, err)
			}
		}
	})
	t.Run("open to others", func(t *testing.T) { // R27
		s := makeSegmented(t)
		if err := os.Mkdir(s.archive(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.archive(), 0o755); err != nil {
			t.Fatal(err)
		}
		refused(t, s, ErrLooseMode, s.archive())
	})
}

// copyLog copies a log's directory, modes and all.
func copyLog(t testing.TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}); err != nil {
		t.Fatal(err)
	}
}

func listing(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func FuzzDecodeStub(f *testing.F) {
	s := makeSegmented(f)
	mustArchive(f, s)
	for n := range 2 {
		b, err := os.ReadFile(stubPath(s.cfg.Dir, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeStub(b)
		if err != nil {
			if !errors.Is(err, errStub) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		if s.end() <= s.First || s.end() > 2*maxSize {
			t.Errorf("%+v", s)
		}
	})
}

// A start after a crash, with 100,000 releases since the last change: what the
// ledger was taken over to is found on the way.
func TestAfterManyReleasesTheLedgersPlaceIsKnownAtOnce(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	l := mustOpen(t, cfg)
	if l.Journaled() != 0 {
		t.Errorf("an empty log says %d", l.Journaled())
	}
	tells := func(kind Kind, index uint64) {
		t.Helper()
		mustAppend(t, l, Record{Time: 1, Kind: kind, LedgerIndex: index})
		if l.Journaled() != index {
			t.Fatalf("%d after a record of the kind %s with %d", l.Journaled(), kind, index)
		}
	}
	for i, kind := range []Kind{Start, Change, Activate, Ceremony, Stop, Change} {
		tells(kind, uint64(i)+100)
	}
	// What was decided on by another state tells nothing about the journal.
	r := numbered(0)
	r.LedgerIndex, r.Principal, r.Reason = 9999, "spiffe://demo/app", "a reason of some length, as they come"
	size := l.Size()
	l.Close()
	// Written as the log writes them, and without its syncs.
	body, err := EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(segmentPath(cfg.Dir, 0), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		var b []byte
		for i := range uint64(1000) {
			b = frame{index: size + i, first: size, body: body, leaf: leafHash(size, body)}.append(b)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		size += 1000
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	l = mustOpen(t, cfg)
	opened := time.Now()
	if l.Journaled() != 105 || l.Size() != 100_006 {
		t.Errorf("%d of %d records", l.Journaled(), l.Size())
	}
	t.Logf("100,006 records opened in %v, and asked in %v", opened.Sub(start), time.Since(opened))
}

// kindOf reads what the decoder reads, for every kind and at every time.
func TestTheKindIsReadOffTheFirstBytes(t *testing.T) {
	kinds := []Kind{"a-kind-of-thirty-two-bytes-so-lo"}
	for k := range known {
		kinds = append(kinds, k)
	}
	for _, kind := range kinds {
		for _, at := range []int64{-1 << 40, -1, 0, 1, 23, 24, 255, 256, 65535, 65536, 1 << 31, 1 << 32, 1763800000000, 1<<63 - 1} {
			r := Record{Time: at, Kind: kind, Node: "n", LedgerIndex: 5}
			body := wire.Encode(r)
			if got := kindOf(body); got != kind {
				t.Errorf("%q at %d: read as %q", kind, at, got)
			}
			for cut := range len(body) {
				_ = kindOf(body[:cut])
			}
		}
	}
	for _, b := range [][]byte{nil, {0xa1}, {0xa1, 0x18, 0x63, 0x01}, []byte("junk that is no record")} {
		if k := kindOf(b); k != "" {
			t.Errorf("%x: %q", b, k)
		}
	}
}
