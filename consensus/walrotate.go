package consensus

import (
	"errors"
	"fmt"
	"os"
	"time"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// finishRotation ends what a crash may have cut short in the log of dir. The entry
// that fills a segment seals it, and another one is begun after that, in the
// background. A process that dies in between leaves a sealed segment as the last one:
// the library (v0.4.1) opens it, and then refuses every entry, for ever. Here the
// segment is noted as sealed, and the next one as begun, as the library itself does;
// it makes the file when it opens the log.
func finishRotation(dir string, segmentSize int) (err error) {
	var meta metadb.BoltMetaDB
	state, err := meta.Load(dir)
	if err != nil {
		return fmt.Errorf("read the segments of the log in %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, meta.Close()) }()
	n := len(state.Segments)
	if n == 0 || !state.Segments[n-1].SealTime.IsZero() {
		return nil
	}
	last := &state.Segments[n-1]
	w, err := segment.NewFiler(dir, fs.New()).RecoverTail(*last)
	if errors.Is(err, os.ErrNotExist) { // it was not begun yet
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last segment of the log in %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	sealed, start, err := w.Sealed()
	if err != nil || !sealed {
		return err
	}
	now := time.Now()
	last.SealTime, last.MaxIndex, last.IndexStart = now, w.LastIndex(), start
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last.MaxIndex + 1, MinIndex: last.MaxIndex + 1,
		SizeLimit: uint32(segmentSize), Codec: wal.CodecBinaryV1, CreateTime: now,
	})
	state.NextSegmentID++
	if err := meta.CommitState(state); err != nil {
		return fmt.Errorf("note the next segment of the log in %s: %w", dir, err)
	}
	return nil
}
