package audit

import (
	"bufio"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// Files of a copy.
const (
	copiedHashes     = "leaves"
	copiedRecords    = "records"
	copiedCheckpoint = "checkpoint"
)

// Modes of a copy: records say who asked for what, and why.
const (
	copyDirMode  = 0o700
	copyFileMode = 0o600
)

// ErrOtherLog: what comes now does not continue what was copied before.
var ErrOtherLog = errors.New("the log is not the one that was copied before")

// Copy is a node's log on its way into an auditor's folder:
//
//	DIR/leaves      the hash of every record in the tree, 32 bytes each, from record 0
//	DIR/records     frames as in a segment, by ascending index; records before a place
//	                of the auditor's choice may be left out
//	DIR/checkpoint  the node's signed checkpoint over all of them, written last
//
// The hashes are what a root can be made from when the first records are left out,
// and what names a record that was altered. A copy is continued where it ended:
// what was being written when it broke off is cut. Nothing is believed before
// [Copy.Finish].
type Copy struct {
	dir     string
	pub     *ecdsa.PublicKey
	origin  string
	hashes  *os.File
	count   uint64 // of hashes
	records *os.File
	written *bufio.Writer
	next    uint64 // index after the last record
}

// OpenCopy begins or continues the copy in dir of the log whose checkpoints begin
// with origin, and are signed by pub. The caller closes it.
func OpenCopy(dir, origin string, pub *ecdsa.PublicKey) (*Copy, error) {
	if err := os.MkdirAll(dir, copyDirMode); err != nil {
		return nil, err
	}
	c := &Copy{dir: dir, origin: origin, pub: pub}
	err := c.open()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Copy) open() (err error) {
	if c.hashes, err = os.OpenFile(filepath.Join(c.dir, copiedHashes), os.O_RDWR|os.O_CREATE, copyFileMode); err != nil {
		return err
	}
	size, err := c.hashes.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if c.records, err = os.OpenFile(filepath.Join(c.dir, copiedRecords), os.O_RDWR|os.O_CREATE, copyFileMode); err != nil {
		return err
	}
	return c.cut(uint64(size / tlog.HashSize))
}

// cut leaves so many hashes, and the records that have one and are whole.
func (c *Copy) cut(count uint64) error {
	c.count, c.next = count, 0
	if err := cutTo(c.hashes, int64(count)*tlog.HashSize); err != nil {
		return err
	}
	if _, err := c.records.Seek(0, io.SeekStart); err != nil {
		return err
	}
	whole := int64(0)
	for r := (frameReader{bufio.NewReader(c.records)}); ; {
		f, err := r.next()
		if err != nil || f.index < c.next || f.index >= c.count {
			break // the rest is asked for again
		}
		whole += int64(frameExtra + len(f.body))
		c.next = f.index + 1
	}
	if err := cutTo(c.records, whole); err != nil {
		return err
	}
	c.written = bufio.NewWriter(c.records)
	return nil
}

// cutTo ends a file there, and goes on there.
func cutTo(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	_, err := f.Seek(size, io.SeekStart)
	return err
}

// Checkpoint verifies a checkpoint of this log.
func (c *Copy) Checkpoint(signed []byte) (Checkpoint, error) {
	p, err := ParseCheckpoint(signed, c.pub)
	if err == nil && p.Origin != c.origin {
		err = fmt.Errorf("%w: of %q, not of %q", ErrBadCheckpoint, p.Origin, c.origin)
	}
	if err == nil && p.Size < c.count {
		err = fmt.Errorf("%w: it has %d records, and %d were there", ErrOtherLog, p.Size, c.count)
	}
	return p, err
}

// Hashes is how many hashes are here.
func (c *Copy) Hashes() uint64 { return c.count }

// Next is the index after the last record that is here.
func (c *Copy) Next() uint64 { return c.next }

// AddHashes appends hashes of records, in order.
func (c *Copy) AddHashes(hashes []byte) error {
	if len(hashes)%tlog.HashSize != 0 {
		return fmt.Errorf("%w: %d bytes of hashes", ErrOtherLog, len(hashes))
	}
	if _, err := c.hashes.Write(hashes); err != nil {
		return err
	}
	c.count += uint64(len(hashes) / tlog.HashSize)
	return nil
}

// Add appends a record, whose hash must be here.
func (c *Copy) Add(l Leaf) error {
	var want [32]byte
	switch {
	case l.Index < c.next || l.Index >= c.count || l.First > l.Index || len(l.Body) == 0 || len(l.Body) > MaxRecord:
		return fmt.Errorf("%w: record %d does not stand there", ErrOtherLog, l.Index)
	default:
		if _, err := c.hashes.ReadAt(want[:], int64(l.Index)*tlog.HashSize); err != nil {
			return err
		}
	}
	f := frame{index: l.Index, first: l.First, body: l.Body, leaf: l.Hash()}
	if f.leaf != want {
		return fmt.Errorf("%w: record %d has another hash than was said", ErrOtherLog, l.Index)
	}
	if _, err := c.written.Write(f.append(nil)); err != nil {
		return err
	}
	c.next = l.Index + 1
	return nil
}

// Finish makes the copy one that verifies under this checkpoint: records from index
// from on are all here. If it does not come to that, the copy is again what it was
// under the checkpoint of before, or empty.
func (c *Copy) Finish(signed []byte, from uint64) error {
	p, err := c.Checkpoint(signed)
	if err != nil {
		return err
	}
	if err := errors.Join(c.written.Flush(), c.records.Sync(), c.hashes.Sync()); err != nil {
		return err
	}
	if _, err := verifyCopy(c.dir, from, p, nil, func(Indexed) error { return nil }); err != nil {
		before, none := CheckpointIn(c.dir, c.origin, c.pub)
		if none == nil {
			err = fmt.Errorf("%w: %w", ErrOtherLog, err)
		}
		return errors.Join(err, c.cut(min(before.Size, c.count)))
	}
	place := filepath.Join(c.dir, copiedCheckpoint)
	if err := os.WriteFile(place+nextSuffix, signed, copyFileMode); err != nil {
		return err
	}
	return os.Rename(place+nextSuffix, place)
}

// Close keeps what was added.
func (c *Copy) Close() error {
	var err error
	if c.written != nil {
		err = c.written.Flush()
	}
	for _, f := range []*os.File{c.hashes, c.records} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// Copied says what a verified copy holds.
type Copied struct {
	Size  uint64 // records under its checkpoint
	Root  [32]byte
	Held  uint64 // records that are here; of the others the hashes are
	First int64  // time of the first one that is here, Unix milliseconds
	Last  int64  // of the last
}

// VerifyCopy verifies the copy in dir and shows visit each record of it that is
// here, in order: the hashes against the checkpoint, which must be pub's and begin
// with origin, and against points that others kept; each record against its hash
// and the allow-list. Records from index from on must all be here. What visit saw
// counts for nothing when this fails. A [DamagedError] names the first bad record.
//
// As with [VerifyDir], only points that do not come with the copy show that its end
// was cut off.
func VerifyCopy(dir string, from uint64, origin string, pub *ecdsa.PublicKey, points []Anchor, visit func(Indexed) error) (Copied, error) {
	own, err := CheckpointIn(dir, origin, pub)
	if err != nil {
		return Copied{}, err
	}
	return verifyCopy(dir, from, own, points, visit)
}

// CheckpointIn reads and verifies the checkpoint of a copy. [fs.ErrNotExist] says
// that the copy was never finished.
func CheckpointIn(dir, origin string, pub *ecdsa.PublicKey) (Checkpoint, error) {
	signed, err := readCheckpoint(filepath.Join(dir, copiedCheckpoint))
	if err != nil {
		return Checkpoint{}, err
	}
	p, err := ParseCheckpoint(signed, pub)
	if err == nil && p.Origin != origin {
		err = fmt.Errorf("%w: of %q, not of %q", ErrBadCheckpoint, p.Origin, origin)
	}
	return p, err
}

func readCheckpoint(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCheckpoint+1))
}

func verifyCopy(dir string, from uint64, own Checkpoint, points []Anchor, visit func(Indexed) error) (Copied, error) {
	c := Copied{Size: own.Size, Root: own.Root}
	// The hashes alone first: when they have the root that was signed, each record
	// is judged by its own.
	wrong := hashesHaveRoots(dir, own, points)
	var other *DamagedError // a record that is not the one of its hash
	tree := frontier{}
	err := eachCopied(dir, from, own.Size, func(index uint64, hash tlog.Hash, f *frame) error {
		if f == nil {
			tree.add(hash)
			return nil
		}
		tree.add(f.leaf)
		if f.leaf != hash {
			damage := &DamagedError{Index: index, Segment: copiedRecords, Why: "it is not the record whose hash is under the checkpoint"}
			if wrong == nil {
				return damage
			}
			if other == nil {
				other = damage
			}
			return nil
		}
		record, err := DecodeRecord(f.body)
		if err != nil {
			return &DamagedError{Index: index, Segment: copiedRecords, Why: err.Error()}
		}
		if c.Held++; c.Held == 1 {
			c.First = record.Time
		}
		c.Last = record.Time
		return visit(Indexed{Index: index, Record: record})
	})
	switch {
	case wrong == nil || err != nil && other == nil:
		return c, err
	case other != nil && uint64(tree.size) == own.Size && tree.root() == tlog.Hash(own.Root):
		// The records have the root that was signed: a hash beside them has not.
		return c, &DamagedError{Index: other.Index, Segment: copiedHashes, Offset: int64(other.Index) * tlog.HashSize, Why: "the hash beside it was altered; the record is the one under the checkpoint"}
	case other != nil:
		return c, other
	}
	return c, wrong
}

// hashesHaveRoots holds the hashes against the copy's checkpoint and the points.
func hashesHaveRoots(dir string, own Checkpoint, points []Anchor) error {
	f, err := os.Open(filepath.Join(dir, copiedHashes))
	if err != nil {
		return lacking(err, 0)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if count := uint64(info.Size()) / tlog.HashSize; count < own.Size {
		return &DamagedError{Index: count, Segment: copiedHashes, Why: fmt.Sprintf("its hash and those of all after it are missing: the checkpoint counts %d", own.Size)}
	} else if count > own.Size || info.Size()%tlog.HashSize != 0 {
		return &DamagedError{Index: own.Size, Segment: copiedHashes, Why: fmt.Sprintf("the checkpoint counts %d records, and hashes of more are here: the export was broken off, or its end was altered", own.Size)}
	}
	all := []against{{"its own checkpoint", own}}
	for _, p := range points {
		all = append(all, against{p.Name, Checkpoint{Size: p.Size, Root: p.Root}})
	}
	var tree frontier
	var wrong error
	hold := func() {
		for _, a := range all {
			if err := a.check(&tree); err != nil && (wrong == nil || a.point == own) {
				wrong = err // its own has the last word: with that one right, the node signed both
			}
		}
	}
	r := bufio.NewReader(f)
	hold()
	for range own.Size {
		var h tlog.Hash
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return err
		}
		tree.add(h)
		hold()
	}
	for _, a := range all[1:] {
		if err := a.reached(&tree); err != nil && wrong == nil {
			wrong = err
		}
	}
	return wrong
}

// lacking names a file of a copy that is not there.
func lacking(err error, index uint64) error {
	if path := (*fs.PathError)(nil); errors.Is(err, fs.ErrNotExist) && errors.As(err, &path) {
		return &DamagedError{Index: index, Segment: filepath.Base(path.Path), Why: "the file is missing"}
	}
	return err
}

// eachCopied shows every place of a copy with its hash, and with its record where
// that is here. From index from on all must be.
func eachCopied(dir string, from, size uint64, show func(index uint64, hash tlog.Hash, f *frame) error) error {
	hashes, err := os.Open(filepath.Join(dir, copiedHashes))
	if err != nil {
		return lacking(err, 0)
	}
	defer hashes.Close()
	records, err := os.Open(filepath.Join(dir, copiedRecords))
	if err != nil {
		return lacking(err, from)
	}
	defer records.Close()
	h, r := bufio.NewReader(hashes), frameReader{bufio.NewReader(records)}
	offset := int64(0)
	damaged := func(index uint64, format string, args ...any) error {
		return &DamagedError{Index: index, Segment: copiedRecords, Offset: offset, Why: fmt.Sprintf(format, args...)}
	}
	for index := range size {
		var hash tlog.Hash
		if _, err := io.ReadFull(h, hash[:]); err != nil {
			return &DamagedError{Index: index, Segment: copiedHashes, Offset: int64(index) * tlog.HashSize, Why: "its hash is missing"}
		}
		at, length, err := r.peek()
		switch {
		case errors.Is(err, io.EOF) && index >= from:
			return damaged(index, "the records end here, and the checkpoint counts more")
		case errors.Is(err, io.EOF):
		case err != nil:
			return damaged(index, "its framing is wrong, or that of the record after it")
		case at < index:
			return damaged(index, "record %d stands in its place, again or out of order", at)
		case at > index && index >= from:
			return damaged(index, "record %d stands in its place: it is missing", at)
		case at == index:
			f, err := r.next()
			if err != nil {
				return damaged(index, "its hash or framing is wrong")
			}
			err = show(index, hash, &f)
			if damage := (*DamagedError)(nil); errors.As(err, &damage) && damage.Segment == copiedRecords {
				damage.Offset = offset
			}
			if err != nil {
				return err
			}
			offset += int64(length)
			continue
		}
		if err := show(index, hash, nil); err != nil {
			return err
		}
	}
	if at, _, err := r.peek(); !errors.Is(err, io.EOF) {
		return damaged(size, "the checkpoint counts %d records, and more follow (%d): the export was broken off, or its end was altered", size, at)
	}
	return nil
}

// FirstDifference returns the first place, below size, at which two copies of one log
// have different hashes; size if there is none.
func FirstDifference(one, other string, size uint64) (uint64, error) {
	a, err := os.Open(filepath.Join(one, copiedHashes))
	if err != nil {
		return 0, err
	}
	defer a.Close()
	b, err := os.Open(filepath.Join(other, copiedHashes))
	if err != nil {
		return 0, err
	}
	defer b.Close()
	ra, rb := bufio.NewReader(a), bufio.NewReader(b)
	for index := range size {
		var ha, hb tlog.Hash
		if _, err := io.ReadFull(ra, ha[:]); err != nil {
			return index, nil
		}
		if _, err := io.ReadFull(rb, hb[:]); err != nil || ha != hb {
			return index, nil
		}
	}
	return size, nil
}
