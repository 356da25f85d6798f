package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/transport"
)

// fakeCluster is five nodes with dealt shares behind the real transport. There
// is no ledger and no gate: what is tested is the client.
type fakeCluster struct {
	*dealt.Cluster
	key   *dealt.Key
	nodes map[string]*fakeNode
}

// fakeNode answers honestly, unless it is told to twist its answers.
type fakeNode struct {
	id      string
	cluster *fakeCluster
	socket  net.PacketConn
	stop    context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	record  []byte                                              // guarded by mu
	twist   func(*api.UnwrapRequest, *api.UnwrapAnswer) error   // guarded by mu
	submit  func(*api.SubmitRequest) (*api.SubmitAnswer, error) // guarded by mu
	claims  [][]byte                                            // guarded by mu
	anchor  [][]byte                                            // guarded by mu; none: it refuses
	receipt []byte                                              // encoded authority.SignedReceipt
	custody [][]byte                                            // guarded by mu
	puts    *api.ProposalsAnswer                                // what is proposed; guarded by mu; nil: it refuses
	asked   []api.UnwrapRequest                                 // guarded by mu
	toldTo  []api.EncryptRequest                                // guarded by mu
	lent    []api.BranchRequest                                 // guarded by mu
	clock   func() time.Time                                    // guarded by mu; nil: every interval has begun
	delay   time.Duration                                       // guarded by mu
	life    []byte                                              // guarded by mu
	policy  *api.PolicyAnswer                                   // guarded by mu; nil: it refuses

	at     func(*api.KeyAtRequest) (*authority.SignedKeyAt, error) // guarded by mu; nil: it refuses
	proofs atomic.Int64
}

func newFakeCluster(t *testing.T) *fakeCluster { return newFakeClusterOf(t, 3) }

// newFakeClusterOf is one whose keys have at least this threshold.
func newFakeClusterOf(t *testing.T, threshold int) *fakeCluster {
	t.Helper()
	var sockets []net.PacketConn
	for range 5 {
		s, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, s)
	}
	return newFakeClusterAt(t, threshold, sockets...)
}

// newFakeClusterAt is one whose five nodes have these sockets.
func newFakeClusterAt(t *testing.T, threshold int, sockets ...net.PacketConn) *fakeCluster {
	t.Helper()
	c := &fakeCluster{nodes: map[string]*fakeNode{}}
	var addrs []string
	for _, s := range sockets {
		addrs = append(addrs, s.LocalAddr().String())
	}
	c.Cluster = dealt.New(t, threshold, addrs...)
	c.key = c.Deal("payroll", 3, "n1", "n2", "n3", "n4", "n5")
	record := c.Sign(c.key.Record, "n1", "n2", "n3", "n4", "n5")
	for i, n := range c.Genesis.Roster {
		node := &fakeNode{id: n.ID, cluster: c, socket: sockets[i], record: record}
		c.nodes[n.ID] = node
		node.start(t)
	}
	return c
}

func (n *fakeNode) start(t *testing.T) {
	t.Helper()
	cert, err := transport.SelfSigned(n.cluster.Keys[n.id], n.id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := transport.Listen(transport.ServerConfig{
		Conn: n.socket, Certificate: cert, ALPN: api.ClientProtocol,
		Admit: func(*transport.Caller) error { return nil }, Handler: n,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.stopped = stop, make(chan struct{})
	go func() {
		defer close(n.stopped)
		if err := server.Serve(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(n.kill)
}

// kill ends the node; its port is closed when it returns.
func (n *fakeNode) kill() {
	n.stop()
	<-n.stopped
}

func (n *fakeNode) with(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *fakeNode) requests() []api.UnwrapRequest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

func (n *fakeNode) Serve(ctx context.Context, caller *transport.Caller, method uint16, body []byte) ([]byte, error) {
	n.mu.Lock()
	record, twist, submit, claims, delay := n.record, n.twist, n.submit, n.claims, n.delay
	life, at := n.life, n.at
	n.mu.Unlock()
	switch method {
	case api.MethodHere:
		return nil, nil
	case api.MethodStatus:
		return wire.Encode(api.StatusAnswer{Node: n.id, State: "serving"}), nil
	case api.MethodCluster:
		n.mu.Lock()
		defer n.mu.Unlock()
		return wire.Encode(api.ClusterAnswer{Genesis: n.cluster.Genesis.Signed().Encode(), Claims: claims, Succession: n.custody}), nil
	case api.MethodProposals:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.puts == nil {
			return nil, &transport.Refusal{Code: string(api.CodeDenied), Sentence: "no"}
		}
		return wire.Encode(n.puts), nil
	case api.MethodPolicy:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.policy == nil {
			return nil, &transport.Refusal{Code: string(api.CodeDenied), Sentence: "no"}
		}
		return wire.Encode(n.policy), nil
	case api.MethodKeyRecord:
		var r api.KeyRecordRequest
		if err := wire.Decode(body, &r); err != nil {
			return nil, err
		}
		if record == nil || r.Name != "" && r.Name != n.cluster.key.Order.Name || r.Name == "" && r.ID != n.cluster.key.Record.Key {
			return nil, &transport.Refusal{Code: string(api.CodeUnknownKey), Sentence: "there is no such key"}
		}
		return wire.Encode(api.KeyRecordAnswer{Record: record, Life: life}), nil
	case api.MethodKeyAt:
		var q api.KeyAtRequest
		if err := wire.Decode(body, &q); err != nil {
			return nil, err
		}
		if at == nil {
			return nil, &transport.Refusal{Code: string(api.CodeDenied), Sentence: "no"}
		}
		signed, err := at(&q)
		if err != nil {
			return nil, err
		}
		return wire.Encode(api.KeyAtAnswer{Signed: signed.Encode()}), nil
	case api.MethodAnchors:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.anchor == nil {
			return nil, &transport.Refusal{Code: string(api.CodeDenied), Sentence: "no"}
		}
		return wire.Encode(api.AnchorsAnswer{Entries: n.anchor}), nil
	case api.MethodDeny, api.MethodReceipt:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.receipt == nil {
			return wire.Encode(api.ReceiptAnswer{State: "unknown"}), nil
		}
		return wire.Encode(api.ReceiptAnswer{State: "in force", Receipt: n.receipt}), nil
	case api.MethodSubmit:
		var r api.SubmitRequest
		if err := wire.Decode(body, &r); err != nil {
			return nil, err
		}
		a, err := submit(&r)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	case api.MethodEncrypt:
		return n.encrypt(ctx, caller, body)
	case api.MethodBranch:
		return n.branch(caller, body)
	case api.MethodUnwrap:
		var r api.UnwrapRequest
		if err := wire.Decode(body, &r); err != nil {
			return nil, err
		}
		n.with(func() { n.asked = append(n.asked, r) })
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		answer := api.UnwrapAnswer{Header: api.AnswerHeader{Node: n.id}}
		for _, it := range r.Items {
			if n.cluster.key.Sets != nil {
				answer.Items = append(answer.Items, n.sum(r.Sets, it))
				continue
			}
			answer.Items = append(answer.Items, n.partial(it))
		}
		if twist != nil {
			if err := twist(&r, &answer); err != nil {
				return nil, err
			}
		}
		return wire.Encode(answer), nil
	}
	return nil, &transport.Refusal{Code: string(api.CodeMalformed), Sentence: "no such method"}
}

func (n *fakeNode) partial(it api.UnwrapItem) api.ItemAnswer {
	k := n.cluster.key
	e, err := tdh2.Parse(it.Envelope)
	if err != nil {
		return api.ItemAnswer{Refusal: api.Refuse(api.CodeEnvelope, "%v", err)}
	}
	v, err := k.Public.Verify(e, it.Context.Canonical())
	if err != nil {
		return api.ItemAnswer{Refusal: api.Refuse(api.CodeEnvelope, "%v", err)}
	}
	d := v.Partial(k.Shares[n.id])
	a := api.ItemAnswer{Epoch: 1, Index: uint32(k.Places[n.id]), Partial: d.Bytes()}
	if it.Prove {
		n.proofs.Add(1)
		yi := group.BaseMul(k.Shares[n.id])
		id := tdh2.ShareID{Cluster: k.Public.Cluster, KeyID: k.Public.KeyID, Version: 1, Epoch: 1, Index: k.Places[n.id]}
		if a.Proof, err = tdh2.ProveShare(rand.Reader, k.Shares[n.id], id, yi, d, e); err != nil {
			panic(err)
		}
	}
	return a
}

func (c *fakeCluster) client(t *testing.T, claims ...[]byte) *client.Client {
	t.Helper()
	return c.clientWith(t, client.Config{Claims: claims})
}

// clientBy is a client that opens its sockets so.
func (c *fakeCluster) clientBy(t *testing.T, dial client.OpenSocket) *client.Client {
	t.Helper()
	return c.clientWith(t, client.Config{Dial: dial})
}

// clientWith is a client of this cluster, otherwise as conf says.
func (c *fakeCluster) clientWith(t *testing.T, conf client.Config) *client.Client {
	t.Helper()
	cert, err := transport.SelfSigned(dealt.NewKey(t), "app", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf.Genesis, conf.Certificate = c.Genesis, cert
	cl, err := client.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

var (
	testContext = api.Context{"app": "payroll", "row": "42"}
	testDEK     = secret.New([]byte("0123456789abcdef0123456789abcdef"))
)

// wrapped is the client with its key, and one envelope.
func (c *fakeCluster) wrapped(t *testing.T, cl *client.Client) []byte {
	t.Helper()
	k, err := cl.Record(t.Context(), "payroll")
	if err != nil {
		t.Fatal(err)
	}
	b, err := k.Wrap(rand.Reader, testContext, testDEK)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opens(t *testing.T, cl *client.Client, envelope []byte) {
	t.Helper()
	dek, err := cl.Unwrap(t.Context(), envelope, testContext, "test")
	if err != nil {
		t.Fatal(err)
	}
	if !dek.Equal(testDEK) {
		t.Fatal("another data key came out")
	}
}

func quorumError(t *testing.T, err error) *client.QuorumError {
	t.Helper()
	var q *client.QuorumError
	if !errors.As(err, &q) || !errors.Is(err, client.ErrQuorum) {
		t.Fatalf("not a quorum error: %v", err)
	}
	return q
}

func refusing(code api.Code) func(*api.UnwrapRequest, *api.UnwrapAnswer) error {
	return func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		for i := range a.Items {
			a.Items[i] = api.ItemAnswer{Refusal: api.Refuse(code, "not for you")}
		}
		return nil
	}
}

// lying gives another group element in place of the partial.
func lying(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
	for i := range a.Items {
		a.Items[i].Partial = group.BaseMul(group.SmallScalar(7)).Bytes()
	}
	return nil
}

// restart starts a killed node again at its address.
func (n *fakeNode) restart(t *testing.T) {
	t.Helper()
	var err error
	if n.socket, err = net.ListenPacket("udp", n.socket.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	n.start(t)
}

// move starts a killed node again elsewhere, and returns its new address.
func (c *fakeCluster) move(t *testing.T, id string) string {
	t.Helper()
	n := c.nodes[id]
	var err error
	if n.socket, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	return n.socket.LocalAddr().String()
}

func encodeClaims(claims ...authority.AddressClaim) [][]byte {
	var out [][]byte
	for _, c := range claims {
		out = append(out, wire.Encode(c))
	}
	return out
}
