package consensus

import (
	"io"

	"github.com/hashicorp/raft"
)

// fsm is what Raft applies committed entries to. Raft looks for the two
// interfaces below by itself.
type fsm[S any, R any] struct {
	states  *states[S, R]
	floor   *floor
	roster  roster
	applied func(uint64, []byte, R)
	changed func()
}

var (
	_ raft.BatchingFSM        = (*fsm[int, int])(nil)
	_ raft.ConfigurationStore = (*fsm[int, int])(nil)
)

// ApplyBatch raises the floor to the end of the batch, and when that is durable
// moves committed.
func (f *fsm[S, R]) ApplyBatch(logs []*raft.Log) []any {
	link := f.states.machine.Link(f.states.after(commands[S, R](logs)))
	if err := f.floor.advance(logs[len(logs)-1].Index, link); err != nil {
		f.states.halt.stop(err)
	}
	out := make([]any, len(logs))
	for i, l := range logs {
		switch l.Type {
		case raft.LogCommand:
			r := f.states.apply(l.Index, l.Data)
			f.applied(l.Index, l.Data, r)
			f.changed()
			out[i] = r
		case raft.LogConfiguration:
			if err := f.roster.check(l); err != nil {
				f.states.halt.stop(err)
			}
		}
	}
	return out
}

// Apply is not called by Raft, which prefers batches.
func (f *fsm[S, R]) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// StoreConfiguration holds a committed membership against the roster. Raft hands it
// to ApplyBatch as well, and then does not call this; an FSM without it would not
// count configurations as applied (R39).
func (f *fsm[S, R]) StoreConfiguration(index uint64, c raft.Configuration) {
	if err := f.roster.is(index, c); err != nil {
		f.states.halt.stop(err)
	}
}

func (f *fsm[S, R]) Snapshot() (raft.FSMSnapshot, error) { return nil, ErrSnapshotsOff }
func (f *fsm[S, R]) Restore(io.ReadCloser) error         { return ErrSnapshotsOff }
