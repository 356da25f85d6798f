package consensus

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// tailStore wraps the log store: it computes the tail before anything is
// stored, so that a follower refuses what an entry denies before it tells the
// leader that it has the entry. It sits inside raft.LogCache.
//
// It also keeps what Raft does not: Raft has no guard at its commit index, and one
// AppendEntries of a higher term from any member makes it delete what it has
// committed and applied (R35). Nothing at or below the floor is deleted or
// written over, and nothing but the roster's own membership is stored (R32).
type tailStore[S any, R any] struct {
	inner  raft.LogStore
	states *states[S, R]
	floor  *floor
	roster roster
	// queued is the last index that Raft has handed to its FSM, which may not have
	// applied it yet; nil until Raft runs. It moves on Raft's main goroutine, as
	// truncation does, so that nothing slips in between.
	queued atomic.Pointer[func() uint64]
}

// keeps refuses what would take away or replace entries from first on, when some
// of them are applied. The node then stops serving.
func (t *tailStore[S, R]) keeps(first uint64) error {
	floor := t.floor.index.Load()
	if queued := t.queued.Load(); queued != nil {
		floor = max(floor, (*queued)())
	}
	if first > floor {
		return nil
	}
	err := fmt.Errorf("%w: entries from %d on were to be replaced, applied is %d", ErrFork, first, floor)
	t.states.halt.stop(err)
	return err
}

// watch refuses what would change the membership. The node then stops serving.
func (t *tailStore[S, R]) watch(l *raft.Log) error {
	err := t.roster.check(l)
	if errors.Is(err, ErrMembership) {
		t.states.halt.stop(err)
	}
	return err
}

func (t *tailStore[S, R]) FirstIndex() (uint64, error) { return t.inner.FirstIndex() }
func (t *tailStore[S, R]) LastIndex() (uint64, error)  { return t.inner.LastIndex() }

func (t *tailStore[S, R]) GetLog(index uint64, log *raft.Log) error {
	return t.inner.GetLog(index, log)
}

func (t *tailStore[S, R]) StoreLog(log *raft.Log) error { return t.StoreLogs([]*raft.Log{log}) }

// StoreLogs publishes the tail, then stores. If storing fails, the tail keeps
// what the entries deny: a refusal is always legal (R38).
func (t *tailStore[S, R]) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := t.keeps(logs[0].Index); err != nil {
		return err
	}
	for _, l := range logs {
		if err := t.watch(l); err != nil {
			return err
		}
	}
	t.states.store(logs[0].Index, logs[len(logs)-1].Index, commands[S, R](logs))
	return t.inner.StoreLogs(logs)
}

// DeleteRange is truncation when it reaches the last index; anything else
// (compaction) leaves the tail alone (R37).
func (t *tailStore[S, R]) DeleteRange(first, last uint64) error {
	end, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index before a deletion: %w", err)
	}
	if last >= end {
		if err := t.keeps(first); err != nil {
			return err
		}
	}
	if err := t.inner.DeleteRange(first, last); err != nil {
		return err
	}
	if last >= end {
		t.states.truncate(first - 1)
	}
	return nil
}

// IsMonotonic forwards to the inner store: a wrapper that hides it makes a
// follower loop for ever after a snapshot install (R36).
func (t *tailStore[S, R]) IsMonotonic() bool {
	m, ok := t.inner.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func commands[S any, R any](logs []*raft.Log) []step[S, R] {
	var out []step[S, R]
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			out = append(out, step[S, R]{index: l.Index, entry: l.Data})
		}
	}
	return out
}

// replay rebuilds the tail from the whole stored log, at start, and looks whether
// it is the log that this node has applied, and of this membership. If it is not,
// the node stops serving.
func (t *tailStore[S, R]) replay() error {
	first, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index of the log: %w", err)
	}
	last, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index of the log: %w", err)
	}
	floor := t.floor.index.Load()
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := t.inner.GetLog(i, &l); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if err := t.watch(&l); err != nil && t.states.halt.reason() == nil {
			return err
		}
		t.states.store(i, i, commands[S, R]([]*raft.Log{&l}))
		if i == floor && t.states.machine.Link(t.states.tail.Load().State) != t.floor.link {
			t.states.halt.stop(fmt.Errorf("%w: the stored log differs from what was applied, at or before entry %d", ErrFork, floor))
		}
	}
	if last < floor {
		t.states.halt.stop(fmt.Errorf("%w: the stored log ends at %d, applied is %d", ErrFork, last, floor))
	}
	return nil
}
