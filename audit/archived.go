package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Segments are the archived segments of one log, as [Archive] moved them: from the
// log's first record on, none left out. What they hold is believed by its hashes
// alone, which the reader has from elsewhere.
type Segments struct {
	dir    string
	bounds []uint64 // the first record of each, and at last the end
}

// OpenSegments finds out which records an archive holds. It reads no record.
func OpenSegments(dir string) (*Segments, error) {
	s := &Segments{dir: dir, bounds: []uint64{0}}
	for n := 0; ; n++ {
		end, err := s.endOf(n)
		if n > 0 && errors.Is(err, fs.ErrNotExist) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open the archive %s: %w", dir, err)
		}
		s.bounds = append(s.bounds, end)
	}
}

// endOf is the index after the last record of segment n, which begins where the one
// before ends.
func (s *Segments) endOf(n int) (uint64, error) {
	path := segmentPath(s.dir, n)
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	next := s.End()
	offset := int64(0)
	for r := (frameReader{bufio.NewReader(f)}); ; next++ {
		index, size, err := r.peek()
		if errors.Is(err, io.EOF) && next > s.End() {
			return next, nil
		}
		if err == nil && index != next {
			err = fmt.Errorf("record %d stands in its place", index)
		}
		if err == nil {
			_, err = r.Discard(size)
		}
		if err != nil {
			return 0, &DamagedError{Index: next, Segment: f.Name(), Offset: offset, Why: err.Error()}
		}
		offset += int64(size)
	}
}

// End is the index after the last record that is here.
func (s *Segments) End() uint64 { return s.bounds[len(s.bounds)-1] }

// Page returns records from index from on, below end, as [Log.Page] does; with entries
// those alone that carry a whole ledger entry, as [Log.EntryPage] does.
func (s *Segments) Page(from, end uint64, n, size int, entries bool) ([]Leaf, error) {
	var page []Leaf
	end = min(end, s.End())
	for i := 0; i+1 < len(s.bounds) && from < end && len(page) < n; i++ {
		if from >= s.bounds[i+1] {
			continue
		}
		path := segmentPath(s.dir, i)
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		next, more, err := readRange(path, 0, info.Size(), from, func(f frame) (bool, error) {
			if f.index >= end {
				return false, nil
			}
			if entries && !carriesEntry(f.body) {
				return true, nil
			}
			if size -= frameExtra + len(f.body); size < 0 && len(page) > 0 {
				return false, nil
			}
			page = append(page, Leaf{Index: f.index, First: f.first, Body: f.body})
			return len(page) < n, nil
		})
		if err != nil || !more {
			return page, err
		}
		from = next
	}
	return page, nil
}
