package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	segmentPrefix = "records-"
	// maxSegments bounds what the names can count.
	maxSegments = 1e8
	// maxSegment bounds the memory of a scan, which reads one segment at a time.
	maxSegment = 256 << 20
	// placeEvery is how many records share one remembered place: at most that
	// many frames are skipped to find one, and a billion records take 250 MB.
	placeEvery = 64
)

// segment is one file of frames.
type segment struct {
	path string
	size int64 // of synced, whole frames
}

func segmentPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d", segmentPrefix, n))
}

// place is where a frame begins.
type place struct {
	segment int
	offset  int64
}

// contents is what a scan of a directory found.
type contents struct {
	tree     frontier
	segments []segment
	places   []place // of the records 0, placeEvery, 2·placeEvery...
	torn     int64   // bytes of an unfinished commit after the last segment's end
	last     []byte  // the frames of the last commit...
	lastAt   int64   // ...and their offset in the last segment
}

// scan reads every frame under dir, in order, and gives visit each with the
// tree that holds it. Nothing is changed on disk.
func scan(dir string, visit func(f frame, at place, tree *frontier) error) (*contents, error) {
	count, err := countSegments(dir)
	if err != nil {
		return nil, err
	}
	c := &contents{}
	for n := range count {
		path := segmentPath(dir, n)
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.Size() > maxSegment {
			return nil, &DamagedError{Index: uint64(c.tree.size), Segment: filepath.Base(path), Why: fmt.Sprintf("the segment has %d bytes, at most %d", info.Size(), maxSegment)}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		offset, lastFirst := 0, ^uint64(0)
		c.last, c.lastAt = nil, 0
		for offset < len(b) {
			next := uint64(c.tree.size)
			damaged := func(why string) error {
				return &DamagedError{Index: next, Segment: filepath.Base(path), Offset: int64(offset), Why: why}
			}
			f, size, err := parseFrame(b[offset:])
			if err != nil {
				rest := b[offset:]
				if n < count-1 || len(rest) > maxCommit || laterCommit(rest, next) {
					return nil, damaged("its hash or framing is wrong, and later records were synced")
				}
				c.torn = int64(len(rest))
				break
			}
			if f.index < next {
				return nil, damaged(fmt.Sprintf("record %d stands in its place, again", f.index))
			}
			if f.index > next {
				return nil, damaged(fmt.Sprintf("record %d stands in its place: a hole", f.index))
			}
			if f.first == f.index {
				lastFirst, c.lastAt = f.first, int64(offset)
			} else if f.first != lastFirst {
				return nil, damaged("it is of a commit whose beginning is missing")
			}
			at := place{segment: n, offset: int64(offset)}
			if next%placeEvery == 0 {
				c.places = append(c.places, at)
			}
			c.tree.add(f.leaf)
			if err := visit(f, at, &c.tree); err != nil {
				return nil, err
			}
			offset += size
			c.last = b[c.lastAt:offset]
		}
		c.segments = append(c.segments, segment{path: path, size: int64(offset)})
	}
	return c, nil
}

// inspect is [scan] with every point held against the tree as it grows. Damage is
// named by the tiles where they can tell more than the records do.
func inspect(dir string, points []against, visit func(f frame, at place, tree *frontier) error) (*contents, error) {
	c, err := scan(dir, func(f frame, at place, tree *frontier) error {
		for _, p := range points {
			if err := p.check(tree); err != nil {
				return err
			}
		}
		return visit(f, at, tree)
	})
	for _, p := range points {
		if err == nil {
			err = p.reached(&c.tree)
		}
	}
	if err != nil {
		return nil, locate(dir, points, err)
	}
	return c, nil
}

// countSegments returns how many segments there are, refusing a gap.
func countSegments(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, e := range entries { // sorted by name
		digits, ok := strings.CutPrefix(e.Name(), segmentPrefix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || len(digits) != 8 || n >= maxSegments {
			return 0, fmt.Errorf("%w: %q is not a segment's name", ErrDamaged, e.Name())
		}
		if int(n) != count {
			return 0, fmt.Errorf("%w: segment %d is missing", ErrDamaged, count)
		}
		count++
	}
	return count, nil
}

// against holds the tree, as it grows, against a checkpoint of it.
type against struct {
	name  string
	point Checkpoint
}

func (a against) check(tree *frontier) error {
	if uint64(tree.size) != a.point.Size {
		return nil
	}
	if root := tree.root(); root != tlog.Hash(a.point.Root) {
		return &DamagedError{Unplaced: true, Why: fmt.Sprintf("the first %d records do not have the root that %s says: at least one of them was altered", a.point.Size, a.name)}
	}
	return nil
}

// reached refuses a log that ends before the checkpoint does.
func (a against) reached(tree *frontier) error {
	if uint64(tree.size) < a.point.Size {
		return &DamagedError{Index: uint64(tree.size), Why: fmt.Sprintf("the log ends after %d records, and %s counts %d: records %d to %d are missing", tree.size, a.name, a.point.Size, tree.size, a.point.Size-1)}
	}
	return nil
}
