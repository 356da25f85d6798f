package consensus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Bounds of what another member may say through Raft.
const (
	// maxStored is the longest entry that is stored. It is twice what a state
	// machine takes, so that an entry too long for that is still chained, as the
	// nothing that it is, by every version of the program.
	maxStored = 512 << 10
	// maxField is the longest name or address in a call.
	maxField = 512
	// termSlack is what a term may be ahead of the clock's milliseconds, see
	// [highestTerm].
	termSlack = 1 << 20
)

// errCall means that no honest member makes such a call.
var errCall = errors.New("consensus: a call that no honest member makes")

// highestTerm bounds terms by the clock: one more for each millisecond since 1970
// than honest members, who need seconds for an election, could ever use. Without a
// bound one call with the largest term there is ends every election for ever,
// because the next term is 0. With a bound that stands still the same happens
// there. This one has always moved on by the next election, and it is the same for
// a node that comes back after a year.
func highestTerm(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) + termSlack }

// guard stands between the network and Raft, which believes its peers: it
// dereferences a missing entry, panics at a configuration that does not decode,
// and, when a call truncates what is not applied yet and then holds an entry that
// is not stored, panics at the next commit. A call that no honest member makes is
// refused here, before Raft sees any of it.
//
// Leadership is never handed over here, so that nobody may ask for a vote in spite
// of a leader (R31).
//
// A node that has stopped still votes and follows, so that those who go on have
// their majority. It does not lead them: two histories can be of one term, and then
// Raft would let the one that nobody else has be the leader's.
type guard struct {
	*raft.NetworkTransport
	node   string
	roster roster
	member func(id string) bool    // whose calls are heard; nil: those of the roster
	watch  func([]*raft.Log) error // stops the node at a false membership
	end    func() (uint64, error)
	why    func() error // why this node has stopped, or nil
	log    *slog.Logger
	room   *atomic.Int64 // bytes of a snapshot that was let in, see inbound
	calls  chan raft.RPC
	done   chan struct{}
	finish func()

	mu      sync.Mutex
	refused int       // since the last line in the log; guarded by mu
	said    time.Time // when that was; guarded by mu
}

func newGuard(inner *raft.NetworkTransport, node string, r roster, member func(string) bool, watch func([]*raft.Log) error, end func() (uint64, error), why func() error, log *slog.Logger) *guard {
	g := &guard{
		NetworkTransport: inner, node: node, roster: r, member: member, watch: watch, end: end, why: why, log: log,
		room: new(atomic.Int64), calls: make(chan raft.RPC), done: make(chan struct{}),
	}
	g.finish = sync.OnceFunc(func() { close(g.done) })
	return g
}

// Consumer is where Raft takes its calls from.
func (g *guard) Consumer() <-chan raft.RPC { return g.calls }

// SetHeartbeatHandler takes the calls that do not pass through the consumer.
func (g *guard) SetHeartbeatHandler(handle func(raft.RPC)) {
	g.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if g.admits(rpc) {
			handle(rpc)
		}
	})
}

// Close ends [guard.run] and the transport; it may be called again.
func (g *guard) Close() error {
	g.finish()
	return g.NetworkTransport.Close()
}

// run hands calls on until Close.
func (g *guard) run() {
	for {
		select {
		case rpc := <-g.NetworkTransport.Consumer():
			if !g.admits(rpc) {
				continue
			}
			select {
			case g.calls <- rpc:
			case <-g.done:
				return
			}
		case <-g.done:
			return
		}
	}
}

// admits answers a call that Raft must not see.
func (g *guard) admits(rpc raft.RPC) bool {
	err := g.check(rpc.Command)
	if err == nil {
		if c, is := rpc.Command.(*raft.InstallSnapshotRequest); is {
			g.room.Store(c.Size)
		}
		return true
	}
	g.complain(err)
	switch rpc.Command.(type) {
	case *raft.AppendEntriesRequest: // as Raft itself refuses
		last, _ := g.end() // 0 if it cannot be read
		rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, LastLog: last}, nil)
	case *raft.RequestVoteRequest:
		rpc.Respond(&raft.RequestVoteResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}, nil)
	default:
		go func() { // ends with the stream
			if rpc.Reader != nil {
				_, _ = io.Copy(io.Discard, rpc.Reader) // the caller reads the answer when it has sent all
			}
			rpc.Respond(nil, errCall)
		}()
	}
	return false
}

// errStopped is why a node that has stopped asks nobody for anything.
var errStopped = errors.New("consensus: this node has stopped and does not lead")

func (g *guard) leads() error {
	if g.why() != nil {
		return errStopped
	}
	return nil
}

// RequestPreVote implements raft.WithPreVote.
func (g *guard) RequestPreVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	if err := g.leads(); err != nil {
		return err
	}
	return g.NetworkTransport.RequestPreVote(id, to, q, a)
}

// RequestVote implements raft.Transport.
func (g *guard) RequestVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	if err := g.leads(); err != nil {
		return err
	}
	return g.NetworkTransport.RequestVote(id, to, q, a)
}

// AppendEntries implements raft.Transport: heartbeats, too.
func (g *guard) AppendEntries(id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	if err := g.leads(); err != nil {
		return err
	}
	return g.NetworkTransport.AppendEntries(id, to, q, a)
}

// quietFor is how often refused calls are worth a line in the log.
const quietFor = 10 * time.Second

func (g *guard) complain(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused++
	if now := time.Now(); g.said.IsZero() || now.Sub(g.said) >= quietFor {
		g.log.Warn("a member speaks through Raft as no honest one does", "error", err, "refused", g.refused)
		g.refused, g.said = 0, now
	}
}

// check says why no honest member makes this call.
func (g *guard) check(command any) error {
	highest := highestTerm(time.Now())
	switch c := command.(type) {
	case *raft.AppendEntriesRequest:
		if err := g.header(c.RPCHeader, c.Term, highest); err != nil {
			return err
		}
		return g.entries(c)
	case *raft.RequestVoteRequest:
		if c.LeadershipTransfer {
			return fmt.Errorf("%w: leadership is handed over", errCall)
		}
		return g.header(c.RPCHeader, c.Term, highest)
	case *raft.RequestPreVoteRequest:
		return g.header(c.RPCHeader, c.Term, highest)
	case *raft.InstallSnapshotRequest:
		if c.SnapshotVersion != 1 || c.Size > maxSnapshot {
			return fmt.Errorf("%w: a snapshot of version %d and %d bytes", errCall, c.SnapshotVersion, c.Size)
		}
		if err := g.header(c.RPCHeader, c.Term, highest); err != nil {
			return err
		}
		_, err := decodeConfiguration(c.Configuration) // whose it is, the snapshot store asks
		return err
	default: // of the kinds there are: TimeoutNow, which hands over leadership
		return fmt.Errorf("%w: %T", errCall, command)
	}
}

// header checks what all calls have: a member other than this one, and a term.
func (g *guard) header(h raft.RPCHeader, term, highest uint64) error {
	switch {
	case string(h.ID) == g.node || !g.hears(string(h.ID)):
		return fmt.Errorf("%w: in the name of %.*q", errCall, maxField, h.ID)
	case len(h.Addr) == 0 || len(h.Addr) > maxField: // with none, Raft would look at deprecated fields
		return fmt.Errorf("%w: of %s, with no address or a long one", errCall, h.ID)
	case term > highest:
		return fmt.Errorf("%w: of %s, in the term %d", errCall, h.ID, term)
	}
	return nil
}

// hears says whether a member of this id may call.
func (g *guard) hears(id string) bool {
	if g.member != nil {
		return g.member(id)
	}
	return g.roster.has(id)
}

// entries checks that the entries come one after the other, in terms that do not
// fall and are not later than the leader's, and that each could be stored.
func (g *guard) entries(c *raft.AppendEntriesRequest) error {
	index, term := c.PrevLogEntry, c.PrevLogTerm
	for i, e := range c.Entries {
		switch {
		case e == nil:
			return fmt.Errorf("%w: of %s, entry %d of a call is missing", errCall, c.ID, i)
		case e.Index != index+1 || e.Term < term || e.Term > c.Term:
			return fmt.Errorf("%w: of %s, entry (%d, term %d) after (%d, term %d) in the term %d", errCall, c.ID, e.Index, e.Term, index, term, c.Term)
		case len(e.Data)+len(e.Extensions) > maxStored:
			return fmt.Errorf("%w: of %s, entry %d has %d bytes", errCall, c.ID, e.Index, len(e.Data)+len(e.Extensions))
		}
		index, term = e.Index, e.Term
	}
	return g.watch(c.Entries)
}
