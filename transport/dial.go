package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// DialConfig is what [Dial] needs.
type DialConfig struct {
	// Transport is a socket shared by several connections; nil makes one that
	// lives as long as the connection.
	Transport *quic.Transport
	// Certificate says who calls.
	Certificate tls.Certificate
	// ServerKey is the only key that the server may prove.
	ServerKey SPKI
	// ALPN names the protocol, as in [ServerConfig].
	ALPN string
	// Addr is host:port.
	Addr string
	// Timeout bounds the handshake; 0 means 3 s.
	Timeout time.Duration
	// KeepAlive is how often a silent connection shows that it lives; 0 means
	// [ClientKeepAlive].
	KeepAlive time.Duration
	// Silence is how long nothing may come from the server after a request was
	// sent, which it acknowledges however slow the answer: then the connection
	// ends. 0 leaves that to Limits.Idle.
	Silence time.Duration
	// Limits: MaxRequest, MaxAnswer, InFlight and Idle are those of this end,
	// and should be the server's; may be zero.
	Limits Limits
}

func (c *DialConfig) validate() error {
	switch {
	case len(c.Certificate.Certificate) == 0:
		return errors.New("a caller needs a certificate")
	case c.ServerKey == SPKI{}:
		return errors.New("a caller needs the server's key")
	case c.ALPN == "":
		return errors.New("a caller needs the name of the protocol")
	case c.Addr == "":
		return errors.New("a caller needs an address")
	}
	return nil
}

// Dial connects to a server. It fails with [ErrPinned] if the server proves
// another key, and with [ErrUnreachable] in all other cases but one: a server that does
// not admit the caller says so to the first call, or here with a *[Refusal].
func Dial(ctx context.Context, conf DialConfig) (*Conn, error) {
	if err := conf.validate(); err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	conf.Limits = conf.Limits.or(DefaultLimits())
	if conf.KeepAlive == 0 {
		conf.KeepAlive = ClientKeepAlive
	}
	tr, after := conf.Transport, func() {}
	if tr == nil {
		socket, err := net.ListenUDP("udp", nil)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w: %w", conf.Addr, ErrUnreachable, err)
		}
		tr = &quic.Transport{Conn: socket}
		after = sync.OnceFunc(func() {
			_ = tr.Close()
			_ = socket.Close()
		})
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout(conf.Timeout))
	defer cancel()
	qc, err := dialQUIC(ctx, tr, conf)
	if err != nil {
		after()
		return nil, err
	}
	c, err := newConn(ctx, qc, conf.Limits, conf.Silence)
	if err != nil {
		after()
		return nil, fmt.Errorf("dial %s: %w", conf.Addr, err)
	}
	c.after = after
	return c, nil
}

func handshakeTimeout(asked time.Duration) time.Duration {
	if asked == 0 {
		return handshakeWait
	}
	return asked
}

// dialQUIC connects, with the errors of [Dial].
func dialQUIC(ctx context.Context, tr *quic.Transport, conf DialConfig) (*quic.Conn, error) {
	addr, err := resolve(ctx, conf.Addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w: %w", conf.Addr, ErrUnreachable, err)
	}
	qc, err := tr.Dial(ctx, addr, clientTLS(conf.Certificate, conf.ServerKey, conf.ALPN), &quic.Config{
		HandshakeIdleTimeout:  handshakeTimeout(conf.Timeout),
		MaxIdleTimeout:        conf.Limits.Idle,
		KeepAlivePeriod:       conf.KeepAlive,
		MaxIncomingStreams:    -1,
		MaxIncomingUniStreams: -1,
	})
	var refused *Refusal
	switch {
	case err != nil && errors.As(ended(err), &refused): // it came before the handshake was over here
		return nil, fmt.Errorf("dial %s: %w", conf.Addr, refused)
	case refusedAtOnce(err):
		return nil, fmt.Errorf("dial %s: %w: %w", conf.Addr, ErrUnreachable, ErrBusy)
	case errors.Is(err, ErrPinned):
		return nil, fmt.Errorf("dial %s: %w", conf.Addr, err)
	case err != nil:
		return nil, fmt.Errorf("dial %s: %w: %w", conf.Addr, ErrUnreachable, err)
	}
	traffic.watch(qc)
	return qc, nil
}

// refusedAtOnce tells whether the server took no handshake.
func refusedAtOnce(err error) bool {
	var e *quic.TransportError
	return errors.As(err, &e) && e.Remote && e.ErrorCode == quic.ConnectionRefused
}

// resolve finds the UDP address that host:port means. Of several it takes an
// IPv4 one, which every socket of ours can reach.
func resolve(ctx context.Context, hostport string) (net.Addr, error) {
	if ap, err := netip.ParseAddrPort(hostport); err == nil {
		return net.UDPAddrFromAddrPort(ap), nil
	}
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	at := max(0, slices.IndexFunc(found, func(a netip.Addr) bool { return a.Unmap().Is4() }))
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(found[at].Unmap(), uint16(port))), nil
}
