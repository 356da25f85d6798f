package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/internal/wire"
)

const testALPN = "warifu-test/1"

// What the handler of these tests does.
const (
	methodEcho   uint16 = iota
	methodSleep         // for as many milliseconds as the body says, as 4 bytes
	methodRefuse        // with every field of a refusal
	methodFail          // with an error that must not cross
	methodWait          // for the end of the context
	methodLong          // answers as many bytes as the body says
)

type handlerFunc func(ctx context.Context, c *Caller, method uint16, body []byte) ([]byte, error)

func (f handlerFunc) Serve(ctx context.Context, c *Caller, method uint16, body []byte) ([]byte, error) {
	return f(ctx, c, method, body)
}

func testHandler(ctx context.Context, _ *Caller, method uint16, body []byte) ([]byte, error) {
	switch method {
	case methodEcho:
		return body, nil
	case methodSleep:
		select {
		case <-time.After(time.Duration(binary.BigEndian.Uint32(body)) * time.Millisecond):
			return body, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case methodRefuse:
		return nil, fmt.Errorf("wrapped: %w", &Refusal{Code: "denied", Sentence: "not you", Retryable: true, Detail: []byte{1, 2}})
	case methodFail:
		return nil, errors.New("the pin of the token is 1234")
	case methodWait:
		<-ctx.Done()
		return nil, ctx.Err()
	case methodLong:
		return make([]byte, binary.BigEndian.Uint32(body)), nil
	}
	return nil, &Refusal{Code: "unknown", Sentence: "no such method"}
}

func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func socket(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func certificate(t testing.TB, name string) (tls.Certificate, SPKI) {
	t.Helper()
	cert, err := SelfSigned(newKey(t), name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cert, spkiOf(cert.Leaf)
}

// startServer runs a server until the test ends, and returns how to dial it.
func startServer(t testing.TB, change func(*ServerConfig)) DialConfig {
	t.Helper()
	cert, key := certificate(t, "server")
	conf := ServerConfig{
		Conn:        socket(t),
		Certificate: cert,
		ALPN:        testALPN,
		Admit:       func(*Caller) error { return nil },
		Handler:     handlerFunc(testHandler),
	}
	if change != nil {
		change(&conf)
	}
	s, err := Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	mine, _ := certificate(t, "caller")
	return DialConfig{Certificate: mine, ServerKey: key, ALPN: testALPN, Addr: s.Addr().String()}
}

func dial(t testing.TB, conf DialConfig) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func wantRefusal(t testing.TB, err error, code string) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("got %v, want the refusal %q", err, code)
	}
	return r
}

func TestCallsArePipelined(t *testing.T) {
	c := dial(t, startServer(t, nil))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 20 {
				want := bytes.Repeat([]byte{byte(i)}, i*100+j)
				got, err := c.Call(t.Context(), methodEcho, want)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("call %d.%d: got %d bytes and %v", i, j, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnswersComeOutOfOrder(t *testing.T) {
	c := dial(t, startServer(t, nil))
	order := make(chan int, 2)
	var wg sync.WaitGroup
	for i, ms := range []int{400, 0} {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 50 * time.Millisecond)
			if _, err := c.Call(t.Context(), methodSleep, number(ms)); err != nil {
				t.Error(err)
			}
			order <- i
		})
	}
	wg.Wait()
	if first := <-order; first != 1 {
		t.Error("a quick answer waited behind a slow one")
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRefusalsCross(t *testing.T) {
	var log lockedBuffer
	c := dial(t, startServer(t, func(conf *ServerConfig) { conf.Log = slog.New(slog.NewTextHandler(&log, nil)) }))
	_, err := c.Call(t.Context(), methodRefuse, nil)
	if r := wantRefusal(t, err, "denied"); r.Sentence != "not you" || !r.Retryable || !bytes.Equal(r.Detail, []byte{1, 2}) {
		t.Errorf("the refusal arrived as %+v", r)
	}
	_, err = c.Call(t.Context(), methodFail, nil)
	if r := wantRefusal(t, err, CodeInternal); strings.Contains(r.Sentence, "1234") || r.Detail != nil {
		t.Errorf("our insides crossed the wire: %+v", r)
	}
	if !strings.Contains(log.String(), "1234") {
		t.Error("the cause of an internal failure is not in the log")
	}
	if _, err := c.Call(t.Context(), methodEcho, []byte("still here")); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestDeadlineGoesAlong(t *testing.T) {
	saw := make(chan time.Duration, 1)
	c := dial(t, startServer(t, func(conf *ServerConfig) {
		conf.Limits.Timeout = time.Hour
		conf.Handler = handlerFunc(func(ctx context.Context, _ *Caller, _ uint16, _ []byte) ([]byte, error) {
			deadline, _ := ctx.Deadline()
			saw <- time.Until(deadline)
			return nil, nil
		})
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, call := range []struct {
		ctx      context.Context
		from, to time.Duration
	}{{ctx, time.Minute - patience, time.Minute}, {t.Context(), time.Hour - patience, time.Hour}} {
		if _, err := c.Call(call.ctx, 0, nil); err != nil {
			t.Fatal(err)
		}
		if left := <-saw; left < call.from || left > call.to {
			t.Errorf("the handler had %v, want from %v to %v", left, call.from, call.to)
		}
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	c := dial(t, startServer(t, func(conf *ServerConfig) { conf.Limits.Timeout = 200 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, methodWait, nil); !errors.Is(err, context.DeadlineExceeded) {
		// The server's own end of the same deadline may win the race.
		wantRefusal(t, err, CodeTimeout)
	}
	_, err := c.Call(t.Context(), methodWait, nil)
	if r := wantRefusal(t, err, CodeTimeout); !r.Retryable {
		t.Error("a timeout is not retryable")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) != 0 {
		t.Errorf("%d calls are still waited for", len(c.pending))
	}
}

func TestServerKeyIsPinned(t *testing.T) {
	conf := startServer(t, nil)
	_, conf.ServerKey = certificate(t, "somebody else")
	if _, err := Dial(t.Context(), conf); !errors.Is(err, ErrPinned) {
		t.Errorf("got %v, want %v", err, ErrPinned)
	}
}

func TestNobodyThere(t *testing.T) {
	conf := startServer(t, nil)
	gone := socket(t)
	conf.Addr = gone.LocalAddr().String()
	_ = gone.Close()
	conf.Timeout = 200 * time.Millisecond
	if _, err := Dial(t.Context(), conf); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
	conf = startServer(t, nil)
	conf.ALPN = "something-else/1"
	if _, err := Dial(t.Context(), conf); !errors.Is(err, ErrUnreachable) {
		t.Errorf("another protocol: got %v, want %v", err, ErrUnreachable)
	}
}

// R21, R28
func TestAdmission(t *testing.T) {
	pinned, other := newCA(t, "pinned"), newCA(t, "other")
	conf := startServer(t, func(conf *ServerConfig) {
		conf.Admit = func(c *Caller) error {
			uri, err := VerifyClientChain(c.Chain, []*x509.Certificate{pinned.cert}, time.Now())
			switch {
			case err != nil:
				return fmt.Errorf("admit: %w", err)
			case uri == "spiffe://example.org/banned":
				return &Refusal{Code: "whatever", Sentence: "you know why"}
			case uri == "spiffe://example.org/unlucky":
				return errors.New("the pin of the token is 1234")
			}
			c.Identity = uri
			return nil
		}
		conf.Handler = handlerFunc(func(_ context.Context, c *Caller, _ uint16, _ []byte) ([]byte, error) {
			return []byte(c.Identity.(string)), nil
		})
	})
	stranger, _ := certificate(t, "stranger")
	for _, c := range []struct {
		name     string
		cert     tls.Certificate
		sentence string // empty: admitted
	}{
		{"an application is admitted", pinned.issue(t, shop, nil), ""},
		{"a stranger is refused by name", stranger, ErrUnknownCA.Error()},
		{"another CA's certificate is refused by name", other.issue(t, shop, nil), ErrUnknownCA.Error()},
		{"an expired certificate is refused by name", pinned.issue(t, shop, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), ErrExpired.Error()},
		{"a certificate without purpose is refused by name", pinned.issue(t, shop, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), ErrNoClientAuth.Error()},
		{"a common name is refused by name", pinned.issue(t, "", nil), ErrNoURI.Error()},
		{"a refusal's sentence is told", pinned.issue(t, "spiffe://example.org/banned", nil), "you know why"},
		{"our insides are not told", pinned.issue(t, "spiffe://example.org/unlucky", nil), notAdmitted},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := conf
			conf.Certificate = c.cert
			conn, err := Dial(t.Context(), conf)
			if err == nil {
				defer conn.Close()
				var got []byte
				if got, err = conn.Call(t.Context(), 0, nil); c.sentence == "" {
					if err != nil || string(got) != shop {
						t.Fatalf("got %q and %v", got, err)
					}
					return
				}
			}
			if r := wantRefusal(t, err, CodeUnauthenticated); r.Sentence != c.sentence {
				t.Errorf("the reason is %q, want %q", r.Sentence, c.sentence)
			}
		})
	}
	t.Run("a caller without a certificate does not get through TLS", func(t *testing.T) {
		conf := clientTLS(stranger, conf.ServerKey, testALPN)
		conf.Certificates = nil
		if state, err := handshakeAndWait(t, conf, startServer(t, nil)); err == nil {
			t.Errorf("it did: %+v", state)
		}
	})
}

// handshakeAndWait connects with a TLS configuration of any kind, and waits
// a moment for the other end to object.
func handshakeAndWait(t *testing.T, conf *tls.Config, to DialConfig) (tls.ConnectionState, error) {
	t.Helper()
	ours := conf.VerifyConnection
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		if ours == nil || len(state.PeerCertificates) > 0 && spkiOf(state.PeerCertificates[0]) != to.ServerKey {
			return nil
		}
		return ours(state)
	}
	qc, err := quic.DialAddr(t.Context(), to.Addr, conf, &quic.Config{HandshakeIdleTimeout: patience})
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer qc.CloseWithError(0, "")
	state := qc.ConnectionState().TLS
	select {
	case <-qc.Context().Done():
		return state, context.Cause(qc.Context())
	case <-time.After(300 * time.Millisecond):
		return state, nil
	}
}

func TestKeyExchangeIsHybridOnly(t *testing.T) {
	to := startServer(t, nil)
	conf := clientTLS(to.Certificate, to.ServerKey, testALPN)
	state, err := handshakeAndWait(t, conf, to)
	if err != nil || state.CurveID != tls.X25519MLKEM768 || state.Version != tls.VersionTLS13 {
		t.Errorf("got %v, %v and %v", tls.VersionName(state.Version), state.CurveID, err)
	}
	conf = clientTLS(to.Certificate, to.ServerKey, testALPN)
	conf.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	if _, err := handshakeAndWait(t, conf, to); err == nil {
		t.Error("a key exchange that a quantum computer breaks was accepted")
	}
}

// R21
func TestNoSessionIsResumed(t *testing.T) {
	to := startServer(t, nil)
	conf := clientTLS(to.Certificate, to.ServerKey, testALPN)
	conf.SessionTicketsDisabled = false
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		state, err := handshakeAndWait(t, conf, to)
		if err != nil || state.DidResume {
			t.Fatalf("resumed: %v, error: %v", state.DidResume, err)
		}
	}
}

// rawStream is a stream to the server on which a test writes what it likes.
func rawStream(t *testing.T, to DialConfig) (*quic.Conn, *quic.Stream) {
	t.Helper()
	qc, err := quic.DialAddr(t.Context(), to.Addr, clientTLS(to.Certificate, to.ServerKey, to.ALPN), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = qc.CloseWithError(0, "") })
	stream, err := qc.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	return qc, stream
}

// R24
func TestBadFramesCloseByName(t *testing.T) {
	to := startServer(t, func(conf *ServerConfig) { conf.Limits.MaxRequest = 4 << 10 })
	for name, c := range map[string]struct {
		in   []byte
		want quic.ApplicationErrorCode
	}{
		"a frame above the limit": {(&request{ID: 1, Body: make([]byte, 4<<10)}).frame(), CloseTooLarge},
		"the largest length":      {announced(1<<32-1, nil), CloseTooLarge},
		"an empty frame":          {announced(0, nil), CloseMalformed},
		"no CBOR":                 {announced(3, []byte("abc")), CloseMalformed},
		"trailing bytes":          {announced(6, append(wire.Encode(&request{ID: 1}), 0)), CloseMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			qc, stream := rawStream(t, to)
			_, _ = stream.Write(c.in) // the server may close before it has read all
			select {
			case <-qc.Context().Done():
			case <-time.After(patience):
				t.Fatal("the connection lives on")
			}
			var closed *quic.ApplicationError
			if err := context.Cause(qc.Context()); !errors.As(err, &closed) || closed.ErrorCode != c.want {
				t.Errorf("got %v, want code %d", err, c.want)
			}
		})
	}
	c := dial(t, to)
	if _, err := c.Call(t.Context(), methodEcho, make([]byte, 4<<10)); !errors.Is(err, ErrTooLarge) {
		// This end's limit is larger: the server closes the connection by name.
		wantRefusal(t, err, CodeTooLarge)
	}
	to.Limits.MaxRequest = 4 << 10
	c = dial(t, to)
	if _, err := c.Call(t.Context(), methodEcho, make([]byte, 4<<10)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	if _, err := c.Call(t.Context(), methodEcho, make([]byte, 4<<10-frameOverhead)); err != nil {
		t.Errorf("the largest request: %v", err)
	}
}

func TestAnswerAboveTheLimit(t *testing.T) {
	c := dial(t, startServer(t, func(conf *ServerConfig) { conf.Limits.MaxAnswer = 64 << 10 }))
	_, err := c.Call(t.Context(), methodLong, number(64<<10))
	wantRefusal(t, err, CodeInternal)
	if b, err := c.Call(t.Context(), methodLong, number(64<<10-frameOverhead)); err != nil || len(b) != 64<<10-frameOverhead {
		t.Errorf("the largest answer: %d bytes, %v", len(b), err)
	}
}

// R24
func TestOverloadIsNamed(t *testing.T) {
	for name, limits := range map[string]Limits{
		"of one connection": {InFlight: 4},
		"of the server":     {InFlightTotal: 4},
	} {
		t.Run(name, func(t *testing.T) {
			var atWork, most atomic.Int64
			release := make(chan struct{})
			to := startServer(t, func(conf *ServerConfig) {
				conf.Limits = limits
				conf.Handler = handlerFunc(func(context.Context, *Caller, uint16, []byte) ([]byte, error) {
					n := atWork.Add(1)
					defer atWork.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					<-release
					return nil, nil
				})
			})
			c := dial(t, to) // this end would let 64 through
			results := make(chan error, 32)
			for range 32 {
				go func() {
					_, err := c.Call(t.Context(), 0, nil)
					results <- err
				}()
			}
			for range 28 {
				if r := wantRefusal(t, <-results, CodeOverloaded); !r.Retryable {
					t.Error("overload is not retryable")
				}
			}
			for deadline := time.Now().Add(patience); atWork.Load() < 4 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond) // the last of them may not have begun
			}
			close(release)
			for range 4 {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			if most.Load() != 4 {
				t.Errorf("%d requests were at work, want 4", most.Load())
			}
			if _, err := c.Call(t.Context(), 0, nil); err != nil {
				t.Errorf("after the overload: %v", err)
			}
		})
	}
}

// R24: who asks and does not listen is stopped, and takes nothing from others.
func TestDeafCaller(t *testing.T) {
	to := startServer(t, func(conf *ServerConfig) { conf.Limits.InFlight = 8 })
	deaf, stream := rawStream(t, to)
	go func() {
		for id := uint64(1); ; id++ {
			if _, err := stream.Write((&request{ID: id, Method: methodLong, Body: number(1 << 19)}).frame()); err != nil {
				return
			}
		}
	}()
	c := dial(t, to)
	for range 50 {
		if _, err := c.Call(t.Context(), methodEcho, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = deaf.CloseWithError(0, "")
}

// R29
func TestConnectionsAreCapped(t *testing.T) {
	to := startServer(t, func(conf *ServerConfig) { conf.Limits = Limits{Connections: 3, ConnectionsPerKey: 2} })
	var open []*Conn
	for i, want := range []string{"", "", CodeOverloaded} {
		c := dial(t, to)
		open = append(open, c)
		_, err := c.Call(t.Context(), methodEcho, nil)
		if want == "" && err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if want != "" {
			wantRefusal(t, err, want)
		}
	}
	other := to
	for _, want := range []string{"", CodeOverloaded} {
		other.Certificate, _ = certificate(t, "another")
		_, err := dial(t, other).Call(t.Context(), methodEcho, nil)
		if want == "" && err != nil {
			t.Fatal(err)
		}
		if want != "" {
			wantRefusal(t, err, want)
		}
	}
	_ = open[0].Close() // its place is given back
	for deadline := time.Now().Add(patience); ; {
		c, err := Dial(t.Context(), to)
		if err == nil {
			_, err = c.Call(t.Context(), methodEcho, nil)
			_ = c.Close()
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A program that is killed leaves its connection behind. The next ones of the same
// key take its place when it is silent, and never that of one that speaks.
func TestASilentConnectionMakesRoomForANewOne(t *testing.T) {
	s := &slots{limits: Limits{Connections: 10, ConnectionsPerKey: 2}}
	var ended []string
	caller := func(name string, silent time.Duration, evictable bool) *Caller {
		c := &Caller{SPKI: SPKI{1}}
		if evictable {
			c.evict = func() { ended = append(ended, name) }
		}
		if err := s.take(c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.spoke(time.Now().Add(-silent))
		return c
	}
	given := &Caller{SPKI: SPKI{2}}
	if given.admitted = time.Now().Add(-time.Second); given.silence(time.Now()) <= 0 {
		t.Error("a connection that was never used is not silent after a second")
	}
	if given.spoke(time.Now()); given.silence(time.Now()) > 0 {
		t.Error("a connection that has just spoken is silent")
	}
	a := caller("a", time.Minute, true)
	b := caller("b", time.Hour, true)
	b.busy.Add(1)
	c := caller("c", 0, true)
	if !slices.Equal(ended, []string{"a"}) {
		t.Fatalf("ended %v, want a: b is at work", ended)
	}
	if err := s.take(&Caller{SPKI: SPKI{1}}); err == nil {
		t.Error("a connection in use made room")
	}
	b.busy.Add(-1)
	b.evict = nil
	c.spoke(time.Now().Add(-time.Hour))
	caller("d", 0, true)
	if !slices.Equal(ended, []string{"a", "c"}) {
		t.Errorf("ended %v, want a and c: b is one that is never ended", ended)
	}
	s.give(a) // was evicted: its slot is not given back twice
	if s.total != 2 {
		t.Errorf("%d slots are taken, want 2", s.total)
	}
}

// R29
func TestRetryUnderLoad(t *testing.T) {
	h := &halfOpen{limits: Limits{HalfOpen: 3, RetryAbove: 2}}
	var ends []context.CancelFunc
	begin := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		ends = append(ends, cancel)
		_, err := h.begin(ctx, nil)
		return err
	}
	for i := range 3 {
		if got, want := h.suspicious(nil), i >= 2; got != want {
			t.Errorf("with %d handshakes in progress an address is checked: %v, want %v", i, got, want)
		}
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(); !errors.Is(err, errHalfOpen) {
		t.Errorf("got %v, want %v", err, errHalfOpen)
	}
	for _, end := range ends {
		end()
	}
	for deadline := time.Now().Add(patience); h.n.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d handshakes are still counted", h.n.Load())
		}
	}
	// Everybody is asked for a Retry, and gets through.
	c := dial(t, startServer(t, func(conf *ServerConfig) { conf.Limits.RetryAbove = -1 }))
	if _, err := c.Call(t.Context(), methodEcho, nil); err != nil {
		t.Error(err)
	}
}

// R29: one machine that opens handshakes and leaves them does not keep others out.
func TestOneSourceDoesNotTakeEveryHandshake(t *testing.T) {
	h := &halfOpen{limits: Limits{HalfOpen: 10, HalfOpenPerSource: 3, HandshakesPerSource: 100}}
	begin := func(address string, proven bool) (context.CancelFunc, error) {
		ctx, cancel := context.WithCancel(t.Context())
		u := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))
		_, err := h.begin(ctx, &quic.ClientInfo{RemoteAddr: u, AddrVerified: proven})
		return cancel, err
	}
	var ends []context.CancelFunc
	for i, tt := range []struct {
		address string
		proven  bool
		taken   bool
	}{
		{"192.0.2.1:1", true, true},
		{"192.0.2.1:2", true, true},
		{"[::ffff:192.0.2.1]:3", true, true},
		{"192.0.2.1:4", true, false},
		{"192.0.2.1:5", false, true}, // perhaps another wrote this address
		{"192.0.2.2:1", true, true},
		{"[2001:db8::1]:1", true, true},
		{"[2001:db8::2]:1", true, true},
		{"[2001:db8::3]:1", true, true},
		{"[2001:db8::4]:1", true, false},
		{"[2001:db8:0:1::1]:1", true, true},
		{"192.0.2.3:1", true, true},
		{"192.0.2.4:1", true, false}, // there are ten
	} {
		end, err := begin(tt.address, tt.proven)
		if taken := err == nil; taken != tt.taken || !taken && !errors.Is(err, errHalfOpen) {
			t.Fatalf("attempt %d, from %s: %v", i+1, tt.address, err)
		}
		ends = append(ends, end)
	}
	for _, end := range ends {
		end()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		left := len(h.from)
		h.mu.Unlock()
		if left == 0 && h.n.Load() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d handshakes of %d sources are still counted", h.n.Load(), left)
		}
	}
}

// R29: an address that begins handshakes without end is asked to prove that it is
// there, and then refused before any of them costs much; no other address is.
func TestHandshakesOfOneSourceAreCounted(t *testing.T) {
	now := time.Unix(5, 0)
	var a arrivals
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range 5 {
		if got := a.count(now, one, 3); got != (i < 3) {
			t.Fatalf("handshake %d: %v", i+1, got)
		}
	}
	if !a.count(now, other, 3) || !a.count(now.Add(time.Second), one, 3) {
		t.Error("one address's handshakes count as another's, or for ever")
	}
	for i := range uint32(maxSources + 10) {
		b := [4]byte(binary.BigEndian.AppendUint32(nil, i))
		if !a.count(now.Add(2*time.Second), netip.PrefixFrom(netip.AddrFrom4(b), 32), 1) {
			t.Fatalf("source %d", i)
		}
	}
	if len(a.counts) > maxSources {
		t.Errorf("%d sources are kept", len(a.counts))
	}

	// The real thing: this address may begin two in a second, and hears why not more.
	to := startServer(t, func(conf *ServerConfig) { conf.Limits.HandshakesPerSource = 2 })
	var busy atomic.Int64
	var dials sync.WaitGroup
	for range 12 { // at once: a slow machine takes its time over each
		dials.Go(func() {
			c, err := Dial(t.Context(), to)
			switch {
			case err == nil:
				_ = c.Close()
			case errors.Is(err, ErrBusy) && errors.Is(err, ErrUnreachable):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	dials.Wait()
	if busy.Load() == 0 {
		t.Error("twelve handshakes at once are taken")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		c, err := Dial(t.Context(), to)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("later: %v", err)
		}
	}
}

// A flood of strangers does not fill the log.
func TestTheLogCountsThoseWhoAreTurnedAway(t *testing.T) {
	var out bytes.Buffer
	away := &turnedAway{log: slog.New(slog.NewTextHandler(&out, nil))}
	c := &Caller{Remote: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	now := time.Unix(5, 0)
	for range turnedAwayPerSecond + 7 {
		away.note(now, "not admitted", c, ErrUnknownCA)
	}
	if got := strings.Count(out.String(), "not admitted"); got != turnedAwayPerSecond {
		t.Errorf("%d lines", got)
	}
	away.note(now.Add(time.Second), "not admitted", c, ErrUnknownCA)
	if !strings.Contains(out.String(), "omitted=7") {
		t.Errorf("what was left out is not counted:\n%s", &out)
	}
}

// R29: custodians come through when everybody else has all that there is.
func TestTheFewAreNotKeptOutByTheMany(t *testing.T) {
	few, key := certificate(t, "custodian")
	atWork := make(chan struct{}, 1)
	to := startServer(t, func(conf *ServerConfig) {
		conf.Limits.Connections, conf.Limits.InFlightTotal = 1, 1
		conf.Admit = func(c *Caller) error { c.Few = c.SPKI == key; return nil }
		conf.Handler = handlerFunc(func(ctx context.Context, c *Caller, _ uint16, body []byte) ([]byte, error) {
			if c.Few {
				return body, nil
			}
			atWork <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy := dial(t, to)
	go func() { _, _ = busy.Call(ctx, methodWait, nil) }()
	<-atWork
	_, err := busy.Call(t.Context(), methodEcho, nil)
	wantRefusal(t, err, CodeOverloaded)
	other := to
	other.Certificate, _ = certificate(t, "application")
	_, err = dial(t, other).Call(t.Context(), methodEcho, nil)
	wantRefusal(t, err, CodeOverloaded)
	mine := to
	mine.Certificate = few
	if _, err := dial(t, mine).Call(t.Context(), methodEcho, nil); err != nil {
		t.Errorf("one of the few: %v", err)
	}
}

func TestFinishedHandshakesAreNotCounted(t *testing.T) {
	to := startServer(t, func(conf *ServerConfig) { conf.Limits.HalfOpen = 1 })
	for range 3 {
		if _, err := dial(t, to).Call(t.Context(), methodEcho, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerStops(t *testing.T) {
	cert, key := certificate(t, "server")
	started := make(chan struct{})
	s, err := Listen(ServerConfig{
		Conn: socket(t), Certificate: cert, ALPN: testALPN, Admit: func(*Caller) error { return nil },
		Handler: handlerFunc(func(ctx context.Context, _ *Caller, _ uint16, _ []byte) ([]byte, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	mine, _ := certificate(t, "caller")
	c := dial(t, DialConfig{Certificate: mine, ServerKey: key, ALPN: testALPN, Addr: s.Addr().String()})
	go func() {
		<-started
		cancel()
	}()
	if _, err := c.Call(t.Context(), 0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	<-c.Done()
	if _, err := c.Call(t.Context(), 0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: got %v, want %v", err, ErrClosed)
	}
}

func TestConfigsAreChecked(t *testing.T) {
	if _, err := Listen(ServerConfig{}); err == nil {
		t.Error("a server of nothing was made")
	}
	if _, err := NewPeers(PeerConfig{}); err == nil {
		t.Error("peers of nothing were made")
	}
	to := startServer(t, nil)
	to.ServerKey = SPKI{}
	if _, err := Dial(t.Context(), to); err == nil {
		t.Error("a server was called without a pin")
	}
}

func BenchmarkPipelinedCalls(b *testing.B) {
	c := dial(b, startServer(b, nil))
	body := make([]byte, 300)
	next := make(chan struct{}, 64)
	b.ReportAllocs()
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for range next {
				if _, err := c.Call(context.Background(), methodEcho, body); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		next <- struct{}{}
	}
	close(next)
	wg.Wait()
}
