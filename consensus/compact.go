package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// compactLook is how long [Consensus.Compact] waits before it looks again.
const compactLook = 500 * time.Millisecond

// Compact takes what this node has applied so far out of its log, down to the
// bytes on its disk, and returns when no file holds them: a snapshot stands in
// their place. Deleting entries alone does not do that: the log keeps a segment as
// long as one entry in it lives (R42). With nothing new to commit there is nothing
// to snapshot, so a node that leads commits barrier, a command that means nothing;
// another waits for the next command. What the state itself holds stays, and
// entries that only this node's log held are sent to nobody any more: members that
// are away read of them in a snapshot.
func (c *Consensus[S, R]) Compact(ctx context.Context, barrier []byte) error {
	if c.raft == nil {
		return c.Stopped()
	}
	c.compacting.Lock()
	defer c.compacting.Unlock()
	target := c.AppliedIndex()
	keep := c.raft.ReloadableConfig()
	for now := keep; ; {
		now.TrailingLogs = 0
		if err := c.raft.ReloadConfig(now); err != nil {
			return fmt.Errorf("let go of the log: %w", err)
		}
		why := c.compactOnce(ctx, barrier, target)
		if err := c.raft.ReloadConfig(keep); err != nil {
			return fmt.Errorf("keep the log again: %w", err)
		}
		if why == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("take entries to %d out of the log: %w: %w", target, ctx.Err(), why)
		case <-time.After(compactLook):
		}
	}
}

// errStill means that entries are still on disk.
var errStill = errors.New("consensus: a segment of the log still holds them")

func (c *Consensus[S, R]) compactOnce(ctx context.Context, barrier []byte, target uint64) error {
	if _, err := c.Submit(ctx, barrier); err != nil && !errors.Is(err, ErrNotLeader) {
		return err
	}
	if err := c.snapshot(ctx); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	oldest, err := c.oldestSegment()
	if err != nil {
		return err
	}
	if oldest <= target {
		return fmt.Errorf("%w: from %d on", errStill, oldest)
	}
	return nil
}

// snapshot makes one, or waits for one that is being made, until ctx ends; Raft goes
// on with it then.
func (c *Consensus[S, R]) snapshot(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.raft.Snapshot().Error() }() // ends when Raft answers, or is shut down
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Log is the first index for which a file of the log was begun, and the size of all of
// its files: entries from there on may be on this node's disk.
func (c *Consensus[S, R]) Log() (oldest uint64, size int64, err error) {
	files, err := filepath.Glob(filepath.Join(c.snapshots.dir, "*.wal"))
	if err != nil {
		return 0, 0, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return 0, 0, err
		}
		size += info.Size()
	}
	oldest, err = c.oldestSegment()
	return oldest, size, err
}

// oldestSegment is the first index for which a file was begun. The log names its
// files by it.
func (c *Consensus[S, R]) oldestSegment() (uint64, error) {
	files, err := filepath.Glob(filepath.Join(c.snapshots.dir, "*.wal"))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(err, os.ErrNotExist)
	}
	var oldest uint64 // Glob sorts, and the numbers have leading zeros
	if _, err := fmt.Sscanf(filepath.Base(files[0]), "%d-", &oldest); err != nil {
		return 0, fmt.Errorf("read the name of a segment: %w", err)
	}
	return oldest, nil
}
