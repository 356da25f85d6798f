package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
)

// keepTiles writes tiles of synced records. They hold nothing that the records do
// not, so nothing waits for them, nothing syncs them, a disk that does not take
// them is no reason to stop, and what is missing is made when the log is opened.
func (l *Log) keepTiles(tiles []tile) {
	l.tiling <- struct{}{}
	defer func() { <-l.tiling }()
	for _, t := range tiles {
		if err := failpoint.Step("audit/keep-tile", func() error { return writeTile(l.cfg.Disk, l.cfg.Dir, t) }); err != nil {
			l.cfg.Log.Warn("cannot keep a tile of the audit log", "tile", t.path(), "error", err)
			return
		}
	}
}

// writeTile puts one tile under its name. A partial tile goes when a wider one
// of its place comes.
func writeTile(hook disk.Hook, dir string, t tile) error {
	path := filepath.Join(dir, t.path())
	whole := newTile(t.L, t.N, make([]tlog.Hash, tileWidth)).path()
	if _, err := os.Lstat(filepath.Join(dir, whole)); err == nil && !t.isFull() {
		return nil
	}
	if err := makeDirs(hook, dir, filepath.Dir(t.path())); err != nil {
		return err
	}
	next := path + nextSuffix
	f, err := openFile(hook, next)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(t.bytes(), 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		_ = remove(hook, next)
		return err
	}
	if err := rename(hook, next, path); err != nil {
		return err
	}
	if t.isFull() {
		if err := hook.Before(disk.Remove, path+".p"); err != nil {
			return err
		}
		return os.RemoveAll(path + ".p")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			err = errors.Join(err, remove(hook, filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}

// makeDirs makes each directory on the way from dir down to below.
func makeDirs(hook disk.Hook, dir, below string) error {
	for _, name := range strings.Split(below, string(filepath.Separator)) {
		dir = filepath.Join(dir, name)
		if err := makeDir(hook, dir); err != nil {
			return err
		}
	}
	return nil
}

// tileFits says whether the file of a tile holds what it should.
func tileFits(dir string, t tile) bool {
	b, err := readTileFile(filepath.Join(dir, t.path()))
	return err == nil && bytes.Equal(b, t.bytes())
}

// readTileFile reads no more than a full tile.
func readTileFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > tileWidth*tlog.HashSize {
		return nil, fmt.Errorf("%s is no tile", path)
	}
	return os.ReadFile(path)
}

// leaves reads the tiles of level 0: the leaf hash of every record, apart from
// the records.
type leaves struct {
	dir    string
	n      int64       // of the tile in hashes
	hashes []tlog.Hash // nil before the first
}

// at returns the leaf hash of one record. Records are asked for in order.
func (r *leaves) at(index int64) (tlog.Hash, error) {
	if n := index >> tileHeight; r.hashes == nil || n != r.n {
		hashes, err := widestTile(r.dir, n)
		if err != nil {
			return tlog.Hash{}, err
		}
		r.n, r.hashes = n, hashes
	}
	i := index % tileWidth
	if i >= int64(len(r.hashes)) {
		return tlog.Hash{}, fmt.Errorf("no tile holds record %d: %w", index, fs.ErrNotExist)
	}
	return r.hashes[i], nil
}

// wholeTile is the path of the full tile n of level 0.
func wholeTile(dir string, n int64) string {
	return filepath.Join(dir, newTile(0, n, make([]tlog.Hash, tileWidth)).path())
}

// widestTile reads the full tile n of level 0, or else the widest partial one.
func widestTile(dir string, n int64) ([]tlog.Hash, error) {
	path := wholeTile(dir, n)
	b, err := readTileFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var entries []os.DirEntry
		if entries, err = os.ReadDir(path + ".p"); err != nil {
			return nil, err
		}
		widest := uint64(0)
		for _, e := range entries {
			if w, err := strconv.ParseUint(e.Name(), 10, 8); err == nil {
				widest = max(widest, w)
			}
		}
		b, err = readTileFile(filepath.Join(path+".p", strconv.FormatUint(widest, 10)))
	}
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[i*tlog.HashSize:])
	}
	return hashes, nil
}
