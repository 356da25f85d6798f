package audit

import (
	"errors"
	"fmt"
	"io/fs"
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
	path     string
	size     int64  // of synced, whole frames
	end      uint64 // index after its last record, when it was scanned
	archived bool   // the file is elsewhere, a stub is here
}

func segmentPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d", segmentPrefix, n))
}

// place is where a frame begins.
type place struct {
	segment int
	offset  int64
}

// source is where the records of a log are.
type source struct {
	dir     string
	archive string // where archived segments are read; empty: their hashes are taken from the tiles
}

// contents is what a scan of a directory found.
type contents struct {
	tree     frontier
	segments []segment
	places   []place // of the records 0, placeEvery, 2·placeEvery...
	unread   uint64  // records below this index are known by their hashes alone
	torn     int64   // bytes of an unfinished commit after the last segment's end
	last     []byte  // the frames of the last commit...
	lastAt   int64   // ...and their offset in the last segment
}

// visitor is shown every record in order, with the tree that holds it. Of one that
// is archived, and not read, the frame has no body.
type visitor func(f frame, at place, tree *frontier) error

// scan reads every frame of from, in order, and shows visit each. Nothing is
// changed on disk.
func scan(from source, visit visitor) (*contents, error) {
	archived, err := listSegments(from.dir)
	if err != nil {
		return nil, err
	}
	c := &contents{}
	hashes := &leaves{dir: from.dir}
	for n := range archived {
		path := segmentPath(from.dir, n)
		switch {
		case !archived[n]:
			err = c.read(path, filepath.Base(path), n, n == len(archived)-1, visit)
		case from.archive == "":
			err = c.skip(from.dir, n, hashes, visit)
		default:
			err = c.readArchived(from, n, visit)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// read shows the frames of one segment. Only the last may end in a torn commit.
func (c *contents) read(path, name string, n int, last bool, visit visitor) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxSegment {
		return &DamagedError{Index: uint64(c.tree.size), Segment: name, Why: fmt.Sprintf("the segment has %d bytes, at most %d", info.Size(), maxSegment)}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	offset, lastFirst := 0, ^uint64(0)
	c.last, c.lastAt = nil, 0
	for offset < len(b) {
		next := uint64(c.tree.size)
		damaged := func(why string) error {
			return &DamagedError{Index: next, Segment: name, Offset: int64(offset), Why: why}
		}
		f, size, err := parseFrame(b[offset:])
		if err != nil {
			rest := b[offset:]
			if !last || len(rest) > maxCommit || laterCommit(rest, next) {
				return damaged("its hash or framing is wrong, and later records were synced")
			}
			c.torn = int64(len(rest))
			break
		}
		if f.index < next {
			return damaged(fmt.Sprintf("record %d stands in its place, again", f.index))
		}
		if f.index > next {
			return damaged(fmt.Sprintf("record %d stands in its place: a hole", f.index))
		}
		if f.first == f.index {
			lastFirst, c.lastAt = f.first, int64(offset)
		} else if f.first != lastFirst {
			return damaged("it is of a commit whose beginning is missing")
		}
		if err := c.add(f, place{segment: n, offset: int64(offset)}, visit); err != nil {
			return err
		}
		offset += size
		c.last = b[c.lastAt:offset]
	}
	c.segments = append(c.segments, segment{path: path, size: int64(offset), end: uint64(c.tree.size)})
	return nil
}

// add takes the next record into the tree and shows it.
func (c *contents) add(f frame, at place, visit visitor) error {
	if f.index%placeEvery == 0 {
		c.places = append(c.places, at)
	}
	c.tree.add(f.leaf)
	return visit(f, at, &c.tree)
}

// skip shows the records of an archived segment by their hashes.
func (c *contents) skip(dir string, n int, hashes *leaves, visit visitor) error {
	s, err := readStub(dir, n)
	if err != nil {
		return err
	}
	at := place{segment: n}
	damaged := func(index uint64, why string) error {
		return &DamagedError{Index: index, Segment: filepath.Base(stubPath(dir, n)), Why: why}
	}
	if s.First != uint64(c.tree.size) {
		return damaged(uint64(c.tree.size), fmt.Sprintf("the stub begins with record %d", s.First))
	}
	told, hasTold := s.told()
	for index := s.First; index < s.end(); index++ {
		leaf, err := hashes.at(int64(index))
		if err != nil {
			return damaged(index, fmt.Sprintf("it is archived, and its hash is missing: %v", err))
		}
		f := frame{index: index, leaf: leaf}
		if hasTold && told.index == index {
			if told.leaf != leaf {
				return damaged(index, "the copy of it in the stub is not the record")
			}
			f = told
		}
		if err := c.add(f, at, visit); err != nil {
			return err
		}
	}
	c.unread = s.end()
	c.last, c.lastAt = nil, 0
	c.segments = append(c.segments, segment{path: segmentPath(dir, n), end: s.end(), archived: true})
	return nil
}

// readArchived shows the records of an archived segment as the archive has them.
func (c *contents) readArchived(from source, n int, visit visitor) error {
	s, err := readStub(from.dir, n)
	if err != nil {
		return err
	}
	path := segmentPath(from.archive, n)
	name := "archived " + filepath.Base(path)
	if s.First != uint64(c.tree.size) {
		return &DamagedError{Index: uint64(c.tree.size), Segment: filepath.Base(stubPath(from.dir, n)), Why: fmt.Sprintf("the stub begins with record %d", s.First)}
	}
	err = c.read(path, name, n, false, visit)
	if errors.Is(err, fs.ErrNotExist) {
		return &DamagedError{Index: s.First, Segment: name, Why: fmt.Sprintf("records %d to %d are archived, and %s has no such file", s.First, s.end()-1, from.archive)}
	}
	if err != nil {
		return err
	}
	if size := uint64(c.tree.size); size != s.end() {
		return &DamagedError{Index: min(size, s.end()), Segment: name, Why: fmt.Sprintf("the segment ends after record %d, and its stub says %d", size-1, s.end()-1)}
	}
	return nil
}

// inspect is [scan] with every point held against the tree as it grows. Damage is
// named by the tiles where they can tell more than the records do.
func inspect(from source, points []against, visit visitor) (*contents, error) {
	c, err := scan(from, func(f frame, at place, tree *frontier) error {
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
	if err == nil {
		err = signedFor(c.unread, points)
	}
	if err != nil {
		return nil, locate(from, points, err)
	}
	return c, nil
}

// signedFor refuses hashes in place of records when nobody signed for them.
func signedFor(unread uint64, points []against) error {
	for _, p := range points {
		if p.point.Size >= unread {
			return nil
		}
	}
	if unread == 0 {
		return nil
	}
	return &DamagedError{Unplaced: true, Why: fmt.Sprintf("the first %d records are archived, and no checkpoint that covers them shows that their hashes are right", unread)}
}

// listSegments says of each segment whether it is archived, refusing a gap. A stub
// beside its segment counts for nothing: the archiving was not finished.
func listSegments(dir string) (archived []bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	present, stubs := map[int]bool{}, map[int]bool{}
	for _, e := range entries {
		into := present
		digits, ok := strings.CutPrefix(e.Name(), segmentPrefix)
		if !ok {
			into = stubs
			if digits, ok = strings.CutPrefix(e.Name(), stubPrefix); !ok {
				continue
			}
		}
		if strings.HasSuffix(digits, nextSuffix) {
			continue // half of what a crash left of a replacement
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || len(digits) != 8 || n >= maxSegments {
			return nil, fmt.Errorf("%w: %q is not a segment's name", ErrDamaged, e.Name())
		}
		into[int(n)] = true
	}
	count := 0
	for n := range present {
		count = max(count, n+1)
	}
	for n := range stubs { // the last segment is never archived
		count = max(count, n+2)
	}
	for n := range count {
		switch {
		case present[n]:
			archived = append(archived, false)
		case stubs[n] && (n == 0 || archived[n-1]):
			archived = append(archived, true)
		case stubs[n]:
			return nil, fmt.Errorf("%w: segment %d is archived and the one before it is not", ErrDamaged, n)
		default:
			return nil, fmt.Errorf("%w: segment %d is missing", ErrDamaged, n)
		}
	}
	return archived, nil
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
