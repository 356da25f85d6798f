package consensus

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// tailStore wraps the log store: it computes the tail before anything is
// stored, so that a follower refuses what an entry denies before it tells the
// leader that it has the entry. It sits inside raft.LogCache.
type tailStore[S any, R any] struct {
	inner  raft.LogStore
	states *states[S, R]
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

// replay rebuilds the tail from the whole stored log, at start.
func (t *tailStore[S, R]) replay() error {
	first, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index of the log: %w", err)
	}
	last, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index of the log: %w", err)
	}
	if last == 0 {
		return nil
	}
	for i := first; i <= last; i++ {
		var l raft.Log
		if err := t.inner.GetLog(i, &l); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		t.states.store(i, i, commands[S, R]([]*raft.Log{&l}))
	}
	return nil
}
