package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
)

// Times of Raft. They are for wide-area round trips (R44).
const (
	heartbeatTimeout = 3 * time.Second
	leaseTimeout     = 1500 * time.Millisecond
	dialTimeout      = 5 * time.Second
	maxSubmit        = 10 * time.Second // of one command, queueing included
	cachedLogs       = 512
)

// Policy is when snapshots are made, and what becomes of the log. The zero value
// stands for the usual one.
type Policy struct {
	Segment   int           // bytes of a segment of the log
	Interval  time.Duration // between looks whether a snapshot is due; Raft adds up to as much again
	Threshold uint64        // entries since the last one that make it due
	Trailing  uint64        // entries kept below a snapshot
}

// usual is the policy for a cluster of five nodes at rest, which writes some 7,200
// anchors a day, of half a kilobyte each.
var usual = Policy{
	// A segment goes when all of its entries are gone. The largest entry fits.
	Segment: 256 << 10,
	// A look costs nothing. Raft's jitter makes it five to ten minutes, so that the
	// nodes do not all gather signatures at once.
	Interval: 5 * time.Minute,
	// Seven hours of a cluster at rest. What is above it is replayed at start: a
	// signature is verified for each entry, which comes to a fifth of a second.
	Threshold: 2000,
	// Two days. A node that was away for less reads every entry, and has it in its
	// audit; one that was away longer has a gap there, which a record names.
	Trailing: 14400,
}

// Errors of [Consensus.Submit].
var (
	// ErrNotLeader means another node has to be asked; [Consensus.Leader] may say which.
	ErrNotLeader = errors.New("consensus: this node does not lead")
	// ErrUnknownOutcome means the entry may or may not be committed.
	ErrUnknownOutcome = errors.New("consensus: the entry may or may not have been committed")
)

// Streams carries Raft between authenticated nodes. Every address is a node id.
// Close ends Accept, and may be called again.
type Streams interface {
	Accept() (net.Conn, error)
	Close() error
	Addr() net.Addr
	Dial(node string, timeout time.Duration) (net.Conn, error)
}

// Config is what a [Consensus] needs; all but Disk, Member and Policy is required.
type Config[S any, R any] struct {
	Dir     string   // the log rests here; made with mode 0700
	Node    string   // this node's id
	Voters  []string // with whom the cluster began: every node bootstraps with them
	Streams Streams
	Machine Machine[S, R]
	// Applied is told of every command that is committed, in order, on Raft's own
	// goroutine: it must not wait.
	Applied func(index uint64, entry []byte, result R)
	// Installed is told of a snapshot that stands in the place of every command up
	// to its index, of which Applied was not told: one that a leader sent, and the
	// one that is found at start. It is called by Open, and on the same goroutine
	// as Applied.
	Installed func(Position)
	Endorse   Endorsement[S]
	// Member says whose calls through Raft are heard, beside what the log knows: a node
	// that is new is led by one that it has not read of. nil: those of Voters.
	Member func(id string) bool
	Log    *slog.Logger
	Disk   disk.Hook // nil is the real disk alone

	// Policy is the zero value in a daemon; a test has less time.
	Policy Policy
}

// Consensus is this node's place in the cluster.
type Consensus[S any, R any] struct {
	raft      *raft.Raft // nil when the node may not join
	states    *states[S, R]
	log       *wal.WAL
	store     *tailStore[S, R]
	snapshots *snapshots[S, R]
	transport *guard
	policy    Policy
	before    uint64             // see Before
	stop      context.CancelFunc // of what waits for members' signatures

	compacting sync.Mutex // held by Compact

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when committed moves; guarded by mu
	closing bool          // no command is taken any more; guarded by mu

	asked sync.WaitGroup // commands that Raft has to answer for; added to under mu, while not closing
}

// Open opens the log, rebuilds the tail from all of it, and joins the cluster.
// Every node bootstraps with the same roster. A node whose log is not the one it
// has applied, or of another membership, is opened without joining: its status can
// be asked, and [Consensus.Stopped] says why. From here on the streams are its
// own: they are closed when it fails, and by [Consensus.Close].
func Open[S any, R any](cfg Config[S, R]) (*Consensus[S, R], error) {
	c, err := open(cfg)
	if err != nil {
		_ = cfg.Streams.Close() // the error that made us give up is the one to report
		return nil, err
	}
	return c, nil
}

func open[S any, R any](cfg Config[S, R]) (*Consensus[S, R], error) {
	dir := filepath.Join(cfg.Dir, "raft")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	if cfg.Policy == (Policy{}) {
		cfg.Policy = usual
	}
	log, err := openLog(cfg.Disk, dir, cfg.Policy.Segment)
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", dir, err)
	}
	floor, err := openFloor(cfg.Disk, dir)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c := &Consensus[S, R]{
		states: newStates(cfg.Machine), log: log, policy: cfg.Policy, before: floor.index.Load(), changed: make(chan struct{}),
	}
	c.snapshots = &snapshots[S, R]{
		dir: dir, disk: cfg.Disk, machine: cfg.Machine, roster: rosterOf(cfg.Voters), endorse: cfg.Endorse, log: cfg.Log,
	}
	denies, err := openDenies(cfg.Disk, dir, floor.index.Load() == 0)
	if err != nil {
		return nil, errors.Join(err, log.Close(), floor.close())
	}
	if cfg.Machine.Denied != nil {
		denies.name = func(entry []byte) string { return cfg.Machine.Denied(c.Committed(), entry) }
	}
	c.store = &tailStore[S, R]{inner: log, states: c.states, floor: floor, denies: denies, roster: c.snapshots.roster, covered: c.snapshots.covered}
	c.snapshots.admit = c.store.admit
	if err := c.join(cfg); err != nil {
		_ = errors.Join(log.Close(), floor.close(), denies.close())
		return nil, err
	}
	return c, nil
}

func (c *Consensus[S, R]) join(cfg Config[S, R]) error {
	state, err := c.snapshots.open()
	if err != nil {
		return err
	}
	if have := c.snapshots.last(); have != nil {
		if err := c.store.begin(have.certificate, *state); err != nil {
			return err
		}
		members, err := decodeConfiguration(have.Configuration)
		if err != nil {
			return err
		}
		c.states.members.Store(&members)
		cfg.Installed(Position{Index: have.Index, Link: have.certificate.Link})
	}
	if err := c.store.replay(); err != nil {
		return err
	}
	if c.Stopped() != nil {
		return cfg.Streams.Close()
	}
	cache, err := raft.NewLogCache(cachedLogs, c.store)
	if err != nil {
		return fmt.Errorf("make the log cache: %w", err)
	}
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(cfg.Node)
	conf.HeartbeatTimeout = heartbeatTimeout
	conf.ElectionTimeout = heartbeatTimeout
	conf.LeaderLeaseTimeout = leaseTimeout
	conf.SnapshotThreshold = c.policy.Threshold
	conf.SnapshotInterval = c.policy.Interval
	conf.TrailingLogs = c.policy.Trailing
	conf.NoSnapshotRestoreOnStart = true // done, above
	conf.ShutdownOnRemove = false        // a node that was removed says so, to whoever asks it
	conf.Logger = newLogger(cfg.Log)
	room := new(atomic.Int64)
	c.transport = newGuard(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  streamLayer{cfg.Streams, room},
		MaxPool: 2,
		// No pipelining: in raft v1.8.0 its sender waits for ever for a reader that ends
		// with the first refusal, so a follower whose disk was full a moment ago
		// never hears of an entry again, and the leader cannot shut down.
		MaxRPCsInFlight: 1,
		Timeout:         10 * time.Second,
		Logger:          conf.Logger,
	}), cfg.Node, c.store.roster, cfg.Member, c.store.watch, c.store.LastIndex, c.Stopped, cfg.Log)
	c.transport.room = room
	go c.transport.run() // until it is closed, here below or by Close
	known, err := raft.HasExistingState(cache, c.log, c.snapshots)
	if err == nil && !known {
		err = failpoint.Step("consensus/bootstrap", func() error {
			return raft.BootstrapCluster(conf, cache, c.log, c.snapshots, c.transport, raft.Configuration{Servers: c.store.roster})
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	if err == nil {
		c.raft, err = raft.NewRaft(conf, &fsm[S, R]{
			states: c.states, floor: c.store.floor, denies: c.store.denies, roster: c.store.roster, applied: cfg.Applied, changed: c.signal,
			snapshots: c.snapshots, installed: cfg.Installed, log: cfg.Log, ctx: ctx,
		}, cache, c.log, c.snapshots, c.transport)
	}
	c.stop = stop
	if err != nil {
		stop()
		_ = c.transport.Close()
		return fmt.Errorf("start raft: %w", err)
	}
	queued := c.raft.AppliedIndex
	c.store.queued.Store(&queued)
	return nil
}

// Close leaves the cluster and waits until Raft has stopped. What serves a stream
// that a peer opened ends when that stream does.
func (c *Consensus[S, R]) Close() error {
	var err error
	if c.raft != nil {
		c.stop()
		c.drain()
		err = c.raft.Shutdown().Error()
		err = errors.Join(err, c.transport.Close())
		c.transport.CloseStreams() // the pooled ones: Raft's Close leaves them open
	}
	return errors.Join(err, c.log.Close(), c.store.floor.close(), c.store.denies.close())
}

// drainTime bounds how long Close waits for Raft's answers. A leader without a
// majority gives them when its lease is over; one whose disk hangs, never.
const drainTime = 2 * leaseTimeout

// drain takes no more commands, and waits until Raft has answered for those that
// it has: when it is shut down it forgets what waits in its queue, and who asked
// would wait for ever.
func (c *Consensus[S, R]) drain() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	answered := make(chan struct{})
	go func() { c.asked.Wait(); close(answered) }()
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	select {
	case <-answered:
	case <-patience.C:
	}
}

// ask notes that a command is on its way to Raft; false when that is closing.
func (c *Consensus[S, R]) ask() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.asked.Add(1)
	return true
}

// Stopped is nil, or why this node must not serve any more: [ErrFork],
// [ErrMembership], [ErrFloor] or [ErrDenies]. It stays so until the process ends.
func (c *Consensus[S, R]) Stopped() error { return c.states.halt.reason() }

// Halt stops this node from serving, for a reason that the log itself does not
// show: an error that wraps one of those of [Consensus.Stopped]. The first one stays.
func (c *Consensus[S, R]) Halt(why error) { c.states.halt.stop(why) }

// Before is the last entry that this node had applied when it was opened. Committed may
// begin below it, and comes back there before anything else.
func (c *Consensus[S, R]) Before() uint64 { return c.before }

// Committed is the state after every applied command.
func (c *Consensus[S, R]) Committed() S { return *c.states.committed.Load() }

// Tail is the state that the stored log leads to, and the log's end.
func (c *Consensus[S, R]) Tail() Tail[S] { return *c.states.tail.Load() }

// Kept is what this node denies beside both states, as it is now.
func (c *Consensus[S, R]) Kept() *Kept { return c.store.denies.kept.Load() }

// Deny keeps an entry that denies something and was handed to this node outside
// the log, and returns its id when that is durable. It acts before that. A node
// that may not serve takes it too. [ErrNoDeny], [ErrDenyEnough] and [ErrDenyLifted] refuse the entry;
// after [ErrDenies] the node has stopped serving.
func (c *Consensus[S, R]) Deny(entry []byte) (api.Digest, error) {
	id, is := c.states.denies(entry)
	if !is {
		return api.Digest{}, ErrNoDeny
	}
	if err := c.store.denies.keep([]deny{{id, entry}}, c.states.standing); err != nil {
		c.states.halt.stop(err)
		return api.Digest{}, err
	}
	switch c.states.standing(id) {
	case Lifted:
		return api.Digest{}, ErrDenyLifted
	case Absent:
		if !c.store.denies.holds(id) {
			return api.Digest{}, ErrDenyEnough
		}
	}
	return id, nil
}

// HoldsDeny says whether what an id denies is in force and durable here: it is
// kept, or committed, and the floor is not below what is committed.
func (c *Consensus[S, R]) HoldsDeny(id api.Digest) bool {
	if c.Stopped() != nil || c.states.machine.Denies == nil {
		return false
	}
	switch c.states.standing(id) {
	case Taken:
		return true
	case Lifted:
		return false
	}
	return c.store.denies.holds(id)
}

// AppliedIndex is the last index, of commands and others, that committed has
// taken in. Raft's own number is of what it has queued for its FSM, which may not
// be there yet.
func (c *Consensus[S, R]) AppliedIndex() uint64 {
	if c.raft == nil {
		return 0
	}
	return c.states.applied(c.raft.AppliedIndex())
}

// Leader is the id of the node that this one takes for the leader, or empty.
func (c *Consensus[S, R]) Leader() string {
	if c.raft == nil {
		return ""
	}
	_, id := c.raft.LeaderWithID()
	return string(id)
}

// Changed returns a channel that is closed when committed next moves.
func (c *Consensus[S, R]) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *Consensus[S, R]) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Submit commits one command through this node, which must lead, and returns
// what became of it. [ErrNotLeader] means nothing was appended; every other
// error is [ErrUnknownOutcome].
func (c *Consensus[S, R]) Submit(ctx context.Context, entry []byte) (R, error) {
	var none R
	if c.raft == nil || c.raft.State() != raft.Leader {
		return none, ErrNotLeader
	}
	timeout := maxSubmit
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if ctx.Err() != nil || timeout <= 0 { // Raft takes 0 for "wait for ever"
		return none, fmt.Errorf("%w: %w", ErrUnknownOutcome, context.DeadlineExceeded)
	}
	if !c.ask() {
		return none, ErrNotLeader
	}
	f := c.raft.Apply(entry, timeout)
	done := make(chan error, 1)
	go func() { // ends when Raft answers
		defer c.asked.Done()
		done <- f.Error()
	}()
	select {
	case err := <-done:
		switch {
		case err == nil:
			return f.Response().(R), nil
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout):
			return none, fmt.Errorf("%w: %w", ErrNotLeader, err)
		default:
			return none, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// streamLayer shows Streams to Raft.
type streamLayer struct {
	Streams
	room *atomic.Int64 // see inbound
}

func (s streamLayer) Accept() (net.Conn, error) {
	c, err := s.Streams.Accept()
	if err != nil {
		return nil, err
	}
	return newInbound(c, s.room), nil
}

func (s streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.Streams.Dial(string(address), min(timeout, dialTimeout))
}

func newLogger(log *slog.Logger) hclog.Logger {
	return hclog.FromStandardLogger(slog.NewLogLogger(log.Handler(), slog.LevelDebug), &hclog.LoggerOptions{
		Name: "raft", Level: hclog.Warn, Output: io.Discard,
	})
}
