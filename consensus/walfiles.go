package consensus

import (
	"path/filepath"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"warifu.dev/internal/disk"
)

// openLog opens the log in dir. With a hook its segments are written through it;
// the small database beside them, which holds the term and the vote, is not:
// Raft panics when that cannot be written.
func openLog(hook disk.Hook, dir string, segmentSize int) (*wal.WAL, error) {
	if err := finishRotation(dir, segmentSize); err != nil {
		return nil, err
	}
	if hook == nil {
		return wal.Open(dir, wal.WithSegmentSize(segmentSize))
	}
	files := segment.NewFiler(dir, walFiles{fs.New(), hook})
	return wal.Open(dir, wal.WithSegmentSize(segmentSize), wal.WithSegmentFiler(files))
}

// walFiles is the log's own file system, which preallocates a segment and syncs
// its directory with its first sync, asked before each change.
type walFiles struct {
	types.VFS
	hook disk.Hook
}

func (v walFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := v.hook.Before(disk.Create, filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	f, err := v.VFS.Create(dir, name, size)
	return v.asking(f, err, dir, name)
}

func (v walFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.VFS.OpenWriter(dir, name)
	return v.asking(f, err, dir, name)
}

func (v walFiles) asking(f types.WritableFile, err error, dir, name string) (types.WritableFile, error) {
	if err != nil {
		return nil, err
	}
	return walFile{f, v.hook, filepath.Join(dir, name)}, nil
}

func (v walFiles) Delete(dir, name string) error {
	if err := v.hook.Before(disk.Remove, filepath.Join(dir, name)); err != nil {
		return err
	}
	return v.VFS.Delete(dir, name)
}

type walFile struct {
	types.WritableFile
	hook disk.Hook
	path string
}

func (f walFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.hook.Before(disk.Write, f.path); err != nil {
		return 0, err
	}
	return f.WritableFile.WriteAt(b, off)
}

func (f walFile) Sync() error {
	if err := f.hook.Before(disk.Sync, f.path); err != nil {
		return err
	}
	return f.WritableFile.Sync()
}
