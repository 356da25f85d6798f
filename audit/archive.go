package audit

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"warifu.dev/internal/wire"
)

var (
	// ErrNothingToArchive: no segment is closed. The error says what is lacking.
	ErrNothingToArchive = errors.New("no closed segment to archive")
	// ErrOtherArchive: the archive has a file of this name that is not this log's.
	ErrOtherArchive = errors.New("the archive holds something else under this name")
	// ErrArchived: the record is in the archive, and its hash alone is here.
	ErrArchived = errors.New("audit record is archived")
)

// Archived says what [Archive] moved.
type Archived struct {
	Segments int
	First    uint64 // index of the first record moved
	End      uint64 // index after the last one
	Bytes    int64
}

// Archive moves the closed segments of the log in dir into the directory to, and
// leaves a stub for each: the records' hashes stay, in the tiles. pub is the
// node's key. The log must not be open.
//
// A segment is closed when another was begun after it, every record in it is under
// the log's own signed checkpoint, and the last of their hashes is in a full tile.
// The whole log is verified first. Then, for each segment: tiles synced; copied,
// synced, read again and compared; stub written and synced; removed. A crash
// leaves the segment, or the segment and its copy and perhaps its stub, or the stub
// and the copy; the next call goes on from there.
func Archive(dir, to string, pub *ecdsa.PublicKey) (Archived, error) {
	moved, err := archive(dir, to, pub, func(string) error { return nil })
	if err != nil {
		return moved, fmt.Errorf("archive audit log: %w", err)
	}
	return moved, nil
}

// archive asks step before each durable action and stops where it says no, which
// is how tests crash it.
func archive(dir, to string, pub *ecdsa.PublicKey, step func(name string) error) (moved Archived, err error) {
	if err := checkModes(dir); err != nil {
		return moved, err
	}
	lock, err := lockDir(nil, dir)
	if err != nil {
		return moved, err
	}
	defer lock.Close()
	if err := apart(dir, to); err != nil {
		return moved, err
	}
	closed, err := closedSegments(dir, pub)
	if err != nil {
		return moved, err
	}
	if err := makeDir(nil, to); err != nil {
		return moved, err
	}
	if err := checkModes(to); err != nil {
		return moved, err
	}
	moved.First = closed[0].First
	for _, s := range closed {
		if err := archiveSegment(dir, to, s, step); err != nil {
			return moved, fmt.Errorf("segment %d: %w", s.Segment, err)
		}
		moved.Segments++
		moved.End = s.end()
		moved.Bytes += s.Bytes
	}
	return moved, nil
}

// apart refuses an archive inside of the log's directory, whose files are the log.
func apart(dir, to string) error {
	inside, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	outside, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if inside == outside || strings.HasPrefix(inside, outside+string(filepath.Separator)) {
		return fmt.Errorf("%w: %s is inside of the log's own directory", ErrOtherArchive, to)
	}
	return nil
}

// closedSegments verifies the log and returns the stubs of the segments that can
// be archived, oldest first. Full tiles that are missing are made.
func closedSegments(dir string, pub *ecdsa.PublicKey) ([]*stub, error) {
	own, err := ownCheckpoint(dir, "", pub)
	if err != nil {
		return nil, fmt.Errorf("the log's own checkpoint: %w", err)
	}
	newest := map[int][]byte{} // by segment, the frame that tells of the ledger
	var edge tileEdge
	var missing []tile
	c, err := inspect(source{dir: dir}, []against{own}, func(f frame, at place, _ *frontier) error {
		if _, ok := tellsOfLedger(f.body); ok {
			newest[at.segment] = f.append(nil)
		}
		for _, t := range edge.add(f.leaf) {
			if !tileFits(dir, t) {
				missing = append(missing, t)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, t := range missing {
		if err := writeTile(nil, dir, t); err != nil {
			return nil, err
		}
	}
	full := uint64(c.tree.size) / tileWidth * tileWidth
	stillOpen := func(n int, s segment) string {
		switch {
		case n == len(c.segments)-1:
			return fmt.Sprintf("segment %d is the last one, and is being written", n)
		case s.end > own.point.Size:
			return fmt.Sprintf("segment %d ends with record %d, and the node's own checkpoint covers %d records", n, s.end-1, own.point.Size)
		case s.end > full:
			return fmt.Sprintf("segment %d ends with record %d, and full tiles hold %d", n, s.end-1, full)
		}
		return ""
	}
	var closed []*stub
	why, first := "there is none at all", uint64(0)
	for n, s := range c.segments {
		if !s.archived {
			if why = stillOpen(n, s); why != "" {
				break
			}
			closed = append(closed, &stub{Segment: n, First: first, Count: s.end - first, Bytes: s.size, Ledger: newest[n]})
		}
		first = s.end
	}
	if len(closed) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNothingToArchive, why)
	}
	return closed, nil
}

// archiveSegment moves one segment. From the sync of the stub on, a crash recovers
// forward.
func archiveSegment(dir, to string, s *stub, step func(name string) error) error {
	from, copied := segmentPath(dir, s.Segment), segmentPath(to, s.Segment)
	if err := step("sync the tiles"); err != nil {
		return err
	}
	if err := syncTiles(dir, s.First, s.end()); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := holds(dir, s, b); err != nil {
		return err
	}
	switch there, err := os.ReadFile(copied); {
	case err == nil && !bytes.Equal(there, b):
		return fmt.Errorf("%w: %s", ErrOtherArchive, copied)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := step("copy"); err != nil {
		return err
	}
	if err := replaceFile(nil, copied, b); err != nil {
		return err
	}
	if err := step("read the copy"); err != nil {
		return err
	}
	if there, err := os.ReadFile(copied); err != nil || !bytes.Equal(there, b) {
		return errors.Join(fmt.Errorf("%s is not what was written to it", copied), err)
	}
	if err := step("write the stub"); err != nil {
		return err
	}
	if err := replaceFile(nil, stubPath(dir, s.Segment), wire.Encode(s)); err != nil {
		return err
	}
	if err := step("remove the segment"); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil {
		return err
	}
	if err := step("sync the directory"); err != nil {
		return err
	}
	return syncDir(nil, dir)
}

// holds says whether b is the segment that the stub is for: each frame by the hash
// that stays in the tiles.
func holds(dir string, s *stub, b []byte) error {
	hashes := leaves{dir: dir}
	for index := s.First; index < s.end(); index++ {
		f, size, err := parseFrame(b)
		if err != nil || f.index != index {
			return &DamagedError{Index: index, Segment: filepath.Base(segmentPath(dir, s.Segment)), Why: "it changed while it was archived"}
		}
		leaf, err := hashes.at(int64(index))
		if err != nil {
			return err
		}
		if leaf != f.leaf {
			return &DamagedError{Index: index, Segment: filepath.Base(segmentPath(dir, s.Segment)), Why: "the tile that is to stay has another hash"}
		}
		b = b[size:]
	}
	if len(b) > 0 {
		return &DamagedError{Index: s.end(), Segment: filepath.Base(segmentPath(dir, s.Segment)), Why: "more follows the segment's last record"}
	}
	return nil
}

// syncTiles syncs the full tiles of level 0 that hold the hashes of the records
// from first on, below end, and every directory on the way to them: until now they
// could be made again from the records.
func syncTiles(dir string, first, end uint64) error {
	dirs := map[string]bool{dir: true}
	for n := int64(first) >> tileHeight; n<<tileHeight < int64(end); n++ {
		path := wholeTile(dir, n)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		for d := filepath.Dir(path); !dirs[d]; d = filepath.Dir(d) {
			dirs[d] = true
		}
	}
	for d := range dirs {
		if err := syncDir(nil, d); err != nil {
			return err
		}
	}
	return nil
}
