package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// noticed is how soon a lost connection is noticed if the node answers for its
// former life: two probes of QUIC's, on a busy machine. It is less than any time
// after which it would end by itself.
const noticed = 8 * time.Second

// mute is a socket that can be made to send nothing, as that of a killed process.
type mute struct {
	net.PacketConn
	mu  sync.Mutex
	off bool // guarded by mu
}

func (m *mute) WriteTo(b []byte, to net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

// killable starts a server whose death sends nothing, as that of a killed
// process. dieAndReturn ends it and takes its port with what begin starts.
func killable(t *testing.T) (conf DialConfig, dieAndReturn func(begin func(*net.UDPConn, ServerConfig))) {
	t.Helper()
	m := &mute{PacketConn: socket(t)}
	cert, key := certificate(t, "server")
	server := ServerConfig{
		Conn:        m,
		Certificate: cert,
		ALPN:        testALPN,
		Admit:       func(*Caller) error { return nil },
		Handler:     handlerFunc(testHandler),
	}
	die := serve(t, server)
	mine, _ := certificate(t, "caller")
	addr := m.LocalAddr().(*net.UDPAddr)
	conf = DialConfig{Certificate: mine, ServerKey: key, ALPN: testALPN, Addr: addr.String()}
	conf.Limits.Idle = 4 * noticed // if all else fails
	return conf, func(begin func(*net.UDPConn, ServerConfig)) {
		m.mu.Lock()
		m.off = true
		m.mu.Unlock()
		die()
		again, err := net.ListenUDP("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		begin(again, server)
	}
}

// serve runs a server until the function it returns, or the end of the test.
func serve(t *testing.T, conf ServerConfig) (stop func()) {
	t.Helper()
	s, err := Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// endedBy makes the smallest call there is, and holds that it finds the
// connection ended, not before and not after these times.
func endedBy(t *testing.T, c *Conn, after, before time.Duration) {
	t.Helper()
	began := time.Now()
	_, err := c.Call(t.Context(), methodEcho, nil) // a deadline would make it longer
	if took := time.Since(began); !errors.Is(err, ErrClosed) || took < after || took > before {
		t.Fatalf("after %v: %v, want %v between %v and %v", took, err, ErrClosed, after, before)
	}
}

// settle makes small calls until QUIC has found the path's MTU and has nothing to
// acknowledge: large packets of its own are reset whatever a request is like, and
// so is a request that an acknowledgement makes longer.
func settle(t *testing.T, echo func()) {
	t.Helper()
	for range 50 {
		echo()
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
}

func echoes(t *testing.T, c *Conn) {
	t.Helper()
	if _, err := c.Call(t.Context(), methodEcho, nil); err != nil {
		t.Fatal(err)
	}
}

// A server that was killed and is back at once says to the first request, be it
// the smallest, that the connection is lost: it is long enough to be answered
// with a stateless reset.
func TestTheSmallestRequestIsReset(t *testing.T) {
	conf, dieAndReturn := killable(t)
	c := dial(t, conf)
	settle(t, func() { echoes(t, c) })
	dieAndReturn(func(s *net.UDPConn, server ServerConfig) {
		server.Conn = s
		serve(t, server)
	})
	endedBy(t, c, 0, noticed)
	echoes(t, dial(t, conf))
}

// So does a peer, long before the idle timeout of its connections.
func TestTheSmallestRequestOfAPeerIsReset(t *testing.T) {
	r := new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	key, m := newKey(t), &mute{PacketConn: socket(t)}
	b, kill := startPeers(t, r, "b", key, m)
	echo := func() {
		if _, err := a.Call(t.Context(), "b", methodEcho, nil); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, echo)
	time.Sleep(settled) // the next dial waits for nothing
	addr := b.Addr().(*net.UDPAddr)
	m.mu.Lock()
	m.off = true
	m.mu.Unlock()
	kill()
	again, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	startPeers(t, r, "b", key, again)
	began := time.Now()
	if _, err := a.Call(t.Context(), "b", methodEcho, nil); !errors.Is(err, ErrClosed) || time.Since(began) > noticed {
		t.Fatalf("after %v: %v, want %v within %v", time.Since(began), err, ErrClosed, noticed)
	}
	echo()
}

// silence is that of the tests below.
const silence = 400 * time.Millisecond

// Where not even a reset comes back, a connection ends when nothing has come for
// a while after a request.
func TestSilenceEndsAConnection(t *testing.T) {
	conf, dieAndReturn := killable(t)
	conf.Silence = silence
	c := dial(t, conf)
	echoes(t, c)
	dieAndReturn(func(s *net.UDPConn, _ ServerConfig) { t.Cleanup(func() { _ = s.Close() }) })
	endedBy(t, c, silence, silence+noticed)
}

// Callers who do not wait so long are no reason to stay: what they sent was not
// acknowledged.
func TestSilenceCountsWhoeverWaits(t *testing.T) {
	conf, dieAndReturn := killable(t)
	conf.Silence = silence
	c := dial(t, conf)
	echoes(t, c)
	dieAndReturn(func(s *net.UDPConn, _ ServerConfig) { t.Cleanup(func() { _ = s.Close() }) })
	for began := time.Now(); c.Err() == nil; {
		if time.Since(began) > silence+noticed {
			t.Fatalf("it lives %v after the first request", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), silence/10)
		_, err := c.Call(ctx, methodEcho, nil)
		cancel()
		if err == nil {
			t.Fatal("nobody is there")
		}
	}
}

// A server that takes its time is not taken for a dead one, and a connection that
// nobody uses is not silent.
func TestASlowServerIsNotSilent(t *testing.T) {
	const silence = time.Second // on a busy machine nothing may come for half of it
	conf := startServer(t, nil)
	conf.Silence = silence
	c := dial(t, conf)
	time.Sleep(3 * silence / 2)
	for range 2 {
		if _, err := c.Call(t.Context(), methodSleep, number(int(2*silence/time.Millisecond))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, methodSleep, number(1000)); err == nil { // its own patience is over, or the server's for it
		t.Fatal("it was answered in time")
	}
	time.Sleep(3 * silence / 2)
	echoes(t, c)
}
