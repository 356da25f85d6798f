package audit

import (
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Leaf is a record as the tree holds it: its hash covers First and Body, and the
// tree its place.
type Leaf struct {
	Index uint64
	First uint64 // index of the first record of the same commit
	Body  []byte // what [DecodeRecord] reads
}

// Hash is the record's hash in the tree (RFC 6962, section 2.1).
func (l Leaf) Hash() [32]byte { return leafHash(l.First, l.Body) }

// Archived returns how many records, from the first on, are in an archive: their
// hashes alone are here.
func (l *Log) Archived() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unread
}

// Page returns records from index from on, below end: at most n of them, and one at
// least where there is one, else no more than fit into size bytes. An end past
// [Log.Size] is the size. Archived records give [ErrArchived].
func (l *Log) Page(from, end uint64, n, size int) ([]Leaf, error) {
	var page []Leaf
	end = min(end, l.Size())
	if from >= end || n < 1 {
		return nil, nil
	}
	err := l.frames(from, end, func(f frame) (bool, error) {
		if size -= frameExtra + len(f.body); size < 0 && len(page) > 0 {
			return false, nil
		}
		page = append(page, Leaf{Index: f.index, First: f.first, Body: f.body})
		return len(page) < n, nil
	})
	return page, err
}

// EntryPage is [Log.Page] of those records alone that carry a whole ledger entry.
// Archived ones are left out.
func (l *Log) EntryPage(from, end uint64, n, size int) ([]Leaf, error) {
	l.mu.Lock()
	at, _ := slices.BinarySearch(l.carrying, from)
	places := slices.Clone(l.carrying[at:min(len(l.carrying), at+max(n, 0))])
	l.mu.Unlock()
	var page []Leaf
	for _, index := range places {
		if index >= end {
			break
		}
		one, err := l.Page(index, index+1, 1, 0)
		if err != nil {
			return nil, err
		}
		if size -= frameExtra + len(one[0].Body); size < 0 && len(page) > 0 {
			break
		}
		page = append(page, one...)
	}
	return page, nil
}

// Hashes returns the hashes in the tree of n records from index from on, or of as
// many as there are; archived ones too. They come from the tiles, and where these
// are lacking from the records.
func (l *Log) Hashes(from uint64, n int) ([][32]byte, error) {
	end := min(from+uint64(max(n, 0)), l.Size())
	if from >= end {
		return nil, nil
	}
	hashes := make([][32]byte, 0, end-from)
	tiles := leaves{dir: l.cfg.Dir}
	for index := from; index < end; index++ {
		h, ok := l.edgeHash(index)
		if !ok {
			var err error
			if h, err = tiles.at(int64(index)); err != nil {
				break
			}
		}
		hashes = append(hashes, h)
	}
	if missing := from + uint64(len(hashes)); missing < end {
		err := l.frames(missing, end, func(f frame) (bool, error) {
			hashes = append(hashes, f.leaf)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// edgeHash is the hash of a record whose tile is not full yet. The file of such a
// tile may be older than it is.
func (l *Log) edgeHash(index uint64) (h tlog.Hash, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	begin := uint64(l.edge.size) / tileWidth * tileWidth
	if index < begin || index >= uint64(l.edge.size) {
		return h, false
	}
	return l.edge.levels[0][index-begin], true
}
