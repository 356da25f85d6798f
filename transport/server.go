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

// ServerConfig is what a [Server] needs.
type ServerConfig struct {
	// Conn is a UDP socket of the server's own. [Server.Serve] closes it.
	Conn net.PacketConn
	// Certificate is the node's, see [SelfSigned]. Callers pin its key.
	Certificate tls.Certificate
	// ALPN names the protocol, for example "warifu-client/1".
	ALPN string
	// Admit refuses callers that cannot be anyone here, with an error. It is
	// asked once for each connection, right after the handshake, at which a
	// client already believes to be connected: the refusal reaches it as the
	// answer to its first call. The words are those of a *[Refusal], or of the
	// errors of [VerifyClientChain]; any other error is only logged.
	Admit func(*Caller) error
	// Handler answers the frames.
	Handler Handler
	// Limits bounds what callers can make the server hold; may be zero.
	Limits Limits
	// Log may be nil.
	Log *slog.Logger
}

func (c *ServerConfig) validate() error {
	switch {
	case c.Conn == nil:
		return errors.New("a server needs a socket")
	case len(c.Certificate.Certificate) == 0:
		return errors.New("a server needs a certificate")
	case c.ALPN == "":
		return errors.New("a server needs the name of its protocol")
	case c.Admit == nil || c.Handler == nil:
		return errors.New("a server needs Admit and Handler")
	}
	return nil
}

// Server answers calls on a UDP socket. Its methods are safe for concurrent use.
type Server struct {
	conf    ServerConfig
	tr      *quic.Transport
	ln      *quic.Listener
	opening *halfOpen
	slots   *slots
	away    *turnedAway
	service *service
}

// Listen makes a server of a socket. Handshakes begin at once, calls are
// answered by [Server.Serve], which must be called (with a context that has
// ended, if only to close the socket).
func Listen(conf ServerConfig) (*Server, error) {
	if err := conf.validate(); err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	conf.Limits = conf.Limits.or(DefaultLimits())
	opening := &halfOpen{limits: conf.Limits}
	tr, err := newTransport(conf.Conn, conf.Certificate, opening)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	ln, err := tr.Listen(serverTLS(conf.Certificate, conf.ALPN), &quic.Config{
		HandshakeIdleTimeout: handshakeWait,
		MaxIdleTimeout:       conf.Limits.Idle,
		// Two of the largest requests may be on their way on a connection.
		InitialStreamReceiveWindow:     uint64(min(conf.Limits.MaxRequest, 512<<10)),
		MaxStreamReceiveWindow:         uint64(2 * conf.Limits.MaxRequest),
		InitialConnectionReceiveWindow: uint64(min(conf.Limits.MaxRequest, 512<<10)),
		MaxConnectionReceiveWindow:     uint64(2 * conf.Limits.MaxRequest),
		MaxIncomingStreams:             1,
		MaxIncomingUniStreams:          -1,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for clients at %s: %w", conf.Conn.LocalAddr(), err)
	}
	admitted := func(*Caller) error { return nil } // the handler asks for itself, on every request
	return &Server{
		conf:    conf,
		tr:      tr,
		ln:      ln,
		opening: opening,
		slots:   &slots{limits: conf.Limits},
		away:    &turnedAway{log: conf.Log},
		service: newService(conf.Handler, conf.Limits, conf.Log, admitted),
	}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.conf.Conn.LocalAddr() }

// Serve answers until ctx ends, which is no error, or the socket fails. It
// returns when all is quiet and the socket is closed.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	var err error
	for {
		var qc *quic.Conn
		if qc, err = s.ln.Accept(ctx); err != nil {
			break
		}
		s.opening.finish(qc)
		callers.Go(func() { s.welcome(ctx, qc) })
	}
	stopped := ctx.Err() != nil
	cancel()
	callers.Wait()
	s.service.close()
	_ = s.ln.Close()
	_ = s.tr.Close()
	_ = s.conf.Conn.Close()
	if stopped {
		return nil
	}
	return fmt.Errorf("listen for clients at %s: %w", s.Addr(), err)
}

// welcome admits one caller and answers it.
func (s *Server) welcome(ctx context.Context, qc *quic.Conn) {
	traffic.watch(qc)
	caller := callerOf(qc)
	if err := s.conf.Admit(caller); err != nil {
		s.away.note(time.Now(), "a caller is not admitted", caller, err)
		_ = qc.CloseWithError(AdmissionRefused, closeReason(admissionReason(err)))
		return
	}
	caller.evict = func() { _ = qc.CloseWithError(CloseDone, "a new connection of the same key took this one's place") }
	if err := s.slots.take(caller); err != nil {
		s.away.note(time.Now(), "a caller is turned away", caller, err)
		_ = qc.CloseWithError(CloseOverloaded, closeReason(err.Error()))
		return
	}
	defer s.slots.give(caller)
	s.service.serve(ctx, qc, caller)
}
