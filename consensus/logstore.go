package consensus

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"warifu.dev/internal/failpoint"
)

// tailStore wraps the log store: it computes the tail before anything is
// stored, so that a follower refuses what an entry denies before it tells the
// leader that it has the entry. It sits inside raft.LogCache.
//
// It also keeps what Raft does not: Raft has no guard at its commit index, and one
// AppendEntries of a higher term from any member makes it delete what it has
// committed and applied (R35). Nothing at or below the floor is deleted or
// written over, and no membership is stored but what the state before it allows (R32).
type tailStore[S any, R any] struct {
	inner  raft.LogStore
	states *states[S, R]
	floor  *floor
	denies *denies
	roster roster
	// covered is the end of the newest snapshot that is filed, and its term, or 0.
	covered func() (index, term uint64)
	// queued is the last index that Raft has handed to its FSM, which may not have
	// applied it yet; nil until Raft runs. It moves on Raft's main goroutine, as
	// truncation does, so that nothing slips in between.
	queued atomic.Pointer[func() uint64]
	// torn is why a deletion failed. The library notes a segment as sealed before it
	// has written that, and at a second try believes itself: the segment could not be
	// read again. So nothing is written any more until the log is opened again, which
	// looks at what is there.
	torn atomic.Pointer[error]

	// writing is held while the log writes: Raft deletes what a snapshot holds on a
	// goroutine of its own.
	writing turn
}

// errTorn means that a deletion has failed, and that the log takes nothing until
// the node is started again.
var errTorn = errors.New("consensus: the log failed to delete entries, and has to be opened again")

// write stores, unless a deletion has failed: see torn.
func (t *tailStore[S, R]) write(logs []*raft.Log) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if torn := t.torn.Load(); torn != nil {
		return *torn
	}
	return t.inner.StoreLogs(logs)
}

// remove deletes, once: see torn.
func (t *tailStore[S, R]) remove(first, last uint64) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if torn := t.torn.Load(); torn != nil {
		return *torn
	}
	err := failpoint.Step("consensus/delete-logs", func() error { return t.inner.DeleteRange(first, last) })
	if err != nil {
		err = fmt.Errorf("%w: %w", errTorn, err)
		t.torn.Store(&err)
	}
	return err
}

func (t *tailStore[S, R]) atFSM() uint64 {
	if queued := t.queued.Load(); queued != nil {
		return (*queued)()
	}
	return 0
}

// keeps refuses what would take away or replace entries from first on, when some
// of them are applied. The node then stops serving.
func (t *tailStore[S, R]) keeps(first uint64) error {
	floor := max(t.floor.index.Load(), t.atFSM())
	if first > floor {
		return nil
	}
	err := fmt.Errorf("%w: entries from %d on were to be replaced, applied is %d", ErrFork, first, floor)
	t.states.halt.stop(err)
	return err
}

// watch refuses what would change the membership to one that the state before it does
// not allow. The node then stops serving. What is stored already was judged when it was:
// a member that does not know how far this node is sends it again.
func (t *tailStore[S, R]) watch(logs []*raft.Log) error {
	for i, l := range logs {
		if l.Type == raft.LogCommand || l.Type == raft.LogNoop || t.has(l) {
			continue
		}
		before := t.states.leading(logs[0].Index, commands[S, R](logs[:i]))
		if err := t.judge(l, before); err != nil {
			return err
		}
	}
	return nil
}

// judge holds one entry against a state. The node stops serving at a false membership.
func (t *tailStore[S, R]) judge(l *raft.Log, by S) error {
	err := t.states.machine.paths(by, t.roster).check(l)
	if errors.Is(err, ErrMembership) {
		t.states.halt.stop(err)
	}
	return err
}

// has says whether an entry is stored, or is in the snapshot that is filed.
func (t *tailStore[S, R]) has(l *raft.Log) bool {
	if covered, _ := t.covered(); l.Index <= covered {
		return true
	}
	var have raft.Log
	return t.GetLog(l.Index, &have) == nil && have.Term == l.Term && have.Type == l.Type
}

func (t *tailStore[S, R]) FirstIndex() (uint64, error) { return t.inner.FirstIndex() }
func (t *tailStore[S, R]) LastIndex() (uint64, error)  { return t.inner.LastIndex() }

// GetLog does not find what was deleted, although the log on disk does, as long
// as the segment is there (R42).
func (t *tailStore[S, R]) GetLog(index uint64, log *raft.Log) error {
	first, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index of the log: %w", err)
	}
	if index < first {
		return raft.ErrLogNotFound
	}
	return t.inner.GetLog(index, log)
}

func (t *tailStore[S, R]) StoreLog(log *raft.Log) error { return t.StoreLogs([]*raft.Log{log}) }

// StoreLogs keeps what the entries deny, publishes the tail, then stores. If
// storing fails, the tail keeps what the entries deny: a refusal is always legal
// (R38). What custodians deny is kept even of entries that are then refused here,
// or truncated (R35).
func (t *tailStore[S, R]) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := t.deny(commands[S, R](logs)); err != nil {
		return err
	}
	if err := t.keeps(logs[0].Index); err != nil {
		return err
	}
	if err := t.watch(logs); err != nil {
		return err
	}
	t.states.store(logs[0].Index, logs[len(logs)-1].Index, commands[S, R](logs))
	return failpoint.Step("consensus/store-logs", func() error { return t.write(logs) })
}

// deny makes durable what commands deny. If that fails the node stops serving.
func (t *tailStore[S, R]) deny(commands []step[S, R]) error {
	var list []deny
	for _, c := range commands {
		if id, is := t.states.denies(c.entry); is {
			list = append(list, deny{id, c.entry})
		}
	}
	if len(list) == 0 {
		return nil
	}
	err := t.denies.keep(list, t.states.standing)
	if err != nil {
		t.states.halt.stop(err)
	}
	return err
}

// DeleteRange means three things, and takes nothing away that is nowhere else
// (R37). What begins at the log's first entry and ends at or below the newest
// snapshot is compaction, or the log that an installed snapshot has taken the
// place of: the tail stays, also when no entry is left. What reaches the log's end
// is truncation, and takes back the tail.
func (t *tailStore[S, R]) DeleteRange(first, last uint64) error {
	begin, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index before a deletion: %w", err)
	}
	end, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index before a deletion: %w", err)
	}
	if covered, _ := t.covered(); first <= begin && last <= covered {
		return t.remove(first, last)
	}
	if last < end {
		return fmt.Errorf("%w: entries %d to %d, of %d to %d", errUncovered, first, last, begin, end)
	}
	if err := t.keeps(first); err != nil {
		return err
	}
	if err := t.remove(first, last); err != nil {
		return err
	}
	t.states.truncate(first - 1)
	return nil
}

// errUncovered means that entries were to be deleted that no snapshot holds.
var errUncovered = errors.New("consensus: no snapshot holds the entries that were to be deleted")

// admit says whether a signed snapshot that a leader sends may take the place of
// the log: not if it ends below what is applied, nor below the log's end. Raft
// would delete the whole log after it, and count on entries that are gone. So what
// an install deletes is in the snapshot, and the tail keeps what it denies.
func (t *tailStore[S, R]) admit(c *certificate) error {
	queued := t.atFSM()
	if ours, known := t.states.at(c.Index, queued); known && ours.Link != c.Link {
		err := fmt.Errorf("%w: a signed snapshot has the link %s at %d, ours is %s", ErrFork, c.Link, c.Index, ours.Link)
		t.states.halt.stop(err)
		return err
	}
	if floor := max(t.floor.index.Load(), queued); c.Index < floor {
		return fmt.Errorf("%w: it ends at %d, applied is %d", ErrBehind, c.Index, floor)
	}
	end, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index before an install: %w", err)
	}
	if c.Index < end {
		return fmt.Errorf("%w: it ends at %d, the log at %d", ErrBehind, c.Index, end)
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

// begin takes the state of the snapshot that was found at start.
func (t *tailStore[S, R]) begin(c *certificate, state S) error {
	t.states.install(c.Index, state)
	if err := t.denies.settle(t.states.standing); err != nil { // a crash may have come before that
		t.states.halt.stop(err)
	}
	switch floor := t.floor.index.Load(); {
	case c.Index > floor: // it was installed, and then there was a crash
		return t.floor.advance(c.Index, c.Link)
	case c.Index == floor && c.Link != t.floor.link:
		t.states.halt.stop(fmt.Errorf("%w: the snapshot differs from what was applied, at or before entry %d", ErrFork, floor))
	}
	return nil
}

// replay rebuilds the tail from the snapshot and the whole stored log, at start,
// and looks whether they are what this node has applied, and of this membership.
// If they are not, the node stops serving.
func (t *tailStore[S, R]) replay() error {
	if err := t.dropOld(); err != nil {
		return err
	}
	first, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index of the log: %w", err)
	}
	last, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index of the log: %w", err)
	}
	floor := t.floor.index.Load()
	covered, term := t.covered()
	if last > 0 && first > covered+1 {
		t.states.halt.stop(fmt.Errorf("%w: it begins at %d, the snapshot ends at %d", ErrGap, first, covered))
		return nil
	}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := t.inner.GetLog(i, &l); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if i <= covered {
			// It was judged when it was stored; the snapshot has what came of it.
		} else if err := t.judge(&l, t.states.tail.Load().State); err != nil && t.states.halt.reason() == nil {
			return err
		}
		if i == covered && l.Term != term {
			t.states.halt.stop(fmt.Errorf("%w: the stored log has entry %d in the term %d, the snapshot in %d", ErrFork, i, l.Term, term))
		}
		if i <= covered {
			continue
		}
		if i > floor { // what is applied was kept before it was stored
			if err := t.deny(commands[S, R]([]*raft.Log{&l})); err != nil {
				return err
			}
		}
		t.states.store(i, i, commands[S, R]([]*raft.Log{&l}))
		if i == floor && t.states.machine.Link(t.states.tail.Load().State) != t.floor.link {
			t.states.halt.stop(fmt.Errorf("%w: the stored log differs from what was applied, at or before entry %d", ErrFork, floor))
		}
	}
	if end := max(last, covered); end < floor {
		t.states.halt.stop(fmt.Errorf("%w: the stored log ends at %d, applied is %d", ErrFork, end, floor))
	}
	return nil
}

// dropOld deletes a log that a snapshot was installed over, when a crash came
// before Raft did so: it does not lead to the snapshot, and nothing could be
// stored after it (R36).
func (t *tailStore[S, R]) dropOld() error {
	covered, term := t.covered()
	first, err := t.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index of the log: %w", err)
	}
	last, err := t.inner.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last index of the log: %w", err)
	}
	if last == 0 || last > covered {
		return nil
	}
	if last == covered {
		var l raft.Log
		if err := t.inner.GetLog(last, &l); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", last, err)
		}
		if l.Term == term {
			return nil
		}
	}
	if err := t.remove(first, last); err != nil {
		return fmt.Errorf("delete the log below an installed snapshot: %w", err)
	}
	return nil
}
