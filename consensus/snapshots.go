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
