package consensus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
)

// The file of the floor holds two pages, written in turn, so that a write cut
// short leaves the other. Each begins with a slot:
//
//	magic 8 | index 8, big endian | link 32 | SHA-256 of all before it, 32
const (
	floorName  = "floor"
	floorPage  = 4096 // what a disk writes at once, or a multiple of it
	floorMagic = "wrffloor"
	floorSlot  = 8 + 8 + 32 + sha256.Size
)

// floor is the highest entry that this node has applied, and the link of the last
// command at or below it. What stands at or below the floor is never truncated.
//
// It is durable before committed moves: whatever relies on a committed state,
// such as an anchor or an answer, relies on a durable floor. That is one sync for
// every batch that Raft applies, and none for reading.
type floor struct {
	index atomic.Uint64 // Raft's main goroutine reads it
	link  api.Digest    // with index; after start owned by Raft's FSM goroutine
	file  *os.File
	disk  disk.Hook
	page  int64 // the one to write next; owned by Raft's FSM goroutine
	dead  error // why nothing is written any more; owned by Raft's FSM goroutine
}

// openFloor reads the floor of a directory, or makes one of 0.
func openFloor(hook disk.Hook, dir string) (*floor, error) {
	path := filepath.Join(dir, floorName)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if err = failpoint.Step("consensus/make-floor", func() error { return makeFloor(hook, dir, path) }); err == nil {
			file, err = os.OpenFile(path, os.O_RDWR, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFloor, err)
	}
	f := &floor{file: file, disk: hook, page: -1}
	for page := range int64(2) {
		b := make([]byte, floorSlot)
		if _, err := file.ReadAt(b, page*floorPage); err != nil {
			continue // as good as a slot that does not check
		}
		if index, link, ok := readSlot(b); ok && (f.page < 0 || index > f.index.Load()) {
			f.index.Store(index)
			f.link, f.page = link, 1-page
		}
	}
	if f.page < 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s is damaged", ErrFloor, path), file.Close())
	}
	return f, nil
}

func makeFloor(hook disk.Hook, dir, path string) error {
	if err := hook.Before(disk.Create, path); err != nil {
		return err
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	empty := make([]byte, 2*floorPage)
	copy(empty, slot(0, api.Digest{}))
	_, err = file.Write(empty)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// advance raises the floor and returns when that is durable. After an error
// nothing is written any more: a second sync that succeeds says nothing.
func (f *floor) advance(index uint64, link api.Digest) error {
	if f.dead != nil {
		return f.dead
	}
	if index <= f.index.Load() {
		return nil // applied again, after a restart
	}
	f.index.Store(index)
	f.link = link
	if err := failpoint.Step("consensus/raise-floor", func() error { return f.write(slot(index, link)) }); err != nil {
		f.dead = fmt.Errorf("%w: %w", ErrFloor, err)
	}
	f.page = 1 - f.page
	return f.dead
}

func (f *floor) write(slot []byte) error {
	if err := f.disk.Before(disk.Write, f.file.Name()); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(slot, f.page*floorPage); err != nil {
		return err
	}
	if err := f.disk.Before(disk.Sync, f.file.Name()); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *floor) close() error { return f.file.Close() }

func slot(index uint64, link api.Digest) []byte {
	b := append(make([]byte, 0, floorSlot), floorMagic...)
	b = binary.BigEndian.AppendUint64(b, index)
	b = append(b, link[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func readSlot(b []byte) (index uint64, link api.Digest, ok bool) {
	index = binary.BigEndian.Uint64(b[8:])
	copy(link[:], b[16:])
	return index, link, bytes.Equal(b, slot(index, link))
}
