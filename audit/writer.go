package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"warifu.dev/internal/failpoint"
)

// write is the only goroutine that touches the current segment. It gathers
// whoever waits into one commit: one write, one sync, one answer each.
func (l *Log) write() {
	defer close(l.done)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var held *request // did not fit into the last commit
	for {
		r := held
		held = nil
		if r == nil {
			select {
			case r = <-l.queue:
			case <-look.C:
				if l.failed() == nil {
					l.fail(l.linked())
				}
				continue
			case <-l.stop:
				select { // those who were in the queue before Close
				case r = <-l.queue:
				default:
					return
				}
			}
		}
		var batch []*request
		batch, held = l.gather(r)
		l.commit(batch)
	}
}

// commit makes the records of batch durable, or fails the log.
func (l *Log) commit(batch []*request) {
	err := l.failed()
	var first uint64
	if err == nil {
		first, err = l.store(batch)
		l.fail(err)
	}
	l.waiting.Add(-int64(len(batch)))
	for _, r := range batch {
		if err != nil {
			r.answer <- answer{err: err}
			continue
		}
		r.answer <- answer{first: first}
		first += uint64(len(r.bodies))
	}
	if len(l.filled) > 0 {
		l.keepTiles(l.filled)
		l.filled = nil
	}
}

// fail makes err, if it is one, the log's last word.
func (l *Log) fail(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	l.failure = err
	l.mu.Unlock()
	l.cfg.Log.Error("the audit log takes no more records", "error", err)
}

// store writes batch as one commit and returns its first index.
func (l *Log) store(batch []*request) (uint64, error) {
	// Nobody else changes tree and segments, so they are read without mu here.
	if s := l.segments[len(l.segments)-1]; s.size > 0 && s.size >= l.cfg.SegmentBytes {
		if err := l.begin(); isFull(err) {
			return 0, l.full(batch, err)
		} else if err != nil {
			return 0, fmt.Errorf("%w: begin segment: %w", ErrBroken, err)
		}
	}
	first := uint64(l.tree.size)
	n := 0
	for _, r := range batch {
		n += len(r.bodies)
	}
	bodies := make([][]byte, 0, n)
	for _, r := range batch {
		bodies = append(bodies, r.bodies...)
	}
	switch err := l.writeCommit(bodies); {
	case isFull(err):
		return 0, l.full(batch, err)
	case errors.Is(err, errWrite):
		return 0, fmt.Errorf("%w: %w", ErrBroken, err)
	default:
		return first, err
	}
}

// errWrite marks a write that failed before anything was synced.
var errWrite = errors.New("not written")

// writeCommit appends one commit to the current segment and syncs it. From the
// return of Sync on, a crash recovers forward; before, the commit may be cut. It
// returns errWrite when nothing was synced yet, else a named state.
func (l *Log) writeCommit(bodies [][]byte) error {
	n := len(l.segments) - 1
	start := l.segments[n].size
	first := uint64(l.tree.size)
	tree := l.tree.clone()
	size := 0
	for _, body := range bodies {
		size += frameExtra + len(body)
	}
	b := make([]byte, 0, size)
	var places []place
	leaves := make([]tlog.Hash, 0, len(bodies))
	for i, body := range bodies {
		f := frame{index: first + uint64(i), first: first, body: body, leaf: leafHash(first, body)}
		leaves = append(leaves, f.leaf)
		if f.index%placeEvery == 0 {
			places = append(places, place{segment: n, offset: start + int64(len(b))})
		}
		b = f.append(b)
		tree.add(f.leaf)
	}
	if err := failpoint.Step("audit/write", func() error { _, err := l.current.WriteAt(b, start); return err }); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	if err := failpoint.Step("audit/sync", l.current.Sync); err != nil {
		return fmt.Errorf("%w: sync: %v", ErrBroken, err) // not wrapped: a full disk found here is broken, not full
	}
	if err := l.linked(); err != nil {
		return err
	}
	l.mu.Lock()
	l.syncs++
	l.tree = tree
	for _, leaf := range leaves {
		l.filled = append(l.filled, l.edge.add(leaf)...)
	}
	l.places = append(l.places, places...)
	l.segments[n].size = start + int64(len(b))
	for i, body := range bodies {
		if index, ok := tellsOfLedger(body); ok {
			l.journaled = index
		}
		if carriesEntry(body) {
			l.carrying = append(l.carrying, first+uint64(i))
		}
	}
	l.mu.Unlock()
	return nil
}

// linked says whether the current segment is still the file of its name: what
// is written to a deleted file is read by nobody.
func (l *Log) linked() error {
	path := l.segments[len(l.segments)-1].path
	named, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	held, err := l.current.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if !os.SameFile(named, held) {
		return fmt.Errorf("%w: %s is another file now", ErrMissing, path)
	}
	return nil
}

// full gives up the reserve and records that there is no more room. The batch
// that found the disk full is cut off again: its callers are told no.
func (l *Log) full(batch []*request, cause error) error {
	last := batch[len(batch)-1]
	if err := l.current.Truncate(l.segments[len(l.segments)-1].size); err != nil {
		return fmt.Errorf("%w: cut an unfinished commit: %v", ErrBroken, err)
	}
	if err := remove(l.cfg.Disk, filepath.Join(l.cfg.Dir, "reserve")); err != nil {
		l.cfg.Log.Warn("cannot give up the audit reserve", "error", err)
	}
	body, err := EncodeRecord(Record{Time: last.time, Node: last.node, Kind: Full, Reason: cause.Error()})
	if err != nil {
		panic(err) // all of it is ours
	}
	if err := l.writeCommit([][]byte{body}); err != nil && !errors.Is(err, errWrite) {
		return err
	} else if err != nil {
		l.cfg.Log.Warn("cannot record that the audit is full", "error", err)
	}
	return fmt.Errorf("%w: %w", ErrFull, cause)
}
