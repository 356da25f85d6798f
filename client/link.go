package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/transport"
)

const (
	// dialTimeout ends a dial to a node that stays silent: with it, an answer
	// about a quorum is there well within five seconds.
	dialTimeout = 2 * time.Second
	// silence ends a connection on which a node stays as silent. What waits on it
	// is asked again on a new one: of the client's patience, enough is left.
	silence = dialTimeout
	// redialAfter keeps calls from dialling a node again that has just failed.
	redialAfter = time.Second
)

// link is the way to one node: its address, one long-lived connection, redialled
// when it has ended, and what was measured on it.
type link struct {
	client *Client
	node   authority.Node
	spki   transport.SPKI

	mu       sync.Mutex
	claim    authority.AddressClaim // guarded by mu; the newest that verified
	open     *opened                // guarded by mu; nil until the first dial succeeds
	dial     *dialling              // guarded by mu; nil when no dial is under way
	failure  error                  // guarded by mu; of the last dial or connection
	failed   time.Time              // guarded by mu; when that was
	rtt      time.Duration          // guarded by mu; moving average, 0 until measured
	dev      time.Duration          // guarded by mu; mean deviation from it
	distrust bool                   // guarded by mu; gave a false partial
	late     bool                   // guarded by mu; was asked and was late, and has answered nothing since
	lateAt   time.Time              // guarded by mu; when that was
	troubles int                    // guarded by mu; how often it was late or not there since it was last in time
	lookAt   time.Time              // guarded by mu; when it is looked at, if nothing is heard until then
	looks    int                    // guarded by mu; how often it was since a request heard of it
	looking  bool                   // guarded by mu
}

// opened is a connection with the socket below it.
type opened struct {
	conn *transport.Conn
	quic *quic.Transport
	sock net.PacketConn
}

func (o *opened) close() {
	_ = o.conn.Close()
	_ = o.quic.Close()
	_ = o.sock.Close()
}

// dialling is a dial that several callers wait for.
type dialling struct {
	done chan struct{} // closed when conn and err are set
	conn *transport.Conn
	err  error
}

func newLink(c *Client, n authority.Node) (*link, error) {
	key, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n.ID, err)
	}
	spki, err := transport.SPKIOf(key)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n.ID, err)
	}
	return &link{client: c, node: n, spki: spki, claim: n.Claim}, nil
}

// connect returns the connection, old or new. fresh says that it was made for
// this call.
func (l *link) connect(ctx context.Context) (conn *transport.Conn, fresh bool, err error) {
	l.mu.Lock()
	if l.open != nil && l.open.conn.Err() == nil {
		defer l.mu.Unlock()
		return l.open.conn, false, nil
	}
	if l.dial == nil {
		if l.failure != nil && time.Since(l.failed) < redialAfter {
			defer l.mu.Unlock()
			return nil, false, l.failure
		}
		d := &dialling{done: make(chan struct{})}
		if !l.client.goes(func() { l.redial(d) }) {
			l.mu.Unlock()
			return nil, false, ErrClosed
		}
		l.dial = d
	}
	d := l.dial
	l.mu.Unlock()
	select {
	case <-d.done:
		return d.conn, true, d.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// redial makes a new connection in the place of the old one.
func (l *link) redial(d *dialling) {
	l.mu.Lock()
	old, addr := l.open, l.claim.Client
	l.open = nil
	l.mu.Unlock()
	if old != nil {
		old.close()
	}
	ctx, cancel := context.WithTimeout(l.client.ctx, dialTimeout)
	defer cancel()
	began := time.Now()
	o, err := l.client.open(ctx, addr, l.spki)
	if err != nil {
		l.mu.Lock()
		l.failure, l.failed = err, time.Now() // so that nobody who looks for another node asks this one
		l.mu.Unlock()
		if now := l.client.sought(l, addr); now != addr {
			ctx, cancel := context.WithTimeout(l.client.ctx, dialTimeout)
			defer cancel()
			began = time.Now()
			o, err = l.client.open(ctx, now, l.spki)
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.dial = nil
	if err != nil {
		l.failing(err)
		d.err = err
	} else {
		l.failure, l.open = nil, o
		d.conn = o.conn
		if l.rtt == 0 {
			l.rtt = time.Since(began) // an estimate until a call is measured
			l.dev = l.rtt / 2
		}
	}
	close(d.done)
}

// open dials one address, where only the pinned key may answer.
func (c *Client) open(ctx context.Context, addr string, pin transport.SPKI) (*opened, error) {
	sock, remote, err := c.conf.Dial(ctx, addr)
	if err != nil {
		return nil, &unreached{addr, err}
	}
	tr := &quic.Transport{Conn: sock}
	conn, err := transport.Dial(ctx, transport.DialConfig{
		Transport:   tr,
		Certificate: c.conf.Certificate,
		ServerKey:   pin,
		ALPN:        api.ClientProtocol,
		Addr:        remote,
		Timeout:     dialTimeout,
		Silence:     silence,
	})
	if err != nil {
		_ = tr.Close()
		_ = sock.Close()
		return nil, &unreached{addr, err}
	}
	return &opened{conn: conn, quic: tr, sock: sock}, nil
}

// call asks the node. A connection that turns out to have died since it was last
// used is replaced once: every request of the client may be repeated.
func (l *link) call(ctx context.Context, method uint16, body []byte) ([]byte, error) {
	return l.repeat(ctx, method, body, func() {})
}

// repeat is call; it says so when it asks once more.
func (l *link) repeat(ctx context.Context, method uint16, body []byte, again func()) ([]byte, error) {
	for {
		conn, fresh, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		answer, err := conn.Call(ctx, method, body)
		err = l.heard(began, len(body), err)
		switch {
		case errors.Is(err, transport.ErrClosed) && !fresh:
			again()
			continue
		case errors.Is(err, transport.ErrClosed):
			err = l.fail(err)
		}
		return answer, err
	}
}

// begin asks the node and waits for nothing, if it is connected and there is room on the
// connection: see [transport.Conn.Begin]. then is told what call would return, but that the
// connection turns out to have died, which is [transport.ErrClosed].
func (l *link) begin(method uint16, body []byte, left time.Duration, then func([]byte, error)) (transport.Begun, bool) {
	l.mu.Lock()
	o := l.open
	l.mu.Unlock()
	if o == nil {
		return transport.Begun{}, false
	}
	began := time.Now()
	return o.conn.Begin(method, body, left, func(answer []byte, err error) {
		then(answer, l.heard(began, len(body), err))
	})
}

// heard learns from how long an answer took, if there is one, and returns its error.
func (l *link) heard(began time.Time, size int, err error) error {
	if err == nil {
		l.measured(time.Since(began), size)
		return nil
	}
	var refused *transport.Refusal
	if errors.As(err, &refused) {
		l.measured(time.Since(began), size)
		return refusalOf(err)
	}
	return err
}

// fail notes that the node could not be talked to, and returns the error with where that was.
func (l *link) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = &unreached{l.claim.Client, err}
	l.failing(err)
	return err
}

// failing is fail, where mu is held.
func (l *link) failing(err error) {
	now := time.Now()
	l.failure, l.failed = err, now
	l.trouble(now)
}

// address is where the node is, by its newest claim.
func (l *link) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claim.Client
}

// markFalse makes this client ask the node after all others from now on.
func (l *link) markFalse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.distrust = true
}

// close ends the connection for good.
func (l *link) close() {
	l.mu.Lock()
	o := l.open
	l.open = nil
	l.mu.Unlock()
	if o != nil {
		o.close()
	}
}
