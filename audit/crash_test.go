package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// built makes a log of commits of 1, 2, 3, 1, 2, 3... records in one segment and
// returns its directory, the segment's bytes and where each commit ends.
func built(t testing.TB, commits int) (dir string, b []byte, ends []int64, sizes []uint64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	for c, n := 0, 0; c < commits; c++ {
		var records []Record
		for range c%3 + 1 {
			records = append(records, numbered(n))
			n++
		}
		mustAppend(t, l, records...)
		ends, sizes = append(ends, l.segments[0].size), append(sizes, l.Size())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(segmentPath(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	return dir, b, ends, sizes
}

func overwrite(t testing.TB, dir string, b []byte) {
	t.Helper()
	if err := os.WriteFile(segmentPath(dir, 0), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A crash at every byte: what is left opens, keeps every whole commit, appends,
// and verifies. Zeros or noise in place of what was not yet written are a torn
// end, too (R26).
func TestCrashAtEveryByte(t *testing.T) {
	dir, whole, ends, sizes := built(t, 6)
	cfg := testConfig(dir)
	for cut := range len(whole) + 1 {
		var least uint64 // every commit that was whole
		for c, end := range ends {
			if int64(cut) >= end {
				least = sizes[c]
			}
		}
		tails := map[string][]byte{"nothing": nil}
		if least == sizes[len(sizes)-2] { // the last commit is torn: the rest was never told to anybody
			tails["zeros"] = make([]byte, len(whole)-cut)
			tails["noise"] = bytes.Repeat([]byte{0xa7}, len(whole)-cut)
		}
		for name, tail := range tails {
			overwrite(t, dir, append(bytes.Clone(whole[:cut]), tail...))
			if _, err := VerifyDir(dir, cfg.Public, Given{}); err != nil {
				t.Fatalf("cut at %d, then %s: verify: %v", cut, name, err)
			}
			l, err := Open(cfg)
			if err != nil {
				t.Fatalf("cut at %d, then %s: %v", cut, name, err)
			}
			if l.Size() < least || l.Size() > least+3 {
				t.Fatalf("cut at %d, then %s: %d records, want at least %d", cut, name, l.Size(), least)
			}
			size := l.Size()
			if first := mustAppend(t, l, numbered(int(size))); first != size {
				t.Fatalf("cut at %d, then %s: appended as %d of %d", cut, name, first, size)
			}
			if all, err := l.Tail(MaxTail); err != nil || uint64(len(all)) != size+1 {
				t.Fatalf("cut at %d, then %s: read %d of %d: %v", cut, name, len(all), size+1, err)
			}
			l.Close()
			if report, err := VerifyDir(dir, cfg.Public, Given{}); err != nil || report.Size != size+1 || report.Torn != 0 {
				t.Fatalf("cut at %d, then %s: %+v, %v", cut, name, report, err)
			}
		}
	}
}

// Damage before the last commit is never cut off as if it were a crash: every
// byte, flipped, is refused and the record that holds it is named.
func TestEveryByteBelowTheLastCommitCounts(t *testing.T) {
	dir, whole, ends, _ := built(t, 4)
	cfg := testConfig(dir)
	var starts []int // of each frame
	for offset := 0; offset < len(whole); {
		_, n, err := parseFrame(whole[offset:])
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, offset)
		offset += n
	}
	for at := range ends[2] {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		overwrite(t, dir, b)
		want := uint64(0)
		for i, start := range starts {
			if int64(start) <= at {
				want = uint64(i)
			}
		}
		var damage *DamagedError
		if l, err := Open(cfg); !errors.As(err, &damage) || !errors.Is(err, ErrDamaged) {
			if err == nil {
				l.Close()
			}
			t.Fatalf("byte %d: opened with %v", at, err)
		}
		if damage.Index != want {
			t.Fatalf("byte %d of record %d: %v", at, want, damage)
		}
		if after, err := os.ReadFile(segmentPath(dir, 0)); err != nil || !bytes.Equal(after, b) {
			t.Fatalf("byte %d: a refused log was changed: %v", at, err)
		}
	}
	overwrite(t, dir, whole)
	if l := mustOpen(t, cfg); l.Size() != 7 {
		t.Errorf("%d records", l.Size())
	}
}

func TestHolesAndSwapsAreNamed(t *testing.T) {
	dir, whole, ends, _ := built(t, 4) // commits of 1, 2, 3 and 1 records
	cfg := testConfig(dir)
	part := func(from, to int64) []byte { return bytes.Clone(whole[from:to]) }
	for name, tt := range map[string]struct {
		b    []byte
		want uint64
	}{
		"the first commit is cut out":       {part(ends[0], ends[3]), 0},
		"a commit in the middle is cut out": {append(part(0, ends[0]), whole[ends[1]:]...), 1},
		"two commits are swapped":           {append(append(part(0, ends[0]), whole[ends[1]:ends[2]]...), append(part(ends[0], ends[1]), whole[ends[2]:]...)...), 1},
		"a commit stands twice":             {append(part(0, ends[1]), whole[ends[0]:]...), 3},
	} {
		overwrite(t, dir, tt.b)
		var damage *DamagedError
		if _, err := Open(cfg); !errors.As(err, &damage) || damage.Index != tt.want {
			t.Errorf("%s: %v, want record %d named", name, err, tt.want)
		}
		if _, err := VerifyDir(dir, cfg.Public, Given{}); !errors.As(err, &damage) || damage.Index != tt.want {
			t.Errorf("%s: verify: %v, want record %d named", name, err, tt.want)
		}
	}
}

func TestSegmentsMustBeComplete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	cfg.SegmentBytes = 1
	l := mustOpen(t, cfg)
	for n := range 5 {
		mustAppend(t, l, numbered(n))
	}
	l.Close()
	hide := func(n int) { // and show again
		from, to := segmentPath(dir, n), filepath.Join(filepath.Dir(dir), "hidden")
		if _, err := os.Stat(from); err != nil {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 2} {
		hide(n)
		if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
			t.Errorf("without segment %d: %v", n, err)
		}
		hide(n)
	}
	if err := os.Truncate(segmentPath(dir, 2), 30); err != nil {
		t.Fatal(err)
	}
	var damage *DamagedError
	if _, err := Open(cfg); !errors.As(err, &damage) || damage.Index != 2 {
		t.Errorf("a torn segment in the middle: %v", err)
	}
	for _, n := range []int{3, 4} { // begun, with nothing in them
		if err := os.Truncate(segmentPath(dir, n), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(cfg); !errors.As(err, &damage) || damage.Index != 2 {
		t.Errorf("a torn segment before an empty one, which is begun only when all before is synced: %v", err)
	}
}

// A log that ends before its own checkpoint was rolled back or cut, not torn.
func TestCutBelowTheCheckpoint(t *testing.T) {
	dir, whole, ends, _ := built(t, 4)
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	if _, err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	overwrite(t, dir, whole[:ends[2]])
	var damage *DamagedError
	if _, err := Open(cfg); !errors.As(err, &damage) || damage.Index != 6 {
		t.Errorf("cut at a commit: %v", err)
	}
	overwrite(t, dir, whole[:len(whole)-1])
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut inside the last commit: %v", err)
	}
	if err := os.Remove(segmentPath(dir, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("all records gone: %v", err)
	}
}

// What a dead process wrote may be in the page cache alone: the last commit is
// written and synced once more before anything is built on it, and a disk that
// cannot do that opens no log.
func TestReopeningSyncsTheLastCommitAgain(t *testing.T) {
	dir, whole, ends, _ := built(t, 3)
	cfg := testConfig(dir)
	var calls []string
	cfg.open = func(path string) (file, error) {
		f, err := openFile(nil, path)
		return &flaky{
			file: f,
			onWrite: func(b []byte, off int64) (int, error) {
				if off != ends[1] || !bytes.Equal(b, whole[off:]) {
					t.Errorf("%d bytes written at %d", len(b), off)
				}
				calls = append(calls, "write")
				return f.WriteAt(b, off)
			},
			onSync: func() error { calls = append(calls, "sync"); return f.Sync() },
		}, err
	}
	mustOpen(t, cfg).Close()
	if want := []string{"write", "sync"}; !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
	cfg.open = func(path string) (file, error) {
		f, err := openFile(nil, path)
		return &flaky{file: f, onSync: func() error { return syscall.EIO }}, err
	}
	if _, err := Open(cfg); !errors.Is(err, syscall.EIO) {
		t.Errorf("opened on a disk that does not sync: %v", err)
	}
}
