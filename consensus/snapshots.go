package consensus

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

// ErrSnapshotsOff is the answer to every attempt to make or to install a snapshot.
var ErrSnapshotsOff = errors.New("consensus: snapshots are off")

// noSnapshots is a store that holds none and takes none: not one of our own,
// and not one that a leader sends.
type noSnapshots struct{}

func (noSnapshots) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error) {
	return nil, ErrSnapshotsOff
}

func (noSnapshots) List() ([]*raft.SnapshotMeta, error) { return nil, nil }

func (noSnapshots) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	return nil, nil, ErrSnapshotsOff
}

// fsm is what Raft applies committed commands to.
type fsm[S any, R any] struct {
	states  *states[S, R]
	applied func(uint64, []byte, R)
	changed func()
}

func (f *fsm[S, R]) Apply(l *raft.Log) any {
	r := f.states.apply(l.Index, l.Data)
	f.applied(l.Index, l.Data, r)
	f.changed()
	return r
}

func (f *fsm[S, R]) Snapshot() (raft.FSMSnapshot, error) { return nil, ErrSnapshotsOff }
func (f *fsm[S, R]) Restore(io.ReadCloser) error         { return ErrSnapshotsOff }
