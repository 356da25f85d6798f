package consensus

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// A process may die when the last entry of a segment is written, and the next segment
// is not begun: the log takes entries all the same when it is opened again, and has
// lost none.
func TestALogThatDiedBetweenTwoSegmentsGoesOn(t *testing.T) {
	const size = 4096
	dir := t.TempDir()
	entry := func(i uint64) *raft.Log {
		return &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: fmt.Appendf(nil, "entry %d", i)}
	}
	l, err := openLog(nil, dir, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs([]*raft.Log{entry(1)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	// The segment is filled as the library does, which then dies.
	var meta metadb.BoltMetaDB
	state, err := meta.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	tail, err := segment.NewFiler(dir, fs.New()).RecoverTail(state.Segments[len(state.Segments)-1])
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(1)
	for sealed := false; !sealed; {
		last++
		var b bytes.Buffer
		if err := (&wal.BinaryCodec{}).Encode(entry(last), &b); err != nil {
			t.Fatal(err)
		}
		if err := tail.Append([]types.LogEntry{{Index: last, Data: b.Bytes()}}); err != nil {
			t.Fatal(err)
		}
		if sealed, _, err = tail.Sealed(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tail.Close(); err != nil {
		t.Fatal(err)
	}
	if err := meta.Close(); err != nil {
		t.Fatal(err)
	}

	for range 2 { // and once more, when there is nothing left to finish
		l, err = openLog(nil, dir, size)
		if err != nil {
			t.Fatal(err)
		}
		if end, err := l.LastIndex(); err != nil || end != last {
			t.Fatalf("it ends at %d, not %d: %v", end, last, err)
		}
		for range 200 { // over the next rotation, too
			last++
			if err := l.StoreLogs([]*raft.Log{entry(last)}); err != nil {
				t.Fatalf("entry %d: %v", last, err)
			}
		}
		for i := uint64(1); i <= last; i++ {
			var got raft.Log
			if err := l.GetLog(i, &got); err != nil || !bytes.Equal(got.Data, entry(i).Data) {
				t.Fatalf("entry %d: %q, %v", i, got.Data, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
