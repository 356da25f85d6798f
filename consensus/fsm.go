package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// fsm is what Raft applies committed entries to. Raft looks for the two
// interfaces below by itself.
type fsm[S any, R any] struct {
	states  *states[S, R]
	floor   *floor
	denies  *denies
	roster  roster
	applied func(uint64, []byte, R)
	changed func()

	snapshots *snapshots[S, R]
	installed func(Position)
	log       *slog.Logger
	ctx       context.Context // ends when the node leaves the cluster
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
			if c, err := decodeConfiguration(l.Data); err != nil {
				f.states.halt.stop(err)
			} else {
				f.StoreConfiguration(l.Index, c)
			}
		}
	}
	f.settle()
	return out
}

// settle drops the denies that committed has lifted. Committed has moved before: what
// is handed over again meanwhile is refused, or dropped here.
func (f *fsm[S, R]) settle() {
	if err := f.denies.settle(f.states.standing); err != nil {
		f.states.halt.stop(err)
	}
}

// Apply is not called by Raft, which prefers batches.
func (f *fsm[S, R]) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// StoreConfiguration holds a committed membership against what the state allows. Raft
// hands it to ApplyBatch as well, and then does not call this; an FSM without it would
// not count configurations as applied (R39).
func (f *fsm[S, R]) StoreConfiguration(index uint64, c raft.Configuration) {
	if err := f.states.allowed(f.roster).is(index, c); err != nil {
		f.states.halt.stop(err)
	}
	f.states.members.Store(&c)
}

// gatherTime bounds how long a snapshot waits for members' signatures: one that is
// behind by a batch, on another continent, has caught up by then.
const gatherTime = 30 * time.Second

// Snapshot captures the state. Raft asks again when this node has nothing new, and
// also whenever its log is empty.
func (f *fsm[S, R]) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.states.halt.reason(); err != nil {
		return nil, err
	}
	state := *f.states.committed.Load()
	if have := f.snapshots.last(); have != nil && have.certificate.Link == f.states.machine.Link(state) {
		return nil, raft.ErrNothingNewToSnapshot
	}
	return &capture[S, R]{fsm: f, state: state}, nil
}

// capture is a state on its way into a snapshot.
type capture[S any, R any] struct {
	fsm   *fsm[S, R]
	state S
}

// Persist gathers the signatures, and writes. It runs on a goroutine of Raft's
// that does nothing else. Without enough signatures there is no snapshot now; Raft
// comes again.
func (c *capture[S, R]) Persist(to raft.SnapshotSink) error {
	k, f := to.(*sink[S, R]), c.fsm
	k.own = true
	cert := certificate{Index: k.meta.Index, Link: f.states.machine.Link(c.state)}
	ctx, cancel := context.WithTimeout(f.ctx, gatherTime)
	defer cancel()
	var err error
	cert.Signatures, err = f.snapshots.endorse.Gather(ctx, cert.Index, cert.Link)
	if err == nil {
		err = signedIn(c.state, f.states.machine.paths(c.state, f.roster), &cert, &f.snapshots.endorse)
	}
	if err != nil {
		f.log.Warn("no snapshot was made", "index", cert.Index, "error", err)
		return fmt.Errorf("have a snapshot of %d signed: %w", cert.Index, err)
	}
	return errors.Join(cert.write(k), f.states.machine.Encode(c.state, k))
}

// Release implements [raft.FSMSnapshot].
func (c *capture[S, R]) Release() {}

// Restore takes the place of every command up to a snapshot that a leader sent.
// The store has checked it before it was filed, and here it is checked once more.
func (f *fsm[S, R]) Restore(r io.ReadCloser) error {
	c, state, err := f.snapshots.readState(r)
	if err != nil {
		return err
	}
	switch below := f.floor.index.Load(); {
	case c.Index < below:
		return fmt.Errorf("%w: it ends at %d, applied is %d", ErrBehind, c.Index, below)
	case c.Index == below && c.Link != f.floor.link:
		err := fmt.Errorf("%w: a signed snapshot has another link at %d", ErrFork, below)
		f.states.halt.stop(err)
		return err
	}
	// From here, a crash recovers forward: the snapshot is filed.
	if err := f.floor.advance(c.Index, c.Link); err != nil {
		f.states.halt.stop(err)
		return err
	}
	f.states.install(c.Index, state)
	f.settle()
	f.installed(Position{Index: c.Index, Link: c.Link})
	f.changed()
	f.log.Info("a snapshot has taken the place of the log", "index", c.Index)
	return nil
}
