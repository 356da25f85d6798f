package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// frontier is the right edge of the Merkle tree: of each level the last
// complete hash, which is all that growing the tree and its root need.
type frontier struct {
	size   int64
	levels []tlog.Hash // levels[i] is the hash of the last complete subtree of 2^i records
}

// add appends the leaf hash of the next record.
func (f *frontier) add(leaf tlog.Hash) {
	h := leaf
	for level := 0; ; level++ {
		if level == len(f.levels) {
			f.levels = append(f.levels, h)
		}
		left := f.levels[level]
		f.levels[level] = h
		if f.size>>level&1 == 0 { // it is a left one, and waits for its right
			break
		}
		h = tlog.NodeHash(left, h)
	}
	f.size++
}

// root is RFC 6962's MTH over all records.
func (f *frontier) root() tlog.Hash {
	root, err := tlog.TreeHash(f.size, f)
	if err != nil {
		panic(err)
	}
	return root
}

func (f *frontier) clone() frontier {
	return frontier{size: f.size, levels: append([]tlog.Hash(nil), f.levels...)}
}

// ReadHashes implements [tlog.HashReader] for the right edge alone.
func (f *frontier) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if level >= len(f.levels) || n != f.size>>level-1 {
			return nil, fmt.Errorf("hash %d of level %d is not on the right edge of %d records", n, level, f.size)
		}
		hashes[i] = f.levels[level]
	}
	return hashes, nil
}
