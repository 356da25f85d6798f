package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

var testKey = func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}()

func testConfig(dir string) Config {
	return Config{
		Dir:    dir,
		Origin: "warifu/0a1b2c3d/node-1",
		Public: &testKey.PublicKey,
		Signer: func(msg []byte) ([]byte, error) {
			sum := sha256.Sum256(msg)
			return ecdsa.SignASN1(rand.Reader, testKey, sum[:])
		},
		ReserveBytes: 4 << 10,
	}
}

func mustOpen(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func numbered(n int) Record {
	return Record{Time: int64(1000 + n), Node: "node-1", Kind: Release, Action: "unwrap", KeyName: "demo", Count: uint64(n) + 1}
}

func mustAppend(t testing.TB, l *Log, records ...Record) uint64 {
	t.Helper()
	first, err := l.Append(context.Background(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// obviousRoot is RFC 6962's MTH as it is written down, over the leaves' data.
func obviousRoot(bodies [][]byte) [32]byte {
	switch len(bodies) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, bodies[0]...))
	}
	k := 1
	for 2*k < len(bodies) {
		k *= 2
	}
	left, right := obviousRoot(bodies[:k]), obviousRoot(bodies[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func TestFrontierHasTheRootOfRFC6962(t *testing.T) {
	var f frontier
	var bodies [][]byte
	for n := range 70 {
		if got, want := f.root(), obviousRoot(bodies); got != want {
			t.Fatalf("the root of %d records is %x, want %x", n, got, want)
		}
		body := fmt.Appendf(nil, "record %d", n)
		bodies = append(bodies, body)
		f.add(tlog.RecordHash(body))
	}
}

func TestAppendReadTailAndReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	cfg.SegmentBytes = 2000 // several segments
	l := mustOpen(t, cfg)
	const n = 3*placeEvery + 7
	var leaves [][]byte // as the page says: the commit's first index, and the record
	for i := 0; i < n; {
		records := []Record{numbered(i)}
		if i%3 == 0 && i+1 < n {
			records = append(records, numbered(i+1))
		}
		for _, r := range records {
			body, err := EncodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, append(binary.BigEndian.AppendUint64(nil, uint64(i)), body...))
		}
		if first := mustAppend(t, l, records...); first != uint64(i) {
			t.Fatalf("first index %d, want %d", first, i)
		}
		i += len(records)
	}
	check := func(l *Log) {
		t.Helper()
		if l.Size() != n || l.Root() != obviousRoot(leaves) || l.State() != "ok" {
			t.Fatalf("size %d, root %x, state %s", l.Size(), l.Root(), l.State())
		}
		for _, i := range []int{0, 1, placeEvery - 1, placeEvery, 100, n - 1} {
			r, err := l.Read(uint64(i))
			if err != nil || r.Count != uint64(i)+1 {
				t.Fatalf("record %d is %+v, %v", i, r, err)
			}
		}
		if _, err := l.Read(n); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a record past the end: %v", err)
		}
		tail, err := l.Tail(50)
		if err != nil || len(tail) != 50 || tail[0].Index != n-50 || tail[49].Count != n {
			t.Fatalf("tail: %d records, %v", len(tail), err)
		}
		if all, err := l.Tail(1 << 30); err != nil || len(all) != n {
			t.Fatalf("whole tail: %d records, %v", len(all), err)
		}
	}
	check(l)
	signed, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	point, err := ParseCheckpoint(signed, &testKey.PublicKey)
	if err != nil || point.Size != n || point.Root != obviousRoot(leaves) || point.Origin != cfg.Origin {
		t.Fatalf("checkpoint %+v, %v", point, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(context.Background(), numbered(0)); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, "records-*")); len(entries) < 3 {
		t.Fatalf("only %d segments", len(entries))
	}
	check(mustOpen(t, cfg))
	report, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: signed})
	if err != nil || report.Size != n || report.Checkpoint != n || report.Kept != n || report.First != 1000 || report.Last != 1000+n-1 || report.Torn != 0 {
		t.Fatalf("report %+v, %v", report, err)
	}
}

func TestConcurrentCallersGetTheirOwnRecords(t *testing.T) {
	var syncs int
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	cfg.open = func(path string) (file, error) {
		f, err := openFile(nil, path)
		return &flaky{file: f, onSync: func() error { syncs++; time.Sleep(time.Millisecond); return f.Sync() }}, err
	}
	l := mustOpen(t, cfg)
	const callers, each = 16, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				n := c*each + i
				first, err := l.Append(context.Background(), numbered(n), numbered(n))
				if err != nil {
					t.Error(err)
					return
				}
				for _, index := range []uint64{first, first + 1} {
					if r, err := l.Read(index); err != nil || r.Count != uint64(n)+1 {
						t.Errorf("record %d is %+v, %v; want %d", index, r, err, n)
					}
				}
			}
		})
	}
	wg.Wait()
	l.Close()
	if syncs > callers*each/2 {
		t.Errorf("%d syncs for %d calls: callers do not share them", syncs, callers*each)
	}
}

// R27: 0600 and 0700 whatever the umask; start refuses looser and names the path.
func TestLooseModesAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	umask := syscall.Umask(0o777)
	l, err := Open(testConfig(dir))
	if err == nil {
		_, err = l.Checkpoint()
	}
	syscall.Umask(umask)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, numbered(0))
	if _, err := Open(testConfig(dir)); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second log on the same directory: %v", err)
	}
	l.Close()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) != 4 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range append(paths, dir) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode().Perm(), want)
		}
		for _, loose := range []fs.FileMode{0o040, 0o004, 0o020, 0o100} {
			if info.IsDir() && loose == 0o100 {
				continue
			}
			if err := os.Chmod(path, want|loose); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(testConfig(dir)); !errors.Is(err, ErrLooseMode) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s with %v: %v", path, want|loose, err)
			}
		}
		if err := os.Chmod(path, want); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, testConfig(dir))
}

func BenchmarkAppend(b *testing.B) {
	l := mustOpen(b, testConfig(filepath.Join(b.TempDir(), "audit")))
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Append(context.Background(), numbered(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// What is anchored must be the root of just as many records, also while others
// are being written.
func TestSizeAndRootAreOfOneMoment(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
	l := mustOpen(t, cfg)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_, _ = l.Append(context.Background(), numbered(n))
			}
		}
	})
	roots := map[uint64][32]byte{}
	for len(roots) < 100 {
		size, root := l.Head()
		roots[size] = root
	}
	close(stop)
	writers.Wait()
	l.Close()
	if _, err := scan(source{dir: cfg.Dir}, func(_ frame, _ place, tree *frontier) error {
		if root, ok := roots[uint64(tree.size)]; ok && root != tree.root() {
			t.Errorf("the root of %d records is %x, and was said to be %x", tree.size, tree.root(), root)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
