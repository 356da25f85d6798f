package transport

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	// A failed dial is not repeated before backoffFirst has passed, and then
	// after twice as long each time, up to backoffLast: a peer that comes back
	// is found within it.
	backoffFirst = 100 * time.Millisecond
	backoffLast  = 2 * time.Second
	// settled is how long a connection must live for its end not to count as a
	// failed dial: a peer that does not admit us ends it at once.
	settled = time.Second
)

// linkName says which connection of a peer: there is one for each protocol.
type linkName struct{ id, alpn string }

// established is a connection that we dialed.
type established struct {
	qc     *quic.Conn
	frames *Conn // on ALPNPeer, else nil
	key    SPKI
	since  time.Time
}

// close ends it with everything on it.
func (e *established) close() {
	if e.frames != nil {
		_ = e.frames.Close()
		return
	}
	_ = e.qc.CloseWithError(CloseDone, "")
}

// end says why it has ended; nil while it lives.
func (e *established) end() error {
	if e.frames != nil {
		if e.qc.Context().Err() != nil {
			<-e.frames.Done() // its reader is about to say why
		}
		return e.frames.Err()
	}
	if e.qc.Context().Err() != nil {
		return ended(context.Cause(e.qc.Context()))
	}
	return nil
}

// link keeps one connection to a peer, and remembers how dialing went.
type link struct {
	mu      sync.Mutex
	up      *established  // guarded by mu; may have ended
	dialing chan struct{} // guarded by mu; closed when the dial in progress is over, nil if none is
	err     error         // guarded by mu; why the last attempt failed
	wait    time.Duration // guarded by mu; doubles with each failure, until a connection settles
	notTill time.Time     // guarded by mu; no dial before it
}

// failed notes a failure. l.mu is held.
func (l *link) failed(err error, now time.Time) {
	l.err = err
	l.wait = min(max(2*l.wait, backoffFirst), backoffLast)
	l.notTill = now.Add(l.wait)
}

// close ends the link's connection.
func (l *link) close() {
	l.mu.Lock()
	up := l.up
	l.up = nil
	l.mu.Unlock()
	if up != nil {
		up.close()
	}
}

// connect returns the connection of that name, dialing if there is none.
func (p *Peers) connect(ctx context.Context, name linkName) (*established, error) {
	for {
		addr, key, ok := p.conf.Lookup(name.id)
		if !ok {
			p.drop(name.id)
			return nil, ErrUnknownPeer
		}
		l := p.link(name)
		if l == nil {
			return nil, fmt.Errorf("%w: the node stops", ErrClosed)
		}
		up, dialed, err := p.attempt(l, name.alpn, addr, key)
		if up != nil || err != nil {
			return up, err
		}
		select {
		case <-dialed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: still dialing %s: %w", ErrUnreachable, addr, ctx.Err())
		}
	}
}

// attempt returns the link's connection, or the dial to wait for, or the error
// with which to refuse at once.
func (p *Peers) attempt(l *link, alpn, addr string, key SPKI) (*established, <-chan struct{}, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if up := l.up; up != nil {
		end := up.end()
		if end == nil && up.key == key {
			return up, nil, nil
		}
		l.up = nil
		p.background(up.close)
		switch {
		case now.Sub(up.since) >= settled:
			l.wait = 0
		case end != nil:
			l.failed(end, now)
		}
	}
	if l.dialing != nil {
		return nil, l.dialing, nil
	}
	if now.Before(l.notTill) {
		return nil, nil, l.err
	}
	over := make(chan struct{})
	dial := func() {
		up, err := p.dial(alpn, addr, key)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.up, l.dialing = up, nil
		if err != nil {
			l.failed(err, time.Now())
		}
		close(over)
	}
	if !p.background(dial) {
		return nil, nil, fmt.Errorf("%w: the node stops", ErrClosed)
	}
	l.dialing = over
	return nil, over, nil
}

// dial makes a connection. It does not depend on the patience of a caller: the
// next one may wait longer.
func (p *Peers) dial(alpn, addr string, key SPKI) (*established, error) {
	ctx, cancel := context.WithTimeout(p.ctx, handshakeWait)
	defer cancel()
	qc, err := dialQUIC(ctx, p.tr, DialConfig{
		Certificate: p.conf.Certificate,
		ServerKey:   key,
		ALPN:        alpn,
		Addr:        addr,
		KeepAlive:   PeerKeepAlive,
		Limits:      p.conf.Limits,
	})
	if err != nil {
		return nil, err
	}
	up := &established{qc: qc, key: key, since: time.Now()}
	if alpn == ALPNPeer {
		if up.frames, err = newConn(ctx, qc, p.conf.Limits, 0); err != nil {
			return nil, err
		}
	}
	return up, nil
}

// link returns the link of that name, or nil when the node stops.
func (p *Peers) link(name linkName) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil {
		return nil
	}
	l := p.links[name]
	if l == nil {
		l = new(link)
		p.links[name] = l
	}
	return l
}

// drop forgets a peer that the roster does not have any more.
func (p *Peers) drop(id string) {
	for _, name := range []linkName{{id, ALPNPeer}, {id, ALPNRaft}} {
		p.mu.Lock()
		l := p.links[name]
		delete(p.links, name)
		p.mu.Unlock()
		if l != nil {
			l.close()
		}
	}
}

// background runs f, which Run waits for, unless the node stops.
func (p *Peers) background(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil {
		return false
	}
	p.quiet.Go(f)
	return true
}
