package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	manyRecords = 10_000
	olderSize   = 6_000
)

// big is a log of 10,000 records with a checkpoint at 6,000 and one at its end,
// which is its own. It is made once; tests that alter it copy it.
type big struct {
	dir          string
	frames       []frame
	older, newer []byte
}

var makeBig = sync.OnceValues(func() (big, error) {
	b := big{dir: filepath.Join(bigDir, "audit")}
	l, err := Open(testConfig(b.dir))
	if err != nil {
		return b, err
	}
	for n := 0; n < manyRecords; {
		var records []Record
		for range 1 + n%101 {
			if n < manyRecords && (n != olderSize || len(records) == 0) {
				records = append(records, numbered(n))
				n++
			}
		}
		if _, err := l.Append(context.Background(), records...); err != nil {
			return b, err
		}
		if n == olderSize {
			if b.older, err = l.Checkpoint(); err != nil {
				return b, err
			}
		}
	}
	if b.newer, err = l.Checkpoint(); err != nil {
		return b, err
	}
	return b, l.Close()
})

func thousands(t testing.TB) big {
	t.Helper()
	b, err := makeBig()
	if err != nil {
		t.Fatal(err)
	}
	if b.older == nil {
		t.Fatal("no checkpoint of 6,000")
	}
	b.frames = framesOf(t, b.dir)
	return b
}

// framesOf reads the one segment of a log.
func framesOf(t testing.TB, dir string) []frame {
	t.Helper()
	b, err := os.ReadFile(segmentPath(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	for len(b) > 0 {
		f, n, err := parseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		frames, b = append(frames, f), b[n:]
	}
	return frames
}

func joined(frames []frame) []byte {
	var b []byte
	for _, f := range frames {
		b = f.append(b)
	}
	return b
}

// rewritten is a frame whose record says something else, with the right hash.
func rewritten(t testing.TB, f frame) frame {
	t.Helper()
	r, err := DecodeRecord(f.body)
	if err != nil {
		t.Fatal(err)
	}
	r.KeyName = "another"
	if f.body, err = EncodeRecord(r); err != nil {
		t.Fatal(err)
	}
	f.leaf = leafHash(f.first, f.body)
	return f
}

// smoothed gives frames the indices and the commits of their places in the log, and
// right hashes: nothing in the framing shows any more that one is missing or moved.
func (b big) smoothed(frames []frame) []frame {
	frames = slices.Clone(frames)
	for i := range frames {
		f := &frames[i]
		f.index, f.first = uint64(i), uint64(i)
		if i < len(b.frames) {
			f.first = b.frames[i].first
		}
		f.leaf = leafHash(f.first, f.body)
	}
	return frames
}

// joinedCommits lets the commit that begins at record i, of those that lie there,
// be the end of the one before it, with right hashes.
func joinedCommits(frames []frame, i int) []frame {
	frames = slices.Clone(frames)
	for at := i; at < len(frames) && frames[at].first == uint64(i); at++ {
		frames[at].first = frames[i-1].first
		frames[at].leaf = leafHash(frames[at].first, frames[at].body)
	}
	return frames
}

// One of 10,000 records flipped, rewritten, dropped, swapped, doubled or cut, or
// moved to another commit: the
// index of the first place that differs is named, whether the framing was made
// right again or not.
func TestEachDamageIsNamedByIndex(t *testing.T) {
	log := thousands(t)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(log.dir)); err != nil {
		t.Fatal(err)
	}
	report, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: log.older})
	if err != nil || report.Size != manyRecords || report.Kept != olderSize || report.Checkpoint != manyRecords || !report.TailChecked || report.TilesMissed != 0 || report.Tiles != manyRecords/tileWidth {
		t.Fatalf("%+v, %v", report, err)
	}
	named := func(what string, b []byte, want int) {
		t.Helper()
		overwrite(t, dir, b)
		var damage *DamagedError
		if _, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: log.older}); !errors.As(err, &damage) || damage.Index != uint64(want) || damage.Unplaced {
			t.Errorf("%s: %v, want record %d named", what, err, want)
		} else if !strings.Contains(err.Error(), fmt.Sprint(want)) {
			t.Errorf("%s: the line does not say %d: %v", what, want, err)
		}
	}
	for _, i := range []int{0, 255, 4_999, manyRecords - 1} {
		before, after := log.frames[:i], log.frames[i+1:]
		start, size := len(joined(before)), len(log.frames[i].body)
		for what, at := range map[string]int{"length": 3, "index": 11, "commit": 19, "body": headerSize + size/2, "hash": headerSize + size + 31} {
			b := joined(log.frames)
			b[start+at] ^= 1
			named(fmt.Sprintf("record %d flipped in its %s", i, what), b, i)
		}
		altered := slices.Clone(log.frames)
		altered[i] = rewritten(t, altered[i])
		named(fmt.Sprintf("record %d rewritten", i), joined(altered), i)

		dropped := slices.Concat(before, after)
		named(fmt.Sprintf("record %d dropped", i), joined(dropped), i)
		named(fmt.Sprintf("record %d dropped, the gap closed", i), joined(log.smoothed(dropped)), i)

		j := (i + 3_000) % manyRecords
		swapped := slices.Clone(log.frames)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		named(fmt.Sprintf("records %d and %d swapped", i, j), joined(swapped), min(i, j))
		named(fmt.Sprintf("records %d and %d swapped, indices too", i, j), joined(log.smoothed(swapped)), min(i, j))

		doubled := slices.Concat(before, log.frames[i:i+1], log.frames[i:])
		named(fmt.Sprintf("record %d doubled", i), joined(doubled), i+1)
		if i+1 < manyRecords { // else it is a record more, under no checkpoint yet
			named(fmt.Sprintf("record %d doubled, the rest moved on", i), joined(log.smoothed(doubled)), i+1)
		}
	}
	var commits []int
	for i, f := range log.frames[1:] {
		if f.first == f.index {
			commits = append(commits, i+1)
		}
	}
	for _, i := range []int{commits[0], commits[len(commits)/2], commits[len(commits)-1]} {
		named(fmt.Sprintf("the commit of record %d joined to the one before", i), joined(joinedCommits(log.frames, i)), i)
	}
	overwrite(t, dir, joined(log.frames))
	if _, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: log.older}); err != nil {
		t.Errorf("made whole again: %v", err)
	}
}

// A tail cut by one shows against a checkpoint that counts the record. Whoever
// cuts it can put back the directory's own of an earlier time, so without one
// that the auditor kept the tail is not checked, and the report says so.
func TestATailCutByOneNeedsACheckpoint(t *testing.T) {
	log := thousands(t)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(log.dir)); err != nil {
		t.Fatal(err)
	}
	overwrite(t, dir, joined(log.frames[:manyRecords-1]))
	var damage *DamagedError
	for name, kept := range map[string][]byte{"its own alone": nil, "an older one": log.older, "the newer one": log.newer} {
		if _, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: kept}); !errors.As(err, &damage) || damage.Index != manyRecords-1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole, err := ParseCheckpoint(log.newer, &testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	anchored := Anchor{Name: "anchor 7 of node-1", Size: whole.Size, Root: whole.Root}
	own := filepath.Join(dir, "checkpoint")
	if err := os.WriteFile(own, log.older, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: log.newer}); !errors.As(err, &damage) || damage.Index != manyRecords-1 {
		t.Errorf("its own put back: %v", err)
	}
	if _, err := VerifyDir(dir, &testKey.PublicKey, Given{Anchors: []Anchor{anchored}}); !errors.As(err, &damage) || damage.Index != manyRecords-1 || !strings.Contains(err.Error(), "anchor 7 of node-1 counts 10000") {
		t.Errorf("its own put back, against an anchor: %v", err)
	}
	if report, err := VerifyDir(log.dir, &testKey.PublicKey, Given{Anchors: []Anchor{anchored}}); err != nil || !report.TailChecked || report.Kept != manyRecords {
		t.Errorf("whole, against an anchor: %+v, %v", report, err)
	}
	anchored.Root[0] ^= 1
	if _, err := VerifyDir(log.dir, &testKey.PublicKey, Given{Anchors: []Anchor{anchored}}); !errors.As(err, &damage) || !damage.Unplaced || !strings.Contains(err.Error(), "the root that anchor 7 of node-1 says") {
		t.Errorf("against an anchor of another root: %v", err)
	}
	for _, gone := range []bool{false, true} {
		if report, err := VerifyDir(dir, &testKey.PublicKey, Given{}); err != nil || report.TailChecked || report.Size != manyRecords-1 {
			t.Errorf("nothing shows it (its own removed: %v): %+v, %v", gone, report, err)
		}
		if report, err := VerifyDir(dir, &testKey.PublicKey, Given{Checkpoint: log.older}); err != nil || !report.TailChecked || report.Kept != olderSize {
			t.Errorf("checked up to 6,000 (its own removed: %v): %+v, %v", gone, report, err)
		}
		os.Remove(own)
	}
}

func TestACheckpointOfAnotherIsRefused(t *testing.T) {
	log := thousands(t)
	otherKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(key *ecdsa.PrivateKey, origin string) []byte {
		cfg := testConfig(filepath.Join(t.TempDir(), "audit"))
		cfg.Origin, cfg.Public = origin, &key.PublicKey
		cfg.Signer = func(msg []byte) ([]byte, error) {
			sum := sha256.Sum256(msg)
			return ecdsa.SignASN1(rand.Reader, key, sum[:])
		}
		l := mustOpen(t, cfg)
		b, err := l.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"another node's":    signedBy(otherKey, "warifu/0a1b2c3d/node-2"),
		"another key":       signedBy(otherKey, "warifu/0a1b2c3d/node-1"),
		"another cluster's": signedBy(testKey, "warifu/ffffffff/node-1"),
		"nothing":           {},
	} {
		if _, err := VerifyDir(log.dir, &testKey.PublicKey, Given{Checkpoint: b}); !errors.Is(err, ErrBadCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := VerifyDir(log.dir, &otherKey.PublicKey, Given{}); !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("its own, with another node's key: %v", err)
	}
}
