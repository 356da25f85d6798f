package consensus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"

	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/wire"
)

// The one snapshot that a node keeps is a file in the log's directory. A new one
// is written beside it, checked, made durable and renamed over it:
//
//	magic 8 | length 4, big endian | meta | certificate, state | SHA-256 of all before it, 32
const (
	snapshotName    = "snapshot"
	snapshotNew     = "snapshot.new-" // and a number
	snapshotMagic   = "wrfsnap1"
	maxSnapshotMeta = 64 << 10 // a membership, and two numbers
	// maxSnapshot bounds what a leader may send, certificate and state: ten thousand
	// keys come to some 30 MB.
	maxSnapshot = 256 << 20
)

// filed is what Raft wants to know of a snapshot. Nobody signs it: the index is in
// the certificate, too, the membership is held against the roster, and a false
// term brings its author no more than the terms of its calls do.
type filed struct {
	Index              uint64 `cbor:"1,keyasint"`
	Term               uint64 `cbor:"2,keyasint"`
	Configuration      []byte `cbor:"3,keyasint"`
	ConfigurationIndex uint64 `cbor:"4,keyasint"`
	size               int64  // of certificate and state
	certificate        *certificate
}

func (f *filed) id() string { return fmt.Sprintf("%d-%d", f.Term, f.Index) }

// snapshots is Raft's snapshot store. Raft files a snapshot that a leader sends,
// and reaps older ones, before its state machine sees any of it (R40). So here
// nothing is filed that was not checked: signatures, membership, and the state
// itself, which is computed anew down to its link.
type snapshots[S any, R any] struct {
	dir     string
	disk    disk.Hook
	machine Machine[S, R]
	roster  roster
	endorse Endorsement[S]
	log     *slog.Logger
	// admit says whether a snapshot that a leader sends may take the place of this
	// node's log. It is called on Raft's main goroutine.
	admit func(*certificate) error

	filing turn

	mu    sync.Mutex
	newer int    // names the next temporary file; guarded by mu
	have  *filed // guarded by mu
}

// open removes what a crash left half written, and reads the snapshot that is
// there, if one is: nil if not.
func (s *snapshots[S, R]) open() (*S, error) {
	left, err := filepath.Glob(filepath.Join(s.dir, snapshotNew+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, path := range left {
		if err := s.remove(path); err != nil {
			return nil, fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	f, meta, err := s.openFile(filepath.Join(s.dir, snapshotName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := s.read(meta, io.LimitReader(f, meta.size))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s.have = meta
	return &state, nil
}

// openFile reads a file through, and stops it where the certificate begins.
func (s *snapshots[S, R]) openFile(path string) (file *os.File, meta *filed, err error) {
	file, err = os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	sum, body := sha256.New(), info.Size()-sha256.Size
	if body < 0 {
		return nil, nil, fmt.Errorf("%w: it is damaged: %d bytes", ErrSnapshot, info.Size())
	}
	if _, err := io.CopyN(sum, file, body); err != nil {
		return nil, nil, err
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(file, want); err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return nil, nil, fmt.Errorf("%w: it is damaged", ErrSnapshot)
	}
	head := make([]byte, len(snapshotMagic)+4)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[len(snapshotMagic):]))
	start := int64(len(head)) + n
	if string(head[:len(snapshotMagic)]) != snapshotMagic || n > maxSnapshotMeta || start > body {
		return nil, nil, fmt.Errorf("%w: it is of another format", ErrSnapshot)
	}
	b := make([]byte, n)
	if _, err := file.ReadAt(b, int64(len(head))); err != nil {
		return nil, nil, err
	}
	meta = &filed{size: body - start}
	if err := wire.Decode(b, meta); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	_, err = file.Seek(start, io.SeekStart)
	return file, meta, err
}

// read checks a snapshot from its certificate to its last byte, in the order of
// what each check costs, and returns the state. The certificate goes into meta.
func (s *snapshots[S, R]) read(meta *filed, r io.Reader) (state S, err error) {
	var none S
	configuration, err := decodeConfiguration(meta.Configuration)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if meta.ConfigurationIndex > meta.Index {
		return none, fmt.Errorf("%w: its membership is of %d, it ends at %d", ErrSnapshot, meta.ConfigurationIndex, meta.Index)
	}
	c, state, err := s.readState(r)
	if err != nil {
		return none, err
	}
	if c.Index != meta.Index {
		return none, fmt.Errorf("%w: it is filed at %d, signed is %d", ErrSnapshot, meta.Index, c.Index)
	}
	if err := s.machine.paths(state, s.roster).is(meta.ConfigurationIndex, configuration); err != nil {
		return none, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	meta.certificate = c
	return state, nil
}

// readState checks what a snapshot says by itself. Who its members are, the state says,
// which is computed first.
func (s *snapshots[S, R]) readState(r io.Reader) (*certificate, S, error) {
	var none S
	c, err := readCertificate(r)
	if err != nil {
		return nil, none, err
	}
	state, err := s.machine.Decode(r)
	if err != nil {
		return nil, none, fmt.Errorf("%w: its state: %w", ErrSnapshot, err)
	}
	if link := s.machine.Link(state); link != c.Link || s.machine.Last(state) > c.Index {
		return nil, none, fmt.Errorf("%w: its state is that of command %d with the link %s, signed is %s at %d", ErrSnapshot, s.machine.Last(state), link, c.Link, c.Index)
	}
	if err := signedIn(state, s.machine.paths(state, s.roster), c, &s.endorse); err != nil {
		return nil, none, err
	}
	return c, state, nil
}

// last is the snapshot that is filed, or nil.
func (s *snapshots[S, R]) last() *filed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have
}

// covered is where the snapshot that is filed ends, or 0.
func (s *snapshots[S, R]) covered() (index, term uint64) {
	if f := s.last(); f != nil {
		return f.Index, f.Term
	}
	return 0, 0
}

// List names the snapshot that is filed.
func (s *snapshots[S, R]) List() ([]*raft.SnapshotMeta, error) {
	if f := s.last(); f != nil {
		return []*raft.SnapshotMeta{s.meta(f)}, nil
	}
	return nil, nil
}

func (s *snapshots[S, R]) meta(f *filed) *raft.SnapshotMeta {
	c, err := decodeConfiguration(f.Configuration)
	if err != nil {
		panic(err) // it was decoded before it was filed
	}
	return &raft.SnapshotMeta{
		Version: 1, ID: f.id(), Index: f.Index, Term: f.Term, Size: f.size,
		Configuration: c, ConfigurationIndex: f.ConfigurationIndex,
	}
}

// Open reads the snapshot that is filed, from its certificate on.
func (s *snapshots[S, R]) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	file, meta, err := s.openFile(filepath.Join(s.dir, snapshotName))
	if err != nil {
		return nil, nil, err
	}
	if meta.id() != id {
		return nil, nil, errors.Join(fmt.Errorf("open the snapshot %s: %s has taken its place", id, meta.id()), file.Close())
	}
	return s.meta(meta), struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, meta.size), file}, nil
}

// Create begins a snapshot: one of our own, or one that a leader sends.
func (s *snapshots[S, R]) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	s.mu.Lock()
	s.newer++
	path := filepath.Join(s.dir, fmt.Sprint(snapshotNew, s.newer))
	s.mu.Unlock()
	if err := s.disk.Before(disk.Create, path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin a snapshot: %w", err)
	}
	k := &sink[S, R]{
		store: s, file: file, sum: sha256.New(),
		meta: &filed{Index: index, Term: term, Configuration: raft.EncodeConfiguration(c), ConfigurationIndex: at},
	}
	b := wire.Encode(k.meta)
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(b)))
	if err := k.put(append(head, b...)); err != nil {
		return nil, errors.Join(err, k.Cancel())
	}
	return k, nil
}

func (s *snapshots[S, R]) remove(path string) error {
	if err := s.disk.Before(disk.Remove, path); err != nil {
		return err
	}
	return os.Remove(path)
}

// sink is a snapshot that is being written.
type sink[S any, R any] struct {
	store *snapshots[S, R]
	file  *os.File
	sum   hash.Hash // of all that was written
	meta  *filed
	own   bool // this node's, not a leader's
	ended bool
}

// ID names the snapshot once it is filed.
func (k *sink[S, R]) ID() string { return k.meta.id() }

// Write takes certificate and state.
func (k *sink[S, R]) Write(b []byte) (int, error) {
	if k.meta.size += int64(len(b)); k.meta.size > maxSnapshot {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrSnapshot, maxSnapshot)
	}
	return len(b), k.put(b)
}

func (k *sink[S, R]) put(b []byte) error {
	_, _ = k.sum.Write(b) // never fails
	if err := k.store.disk.Before(disk.Write, k.file.Name()); err != nil {
		return err
	}
	if _, err := k.file.Write(b); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	return nil
}

// Cancel gives a snapshot up.
func (k *sink[S, R]) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	return errors.Join(k.file.Close(), k.store.remove(k.file.Name()))
}

// Close files the snapshot, if all of it holds. If not, what was filed before
// stays, and the node goes on with it.
func (k *sink[S, R]) Close() error {
	if k.ended {
		return nil
	}
	err := k.finish()
	if err != nil {
		k.store.log.Warn("a snapshot was refused", "index", k.meta.Index, "own", k.own, "error", err)
	}
	return errors.Join(err, k.Cancel())
}

func (k *sink[S, R]) finish() error {
	if err := k.check(); err != nil {
		return err
	}
	if err := k.put(k.sum.Sum(nil)); err != nil {
		return err
	}
	if err := k.store.disk.Before(disk.Sync, k.file.Name()); err != nil {
		return err
	}
	if err := failpoint.Step("consensus/write-snapshot", k.file.Sync); err != nil {
		return fmt.Errorf("make a snapshot durable: %w", err)
	}
	return k.store.file(k)
}

// check reads back what was written.
func (k *sink[S, R]) check() error {
	end, err := k.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("read a snapshot back: %w", err)
	}
	if _, err := k.store.read(k.meta, io.NewSectionReader(k.file, end-k.meta.size, k.meta.size)); err != nil {
		return err
	}
	if k.own {
		return nil
	}
	return k.store.admit(k.meta.certificate)
}

// file puts a checked snapshot in the place of the one before. A node's own may be
// overtaken by one that a leader sent: the older one is not filed.
func (s *snapshots[S, R]) file(k *sink[S, R]) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	if have := s.last(); have != nil && have.Index > k.meta.Index {
		return fmt.Errorf("%w: one of %d is filed", ErrBehind, have.Index)
	}
	path := filepath.Join(s.dir, snapshotName)
	if err := s.disk.Before(disk.Rename, path); err != nil {
		return err
	}
	// From here, a crash leaves the one or the other.
	if err := failpoint.Step("consensus/file-snapshot", func() error { return os.Rename(k.file.Name(), path) }); err != nil {
		return fmt.Errorf("file a snapshot: %w", err)
	}
	k.ended = true
	s.mu.Lock()
	s.have = k.meta
	s.mu.Unlock()
	if err := s.disk.Before(disk.Sync, s.dir); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("file a snapshot: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close(), k.file.Close()); err != nil {
		return fmt.Errorf("make the filing of a snapshot durable: %w", err)
	}
	return nil
}
