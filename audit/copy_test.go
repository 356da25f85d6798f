package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// pages copies l into dir, as over a wire: every hash, the records that carry entries
// below from, and all from there on.
func pages(l *Log, dir string, from uint64) error {
	signed, err := l.Checkpoint()
	if err != nil {
		return err
	}
	c, err := OpenCopy(dir, l.cfg.Origin, l.cfg.Public)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.Checkpoint(signed)
	if err != nil {
		return err
	}
	for c.Hashes() < p.Size {
		hashes, err := l.Hashes(c.Hashes(), 300)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := c.AddHashes(h[:]); err != nil {
				return err
			}
		}
	}
	for c.Next() < from {
		page, err := l.EntryPage(c.Next(), from, 3, 1000)
		if err != nil {
			return err
		}
		for _, leaf := range page {
			if err := c.Add(leaf); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			break
		}
	}
	for next := max(from, c.Next()); next < p.Size; next = c.Next() {
		page, err := l.Page(next, p.Size, 1000, 64<<10)
		if err != nil {
			return err
		}
		for _, leaf := range page {
			if err := c.Add(leaf); err != nil {
				return err
			}
		}
	}
	return c.Finish(signed, from)
}

// copiedThousands is the log of 10,000 records, copied.
func copiedThousands(t testing.TB) (log big, dir string) {
	t.Helper()
	log = thousands(t)
	source := filepath.Join(t.TempDir(), "audit")
	copyLog(t, source, log.dir)
	l := mustOpen(t, testConfig(source))
	dir = filepath.Join(t.TempDir(), "copy")
	if err := errors.Join(pages(l, dir, 0), l.Close()); err != nil {
		t.Fatal(err)
	}
	return log, dir
}

func put(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verifyIt(dir string, from uint64, points ...Anchor) (Copied, error) {
	cfg := testConfig(dir)
	return VerifyCopy(dir, from, cfg.Origin, cfg.Public, points, func(Indexed) error { return nil })
}

// Of 10,000 records, one that is flipped, rewritten, dropped, moved, there twice or
// cut off is named by its index, and so is one whose hash beside it was altered.
func TestEachDamageOfACopyIsNamedByIndex(t *testing.T) {
	log, dir := copiedThousands(t)
	if c, err := verifyIt(dir, 0); err != nil || c.Size != manyRecords || c.Held != manyRecords || c.Root != mustPoint(t, log.newer).Root {
		t.Fatalf("%+v, %v", c, err)
	}
	hashes := contentOf(t, dir, copiedHashes)
	named := func(what, name string, b []byte, want int) {
		t.Helper()
		whole := contentOf(t, dir, name)
		put(t, dir, name, b)
		defer put(t, dir, name, whole)
		var damage *DamagedError
		if _, err := verifyIt(dir, 0); !errors.As(err, &damage) || damage.Index != uint64(want) || damage.Unplaced || damage.Segment != name {
			t.Errorf("%s: %v, want record %d named", what, err, want)
		}
	}
	for _, i := range []int{0, 255, 4_999, manyRecords - 1} {
		before, after := log.frames[:i], log.frames[i+1:]
		start, size := len(joined(before)), len(log.frames[i].body)
		for what, at := range map[string]int{"length": 3, "index": 11, "commit": 19, "body": headerSize + size/2, "hash": headerSize + size + 31} {
			b := joined(log.frames)
			b[start+at] ^= 1
			named(fmt.Sprintf("record %d flipped in its %s", i, what), copiedRecords, b, i)
		}
		altered := slices.Clone(log.frames)
		altered[i] = rewritten(t, altered[i])
		named(fmt.Sprintf("record %d rewritten", i), copiedRecords, joined(altered), i)

		dropped := slices.Concat(before, after)
		named(fmt.Sprintf("record %d dropped", i), copiedRecords, joined(dropped), i)
		named(fmt.Sprintf("record %d dropped, the gap closed", i), copiedRecords, joined(log.smoothed(dropped)), i)

		j := (i + 3_000) % manyRecords
		swapped := slices.Clone(log.frames)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		named(fmt.Sprintf("records %d and %d swapped", i, j), copiedRecords, joined(swapped), min(i, j))
		named(fmt.Sprintf("records %d and %d swapped, indices too", i, j), copiedRecords, joined(log.smoothed(swapped)), min(i, j))

		doubled := slices.Concat(before, log.frames[i:i+1], log.frames[i:])
		named(fmt.Sprintf("record %d doubled", i), copiedRecords, joined(doubled), i+1)
		named(fmt.Sprintf("record %d doubled, the rest moved on", i), copiedRecords, joined(log.smoothed(doubled)), i+1)
		named(fmt.Sprintf("cut before record %d", i), copiedRecords, joined(before), i)

		b := bytes.Clone(hashes)
		b[i*tlog.HashSize] ^= 1
		named(fmt.Sprintf("the hash of record %d altered", i), copiedHashes, b, i)
		named(fmt.Sprintf("the hashes cut before record %d", i), copiedHashes, hashes[:i*tlog.HashSize], i)
	}
	named("a hash more than was signed", copiedHashes, append(bytes.Clone(hashes), hashes[:tlog.HashSize]...), manyRecords)

	// A record and its hash rewritten together still do not have the root.
	altered := slices.Clone(log.frames)
	altered[4_999] = rewritten(t, altered[4_999])
	b := bytes.Clone(hashes)
	copy(b[4_999*tlog.HashSize:], altered[4_999].leaf[:])
	put(t, dir, copiedHashes, b)
	put(t, dir, copiedRecords, joined(altered))
	var damage *DamagedError
	if _, err := verifyIt(dir, 0); !errors.As(err, &damage) || !damage.Unplaced {
		t.Errorf("record and hash rewritten: %v", err)
	}
	put(t, dir, copiedHashes, hashes)
	put(t, dir, copiedRecords, joined(log.frames))
	for _, name := range []string{copiedHashes, copiedRecords} {
		whole := contentOf(t, dir, name)
		os.Remove(filepath.Join(dir, name))
		if _, err := verifyIt(dir, 0); !errors.As(err, &damage) || damage.Segment != name {
			t.Errorf("without %s: %v", name, err)
		}
		put(t, dir, name, whole)
	}
	if _, err := verifyIt(dir, 0); err != nil {
		t.Errorf("made whole again: %v", err)
	}
}

func mustPoint(t testing.TB, signed []byte) Checkpoint {
	t.Helper()
	p, err := ParseCheckpoint(signed, &testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whoever cuts the end of a copy can put back the checkpoint of that time. What was
// kept elsewhere shows it, and names the first record that is gone.
func TestACutCopyNeedsWhatWasKeptElsewhere(t *testing.T) {
	log, dir := copiedThousands(t)
	older, newer := mustPoint(t, log.older), mustPoint(t, log.newer)
	put(t, dir, copiedCheckpoint, log.older)
	put(t, dir, copiedRecords, joined(log.frames[:olderSize]))
	put(t, dir, copiedHashes, contentOf(t, dir, copiedHashes)[:olderSize*tlog.HashSize])
	if c, err := verifyIt(dir, 0, Anchor{"kept", older.Size, older.Root}); err != nil || c.Size != olderSize {
		t.Errorf("against what it still has: %+v, %v", c, err)
	}
	var damage *DamagedError
	if _, err := verifyIt(dir, 0, Anchor{"kept", newer.Size, newer.Root}); !errors.As(err, &damage) || damage.Index != olderSize || !strings.Contains(err.Error(), "kept counts 10000") {
		t.Errorf("against the newer checkpoint: %v", err)
	}
	older.Root[0] ^= 1
	if _, err := verifyIt(dir, 0, Anchor{"kept", older.Size, older.Root}); !errors.As(err, &damage) || !damage.Unplaced {
		t.Errorf("against another root: %v", err)
	}
	cfg := testConfig(dir)
	if _, err := VerifyCopy(dir, 0, "warifu/0a1b2c3d/node-2", cfg.Public, nil, func(Indexed) error { return nil }); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("as another node's: %v", err)
	}
	os.Remove(filepath.Join(dir, copiedCheckpoint))
	if _, err := verifyIt(dir, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a checkpoint: %v", err)
	}
}

// carrying is a log in which every tenth record carries a ledger entry.
func carrying(t testing.TB, dir string, n int) *Log {
	t.Helper()
	l := mustOpen(t, testConfig(dir))
	for i := range n {
		r := numbered(i)
		if i%10 == 0 {
			r.Kind, r.Entry = Change, []byte(fmt.Sprintf("entry %d", i))
		}
		mustAppend(t, l, r)
	}
	return l
}

// Records before a place may be left out, but for those that carry ledger entries; of
// what is here nothing may be altered, and of what follows nothing missing.
func TestACopyMayBeginLater(t *testing.T) {
	l := carrying(t, filepath.Join(t.TempDir(), "audit"), 600)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := pages(l, dir, 500); err != nil {
		t.Fatal(err)
	}
	var seen []uint64
	cfg := testConfig(dir)
	c, err := VerifyCopy(dir, 500, cfg.Origin, cfg.Public, nil, func(i Indexed) error { seen = append(seen, i.Index); return nil })
	if err != nil || c.Size != 600 || c.Held != 150 || len(seen) != 150 || seen[49] != 490 || seen[50] != 500 {
		t.Fatalf("%+v, %v, %v", c, seen, err)
	}
	// Opened again the log knows what carries entries; and pages are bounded.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, l.cfg)
	defer l.Close()
	again := filepath.Join(t.TempDir(), "again")
	if err := pages(l, again, 500); err != nil || !bytes.Equal(contentOf(t, again, copiedRecords), contentOf(t, dir, copiedRecords)) {
		t.Errorf("copied from a log opened again: %v", err)
	}
	if page, err := l.Page(0, 600, 1000, 1); err != nil || len(page) != 1 {
		t.Errorf("a page of no room: %d, %v", len(page), err)
	}
	if page, err := l.Page(600, 700, 10, 1<<20); err != nil || len(page) != 0 {
		t.Errorf("a page past the end: %d, %v", len(page), err)
	}
	if page, err := l.EntryPage(0, 25, 10, 1<<20); err != nil || len(page) != 3 {
		t.Errorf("entries below 25: %d, %v", len(page), err)
	}
	frames := func() (out []frame) {
		for b := contentOf(t, dir, copiedRecords); len(b) > 0; {
			f, n, err := parseFrame(b)
			if err != nil {
				t.Fatal(err)
			}
			out, b = append(out, f), b[n:]
		}
		return out
	}()
	var damage *DamagedError
	for what, tt := range map[string]struct {
		frames []frame
		want   uint64
	}{
		"an entry rewritten":             {slices.Concat(frames[:7], []frame{rewritten(t, frames[7])}, frames[8:]), 70},
		"an entry in the place of later": {slices.Concat(frames[:7], frames[8:9], frames[7:]), 81},
		"a record after the place gone":  {slices.Concat(frames[:60], frames[61:]), 510},
	} {
		put(t, dir, copiedRecords, joined(tt.frames))
		if _, err := verifyIt(dir, 500); !errors.As(err, &damage) || damage.Index != tt.want {
			t.Errorf("%s: %v", what, err)
		}
	}
	// That an entry before the place is left out shows in other nodes' logs, not here.
	put(t, dir, copiedRecords, joined(slices.Concat(frames[:7], frames[8:])))
	if c, err := verifyIt(dir, 500); err != nil || c.Held != 149 {
		t.Errorf("%+v, %v", c, err)
	}
}

// A copy that broke off anywhere goes on, and a log that is no longer the one it was
// is refused: the copy of before stays as it was.
func TestACopyGoesOnAndNoticesAnotherLog(t *testing.T) {
	source := filepath.Join(t.TempDir(), "audit")
	l := carrying(t, source, 400)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := pages(l, dir, 0); err != nil {
		t.Fatal(err)
	}
	records, hashes := contentOf(t, dir, copiedRecords), contentOf(t, dir, copiedHashes)
	for _, at := range []int{0, 1, len(records) / 3, len(records) - 1} {
		for _, hashesAt := range []int{0, 33, len(hashes)} {
			put(t, dir, copiedRecords, records[:at])
			put(t, dir, copiedHashes, hashes[:hashesAt])
			if err := pages(l, dir, 0); err != nil || !bytes.Equal(contentOf(t, dir, copiedRecords), records) {
				t.Errorf("broken off at %d and %d: %v", at, hashesAt, err)
			}
		}
	}
	mustAppend(t, l, numbered(400))
	if err := pages(l, dir, 0); err != nil {
		t.Fatal(err)
	}
	whole := contentOf(t, dir, copiedCheckpoint)
	if c, err := verifyIt(dir, 0); err != nil || c.Held != 401 {
		t.Errorf("gone on with: %+v, %v", c, err)
	}
	l.Close()
	other := carrying(t, filepath.Join(t.TempDir(), "other"), 300)
	defer other.Close()
	if err := pages(other, dir, 0); !errors.Is(err, ErrOtherLog) {
		t.Errorf("a shorter log: %v", err)
	}
	for i := range 200 {
		mustAppend(t, other, numbered(300+i))
	}
	if err := pages(other, dir, 0); !errors.Is(err, ErrDamaged) || !errors.Is(err, ErrOtherLog) {
		t.Errorf("another log: %v", err)
	}
	if c, err := verifyIt(dir, 0); err != nil || c.Held != 401 || !bytes.Equal(contentOf(t, dir, copiedCheckpoint), whole) {
		t.Errorf("the copy of before: %+v, %v", c, err)
	}
	empty := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(empty, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(empty, copiedCheckpoint))
	if err := pages(other, empty, 0); !errors.Is(err, ErrDamaged) || len(contentOf(t, empty, copiedRecords)) > 0 || len(contentOf(t, empty, copiedHashes)) > 0 {
		t.Errorf("one that was never finished: %v", err)
	}
	if at, err := FirstDifference(source, dir, 10); err == nil {
		t.Errorf("a directory that is no copy: %d", at)
	}
}

// A copy takes only what stands where it says.
func TestACopyTakesNothingElse(t *testing.T) {
	l := carrying(t, filepath.Join(t.TempDir(), "audit"), 5)
	defer l.Close()
	page, err := l.Page(0, 5, 5, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := l.Hashes(0, 4)
	if err != nil || len(hashes) != 4 {
		t.Fatal(hashes, err)
	}
	c, err := OpenCopy(t.TempDir(), l.cfg.Origin, l.cfg.Public)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, h := range hashes {
		if err := c.AddHashes(h[:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AddHashes(make([]byte, 31)); !errors.Is(err, ErrOtherLog) {
		t.Errorf("31 bytes: %v", err)
	}
	if err := c.Add(page[1]); err != nil {
		t.Fatal(err)
	}
	moved := page[3]
	moved.Index = 2
	for what, leaf := range map[string]Leaf{
		"one before": page[0], "the same again": page[1], "one without a hash": page[4], "one in another's place": moved,
		"nothing": {Index: 2}, "of a later commit": {Index: 2, First: 3, Body: page[2].Body},
	} {
		if err := c.Add(leaf); !errors.Is(err, ErrOtherLog) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Hashes are the same from tiles, from the edge, and from the records where tiles are
// lacking; those of archived records stay.
func TestHashesAreThoseOfTheTree(t *testing.T) {
	log := thousands(t)
	dir := filepath.Join(t.TempDir(), "audit")
	copyLog(t, dir, log.dir)
	l := mustOpen(t, testConfig(dir))
	defer l.Close()
	check := func(what string) {
		t.Helper()
		for _, span := range [][2]int{{0, 600}, {255, 2}, {manyRecords - 300, 1000}, {manyRecords, 5}} {
			hashes, err := l.Hashes(uint64(span[0]), span[1])
			if err != nil || len(hashes) != min(span[1], manyRecords-span[0]) {
				t.Fatalf("%s: %d hashes from %d, %v", what, len(hashes), span[0], err)
			}
			for i, h := range hashes {
				if tlog.Hash(h) != log.frames[span[0]+i].leaf {
					t.Fatalf("%s: the hash of record %d is another", what, span[0]+i)
				}
			}
		}
	}
	check("with tiles")
	if err := os.RemoveAll(filepath.Join(dir, tileDir)); err != nil {
		t.Fatal(err)
	}
	check("without")

	s := makeSegmented(t)
	mustArchive(t, s)
	a := mustOpen(t, s.cfg)
	defer a.Close()
	if a.Archived() == 0 {
		t.Fatal("nothing is archived")
	}
	if hashes, err := a.Hashes(0, 10); err != nil || len(hashes) != 10 {
		t.Errorf("hashes of archived records: %d, %v", len(hashes), err)
	}
	if _, err := a.Page(0, 5, 5, 1<<20); !errors.Is(err, ErrArchived) {
		t.Errorf("archived records: %v", err)
	}
	archived := filepath.Join(t.TempDir(), "copy")
	if err := pages(a, archived, a.Archived()); err != nil {
		t.Error(err)
	}
	if c, err := VerifyCopy(archived, a.Archived(), s.cfg.Origin, s.cfg.Public, nil, func(Indexed) error { return nil }); err != nil || c.Size != a.Size() {
		t.Errorf("%+v, %v", c, err)
	}
}

// A copy is somebody's files: whatever they hold, verifying says so, and never shows a
// record that the node did not sign.
func FuzzVerifyCopy(f *testing.F) {
	source := filepath.Join(f.TempDir(), "audit")
	l := carrying(f, source, 12)
	dir := filepath.Join(f.TempDir(), "copy")
	if err := errors.Join(pages(l, dir, 3), l.Close()); err != nil {
		f.Fatal(err)
	}
	records, hashes, signed := contentOf(f, dir, copiedRecords), contentOf(f, dir, copiedHashes), contentOf(f, dir, copiedCheckpoint)
	f.Add(records, hashes, signed, uint64(3))
	f.Add(records[:40], hashes[:64], signed, uint64(0))
	f.Add([]byte(nil), hashes, signed, uint64(12))
	at := f.TempDir()
	f.Fuzz(func(t *testing.T, r, h, s []byte, from uint64) {
		put(t, at, copiedRecords, r)
		put(t, at, copiedHashes, h)
		put(t, at, copiedCheckpoint, s)
		held := 0
		cfg := testConfig(at)
		c, err := VerifyCopy(at, from, cfg.Origin, cfg.Public, nil, func(Indexed) error { held++; return nil })
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrBadCheckpoint) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if c.Size != 12 || !bytes.Equal(h, hashes) || held != int(c.Held) || uint64(held)+min(from, 12) < 12 {
			t.Fatalf("%+v of %d records", c, held)
		}
		again, err := OpenCopy(at, cfg.Origin, cfg.Public)
		if err != nil || again.Close() != nil {
			t.Fatal(err)
		}
	})
}
