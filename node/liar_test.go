package node

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

// liar is a member of the roster that an attacker has: it proves its real identity
// key and speaks both real protocols, and says what it likes. It follows the log
// until it leads.
type liar struct {
	t       *testing.T
	id      string
	genesis *authority.VerifiedGenesis
	signer  *authority.Signer
	peers   *transport.Peers
	raft    *raft.NetworkTransport
	stop    func()

	mu      sync.Mutex
	log     map[uint64]*raft.Log // what leaders have sent
	end     uint64
	term    uint64                                  // the highest that it heard of
	leading context.CancelFunc                      // not nil: it takes no other leader
	fresh   func(api.FreshRequest) *api.FreshAnswer // nil: it does not answer
	heard   int                                     // how many asked
}

// newLiar takes the directory of a node that does not run.
func newLiar(t *testing.T, dir string) *liar {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := LoadConfig(dir)
	must(err)
	n := &Node{cfg: cfg, log: quiet}
	n.genesis, err = loadGenesis(dir)
	must(err)
	key, err := openIdentity(dir, cfg.Node, openSoft(t, dir))
	must(err)
	l := &liar{t: t, id: cfg.Node, genesis: n.genesis, log: map[uint64]*raft.Log{}}
	l.signer, err = authority.NewSigner(key)
	must(err)
	l.read(filepath.Join(dir, "raft"))
	cert, err := transport.SelfSigned(key, cfg.Node, time.Now())
	must(err)
	socket, err := net.ListenPacket("udp", cfg.listenPeer())
	must(err)
	lookup, identify := n.rosterPins()
	l.peers, err = transport.NewPeers(transport.PeerConfig{
		Conn: socket, Certificate: cert, Lookup: lookup, Identify: identify, Handler: l, Log: slog.New(slog.DiscardHandler),
	})
	must(err)
	l.raft = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: liarStreams{raftStreams{l.peers}}, MaxPool: 2, Timeout: 30 * time.Second, Logger: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var quietly sync.WaitGroup
	quietly.Go(func() { _ = l.peers.Run(ctx) })
	quietly.Go(func() { l.follow(ctx) })
	l.stop = func() {
		l.abdicate()
		cancel()
		_ = l.raft.Close()
		l.raft.CloseStreams()
		quietly.Wait()
	}
	return l
}

// read takes the log that the honest node left.
func (l *liar) read(dir string) {
	l.t.Helper()
	disk, err := wal.Open(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	first, _ := disk.FirstIndex()
	last, err := disk.LastIndex()
	for i := first; err == nil && i <= last; i++ {
		var e raft.Log
		if err = disk.GetLog(i, &e); err == nil {
			l.log[i], l.end, l.term = &e, i, max(l.term, e.Term)
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

type liarStreams struct{ raftStreams }

func (s liarStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.peers.DialRaft(string(address), timeout)
}

// follow answers Raft as an honest follower does, until the liar leads. It never
// gives its vote.
func (l *liar) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case rpc := <-l.raft.Consumer():
			switch c := rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				rpc.Respond(l.take(c), nil)
			case *raft.RequestVoteRequest:
				rpc.Respond(&raft.RequestVoteResponse{RPCHeader: l.header(), Term: l.heardOf(c.Term)}, nil)
			case *raft.RequestPreVoteRequest:
				rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: l.header(), Term: l.heardOf(0)}, nil)
			default:
				rpc.Respond(nil, errors.New("no"))
			}
		}
	}
}

func (l *liar) heardOf(term uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = max(l.term, term)
	return l.term
}

func (l *liar) take(c *raft.AppendEntriesRequest) *raft.AppendEntriesResponse {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = max(l.term, c.Term)
	a := &raft.AppendEntriesResponse{RPCHeader: l.header(), Term: l.term, LastLog: l.end}
	before := l.log[c.PrevLogEntry]
	if l.leading != nil || c.Term < l.term || c.PrevLogEntry > 0 && (before == nil || before.Term != c.PrevLogTerm) {
		return a
	}
	for _, e := range c.Entries {
		if old := l.log[e.Index]; old != nil && old.Term != e.Term {
			for i := e.Index; i <= l.end; i++ {
				delete(l.log, i)
			}
			l.end = e.Index - 1
		}
		l.log[e.Index], l.end = e, max(l.end, e.Index)
	}
	a.Success, a.LastLog = true, l.end
	return a
}

func (l *liar) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.id), Addr: []byte(l.id)}
}

// last is the end of the log as the liar heard of it.
func (l *liar) last() *raft.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log[l.end]
}

// at is an entry that the liar heard of, or nil.
func (l *liar) at(index uint64) *raft.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log[index]
}

// lead takes the next term without asking anybody, and keeps the others from
// electing a leader, until abdicate.
func (l *liar) lead(others ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.term += 10
	l.leading = cancel
	l.mu.Unlock()
	for _, id := range others {
		go func() {
			for ctx.Err() == nil {
				l.heartbeat(id)
				time.Sleep(300 * time.Millisecond)
			}
		}()
		l.heartbeat(id)
	}
}

func (l *liar) heartbeat(to string) {
	l.mu.Lock()
	term := l.term
	l.mu.Unlock()
	var a raft.AppendEntriesResponse
	_ = l.raft.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), &raft.AppendEntriesRequest{RPCHeader: l.header(), Term: term}, &a)
}

// abdicate lets the others go on.
func (l *liar) abdicate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leading != nil {
		l.leading()
		l.leading = nil
	}
}

// append sends entries to one member, after one that it has, and says how far to
// commit. It returns whether they were taken.
func (l *liar) append(to string, before *raft.Log, commit uint64, entries ...*raft.Log) bool {
	l.t.Helper()
	l.mu.Lock()
	term := l.term
	l.mu.Unlock()
	c := &raft.AppendEntriesRequest{
		RPCHeader: l.header(), Term: term, PrevLogEntry: before.Index, PrevLogTerm: before.Term, LeaderCommitIndex: commit,
	}
	for i, e := range entries {
		if e != nil {
			copied := *e
			copied.Index, copied.Term = before.Index+1+uint64(i), term
			e = &copied
		}
		c.Entries = append(c.Entries, e)
	}
	var a raft.AppendEntriesResponse
	var err error
	for range 3 { // pooled streams to a node that has been started again are dead
		if err = l.raft.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), c, &a); err == nil {
			return a.Success
		}
	}
	l.t.Errorf("%s is gone: %v", to, err)
	return false
}

// Serve implements [transport.Handler]: what is submitted through the liar is lost.
func (l *liar) Serve(_ context.Context, _ *transport.Caller, method uint16, body []byte) ([]byte, error) {
	if method != api.MethodPeerFresh {
		return nil, refusal(api.Retry(api.CodeOverloaded, "no"))
	}
	var q api.FreshRequest
	if err := wire.Decode(body, &q); err != nil {
		return nil, err
	}
	l.mu.Lock()
	answer := l.fresh
	l.heard++
	l.mu.Unlock()
	if answer == nil {
		return nil, refusal(api.Retry(api.CodeOverloaded, "no"))
	}
	return wire.Encode(answer(q)), nil
}

// says sets what the liar answers about its log from now on.
func (l *liar) says(answer func(api.FreshRequest) *api.FreshAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = answer
}

// sign signs an answer about freshness as a node does.
func (l *liar) sign(q api.FreshRequest, a api.FreshAnswer) *api.FreshAnswer {
	sig, err := l.signer.Sign(rand.Reader, tag.FreshAnswer, freshParts(l.genesis.Cluster, l.id, q.Nonce, &a)...)
	if err != nil {
		l.t.Error(err)
	}
	a.Signature = sig.ASN1
	return &a
}

// statement is an entry that this member may make.
func (l *liar) statement(kind string, body any) []byte {
	e, err := authority.SignStatement(rand.Reader, l.signer, l.genesis.Cluster, l.id, kind, body)
	if err != nil {
		l.t.Fatal(err)
	}
	return e.Encode()
}

func command(data []byte) *raft.Log { return &raft.Log{Type: raft.LogCommand, Data: data} }
