package transport

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/internal/tag"
)

// Caller is who is at the other end of a connection, as TLS proved it. There is
// one per connection; nobody writes to it after Admit.
type Caller struct {
	Chain  []*x509.Certificate // as shown, leaf first, never empty; only the leaf's key is proven
	SPKI   SPKI                // of the leaf
	Remote net.Addr
	PeerID string // the roster's id, on a connection of [Peers]; else empty

	// Identity is for Admit, to keep what it learned for the handler. This
	// package does not look at it.
	Identity any
	// Few is for Admit to set, for callers of whom there are few keys: all the others
	// together cannot keep them out or waiting. What bounds them is what one key, and
	// one connection, may have.
	Few bool

	admitted time.Time
	last     atomic.Int64 // when it last sent a frame, Unix nanoseconds; 0 before the first
	busy     atomic.Int64 // its requests at work
	evict    func()       // ends an idle connection; nil for one that is never ended so
}

// spoke notes that the caller was heard from.
func (c *Caller) spoke(now time.Time) { c.last.Store(now.UnixNano()) }

// silence is how much longer than it may the caller has been silent; 0 or less if
// it has not.
func (c *Caller) silence(now time.Time) time.Duration {
	if last := c.last.Load(); last != 0 {
		return now.Sub(time.Unix(0, last)) - quietBefore
	}
	return now.Sub(c.admitted) - unusedBefore
}

// callerOf reads who is at the other end of a connection whose handshake is
// complete.
func callerOf(qc *quic.Conn) *Caller {
	chain := qc.ConnectionState().TLS.PeerCertificates
	return &Caller{Chain: chain, SPKI: spkiOf(chain[0]), Remote: qc.RemoteAddr()}
}

// errHalfOpen refuses an attempt while too many are unfinished.
var errHalfOpen = errors.New("too many handshakes in progress")

// halfOpen counts the handshakes in progress on one socket: the state that
// somebody without any certificate can make us hold.
type halfOpen struct {
	n      atomic.Int64
	limits Limits

	claimed, proven arrivals // by the address on their packets, and by one that was proven

	mu   sync.Mutex
	from map[netip.Prefix]int // those of proven addresses; guarded by mu; no zeros
}

// suspicious is the transport's VerifySourceAddress: whether an address must first
// prove that it receives what we send there.
func (h *halfOpen) suspicious(from net.Addr) bool {
	if h.n.Load() >= int64(h.limits.RetryAbove) {
		return true
	}
	source, ok := sourceOf(from)
	return ok && !h.claimed.count(time.Now(), source, h.limits.HandshakesPerSource/2)
}

// enter counts a handshake of an address that is proven, or says that it has too many.
// What anybody can write on a packet uses up nothing that is another's.
func (h *halfOpen) enter(source netip.Prefix) bool {
	if !h.proven.count(time.Now(), source, h.limits.HandshakesPerSource) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from[source] >= h.limits.HalfOpenPerSource {
		return false
	}
	if h.from == nil {
		h.from = map[netip.Prefix]int{}
	}
	h.from[source]++
	return true
}

func (h *halfOpen) leave(source netip.Prefix) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from[source]--; h.from[source] == 0 {
		delete(h.from, source)
	}
}

// handshake is one of them.
type handshake struct {
	finish func()
}

type handshakeKey struct{}

// begin is the transport's ConnContext. The context it is given ends with the
// connection or with its failed handshake.
func (h *halfOpen) begin(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if h.n.Add(1) > int64(h.limits.HalfOpen) {
		h.n.Add(-1)
		return nil, errHalfOpen
	}
	var source netip.Prefix
	proven := info != nil && info.AddrVerified
	if proven {
		source, proven = sourceOf(info.RemoteAddr)
	}
	if proven && !h.enter(source) {
		h.n.Add(-1)
		return nil, errHalfOpen
	}
	hs := &handshake{finish: sync.OnceFunc(func() {
		h.n.Add(-1)
		if proven {
			h.leave(source)
		}
	})}
	context.AfterFunc(ctx, hs.finish)
	return context.WithValue(ctx, handshakeKey{}, hs), nil
}

// finish marks the handshake of qc as done.
func (h *halfOpen) finish(qc *quic.Conn) {
	if hs, ok := qc.Context().Value(handshakeKey{}).(*handshake); ok {
		hs.finish()
	}
}

// How long a connection must have been silent to make room for a new one of the
// same key: what a killed program left behind, which nobody closed. One that never
// sent a frame is a dial that was given up, most likely.
const (
	quietBefore  = 3 * time.Second
	unusedBefore = 200 * time.Millisecond
)

// slots counts admitted connections.
type slots struct {
	limits Limits

	mu    sync.Mutex
	total int                // guarded by mu
	byKey map[SPKI][]*Caller // guarded by mu; no empty lists
}

// take takes a slot for a caller, or says which limit forbids it. When its key
// has all that a key may have, the one that was silent longest makes room: a
// client that is killed and started again must not wait for idle timeouts.
func (s *slots) take(c *Caller) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.limits.Connections && !c.Few {
		return fmt.Errorf("%d connections are open, no more are taken", s.total)
	}
	c.admitted = time.Now()
	if n := len(s.byKey[c.SPKI]); n >= s.limits.ConnectionsPerKey && !s.makeRoom(c.SPKI) {
		return fmt.Errorf("%d connections of this certificate's key are open and in use, no more are taken", n)
	}
	if s.byKey == nil {
		s.byKey = make(map[SPKI][]*Caller)
	}
	s.total++
	s.byKey[c.SPKI] = append(s.byKey[c.SPKI], c)
	return nil
}

// makeRoom ends the connection of key that was silent longest, if one was silent
// long enough and may be ended.
func (s *slots) makeRoom(key SPKI) bool {
	var quietest *Caller
	var longest time.Duration // over what it may be silent
	for _, c := range s.byKey[key] {
		if c.evict == nil || c.busy.Load() > 0 {
			continue
		}
		if over := c.silence(time.Now()); over > longest {
			quietest, longest = c, over
		}
	}
	if quietest == nil {
		return false
	}
	s.remove(quietest)
	quietest.evict()
	return true
}

// give gives a caller's slot back, once.
func (s *slots) give(c *Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c)
}

func (s *slots) remove(c *Caller) {
	i := slices.Index(s.byKey[c.SPKI], c)
	if i < 0 {
		return
	}
	s.total--
	s.byKey[c.SPKI] = slices.Delete(s.byKey[c.SPKI], i, i+1)
	if len(s.byKey[c.SPKI]) == 0 {
		delete(s.byKey, c.SPKI)
	}
}

// notAdmitted is all that a stranger hears when there is no better sentence.
const notAdmitted = "this certificate is not accepted here"

// admissionReason is what may be told about a refused admission: the sentence of
// a [Refusal], or what is wrong with the certificate itself, which its holder
// can see anyway.
func admissionReason(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Sentence
	}
	for _, known := range []error{ErrUnknownCA, ErrExpired, ErrNoClientAuth, ErrNoURI} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return notAdmitted
}

// resetKey is the key of stateless resets (RFC 9000, section 10.3). A node that
// restarts has the same one, so that peers with a connection to its former life
// hear at once that it is gone, and do not wait for an idle timeout.
func resetKey(cert tls.Certificate) (*quic.StatelessResetKey, error) {
	signer, ok := cert.PrivateKey.(interface{ Bytes() ([]byte, error) })
	if !ok {
		return nil, nil // a key that stays in its device: peers wait
	}
	secret, err := signer.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive the stateless reset key: %w", err)
	}
	defer clear(secret)
	key, err := hkdf.Key(sha256.New, secret, nil, string(tag.StatelessReset), len(quic.StatelessResetKey{}))
	if err != nil {
		return nil, fmt.Errorf("derive the stateless reset key: %w", err)
	}
	return (*quic.StatelessResetKey)(key), nil
}

// idLength is how long the connection ids are that callers put on their packets:
// the most that QUIC allows. A packet is answered with a stateless reset only if
// it is longer than the reset (RFC 9000, section 10.3.3), which quic-go makes 42
// bytes long. With its 4 bytes a small request has 37, so that a caller would hear
// nothing of a node that was killed and came back, until the idle timeout.
const idLength = 20

// newTransport takes conn over for one QUIC transport that listens.
func newTransport(conn net.PacketConn, cert tls.Certificate, h *halfOpen) (*quic.Transport, error) {
	key, err := resetKey(cert)
	if err != nil {
		return nil, err
	}
	return &quic.Transport{
		Conn:                conn,
		StatelessResetKey:   key,
		ConnectionIDLength:  idLength,
		ConnContext:         h.begin,
		VerifySourceAddress: h.suspicious,
	}, nil
}
