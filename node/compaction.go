package node

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// What was dealt in a ceremony stands in the log, sealed to receive keys that are
// wiped when the ceremony is over. That is the guarantee; its bytes go as well, from
// the log, down to its segments, and from the snapshot: each node compacts after the
// last run that has ended, and after a log that has grown large.
//
// Compacting takes the log away from those who are behind, who are then brought up by
// a snapshot and have a gap in their audits. So a node waits for them, though not for
// long, and for other ceremonies that are open, which would be the next to compact
// for. A quarter of an hour after a ceremony its bytes are gone from every node that
// runs, as long as t nodes sign snapshots.
const (
	compactLook   = time.Second
	compactQuiet  = 5 * time.Second // and a place in the roster later: not all at once
	compactApart  = 3 * time.Second
	compactLatest = 10 * time.Minute
	compactRetry  = time.Minute
	// compactFor bounds one try: two commands, which come with the anchors, and the
	// signatures for two snapshots.
	compactFor = 4 * time.Minute
	// maxLogBytes is where a log is compacted whoever is behind: a restart reads all
	// of it.
	maxLogBytes = 64 << 20
	// compactBetween is how long after a run of a refresh of many keys the next one may be
	// about to be opened.
	compactBetween = 15 * time.Second
)

// barrier is a command that means nothing, to have something to snapshot.
var barrier = []byte("barrier")

// compaction says when this node compacts. Times are of [Options.Boot].
type compaction struct {
	place int           // in the roster
	since time.Duration // when the log was first seen to hold what should go; 0 is never
	tried time.Duration // when the last try has failed; 0 is never
	ran   time.Duration // when a ceremony was last seen to run; 0 is never
}

// open says whether a ceremony runs, or is about to: of a refresh that has more runs
// before it.
func (c *compaction) open(now time.Duration, running, more bool) bool {
	if running {
		c.ran = now
	}
	return running || more && c.ran != 0 && now-c.ran < compactBetween
}

// outlook is what compaction goes by.
type outlook struct {
	owes   bool // the log holds what was dealt in a run that is over
	large  bool
	open   bool // a ceremony runs, or is about to
	behind bool // a member has not committed the end of that run
}

func (c *compaction) due(now time.Duration, o outlook) bool {
	if !o.owes && !o.large {
		c.since, c.tried = 0, 0
		return false
	}
	if c.since == 0 {
		c.since = now
	}
	if c.tried != 0 && now-c.tried < compactRetry {
		return false
	}
	waited := now - c.since - time.Duration(c.place)*compactApart
	return waited >= compactLatest || waited >= compactQuiet && (o.large || !o.open && !o.behind)
}

// late says whether what should go is still there although every chance was had.
func (c *compaction) late(now time.Duration) bool {
	return c.since != 0 && now-c.since > compactLatest+2*compactFor
}

// progress is how far each other member has said, signed, that it has committed.
type progress struct {
	mu        sync.Mutex
	committed map[string]uint64 // guarded by mu
}

func (p *progress) hear(member string, committed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.committed == nil {
		p.committed = map[string]uint64{}
	}
	p.committed[member] = committed
}

// reached says whether all of these have committed an entry.
func (p *progress) reached(index uint64, members []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range members {
		if p.committed[m] < index {
			return false
		}
	}
	return true
}

// runCompaction compacts when it is due, until ctx ends.
func (n *Node) runCompaction(ctx context.Context) {
	var c compaction
	tick := time.NewTicker(compactLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := n.consensus.Committed()
		var others []string
		for i, m := range s.Roster() {
			if m.ID == n.cfg.Node {
				c.place = i
			} else {
				others = append(others, m.ID)
			}
		}
		oldest, size, err := n.consensus.Log()
		if err != nil {
			n.log.Error("the log's files cannot be looked at", "error", err)
			continue
		}
		due := c.due(n.boot(), outlook{
			owes: s.LastEnded() >= oldest, large: size > maxLogBytes,
			open: c.open(n.boot(), s.Running(), len(s.Renewals()) > 0), behind: !n.progress.reached(s.LastEnded(), others),
		})
		n.compactLate.Store(c.late(n.boot()))
		if !due || n.stopped() != nil {
			continue
		}
		if err := n.compact(ctx); err != nil {
			c.tried = n.boot()
			if ctx.Err() == nil {
				n.log.Warn("the log is not compacted", "error", err)
			}
			continue
		}
		n.log.Info("the log is compacted", "ended", s.LastEnded(), "from", oldest)
	}
}

func (n *Node) compact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, compactFor)
	defer cancel()
	return n.consensus.Compact(ctx, barrier)
}

// compactionLate is the warning of status that what should be gone is there.
func compactionLate() string {
	return fmt.Sprintf("what was dealt in a ceremony is still in the log, sealed, %v after it: too few nodes sign a snapshot", compactLatest+2*compactFor)
}
