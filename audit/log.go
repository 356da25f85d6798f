package audit

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
)

const (
	// maxCommit bounds the bytes of one write and sync, and so what a crash can
	// tear. Several of the largest records fit.
	maxCommit = 1 << 20
	// maxQueue bounds the callers that wait for the next commit.
	maxQueue = 1024
	// MaxTail bounds what [Log.Tail] returns.
	MaxTail = 1000
	// lookEvery is how often an idle log looks whether its file is still there.
	lookEvery = time.Second

	// DefaultReserve is the room kept so that `audit full` can be recorded.
	DefaultReserve = 64 << 20
	// DefaultSegment is when a new segment is begun: a size that is read and
	// hashed in a moment.
	DefaultSegment = 64 << 20
)

// Config says where a log is and who signs it.
type Config struct {
	Dir          string                           // node-local, never settable over the wire (R22)
	Origin       string                           // of checkpoints, e.g. "warifu/0a1b2c3d/node-1"; no spaces, no plus
	Public       *ecdsa.PublicKey                 // the node's key
	Signer       func(msg []byte) ([]byte, error) // ECDSA over SHA-256 of msg, ASN.1, by that key
	ReserveBytes int64                            // 0 means [DefaultReserve]
	SegmentBytes int64                            // 0 means [DefaultSegment]
	Log          *slog.Logger                     // nil discards
	Disk         disk.Hook                        // nil is the real disk alone

	open func(path string) (file, error) // for tests that break disks
}

func (c *Config) validate() error {
	if c.ReserveBytes == 0 {
		c.ReserveBytes = DefaultReserve
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = DefaultSegment
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.open == nil {
		c.open = func(path string) (file, error) { return openFile(c.Disk, path) }
	}
	switch {
	case c.Dir == "":
		return errors.New("audit: no directory")
	case c.Signer == nil:
		return errors.New("audit: no signer")
	case c.ReserveBytes < 0 || c.SegmentBytes < 0 || c.SegmentBytes > maxSegment-maxCommit:
		return errors.New("audit: sizes out of range")
	}
	_, err := newVerifier(c.Origin, c.Public)
	return err
}

// Log is an open log, safe for concurrent use.
type Log struct {
	cfg    Config
	signer signer
	lock   *os.File
	queue  chan *request
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has returned

	closing sync.Once
	signing chan struct{} // has room for the one who signs a checkpoint: it waits for a disk
	tiling  chan struct{} // has room for the one who writes tiles: likewise

	mu       sync.Mutex
	failure  error     // guarded by mu; why the log takes no more
	tree     frontier  // guarded by mu; synced records only
	edge     tileEdge  // guarded by mu; of the same records as tree
	segments []segment // guarded by mu
	places   []place   // guarded by mu
	unread   uint64    // guarded by mu; records below this index are archived
	carrying []uint64  // guarded by mu; indices of the records that carry a ledger entry, archived ones left out

	journaled uint64 // guarded by mu; see Journaled
	syncs     uint64 // guarded by mu; commits since it was opened

	expected atomic.Int64  // announced by Expect, and not over
	waiting  atomic.Int64  // appends in the queue or in the commit under way
	hush     chan struct{} // of room 1: told when as many wait as are expected
	gathers  time.Duration // gatherFor, but in tests

	current file   // owned by the writer
	filled  []tile // owned by the writer; to be kept after the answers
}

// request is one Append on its way to the writer.
type request struct {
	bodies [][]byte
	size   int // of all frames
	time   int64
	node   string
	answer chan answer // of room 1
}

type answer struct {
	first uint64
	err   error
}

// Open opens or makes the log in cfg.Dir. It verifies every record against its
// hash and the whole against the last checkpoint, cuts the torn end of a commit
// nobody was told about, and refuses with [ErrDamaged], [ErrLooseMode],
// [ErrLocked] or [ErrFull].
func Open(cfg Config) (*Log, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l, err := open(cfg)
	if err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	go l.write()
	return l, nil
}

func open(cfg Config) (_ *Log, err error) {
	v, err := newVerifier(cfg.Origin, cfg.Public)
	if err != nil {
		return nil, err
	}
	if err := makeDir(cfg.Disk, cfg.Dir); err != nil {
		return nil, err
	}
	if err := checkModes(cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Disk, cfg.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, signer: signer{verifier: v, sign: cfg.Signer}, lock: lock,
		queue: make(chan *request, maxQueue), stop: make(chan struct{}), done: make(chan struct{}),
		signing: make(chan struct{}, 1), tiling: make(chan struct{}, 1),
		hush: make(chan struct{}, 1), gathers: gatherFor,
	}
	defer func() {
		if err != nil {
			if l.current != nil {
				l.current.Close()
			}
			lock.Close()
		}
	}()
	points, err := ownCheckpoint(cfg.Dir, cfg.Origin, cfg.Public)
	if err != nil {
		return nil, err
	}
	lacking := false // a tile
	c, err := inspect(source{dir: cfg.Dir}, []against{points}, func(f frame, _ place, _ *frontier) error {
		if index, ok := tellsOfLedger(f.body); ok {
			l.journaled = index
		}
		if carriesEntry(f.body) {
			l.carrying = append(l.carrying, f.index)
		}
		for _, t := range l.edge.add(f.leaf) {
			lacking = lacking || !tileFits(cfg.Dir, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.tree, l.segments, l.places, l.unread = c.tree, c.segments, c.places, c.unread
	l.carrying = slices.DeleteFunc(l.carrying, func(index uint64) bool { return index < l.unread })
	err = failpoint.Step("audit/make-reserve", func() error {
		return makeReserve(cfg.Disk, filepath.Join(cfg.Dir, "reserve"), cfg.ReserveBytes)
	})
	if err != nil {
		return nil, fmt.Errorf("make reserve: %w", err)
	}
	if len(l.segments) == 0 {
		err = l.begin()
	} else {
		err = l.resume(c)
	}
	if err == nil && lacking {
		err = l.remakeTiles()
	}
	if err != nil {
		return nil, err
	}
	l.keepTiles(l.edge.partial())
	return l, nil
}

// resume opens the last segment, cuts its torn end, and writes and syncs the
// last commit once more: a process that died may have written it without a
// sync, or after a sync that failed, and then only the page cache has it.
func (l *Log) resume(c *contents) error {
	last := l.segments[len(l.segments)-1]
	f, err := l.cfg.open(last.path)
	if err != nil {
		return err
	}
	l.current = f
	if c.torn > 0 {
		l.cfg.Log.Warn("cutting the torn end of the audit log", "segment", last.path, "bytes", c.torn, "records", l.tree.size)
		if err := f.Truncate(last.size); err != nil {
			return err
		}
	}
	if len(c.last) > 0 {
		if _, err := f.WriteAt(c.last, c.lastAt); err != nil {
			return err
		}
	}
	return f.Sync()
}

// remakeTiles reads the records once more and writes the full tiles that do not
// fit them: a crash lost them, or the log was begun when there were none.
func (l *Log) remakeTiles() error {
	l.cfg.Log.Info("making tiles of the audit log again", "records", l.tree.size)
	var edge tileEdge
	_, err := scan(source{dir: l.cfg.Dir}, func(f frame, _ place, _ *frontier) error {
		for _, t := range edge.add(f.leaf) {
			if !tileFits(l.cfg.Dir, t) {
				l.keepTiles([]tile{t})
			}
		}
		return nil
	})
	return err
}

// begin starts the next segment.
func (l *Log) begin() error {
	path := segmentPath(l.cfg.Dir, len(l.segments))
	var f file
	err := failpoint.Step("audit/begin-segment", func() (err error) { f, err = l.cfg.open(path); return err })
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), syncDir(l.cfg.Disk, l.cfg.Dir)); err != nil {
		f.Close()
		_ = remove(l.cfg.Disk, path) // or a later look would take the segment before it for a finished one
		return err
	}
	if l.current != nil {
		l.current.Close() // synced before each answer; nothing is lost
	}
	l.current = f
	l.mu.Lock()
	l.segments = append(l.segments, segment{path: path})
	l.mu.Unlock()
	return nil
}

// Append writes the records side by side and returns the index of the first
// when all are synced. On any error nothing may leave that waited for them; with
// ctx's error they may be written all the same.
func (l *Log) Append(ctx context.Context, records ...Record) (uint64, error) {
	if len(records) == 0 {
		return 0, fmt.Errorf("%w: nothing to append", ErrBadRecord)
	}
	if err := l.failed(); err != nil {
		return 0, err
	}
	last := records[len(records)-1]
	r := &request{time: last.Time, node: last.Node, answer: make(chan answer, 1), bodies: make([][]byte, 0, len(records))}
	for i := range records {
		body, err := EncodeRecord(records[i])
		if err != nil {
			return 0, err
		}
		r.bodies = append(r.bodies, body)
		r.size += len(body) + frameExtra
	}
	if r.size > maxCommit {
		return 0, fmt.Errorf("%w: %d bytes at once, at most %d", ErrBadRecord, r.size, maxCommit)
	}
	l.waiting.Add(1) // until it is answered
	select {
	case l.queue <- r:
	case <-l.done:
		l.waiting.Add(-1)
		return 0, ErrClosed
	case <-ctx.Done():
		l.waiting.Add(-1)
		return 0, ctx.Err()
	}
	select {
	case a := <-r.answer:
		return a.first, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-l.done:
	}
	select {
	case a := <-r.answer:
		return a.first, a.err
	default:
		return 0, ErrClosed
	}
}

// Size returns the number of synced records.
func (l *Log) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(l.tree.size)
}

// Root returns the Merkle root over the synced records (RFC 6962).
func (l *Log) Root() [32]byte {
	_, root := l.Head()
	return root
}

// Head returns the number of synced records and their Merkle root, at one moment.
func (l *Log) Head() (size uint64, root [32]byte) {
	l.mu.Lock()
	tree := l.tree.clone()
	l.mu.Unlock()
	return uint64(tree.size), tree.root()
}

// State is "ok" or the name of what is wrong.
func (l *Log) State() string {
	err := l.failed()
	for _, named := range []error{ErrFull, ErrMissing, ErrBroken, ErrClosed} {
		if errors.Is(err, named) {
			return named.Error()
		}
	}
	return "ok"
}

func (l *Log) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Checkpoint signs the size and root of the synced records, keeps the note in
// the log's directory and returns it. A log that is broken signs nothing.
func (l *Log) Checkpoint() ([]byte, error) {
	l.signing <- struct{}{}
	defer func() { <-l.signing }()
	l.mu.Lock()
	tree, tiles, failure := l.tree.clone(), l.edge.partial(), l.failure
	l.mu.Unlock()
	if failure != nil && !errors.Is(failure, ErrFull) {
		return nil, failure
	}
	signed, err := Checkpoint{Origin: l.cfg.Origin, Size: uint64(tree.size), Root: tree.root()}.sign(l.signer)
	if err != nil {
		return nil, fmt.Errorf("sign audit checkpoint: %w", err)
	}
	l.keepTiles(tiles)
	err = failpoint.Step("audit/checkpoint", func() error {
		return replaceFile(l.cfg.Disk, filepath.Join(l.cfg.Dir, "checkpoint"), signed)
	})
	if err != nil {
		return nil, fmt.Errorf("keep audit checkpoint: %w", err)
	}
	return signed, nil
}

// Read returns one record. An index at or past [Log.Size] gives [fs.ErrNotExist],
// one in the archive [ErrArchived].
func (l *Log) Read(index uint64) (Record, error) {
	records, err := l.read(index, 1)
	if err != nil {
		return Record{}, err
	}
	return records[0].Record, nil
}

// Tail returns the last n records or fewer, at most [MaxTail], oldest first.
// Archived ones are not among them.
func (l *Log) Tail(n int) ([]Indexed, error) {
	l.mu.Lock()
	size, unread := uint64(l.tree.size), l.unread
	l.mu.Unlock()
	n = min(n, MaxTail, int(size-unread))
	if n <= 0 {
		return nil, nil
	}
	return l.read(size-uint64(n), n)
}

// read returns n records from index from on.
func (l *Log) read(from uint64, n int) ([]Indexed, error) {
	records := make([]Indexed, 0, n)
	err := l.frames(from, from+uint64(n), func(f frame) (bool, error) {
		record, err := DecodeRecord(f.body)
		records = append(records, Indexed{Index: f.index, Record: record})
		return true, err
	})
	return records, err
}

// frames shows take the frames from index from on, below end, until it wants no
// more.
func (l *Log) frames(from, end uint64, take func(frame) (more bool, err error)) error {
	l.mu.Lock()
	size, unread, segments := uint64(l.tree.size), l.unread, append([]segment(nil), l.segments...)
	var at place
	if from < size {
		at = l.places[from/placeEvery]
	}
	l.mu.Unlock()
	if end > size {
		return fmt.Errorf("audit record %d of %d: %w", end-1, size, fs.ErrNotExist)
	}
	if from < unread {
		return fmt.Errorf("audit record %d: %w", from, ErrArchived)
	}
	for more := true; more && from < end; at = (place{segment: at.segment + 1}) {
		s := segments[at.segment]
		if s.archived { // the place shared by records on both sides of its end
			continue
		}
		var err error
		from, more, err = readRange(s.path, at.offset, s.size, from, func(f frame) (bool, error) {
			more, err := take(f)
			return more && f.index+1 < end, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close lets those who already wait have their answer, and closes the files.
func (l *Log) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.stop)
		<-l.done
		l.mu.Lock()
		if l.failure == nil {
			l.failure = ErrClosed
		}
		l.mu.Unlock()
		err = errors.Join(l.current.Close(), l.lock.Close())
	})
	return err
}
