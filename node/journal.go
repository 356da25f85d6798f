package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
)

// journal writes what the ledger took into the audit log: changes and
// activations whole, ceremonies by name, each once, also across restarts. Posts
// on boards are never written.
//
// Raft's goroutine hands entries over and does not wait; one goroutine writes.
type journal struct {
	node string
	log  *audit.Log
	now  func() time.Time

	mu      sync.Mutex
	waiting []audit.Record // oldest first; the first is being written; guarded by mu
	seen    uint64         // the last entry told; guarded by mu
	queued  uint64         // the last one whose record is written or waits; guarded by mu
	broken  bool           // nothing is collected any more; guarded by mu
	wake    chan struct{}  // of room 1
	after   uint64         // entries up to this index were in the log at the start
	written uint64         // the last one that is now; owned by run
}

func newJournal(node string, log *audit.Log, now func() time.Time) *journal {
	after := log.Journaled()
	return &journal{node: node, log: log, now: now, after: after, written: after, queued: after, wake: make(chan struct{}, 1)}
}

// take is told of every committed entry, on Raft's goroutine.
func (j *journal) take(index uint64, entry []byte, r ledger.Result) {
	j.mu.Lock()
	j.seen = index
	j.mu.Unlock()
	if r.Err != nil || index <= j.after {
		return
	}
	record := audit.Record{LedgerIndex: index, LedgerTime: r.Time, EntryID: r.ID, Action: r.Kind}
	switch {
	case authority.IsChangeKind(r.Kind):
		record.Kind, record.Entry = audit.Change, entry
	case r.Passed != nil: // a vote that completed a change: the change is what is taken
		record.Kind, record.Entry = audit.Change, r.Passed
		if e, err := authority.ParseEntry(r.Passed); err == nil {
			record.EntryID, record.Action = e.ID(), e.Kind
		}
	case slices.Contains(authority.ProposalKinds(), r.Kind):
		record.Kind = audit.Ceremony
	case r.Kind == authority.KindActivate:
		record.Kind, record.Entry = audit.Activate, entry
	case r.Kind == authority.KindGrant:
		record.Kind, record.Entry, record.Grant = audit.Grant, entry, grantIn(entry)
	case r.Kind == authority.KindOpen, r.Kind == authority.KindImportOpen, r.Kind == authority.KindRepair, r.Kind == authority.KindStanding, r.Kind == authority.KindRetire, r.Kind == authority.KindErased, r.Kind == authority.KindDestroy, r.Kind == authority.KindNextVersion, r.Kind == authority.KindEscrowed:
		record.Kind = audit.Ceremony
	default:
		return
	}
	j.put(record)
}

// put hands a record to run. What it says of how far the ledger is taken over
// never falls: a start counts on the newest.
func (j *journal) put(r audit.Record) (index uint64) {
	r.Time, r.Node = j.now().UnixMilli(), j.node
	j.mu.Lock()
	j.queued = max(j.queued, r.LedgerIndex)
	r.LedgerIndex = j.queued
	if !j.broken {
		j.waiting = append(j.waiting, r)
	}
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return r.LedgerIndex
}

// run writes until ctx ends or the log takes no more; failed is told why. What
// was not written is collected again from Raft's log at the next start.
func (j *journal) run(ctx context.Context, failed func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		}
		for r := j.first(); r != nil; r = j.first() {
			if _, err := j.log.Append(ctx, *r); err != nil {
				j.mu.Lock()
				j.broken, j.waiting = true, nil
				j.mu.Unlock()
				if ctx.Err() == nil {
					failed(err)
				}
				return
			}
			j.written = r.LedgerIndex
			j.mu.Lock()
			j.waiting = j.waiting[1:]
			j.mu.Unlock()
		}
	}
}

// first is the record to write next, or nil.
func (j *journal) first() *audit.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == 0 {
		j.waiting = nil // lets go of what was written
		return nil
	}
	return &j.waiting[0]
}

// behind says whether a record of an entry up to index is still to be written.
func (j *journal) behind(index uint64) (behind, broken bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.waiting, func(r audit.Record) bool { return r.LedgerIndex <= index }), j.broken
}

// anchors posts this node's clock, its view of the chain and its audit's head:
// often while a ceremony is open, else once a minute.
const (
	anchorOpen  = 10 * time.Second
	anchorQuiet = 60 * time.Second
	anchorLook  = time.Second
)

func (n *Node) runAnchors(ctx context.Context) {
	tick := time.NewTicker(anchorLook)
	defer tick.Stop()
	var last time.Duration
	var members uint64
	for {
		s := n.consensus.Committed()
		period := anchorQuiet
		if !s.Settled() || s.Roll().Leaver != "" {
			period = anchorOpen
		}
		if now := n.membersStep(s); now != members { // others wait to hear that
			last, members = 0, now
		}
		if s.Bearing() {
			period = anchorOpen
		}
		if len(s.Renewals()) > 0 || len(s.Overlapping()) > 0 {
			period = anchorOpen
		}
		if now := n.boot(); n.stopped() == nil && n.consensus.Leader() != "" && s.NodeByID(n.cfg.Node) != nil && (last == 0 || now-last >= period) {
			last = now
			n.signAudit()
			err := failpoint.Step("node/post-anchor", func() error { return n.say(ctx, authority.KindAnchor, n.anchor(s)) })
			if err != nil && ctx.Err() == nil {
				n.log.Warn("an anchor was not taken", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// signAudit keeps a checkpoint of the audit in its directory: what it covers can be
// archived, and what is cut below it shows at the next start.
func (n *Node) signAudit() {
	if _, err := n.audit.Checkpoint(); err != nil {
		n.log.Warn("the audit has no new checkpoint", "state", n.audit.State(), "error", err)
	}
}

func (n *Node) anchor(s *ledger.State) authority.Anchor {
	at := s.Position()
	size, root := n.audit.Head()
	a := authority.Anchor{
		Counter: 1, Time: n.now().UnixMilli(), Index: at.Index, Link: at.Link,
		AuditSize: size, AuditRoot: root, Members: n.membersStep(s),
	}
	for _, state := range []*ledger.State{s, n.consensus.Tail().State} {
		if before := state.Anchor(n.cfg.Node); before != nil {
			a.Counter = max(a.Counter, before.Anchor.Counter+1)
		}
	}
	return a
}
