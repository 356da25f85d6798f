package warifutest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

// directWait bounds one question to one node.
const directWait = 3 * time.Second

// Direct asks single nodes and shows their answers as they are, which a client
// that combines does not.
type Direct struct {
	cert tls.Certificate
	open client.OpenSocket // nil means UDP
	g    *authority.VerifiedGenesis

	mu    sync.Mutex
	lines map[string]*line // by node; guarded by mu
}

// line is the connection with one node. Who waits for it waits on a channel: in the
// bubble time passes meanwhile, and whoever has it may be dialling.
type line struct {
	held chan struct{}   // of room 1
	conn *transport.Conn // guarded by held; nil until the first question
	quit func()          // guarded by held
}

func (l *line) lock()   { l.held <- struct{}{} }
func (l *line) unlock() { <-l.held }

// NewDirect makes one that shows a certificate. It is closed by its Close.
func NewDirect(g *authority.VerifiedGenesis, cert tls.Certificate, open client.OpenSocket) *Direct {
	d := &Direct{cert: cert, open: open, g: g, lines: map[string]*line{}}
	for _, n := range g.Roster {
		d.lines[n.ID] = &line{held: make(chan struct{}, 1)}
	}
	return d
}

// Close ends the connections.
func (d *Direct) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		l.lock()
		l.drop()
		l.unlock()
	}
}

func (l *line) drop() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.quit()
		l.conn = nil
	}
}

// Unwrap asks a node for its partial of an envelope with an empty context. The
// answer is there also when the error is the node's refusal.
func (d *Direct) Unwrap(ctx context.Context, node string, envelope []byte, reason string) (*api.UnwrapAnswer, error) {
	q := api.UnwrapRequest{Reason: reason, Items: []api.UnwrapItem{{Envelope: envelope}}}
	rand.Read(q.RequestID[:])
	b, err := d.Call(ctx, node, api.MethodUnwrap, wire.Encode(q))
	if err != nil {
		return nil, err
	}
	var a api.UnwrapAnswer
	if err := wire.Decode(b, &a); err != nil {
		return nil, err
	}
	if len(a.Items) != 1 {
		return nil, fmt.Errorf("%d answers for one item", len(a.Items))
	}
	if a.Items[0].Refusal != nil {
		return &a, a.Items[0].Refusal
	}
	return &a, nil
}

// Submit hands an entry to one node.
func (d *Direct) Submit(ctx context.Context, node string, entry []byte) (api.SubmitAnswer, error) {
	var a api.SubmitAnswer
	b, err := d.Call(ctx, node, api.MethodSubmit, wire.Encode(api.SubmitRequest{Entry: entry}))
	if err == nil {
		err = wire.Decode(b, &a)
	}
	return a, err
}

// Call sends a node a request of any method, and returns its answer.
func (d *Direct) Call(ctx context.Context, node string, method uint16, body []byte) ([]byte, error) {
	d.mu.Lock()
	l := d.lines[node]
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, directWait)
	defer cancel()
	conn, err := d.connect(ctx, l, node)
	if err != nil {
		return nil, err
	}
	return conn.Call(ctx, method, body)
}

func (d *Direct) connect(ctx context.Context, l *line, node string) (*transport.Conn, error) {
	l.lock()
	defer l.unlock()
	if l.conn != nil && l.conn.Err() == nil {
		return l.conn, nil
	}
	l.drop()
	n := d.g.NodeByID(node)
	key, err := authority.ParsePublicKey(n.Key)
	if err != nil {
		return nil, err
	}
	spki, err := transport.SPKIOf(key)
	if err != nil {
		return nil, err
	}
	conf := transport.DialConfig{
		Certificate: d.cert, ServerKey: spki, ALPN: api.ClientProtocol, Addr: n.Claim.Client, Timeout: time.Second,
	}
	quit := func() {}
	if d.open != nil {
		var socket net.PacketConn
		if socket, conf.Addr, err = d.open(ctx, n.Claim.Client); err != nil {
			return nil, err
		}
		conf.Transport = &quic.Transport{Conn: socket}
		quit = func() { _ = errors.Join(conf.Transport.Close(), socket.Close()) }
	}
	conn, err := transport.Dial(ctx, conf)
	if err != nil {
		quit()
		return nil, err
	}
	l.conn, l.quit = conn, quit
	return conn, nil
}
