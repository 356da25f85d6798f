package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
)

const (
	// DefaultTimeout bounds an unwrap and a look-up: a refusal that names every
	// node's reason is there within five seconds, whatever is dead.
	DefaultTimeout = 4 * time.Second
	// maxKeys bounds the records kept: at about 2 KiB each.
	maxKeys = 4096
)

// Config is what a [Client] needs.
type Config struct {
	// Genesis is the document of the cluster.
	Genesis *authority.VerifiedGenesis
	// Known is how the custodians and the roster have changed since, as far as it is
	// known here; nil means not at all.
	Known *authority.Succession
	// Claims are where nodes were when a client was here last, as [Client.Claims] gave
	// them; nil means where their roster lines say. What does not verify is left out.
	Claims [][]byte
	// Certificate is the application's, from a client CA that the ledger names;
	// or a custodian's or a node's, self-signed.
	Certificate tls.Certificate
	// Region is where this client runs, as the roster spells it; may be empty. It is
	// said to the nodes, for the policy.
	// Until distances are measured, nodes of this region are nearer.
	Region string
	// Source is the address of this machine to call from, where it has several and a
	// policy asks for a network; the zero address leaves it to the system.
	Source netip.Addr
	// Timeout bounds an unwrap or a look-up as a whole; 0 means [DefaultTimeout].
	// A context that ends earlier ends it earlier.
	Timeout time.Duration
	// Log may be nil. A line is written when a node gives a false partial, and when
	// two nodes show different histories of the ledger.
	Log *slog.Logger
	// Dial opens sockets; nil means UDP, from Source. It is for simulated networks.
	Dial OpenSocket
}

func (c *Config) validate() error {
	switch {
	case c.Genesis == nil:
		return fmt.Errorf("%w: no genesis document", ErrConfig)
	case len(c.Certificate.Certificate) == 0:
		return fmt.Errorf("%w: no certificate", ErrConfig)
	case c.Timeout < 0:
		return fmt.Errorf("%w: a negative timeout", ErrConfig)
	}
	return nil
}

// Client talks to one cluster. Its methods are safe for concurrent use.
type Client struct {
	conf      Config
	nodes     atomic.Pointer[nodes]
	meeting   chan struct{} // holds one while the roster is asked for
	seeking   chan struct{} // holds one while a node that does not answer is looked for
	soughtAt  time.Time     // when that was last; owned by whoever holds seeking
	histories histories
	hedges    hedges
	endorsed  endorsed
	branches  branches

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool                // guarded by mu
	left   []*link             // of nodes that are on the roster no more; guarded by mu
	names  map[string]*Key     // the newest version known; guarded by mu; at most maxKeys
	newest map[api.KeyID]*Key  // likewise
	keys   map[keyVersion]*Key // guarded by mu; at most maxKeys
	work   sync.WaitGroup      // added to under mu, while not closed
}

// New makes a client. It connects to nobody yet.
func New(conf Config) (*Client, error) {
	if err := conf.validate(); err != nil {
		return nil, err
	}
	if conf.Timeout == 0 {
		conf.Timeout = DefaultTimeout
	}
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	if conf.Dial == nil {
		conf.Dial = openUDP(conf.Source)
	}
	if conf.Known == nil {
		conf.Known = authority.Begin(conf.Genesis)
	}
	c := &Client{
		conf: conf, meeting: make(chan struct{}, 1), seeking: make(chan struct{}, 1),
		endorsed: endorsed{seed: maphash.MakeSeed()},
		names:    map[string]*Key{}, newest: map[api.KeyID]*Key{}, keys: map[keyVersion]*Key{},
	}
	first, err := c.nodesOf(conf.Known)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c.nodes.Store(first)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, b := range conf.Claims[:min(len(conf.Claims), authority.MaxNodes)] {
		_, _ = c.hear(b)
	}
	return c, nil
}

// Close ends all connections and returns when all is quiet. Calls that are under
// way fail.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
	for _, l := range slices.Concat(c.links(), c.left) {
		l.close()
	}
	c.branches.close()
}

// goes runs f in a goroutine that Close waits for; false after Close.
func (c *Client) goes(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Go(f)
	return true
}

// Genesis returns the document this client was given.
func (c *Client) Genesis() *authority.VerifiedGenesis { return c.conf.Genesis }

// bounded is ctx with the client's own timeout.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.conf.Timeout)
}
