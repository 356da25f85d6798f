package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
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

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/failpoint"
	"warifu.dev/node/ceremony"
	"warifu.dev/node/gate"
	"warifu.dev/node/keyring"
	"warifu.dev/node/ops"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
	"warifu.dev/transport"
)

// Node is a running member of a cluster.
type Node struct {
	cfg       Config
	log       *slog.Logger
	device    hsm.Device
	disk      disk.Hook
	policy    consensus.Policy
	keepLog   bool
	genesis   *authority.VerifiedGenesis
	signer    *authority.Signer
	audit     *audit.Log
	consensus replica
	joined    atomic.Bool // consensus is set: peers are looked up while it opens
	peers     *transport.Peers
	secrets   *secrets
	unsealing unsealing
	lastLock  atomic.Uint64 // the last generation that a lock was posted for
	drills    drills
	policies  policies
	fresh     freshness
	clocks    peerClocks
	meters    *ops.Meters
	growth    growth
	dir       string
	pins      pins
	histories histories
	lastStop  string // why the last run stopped serving, or empty
	relayed   peerRates
	asked     peerRates // how far this node's log reaches
	claimed   peerRates // where nodes are
	addresses addresses
	handed    handed
	gate      *gate.Gate
	turns     *turns // of unwraps
	cap       *gate.RefusalCap
	putting   putting
	slots     *gate.Slots
	driver    *ceremony.Driver
	journal   *journal
	listen    func(address string) (net.PacketConn, error)
	now       func() time.Time     // the wall clock
	boot      func() time.Duration // the boot-time clock
	started   int64                // by the wall clock, Unix milliseconds
	strangers atomic.Uint64
	denied    atomic.Pointer[denied]
	progress  progress

	compactLate atomic.Bool // what should be gone from the log is there
	paid        atomic.Bool // see [Node.paidUp]

	began        time.Duration // of [Options.Boot]
	sockets      []net.PacketConn
	memoryLocked bool
}

// replica is this node's place in the replicated log. Its methods are safe for
// concurrent use; only Submit and Compact wait.
type replica interface {
	Committed() *ledger.State
	Tail() consensus.Tail[*ledger.State]
	AppliedIndex() uint64
	Changed() <-chan struct{}
	Leader() string
	Stopped() error
	Kept() *consensus.Kept
	Deny(entry []byte) (api.Digest, error)
	HoldsDeny(id api.Digest) bool
	Halt(why error)
	At(index uint64) (consensus.Position, bool)
	Submit(ctx context.Context, entry []byte) (ledger.Result, error)
	Members() []consensus.Member
	Move(ctx context.Context, to []consensus.Member) (bool, error)
	Replication() consensus.Replication
	Log() (oldest uint64, size int64, err error)
	Compact(ctx context.Context, barrier []byte) error
}

// Options is what [Run] needs; all but MemoryLocked, Disk and Snapshots is required. The world comes in here:
// a simulated cluster has a network and clocks of its own.
type Options struct {
	Dir    string
	Device hsm.Device // open; Run does not close it
	Log    *slog.Logger
	// Listen opens a socket for datagrams at host:port.
	Listen func(address string) (net.PacketConn, error)
	// Now is the wall clock of this node: it stands in records and anchors, and
	// certificates are judged by it.
	Now func() time.Time
	// Boot is the time since some moment before Run, suspension included, that
	// nobody can set: [BootTime]. Freshness is measured on it.
	Boot func() time.Duration
	// MemoryLocked says that what this process holds in memory cannot reach swap.
	MemoryLocked bool
	// Disk is asked before every change of a durable file; nil, the real disk alone,
	// is warifud's.
	Disk disk.Hook
	// Snapshots is when the ledger is written down whole; the zero value is warifud's.
	Snapshots consensus.Policy
	// KeepLog leaves the log as it is after a ceremony, for a judge who replays all of
	// it; warifud never does.
	KeepLog bool
}

// ErrNoGenesis means the directory was not given the genesis document yet.
var ErrNoGenesis = errors.New("this node has no genesis document yet")

// ErrWrongToken means that the token is not the one this node was made with.
var ErrWrongToken = errors.New("this directory was made with another token")

// ErrCopied means that the directory has an audit, and not what the node has voted for
// and promised: it was put back from a backup, or its log was taken away (R46).
var ErrCopied = errors.New("this directory was put back from a copy, or its log was taken away: the node would forget what it has promised, and has to be replaced")

// ErrKeyring is [keyring.ErrOpen]: the sealed root share or the keyring does not
// open.
var ErrKeyring = keyring.ErrOpen

// Run runs the node until ctx ends, and returns when all is quiet. Each deferred
// call below undoes the step above it, so that stopping is starting backwards.
// The process's umask must take everything from group and others, as warifud's
// does: Raft's log makes its files by the umask.
func Run(ctx context.Context, o Options) (err error) {
	if err := errors.Join(tdh2.SelfTest(), tprf.SelfTest()); err != nil {
		return err
	}
	cfg, err := LoadConfig(o.Dir)
	if err != nil {
		return err
	}
	release, err := lockDirectory(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := checkModes(o.Dir); err != nil {
		return err
	}
	if cfg.HSM.Serial != o.Device.Serial() {
		return fmt.Errorf("%w: serial %s, configured is %s", ErrWrongToken, o.Device.Serial(), cfg.HSM.Serial)
	}
	if err := o.Device.Check(); err != nil {
		return err
	}
	n := &Node{cfg: cfg, log: o.Log.With("node", cfg.Node), device: o.Device, dir: o.Dir, began: o.Boot(), memoryLocked: o.MemoryLocked, meters: ops.NewMeters(), disk: o.Disk, policy: o.Snapshots, keepLog: o.KeepLog, cap: gate.NewRefusalCap(), listen: o.Listen, now: o.Now, boot: o.Boot}
	n.device, n.started = metered{o.Device, n.meters}, o.Now().UnixMilli()
	if n.genesis, err = loadGenesis(o.Dir); err != nil {
		return err
	}
	known, err := readChain(o.Dir, n.genesis)
	if err != nil {
		return err
	}
	line, err := rosterLine(known.Genesis, cfg)
	if err != nil {
		return err
	}
	n.pins.known.Store(known)
	key, err := openIdentity(o.Dir, cfg.Node, n.device)
	if err != nil {
		return err
	}
	if err := keyring.RemoveFile(o.Disk, o.Dir, claimName); err != nil { // a crash of init may have left it
		return err
	}
	if n.signer, err = authority.NewSigner(key); err != nil {
		return err
	}
	if string(n.signer.PublicKey()) != string(line.Key) {
		return fmt.Errorf("%w: the roster has another key for %s", ErrIdentity, cfg.Node)
	}
	// Whoever has recorded anything may have given uses of grants: their file is made
	// before there is an audit.
	recorded, err := os.ReadDir(filepath.Join(o.Dir, auditDir))
	if err != nil {
		return err
	}
	if err := notCopied(o.Dir, len(recorded) > 0); err != nil {
		return err
	}
	if n.slots, err = gate.OpenSlots(o.Disk, o.Dir, len(recorded) == 0); err != nil {
		return err
	}
	defer n.slots.Close()
	if err := n.openAudit(o.Dir, key); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.audit.Close()) }()
	if n.audit.Journaled() > 0 && !exists(filepath.Join(o.Dir, raftDir)) {
		return fmt.Errorf("%s: %w", o.Dir, ErrCopied)
	}
	n.journal = newJournal(cfg.Node, n.audit, n.now)
	if n.lastStop, err = lastStop(n.audit); err != nil {
		return err
	}
	if n.lastStop != "" {
		n.log.Warn("the last run stopped serving", "why", n.lastStop)
	}
	_ = failpoint.Step("node/record-start", func() error {
		n.note(ctx, audit.Record{Kind: audit.Start, LedgerIndex: n.journal.written})
		return nil
	})
	defer func() {
		_ = failpoint.Step("node/record-stop", func() error {
			n.note(context.WithoutCancel(ctx), audit.Record{Kind: audit.Stop, LedgerIndex: n.journal.written})
			return nil
		})
		n.signAudit()
	}()

	n.secrets = newSecrets(keyring.Config{
		Dir: filepath.Join(o.Dir, sealDir), Cluster: n.genesis.Cluster, Node: cfg.Node, Device: n.device, Rand: rand.Reader, Disk: o.Disk,
	})

	if n.genesis.Unseal == authority.UnsealCustodians {
		n.secrets.lock = func() (keyring.Lock, error) { return n.newLock(ctx) }
	}
	locked := false
	err = failpoint.Step("node/open-keyring", func() (err error) { locked, err = n.secrets.open(); return err })
	if err == nil && locked {
		err = n.unsealing.begin(n)
	}
	if err != nil {
		return err
	}
	defer n.unsealing.end()
	defer func() {
		if n.secrets.wipe() {
			n.note(context.WithoutCancel(ctx), audit.Record{Kind: audit.Sealed})
		}
	}()
	return n.serve(ctx, o.Dir, key)
}

// serve opens the sockets, joins the cluster and runs every loop until ctx ends.
func (n *Node) serve(ctx context.Context, dir string, key *ecdsa.PrivateKey) (err error) {
	cert, err := transport.SelfSigned(key, n.cfg.Node, n.now())
	if err != nil {
		return err
	}
	peerSocket, err := n.listen(n.cfg.listenPeer())
	if err != nil {
		return fmt.Errorf("listen for peers: %w", err)
	}
	lookup, identify := n.rosterPins()
	n.peers, err = transport.NewPeers(transport.PeerConfig{
		Conn: peerSocket, Certificate: cert, Lookup: lookup, Identify: identify,
		Handler: peerServer{n}, Log: n.log,
	})
	if err != nil {
		return errors.Join(err, peerSocket.Close())
	}
	running := false
	defer func() {
		if !running {
			err = errors.Join(err, n.peers.Run(ended())) // to close the socket
		}
	}()
	var voters []string
	for _, m := range n.genesis.Roster {
		voters = append(voters, m.ID)
	}
	n.fresh.liars = int(n.genesis.Root.F)
	n.histories.enough = int(n.genesis.Root.T)
	log, err := consensus.Open(consensus.Config[*ledger.State, ledger.Result]{
		Dir: dir, Node: n.cfg.Node, Voters: voters, Streams: raftStreams{n.peers}, Log: n.log,
		Machine: consensus.Machine[*ledger.State, ledger.Result]{
			Genesis:     ledger.New(n.genesis),
			Apply:       func(s *ledger.State, i uint64, e []byte) (*ledger.State, ledger.Result) { return s.Apply(i, e) },
			Link:        func(s *ledger.State) api.Digest { return s.Position().Link },
			Last:        func(s *ledger.State) uint64 { return s.Position().Index },
			Encode:      func(s *ledger.State, w io.Writer) error { return s.Encode(w) },
			Decode:      func(r io.Reader) (*ledger.State, error) { return ledger.Decode(n.genesis, r) },
			Memberships: memberships,
			Denies: func(s *ledger.State, e []byte) (api.Digest, bool) {
				id, _, err := s.Denies(e)
				return id, err == nil
			},
			Denied: func(s *ledger.State, e []byte) string {
				sub, err := s.DeniedBy(e)
				if err != nil {
					return ""
				}
				return sub.String()
			},
			Standing: standingOf,
		},
		Applied: n.journal.take, Installed: n.journal.install, Endorse: n.endorsement(), Member: n.isMember, Policy: n.policy, Disk: n.disk,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	n.consensus = log
	n.joined.Store(true)
	n.wire(dir, log.Before())
	clientSocket, err := n.listen(n.cfg.listenClient())
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	clients, err := transport.Listen(transport.ServerConfig{
		Conn: clientSocket, Certificate: cert, ALPN: api.ClientProtocol,
		Admit: n.admit, Handler: clientServer{n}, Log: n.log,
	})
	if err != nil {
		return errors.Join(err, clientSocket.Close())
	}
	watchers, err := n.opsListener()
	if err != nil {
		return errors.Join(err, clients.Serve(ended()))
	}
	n.sockets = []net.PacketConn{peerSocket, clientSocket}
	running = true
	return n.run(ctx, clients, watchers)
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// wire makes what stands on consensus: the gate and the ceremonies' driver. before is
// how far this node had come when it was started.
func (n *Node) wire(dir string, before uint64) {
	n.turns = turnsHere()
	n.gate = gate.New(gate.Config{
		Node: n.cfg.Node, Region: n.cfg.Region, HSM: n.device.Kind(), States: n.states,
		Unsealed: n.unsealed, Fresh: n.freshEnough, Share: n.share, Policy: n.policies.of,
		Audit: n.audit, Expect: n.audit.Expect, Now: n.now, Rand: rand.Reader, Cap: n.cap,
		Slots: n.slots, Rates: gate.NewRates(n.boot), Meter: n.meters,
	})
	n.driver = ceremony.New(ceremony.Config{
		Cluster: n.genesis.Cluster, Node: n.cfg.Node, Dir: filepath.Join(dir, ceremonyDir),
		Device: n.device, Rand: rand.Reader, Now: n.now, Submit: n.say, Old: n.secrets.old, Confirm: n.secrets.confirm, ConfirmSets: n.secrets.confirmSets,
		SignRecord: func(r *authority.KeyRecord) (authority.Signature, error) {
			return authority.SignRecord(rand.Reader, n.signer, r)
		},
		Log: n.log, Disk: n.disk, Applied: before,
	})
}

// run owns every goroutine of the node. Clients and loops stop first, peers last.
func (n *Node) run(ctx context.Context, clients *transport.Server, watchers net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failure atomic.Pointer[error]
	fail := func(err error) {
		failure.CompareAndSwap(nil, &err)
		stop()
	}
	peerCtx, stopPeers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPeers()
	var peersDone, loops sync.WaitGroup
	peersDone.Go(func() {
		if err := n.peers.Run(peerCtx); err != nil {
			fail(fmt.Errorf("serve peers: %w", err))
		}
	})
	loops.Go(func() {
		if err := clients.Serve(ctx); err != nil {
			fail(fmt.Errorf("serve clients: %w", err))
		}
	})
	if watchers != nil {
		loops.Go(func() {
			if err := n.serveOps(ctx, watchers); err != nil {
				fail(fmt.Errorf("serve this machine's operator: %w", err))
			}
		})
	}
	loops.Go(func() { n.runFreshness(ctx) })
	loops.Go(func() { n.runClocks(ctx) })
	loops.Go(func() { n.runAnchors(ctx) })
	loops.Go(func() { n.runCeremonies(ctx) })
	loops.Go(func() { n.runErasures(ctx) })
	loops.Go(func() { n.runMembers(ctx) })
	loops.Go(func() { n.runSeal(ctx) })
	if !n.keepLog && !failpoint.Off("compaction") {
		loops.Go(func() { n.runCompaction(ctx) })
	}
	loops.Go(func() { n.runLocks(ctx) })
	loops.Go(func() { n.runAddress(ctx) })
	loops.Go(func() { n.runEscrows(ctx) })
	loops.Go(func() {
		n.journal.run(ctx, func(err error) {
			// Nothing is released without its audit: the gate refuses by itself.
			n.log.Error("the audit does not take ledger entries", "error", err)
		})
	})
	n.log.Info("node is up", "region", n.cfg.Region, "clients", n.cfg.Client, "peers", n.cfg.Peer, "hsm", n.device.Kind())
	loops.Wait()
	stopPeers()
	peersDone.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (n *Node) openAudit(dir string, key *ecdsa.PrivateKey) (err error) {
	n.audit, err = audit.Open(audit.Config{
		Dir:          filepath.Join(dir, auditDir),
		Origin:       "warifu/" + n.genesis.Cluster.String()[:16] + "/" + n.cfg.Node,
		Public:       &key.PublicKey,
		Signer:       signMessage(key),
		ReserveBytes: n.cfg.AuditReserve,
		Log:          n.log,
		Disk:         n.disk,
	})
	return err
}

func loadGenesis(dir string) (*authority.VerifiedGenesis, error) {
	b, err := keyring.ReadFile(dir, genesisName)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoGenesis)
	}
	if err != nil {
		return nil, err
	}
	g, err := verifyGenesis(b)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// raftStreams shows the peers' connections to consensus.
type raftStreams struct{ peers *transport.Peers }

func (r raftStreams) Accept() (net.Conn, error) { return r.peers.RaftListener().Accept() }
func (r raftStreams) Close() error              { return r.peers.RaftListener().Close() }
func (r raftStreams) Addr() net.Addr            { return r.peers.RaftListener().Addr() }
func (r raftStreams) Dial(node string, timeout time.Duration) (net.Conn, error) {
	return r.peers.DialRaft(node, timeout)
}
