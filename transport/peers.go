package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// The two protocols between nodes. Each has connections of its own, so that a
// snapshot on its way does not delay a heartbeat.
const (
	// ALPNPeer carries frames.
	ALPNPeer = "warifu-peer/1"
	// ALPNRaft carries Raft's streams, as many as it asks for.
	ALPNRaft = "warifu-raft/1"
)

const (
	// raftStreams is how many streams of one peer are open at a time: Raft keeps
	// a pipeline and a few pooled connections for each peer.
	raftStreams = 64
	// raftBacklog is how many streams wait for [RaftListener.Accept].
	raftBacklog = 16
)

// PeerConfig is what [Peers] needs.
type PeerConfig struct {
	// Conn is a UDP socket of the peers' own. [Peers.Run] closes it.
	Conn net.PacketConn
	// Certificate is this node's, see [SelfSigned].
	Certificate tls.Certificate
	// Lookup returns where a peer is said to be and the key it must prove. It is
	// asked on every call and must be quick. The address is used at the next
	// dial; another key ends the connection.
	Lookup func(id string) (addr string, key SPKI, ok bool)
	// Identify says which peer of the roster holds a key. It is asked for each
	// connection and for each frame on it, and must be quick.
	Identify func(SPKI) (id string, ok bool)
	// Handler answers the peers' frames. Its callers have a PeerID.
	Handler Handler
	// Limits bounds what peers can make the node hold; may be zero. Requests of
	// peers may be as long as answers, and idle is [PeerIdle].
	Limits Limits
	// Log may be nil.
	Log *slog.Logger
}

func (c *PeerConfig) validate() error {
	switch {
	case c.Conn == nil:
		return errors.New("peers need a socket")
	case len(c.Certificate.Certificate) == 0:
		return errors.New("peers need a certificate")
	case c.Lookup == nil || c.Identify == nil || c.Handler == nil:
		return errors.New("peers need Lookup, Identify and Handler")
	}
	return nil
}

// Peers is a node's end of its connections with the other nodes: one UDP socket
// that both listens and dials. Its methods are safe for concurrent use.
type Peers struct {
	conf    PeerConfig
	tr      *quic.Transport
	ln      *quic.Listener
	opening *halfOpen
	slots   *slots
	away    *turnedAway
	service *service
	raft    *RaftListener

	ctx   context.Context // ends with Run
	stop  context.CancelFunc
	quiet sync.WaitGroup // dials

	mu    sync.Mutex
	links map[linkName]*link // guarded by mu; at most two for each peer of the roster
}

// peerLimits is what a zero field means between nodes: a roster is small, and
// its members send each other more than clients may.
func peerLimits() Limits {
	l := DefaultLimits()
	l.Connections = 256
	l.ConnectionsPerKey = 8 // two protocols, and what is left of the peer's former lives
	l.MaxRequest = l.MaxAnswer
	l.Idle = PeerIdle
	return l
}

// NewPeers makes an endpoint of a socket. Handshakes begin and calls can be made
// at once; peers are answered by [Peers.Run], which must be called (with a
// context that has ended, if only to close the socket).
func NewPeers(conf PeerConfig) (*Peers, error) {
	if err := conf.validate(); err != nil {
		return nil, fmt.Errorf("open the endpoint of peers: %w", err)
	}
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	conf.Limits = conf.Limits.or(peerLimits())
	opening := &halfOpen{limits: conf.Limits}
	tr, err := newTransport(conf.Conn, conf.Certificate, opening)
	if err != nil {
		return nil, fmt.Errorf("open the endpoint of peers: %w", err)
	}
	ln, err := tr.Listen(serverTLS(conf.Certificate, ALPNPeer, ALPNRaft), &quic.Config{
		HandshakeIdleTimeout:  handshakeWait,
		MaxIdleTimeout:        conf.Limits.Idle,
		KeepAlivePeriod:       PeerKeepAlive,
		MaxIncomingStreams:    raftStreams,
		MaxIncomingUniStreams: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for peers at %s: %w", conf.Conn.LocalAddr(), err)
	}
	p := &Peers{
		conf:    conf,
		tr:      tr,
		ln:      ln,
		opening: opening,
		slots:   &slots{limits: conf.Limits},
		away:    &turnedAway{log: conf.Log},
		links:   make(map[linkName]*link),
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.service = newService(conf.Handler, conf.Limits, conf.Log, p.identify)
	p.raft = newRaftListener(conf.Conn.LocalAddr())
	return p, nil
}

// Addr is where the node listens for peers.
func (p *Peers) Addr() net.Addr { return p.conf.Conn.LocalAddr() }

// identify refuses a caller that is not, or no longer, who it was.
func (p *Peers) identify(c *Caller) error {
	id, ok := p.conf.Identify(c.SPKI)
	if !ok || c.PeerID != "" && id != c.PeerID {
		return &Refusal{Code: CodeUnauthenticated, Sentence: "this key is not in the roster"}
	}
	return nil
}

// Run answers peers until ctx ends, which is no error, or the socket fails. It
// returns when all is quiet and the socket is closed.
func (p *Peers) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.stop)()
	var callers sync.WaitGroup
	var err error
	for {
		var qc *quic.Conn
		if qc, err = p.ln.Accept(p.ctx); err != nil {
			break
		}
		p.opening.finish(qc)
		callers.Go(func() { p.welcome(qc) })
	}
	stopped := ctx.Err() != nil
	p.stop()
	_ = p.raft.Close()
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	p.quiet.Wait()
	for _, l := range links {
		l.close()
	}
	callers.Wait()
	p.service.close()
	_ = p.ln.Close()
	_ = p.tr.Close()
	_ = p.conf.Conn.Close()
	if stopped {
		return nil
	}
	return fmt.Errorf("listen for peers at %s: %w", p.Addr(), err)
}

var errStranger = errors.New("this key is not in the roster")

// welcome answers one connection, if its key is a peer's.
func (p *Peers) welcome(qc *quic.Conn) {
	traffic.watch(qc)
	caller := callerOf(qc)
	id, ok := p.conf.Identify(caller.SPKI)
	if !ok {
		p.away.note(time.Now(), "a stranger calls as a peer", caller, errStranger)
		_ = qc.CloseWithError(AdmissionRefused, errStranger.Error())
		return
	}
	caller.PeerID = id
	if err := p.slots.take(caller); err != nil {
		p.conf.Log.Warn("a peer is turned away", "peer", id, "error", err)
		_ = qc.CloseWithError(CloseOverloaded, closeReason(err.Error()))
		return
	}
	defer p.slots.give(caller)
	switch qc.ConnectionState().TLS.NegotiatedProtocol {
	case ALPNRaft:
		p.serveRaft(qc, caller)
	default: // TLS negotiates one of the two
		p.service.serve(p.ctx, qc, caller)
	}
}

// serveRaft hands the streams of one connection to the Raft listener.
func (p *Peers) serveRaft(qc *quic.Conn, caller *Caller) {
	defer func() { _ = qc.CloseWithError(CloseShutdown, "the node stops") }()
	for {
		stream, err := qc.AcceptStream(p.ctx)
		if err != nil {
			return
		}
		conn := newRaftConn(stream, qc, caller.PeerID)
		if err := p.identify(caller); err != nil {
			_ = conn.Close()
			_ = qc.CloseWithError(AdmissionRefused, closeReason(admissionReason(err)))
			return
		}
		if !p.raft.offer(p.ctx, conn) {
			_ = conn.Close()
			return
		}
	}
}

// Call asks a peer, on the connection that is kept with it; if there is none it
// dials, and refuses at once while a dial has just failed. Errors: those of
// [Conn.Call], and [ErrUnknownPeer], [ErrUnreachable], [ErrPinned].
func (p *Peers) Call(ctx context.Context, id string, method uint16, body []byte) ([]byte, error) {
	up, err := p.connect(ctx, linkName{id, ALPNPeer})
	if err != nil {
		return nil, fmt.Errorf("call peer %s: %w", id, err)
	}
	b, err := up.frames.Call(ctx, method, body)
	if err != nil {
		return nil, fmt.Errorf("call peer %s: %w", id, err)
	}
	return b, nil
}
