package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// RaftConn is a QUIC stream as the connection that Raft's network transport
// expects. The peer at its other end proved its key.
type RaftConn struct {
	stream *quic.Stream
	qc     *quic.Conn
	peer   string
	finish func()
	// writing is held while Write is at work, because a stream must not be
	// closed under it.
	writing sync.Mutex
}

var _ net.Conn = (*RaftConn)(nil)

func newRaftConn(stream *quic.Stream, qc *quic.Conn, peer string) *RaftConn {
	c := &RaftConn{stream: stream, qc: qc, peer: peer}
	c.finish = sync.OnceFunc(func() {
		// Close ends only our direction. Without CancelRead the stream stays
		// until the other end closes too, and it may never.
		stream.CancelRead(0)
		_ = stream.SetWriteDeadline(time.Now()) // ends a Write at work
		c.writing.Lock()
		defer c.writing.Unlock()
		_ = stream.Close() // fails only when the other end has closed before
	})
	return c
}

// PeerID is the roster's id of the peer at the other end.
func (c *RaftConn) PeerID() string { return c.peer }

// Read reads what the peer wrote.
func (c *RaftConn) Read(b []byte) (int, error) { return c.stream.Read(b) }

// Write writes to the peer.
func (c *RaftConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.stream.Write(b)
}

// Close ends both directions; a second one does nothing.
func (c *RaftConn) Close() error {
	c.finish()
	return nil
}

// LocalAddr is the address of our socket.
func (c *RaftConn) LocalAddr() net.Addr { return c.qc.LocalAddr() }

// RemoteAddr is the address of the peer's.
func (c *RaftConn) RemoteAddr() net.Addr { return c.qc.RemoteAddr() }

// SetDeadline bounds reads and writes.
func (c *RaftConn) SetDeadline(t time.Time) error { return c.stream.SetDeadline(t) }

// SetReadDeadline bounds reads.
func (c *RaftConn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

// SetWriteDeadline bounds writes.
func (c *RaftConn) SetWriteDeadline(t time.Time) error { return c.stream.SetWriteDeadline(t) }

// RaftListener accepts the streams that peers open for Raft. Its connections
// are of type *[RaftConn].
type RaftListener struct {
	addr     net.Addr
	incoming chan *RaftConn
	done     chan struct{}
	finish   func()
}

var _ net.Listener = (*RaftListener)(nil)

func newRaftListener(addr net.Addr) *RaftListener {
	l := &RaftListener{addr: addr, incoming: make(chan *RaftConn, raftBacklog), done: make(chan struct{})}
	l.finish = sync.OnceFunc(func() { close(l.done) })
	return l
}

// offer gives a stream to who accepts, waiting for a place; false if nobody will.
func (l *RaftListener) offer(ctx context.Context, conn *RaftConn) bool {
	select {
	case <-l.done: // before the choice below could miss it
		return false
	default:
	}
	select {
	case l.incoming <- conn:
		return true
	case <-l.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// Accept waits for the next stream. After Close, or when [Peers.Run] has ended,
// it fails with [net.ErrClosed].
func (l *RaftListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.done:
		return nil, fmt.Errorf("accept a stream for Raft: %w", net.ErrClosed)
	}
}

// Close ends Accept. The streams already accepted live on.
func (l *RaftListener) Close() error {
	l.finish()
	return nil
}

// Addr is where the node listens for peers.
func (l *RaftListener) Addr() net.Addr { return l.addr }

// RaftListener returns the listener for Raft's streams; there is one.
func (p *Peers) RaftListener() *RaftListener { return p.raft }

// DialRaft opens a stream to a peer's Raft, on the connection that is kept for
// it. The other end sees it with the first byte written. Errors: as of
// [Peers.Call].
func (p *Peers) DialRaft(id string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	up, err := p.connect(ctx, linkName{id, ALPNRaft})
	if err != nil {
		return nil, fmt.Errorf("open a stream to the Raft of %s: %w", id, err)
	}
	stream, err := up.qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a stream to the Raft of %s: %w", id, ended(err))
	}
	return newRaftConn(stream, up.qc, id), nil
}
