package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// roster is what the nodes of a test know of each other.
type roster struct {
	mu    sync.Mutex
	addrs map[string]string // guarded by mu
	keys  map[string]SPKI   // guarded by mu
}

func (r *roster) lookup(id string) (string, SPKI, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, ok := r.keys[id]
	return r.addrs[id], key, ok
}

func (r *roster) identify(key SPKI) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.keys {
		if k == key {
			return id, true
		}
	}
	return "", false
}

func (r *roster) set(id, addr string, key SPKI) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.addrs, r.keys = make(map[string]string), make(map[string]SPKI)
	}
	r.addrs[id], r.keys[id] = addr, key
}

func (r *roster) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, id)
}

// sayWhoCalls answers the caller's id and its body.
func sayWhoCalls(ctx context.Context, c *Caller, method uint16, body []byte) ([]byte, error) {
	if method != methodEcho {
		return testHandler(ctx, c, method, body)
	}
	return append([]byte(c.PeerID+" "), body...), nil
}

// startPeers runs a node at conn, known to the roster as id. It stops when the
// test ends, or when stop is called.
func startPeers(t testing.TB, r *roster, id string, key *ecdsa.PrivateKey, conn net.PacketConn) (p *Peers, stop func()) {
	t.Helper()
	cert, err := SelfSigned(key, id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err = NewPeers(PeerConfig{Conn: conn, Certificate: cert, Lookup: r.lookup, Identify: r.identify, Handler: handlerFunc(sayWhoCalls)})
	if err != nil {
		t.Fatal(err)
	}
	r.set(id, p.Addr().String(), spkiOf(cert.Leaf))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

func TestPeersCallEachOther(t *testing.T) {
	r := new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	b, _ := startPeers(t, r, "b", newKey(t), socket(t))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for _, c := range []struct {
				from     *Peers
				to, want string
			}{{a, "b", "a hello"}, {b, "a", "b hello"}} {
				got, err := c.from.Call(t.Context(), c.to, methodEcho, []byte("hello"))
				if err != nil || string(got) != c.want {
					t.Errorf("to %s: got %q and %v, want %q", c.to, got, err, c.want)
				}
			}
		})
	}
	wg.Wait()
	a.slots.mu.Lock()
	if a.slots.total != 1 {
		t.Errorf("%d connections from one peer, want 1", a.slots.total)
	}
	a.slots.mu.Unlock()
	_, err := a.Call(t.Context(), "b", methodRefuse, nil)
	wantRefusal(t, err, "denied")
	if _, err := a.Call(t.Context(), "c", methodEcho, nil); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("got %v, want %v", err, ErrUnknownPeer)
	}
}

func TestStrangerIsNoPeer(t *testing.T) {
	r, others := new(roster), new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	s, _ := startPeers(t, others, "s", newKey(t), socket(t))
	_, key, _ := r.lookup("a")
	others.set("a", a.Addr().String(), key)
	_, err := s.Call(t.Context(), "a", methodEcho, nil)
	wantRefusal(t, err, CodeUnauthenticated)
	// A peer that turns us away is not called again at once.
	_, err = s.Call(t.Context(), "a", methodEcho, nil)
	wantRefusal(t, err, CodeUnauthenticated)
	conn, err := s.DialRaft("a", patience)
	if err == nil {
		_, _ = conn.Write([]byte("x"))
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	if err == nil {
		t.Error("a stranger speaks with Raft")
	}
	// And one who sits at a peer's address, but has another key, is not spoken to.
	r.set("b", s.Addr().String(), key)
	if _, err := a.Call(t.Context(), "b", methodEcho, nil); !errors.Is(err, ErrPinned) {
		t.Errorf("got %v, want %v", err, ErrPinned)
	}
	if _, err := a.DialRaft("b", patience); !errors.Is(err, ErrPinned) {
		t.Errorf("got %v, want %v", err, ErrPinned)
	}
}

// R20: who leaves the roster is not served on the connection it still has.
func TestRemovedPeer(t *testing.T) {
	r, stale := new(roster), new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	b, _ := startPeers(t, stale, "b", newKey(t), socket(t))
	for _, both := range []struct {
		from, to *roster
		id       string
	}{{r, stale, "a"}, {stale, r, "b"}} {
		addr, key, _ := both.from.lookup(both.id)
		both.to.set(both.id, addr, key)
	}
	if _, err := b.Call(t.Context(), "a", methodEcho, nil); err != nil {
		t.Fatal(err)
	}
	conn, err := b.DialRaft("a", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := a.Call(t.Context(), "b", methodEcho, nil); err != nil {
		t.Fatal(err)
	}
	r.remove("b") // b has not heard of it
	_, err = b.Call(t.Context(), "a", methodEcho, nil)
	wantRefusal(t, err, CodeUnauthenticated)
	_, _ = conn.Write([]byte("x")) // may still go into a buffer
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a removed peer opens a stream to Raft")
	}
	if _, err := a.Call(t.Context(), "b", methodEcho, nil); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("got %v, want %v", err, ErrUnknownPeer)
	}
}

func TestPeerComesBack(t *testing.T) {
	r := new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	key := newKey(t)
	_, stop := startPeers(t, r, "b", key, socket(t))
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := a.Call(ctx, "b", methodEcho, nil)
		return err
	}
	if err := call(patience); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := call(300 * time.Millisecond); err == nil {
		t.Fatal("a stopped peer answers")
	}
	startPeers(t, r, "b", key, socket(t)) // at another address
	for deadline := time.Now().Add(patience); call(patience) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the peer is not found again")
		}
	}
}

func TestUnreachablePeerIsRefusedQuickly(t *testing.T) {
	r := new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	silent := socket(t)
	defer silent.Close()
	_, key := certificate(t, "silent")
	r.set("b", silent.LocalAddr().String(), key)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // R44
	defer cancel()
	start := time.Now()
	if _, err := a.Call(ctx, "b", methodEcho, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
	if since := time.Since(start); since > handshakeWait-time.Second/2 {
		t.Errorf("refused after %v", since)
	}
	if _, err := a.Call(t.Context(), "b", methodEcho, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want %v", err, ErrUnreachable)
	}
	// It is left alone for twice as long each time: at last for longer than a busy machine
	// stands still.
	atOnce := false
	for range 5 {
		start = time.Now()
		if _, err := a.Call(t.Context(), "b", methodEcho, nil); !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v, want %v", err, ErrUnreachable)
		}
		atOnce = atOnce || time.Since(start) < handshakeWait/2
	}
	if !atOnce {
		t.Error("a peer that was just not reached is dialed again at once, each time")
	}
}

func TestRaftStreams(t *testing.T) {
	r := new(roster)
	a, _ := startPeers(t, r, "a", newKey(t), socket(t))
	b, stopB := startPeers(t, r, "b", newKey(t), socket(t))
	conn, err := a.DialRaft("b", patience)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("a snapshot "), 200_000)
	go func() {
		if _, err := conn.Write(want); err != nil {
			t.Error(err)
		}
	}()
	accepted, err := b.RaftListener().Accept()
	if err != nil {
		t.Fatal(err)
	}
	if id := accepted.(*RaftConn).PeerID(); id != "a" {
		t.Errorf("the stream is said to be from %q", id)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(accepted, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("2 MB did not arrive as sent: %v", err)
	}
	if err := accepted.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := accepted.Read(got); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	_ = accepted.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(got); err != io.EOF {
		t.Errorf("after the other end closed: got %v, want %v", err, io.EOF)
	}
	_ = conn.Close()
	if err := conn.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}

	// A stream that is closed leaves: more than may be open at a time go by.
	for range 3 * raftStreams {
		conn, err := a.DialRaft("b", patience)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		accepted, err := b.RaftListener().Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		_ = accepted.Close()
	}

	// Close ends a Write that nobody reads.
	conn, err = a.DialRaft("b", patience)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, 64<<20))
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond)
	_ = conn.Close()
	if err := <-ended; err == nil {
		t.Error("64 MiB were written to nobody")
	}

	stopB()
	for { // what was on its way, then the end
		conn, err := b.RaftListener().Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want %v", err, net.ErrClosed)
			}
			break
		}
		_ = conn.Close()
	}
	if _, err := b.DialRaft("a", patience); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: got %v, want %v", err, ErrClosed)
	}
}

// raftLayer is what a user of the Raft library makes of Peers.
type raftLayer struct {
	*RaftListener
	peers *Peers
}

func (l raftLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.peers.DialRaft(string(to), timeout)
}

func TestRaftLibrarySpeaksOverIt(t *testing.T) {
	r := new(roster)
	var transports []*raft.NetworkTransport
	for _, id := range []string{"a", "b"} {
		p, _ := startPeers(t, r, id, newKey(t), socket(t))
		transports = append(transports, raft.NewNetworkTransport(raftLayer{p.RaftListener(), p}, 3, patience, io.Discard))
	}
	a, b := transports[0], transports[1]
	served := make(chan struct{})
	go func() {
		defer close(served)
		for rpc := range b.Consumer() {
			switch rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				rpc.Respond(&raft.AppendEntriesResponse{Success: true, LastLog: 7}, nil)
			case *raft.InstallSnapshotRequest:
				_, err := io.Copy(io.Discard, rpc.Reader)
				rpc.Respond(&raft.InstallSnapshotResponse{Success: err == nil}, err)
			default:
				rpc.Respond(&raft.TimeoutNowResponse{}, nil)
				return
			}
		}
	}()
	for range 20 {
		var answer raft.AppendEntriesResponse
		if err := a.AppendEntries("b", "b", &raft.AppendEntriesRequest{Term: 1}, &answer); err != nil || answer.LastLog != 7 {
			t.Fatalf("got %+v and %v", answer, err)
		}
	}
	pipeline, err := a.AppendEntriesPipeline("b", "b")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // waits for the consumer below
		for range 20 {
			if _, err := pipeline.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse)); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 20 {
		if f := <-pipeline.Consumer(); f.Error() != nil || f.Response().LastLog != 7 {
			t.Fatal(f.Error())
		}
	}
	if err := pipeline.Close(); err != nil {
		t.Error(err)
	}
	var installed raft.InstallSnapshotResponse
	snapshot := strings.Repeat("state ", 500_000)
	if err := a.InstallSnapshot("b", "b", &raft.InstallSnapshotRequest{Size: int64(len(snapshot))}, &installed, strings.NewReader(snapshot)); err != nil || !installed.Success {
		t.Errorf("got %+v and %v", installed, err)
	}
	if err := a.TimeoutNow("b", "b", &raft.TimeoutNowRequest{}, new(raft.TimeoutNowResponse)); err != nil { // ends the other side
		t.Error(err)
	}
	<-served
	for _, tr := range transports {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}
