package audit

import (
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// tileHeight is that of C2SP tlog-tiles: a full tile is 256 hashes.
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// tileDir holds all tiles of a log.
	tileDir = "tile"
)

// tile is hashes that stand side by side in the tree: those of records at level
// 0, of full tiles of level l-1 at level l.
type tile struct {
	tlog.Tile
	hashes []tlog.Hash
}

func newTile(level int, n int64, hashes []tlog.Hash) tile {
	return tile{tlog.Tile{H: tileHeight, L: level, N: n, W: len(hashes)}, hashes}
}

// path is where the tile lies in a log's directory: as in C2SP tlog-tiles, which
// leaves the height out of [tlog.Tile.Path].
func (t tile) path() string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(t.Path(), tileDir+"/"), "/")
	return filepath.Join(tileDir, filepath.FromSlash(rest))
}

func (t tile) isFull() bool { return t.W == tileWidth }

func (t tile) bytes() []byte {
	b := make([]byte, 0, len(t.hashes)*tlog.HashSize)
	for _, h := range t.hashes {
		b = append(b, h[:]...)
	}
	return b
}

// tileEdge collects, at each level, the hashes of the tile that is not full yet.
type tileEdge struct {
	size   int64
	levels [][]tlog.Hash // never written below their length: tiles share them
}

// add takes the leaf hash of the next record and returns the tiles it fills.
func (e *tileEdge) add(leaf tlog.Hash) []tile {
	var filled []tile
	n := e.size
	e.size++
	for level, h := 0, leaf; ; level++ {
		n >>= tileHeight
		if level == len(e.levels) {
			e.levels = append(e.levels, nil)
		}
		e.levels[level] = append(e.levels[level], h)
		if len(e.levels[level]) < tileWidth {
			return filled
		}
		full := newTile(level, n, e.levels[level])
		e.levels[level] = nil
		filled = append(filled, full)
		h = subtree(full.hashes)
	}
}

// partial returns the tiles that are not full, one a level.
func (e *tileEdge) partial() []tile {
	var tiles []tile
	for level, hashes := range e.levels {
		if len(hashes) > 0 {
			tiles = append(tiles, newTile(level, e.size>>(tileHeight*(level+1)), hashes[:len(hashes):len(hashes)]))
		}
	}
	return tiles
}

// subtree is the hash over a full tile.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}
