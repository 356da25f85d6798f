package node

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"warifu.dev/authority"
	"warifu.dev/node/machine"
	"warifu.dev/node/ops"
	"warifu.dev/transport"
)

// opsListener opens the place where the machine's own operator asks, or returns nil
// when the configuration names none.
func (n *Node) opsListener() (net.Listener, error) {
	if n.cfg.Ops.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", n.cfg.Ops.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for this machine's operator: %w", err)
	}
	return l, nil
}

// serveOps answers the machine's own operator until ctx ends.
func (n *Node) serveOps(ctx context.Context, l net.Listener) error {
	n.log.Info("livez, readyz and metrics", "address", l.Addr())
	return ops.Serve(ctx, ops.Config{Listener: l, Meters: n.meters, Facts: n.facts, Unready: n.unready, Log: n.log})
}

// unready says why this node releases nothing: every reason, not the first alone.
func (n *Node) unready() (why []string) {
	if e := n.stopped(); e != nil {
		return []string{fmt.Sprintf("%s (%v)", e.Sentence, n.consensus.Stopped())}
	}
	if e := n.unsealed(); e != nil {
		why = append(why, e.Sentence)
	}
	if words, is := n.waits(); is {
		why = append(why, words)
	}
	if s := n.audit.State(); s != "ok" {
		why = append(why, "decisions cannot be recorded: "+s)
	}
	if e := n.freshEnough(); e != nil {
		why = append(why, e.Sentence)
	}
	return why
}

// facts are this moment's numbers.
func (n *Node) facts() ops.Facts {
	s, raft, room := n.consensus.Committed(), n.consensus.Replication(), n.audit.Room()
	f := ops.Facts{
		State: n.servingState(), FreshAge: -1,
		Term: raft.Term, Leads: raft.Leads, HasLeader: n.consensus.Leader() != "",
		Stored: raft.Last, Committed: raft.Commit, Applied: n.consensus.AppliedIndex(),
		AuditOK: n.audit.State() == "ok", AuditRecords: room.Records, AuditSyncs: room.Syncs, AuditBytes: room.Bytes,
		AuditQueue: room.Waiting, JournalQueue: n.journal.length(), Sent: transport.Sent(), DiskFree: -1,
	}
	f.Serving = f.State == serving
	if age, ever := n.fresh.age(n.boot(), f.Applied); ever {
		f.FreshAge = age
	}
	f.Ceremonies, f.Overlapping = len(s.RunningSessions()), len(s.Overlapping())
	f.Unerased = len(s.Unerased(n.cfg.Node, authority.MaxRetired))
	if free, err := machine.Free(filepath.Join(n.dir, auditDir)); err == nil {
		f.DiskFree = free
	}
	f.ClockOffset, f.ClockCompare = n.clocks.ahead()
	return f
}

// age is how long ago this node was last known to be up to date, if it ever was.
func (f *freshness) age(now time.Duration, applied uint64) (age time.Duration, ever bool) {
	left := f.left(now, applied)
	f.mu.Lock()
	defer f.mu.Unlock()
	return maxStaleness - left, f.confirmed != 0
}

// length is how many records wait to be written.
func (j *journal) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.waiting)
}
