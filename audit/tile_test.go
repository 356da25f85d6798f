package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// c2spTiles reads tiles from a directory by C2SP's names, written out by hand.
type c2spTiles string

func (c2spTiles) Height() int { return 8 }

func (dir c2spTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, t := range tiles {
		name := strconv.FormatInt(t.N+1000, 10)[1:] // below 1,000 of them, three digits
		if t.W < 256 {
			name += ".p/" + strconv.Itoa(t.W)
		}
		b, err := os.ReadFile(filepath.Join(string(dir), "tile", strconv.Itoa(t.L), name))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (c2spTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func tileFiles(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(dir, tileDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the writer renamed it meanwhile
		}
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode().Perm(), want)
		}
		if !e.IsDir() {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestTilesHaveTheNamesOfC2SP(t *testing.T) {
	for want, tl := range map[string]tile{
		"tile/0/000":                newTile(0, 0, make([]tlog.Hash, 256)),
		"tile/0/255.p/3":            newTile(0, 255, make([]tlog.Hash, 3)),
		"tile/2/x001/x234/067.p/17": newTile(2, 1234067, make([]tlog.Hash, 17)),
		"tile/8/x001/000":           newTile(8, 1000, make([]tlog.Hash, 256)),
	} {
		if got := filepath.ToSlash(tl.path()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Whoever has tiles and a checkpoint needs nothing else to prove a record.
func TestTilesProveEachRecordUnderTheCheckpoint(t *testing.T) {
	p, err := ParseCheckpoint(thousands(t).newer, &testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: int64(p.Size), Hash: p.Root}, c2spTiles(thousands(t).dir))
	for _, index := range []int64{0, 255, 256, 4711, int64(p.Size) - 1} {
		proof, err := tlog.ProveRecord(int64(p.Size), index, reader)
		if err != nil {
			t.Fatalf("record %d: %v", index, err)
		}
		if err := tlog.CheckRecord(proof, int64(p.Size), p.Root, index, thousands(t).frames[index].leaf); err != nil {
			t.Errorf("record %d: %v", index, err)
		}
	}
}

func TestTilesAreMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	appendUpTo := func(size int) {
		var records []Record
		for n := int(l.Size()); n < size; n++ {
			records = append(records, numbered(n))
		}
		mustAppend(t, l, records...)
	}
	checkpoint := func() {
		if _, err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want ...string) { // the writer makes full tiles after its answers
		t.Helper()
		got := tileFiles(t, dir)
		for deadline := time.Now().Add(5 * time.Second); !slices.Equal(got, want) && time.Now().Before(deadline); got = tileFiles(t, dir) {
			time.Sleep(time.Millisecond)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	appendUpTo(3)
	checkpoint()
	check("a checkpoint of 3", "tile/0/000.p/3")
	appendUpTo(200)
	checkpoint()
	check("a wider one of 200", "tile/0/000.p/200")
	appendUpTo(600)
	checkpoint()
	whole := []string{"tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"}
	check("a checkpoint of 600", whole...)
	l.Close()

	for what, harm := range map[string]func() error{
		"gone":    func() error { return os.RemoveAll(filepath.Join(dir, tileDir)) },
		"empty":   func() error { return os.Truncate(filepath.Join(dir, "tile/0/001"), 0) },
		"altered": func() error { return os.WriteFile(filepath.Join(dir, "tile/0/000"), make([]byte, 256*32), 0o600) },
		"left over": func() error {
			return os.WriteFile(filepath.Join(dir, "tile/0/002.p/87"), nil, 0o600)
		},
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		report, err := VerifyDir(dir, cfg.Public, Given{})
		if want := map[string]int{"gone": 2, "empty": 1, "altered": 1}[what]; err != nil || report.TilesMissed != want || report.Tiles != 2-want {
			t.Errorf("%s: %+v, %v", what, report, err)
		}
		mustOpen(t, cfg).Close()
		check(what, whole...)
		if report, err := VerifyDir(dir, cfg.Public, Given{}); err != nil || report.Tiles != 2 || report.TilesMissed != 0 {
			t.Errorf("%s, made again: %+v, %v", what, report, err)
		}
	}

	// A log that is refused is left as it is: its tiles are what names the damage.
	before, err := os.ReadFile(filepath.Join(dir, "tile/0/000"))
	if err != nil {
		t.Fatal(err)
	}
	frames := framesOf(t, dir)
	frames[7] = rewritten(t, frames[7])
	overwrite(t, dir, joined(frames))
	var damage *DamagedError
	if _, err := Open(cfg); !errors.As(err, &damage) || damage.Index != 7 || damage.Unplaced {
		t.Errorf("opened with %v, want record 7 named", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "tile/0/000")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("a refused log's tile was changed: %v", err)
	}
}

// No record waits for a tile, and no tile stops a record.
func TestADiskWithoutTilesStillRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	// A file where the directory should be: the tile cannot be written.
	if err := os.WriteFile(filepath.Join(dir, tileDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		mustAppend(t, l, numbered(n))
	}
	if _, err := l.Checkpoint(); err != nil || l.State() != "ok" {
		t.Errorf("state %s, %v", l.State(), err)
	}
	l.Close()
	if report, err := VerifyDir(dir, cfg.Public, Given{}); err != nil || report.Size != 300 || report.TilesMissed != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

// R27: tiles, too.
func TestALooseTileIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	cfg := testConfig(dir)
	l := mustOpen(t, cfg)
	mustAppend(t, l, numbered(0))
	if _, err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, name := range []string{"tile", "tile/0/000.p", "tile/0/000.p/1"} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, info.Mode().Perm()|0o020); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cfg); !errors.Is(err, ErrLooseMode) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, cfg)
}
