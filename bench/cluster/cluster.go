package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/ports"
	"warifu.dev/sharing/custodian"
)

// Kinds of tokens.
const (
	HSMToken = "pkcs11" // SoftHSM, by PKCS#11
	HSMSoft  = "soft"   // a key file, which protects nothing
)

// Node says which node there is.
type Node struct{ ID, Region string }

// Config says what cluster to make. Zero values of T, F, Custodians, Required,
// HSM and PhaseSeconds mean the demo's: 3, 1, 3, 2, pkcs11 and 30.
type Config struct {
	Dir          string // made if missing; holds everything
	Bin          string // directory with warifud, see BuildBinaries
	Nodes        []Node // in the order of their indices; none means [DemoNodes]
	T, F         int
	Custodians   int                    // how many there are,
	Keys         []*custodian.Custodian // those that are there already, such as one in a token; what is nil is made
	Required     int                    // and how many must sign
	Sealed       bool                   // as many of them open a node's seal after each start,
	Attended     bool                   // and do so while WaitServing waits
	HSM          string
	PhaseSeconds int   // of the root key's birth
	AuditReserve int64 // bytes, 0 means the node's default
	Numbers      bool  // every node shows them at [Cluster.Numbers]

	// Tap, if not nil, sees every packet on its way to or from a node; a false
	// answer drops it. It is called from several goroutines.
	Tap func(Packet) bool
	// Distance, if not nil, is the round trip between two nodes, or a node and
	// [Outside]: packets are held back for half of it in each direction. It is asked for
	// each packet, from several goroutines.
	Distance func(a, b string) time.Duration
	// ClientTimeout is that of the clients that [Cluster.Client] makes; 0 means theirs.
	ClientTimeout time.Duration
	// Environment is what a node's processes get besides; nil for nothing.
	Environment func(node string) []string
	// Revive, if not nil, is asked when a process of a node ended by a SIGKILL that
	// this package did not send; if it says so, the same process is started again.
	Revive func(node string) bool
	// Log may be nil.
	Log *slog.Logger
}

// DemoNodes are the five nodes of the demo: any region may die.
var DemoNodes = []Node{
	{"jp-east-1", "jp-east"},
	{"jp-east-2", "jp-east"},
	{"jp-west-1", "jp-west"},
	{"jp-west-2", "jp-west"},
	{"sg-1", "sg"},
}

// ErrUnknownNode means that there is no node of this id.
var ErrUnknownNode = errors.New("no such node")

func (c *Config) fill() error {
	if c.Dir == "" || c.Bin == "" {
		return errors.New("cluster: Dir and Bin are required")
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if len(c.Nodes) == 0 {
		c.Nodes = DemoNodes
	}
	for _, f := range []struct {
		at   *int
		then int
	}{{&c.T, 3}, {&c.F, 1}, {&c.Custodians, 3}, {&c.Required, 2}, {&c.PhaseSeconds, 30}} {
		if *f.at == 0 {
			*f.at = f.then
		}
	}
	if c.HSM == "" {
		c.HSM = HSMToken
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Cluster is a running cluster.
type Cluster struct {
	cfg     Config
	module  string // of the tokens
	parent  *parent
	desk    *desk
	genesis *authority.VerifiedGenesis
	key     *client.Key // the last one created; set before [Cluster.Load]
	held    holds

	mu    sync.RWMutex
	nodes map[string]*member    // those that left too; guarded by mu
	ids   []string              // of those on the roster, in its order; guarded by mu
	known *authority.Succession // guarded by mu
}

// member is one node with its process.
type member struct {
	Node
	dir  string // nodes/ID; data, token and log are in it
	pin  string
	line authority.Node
	// listens is where the node itself listens, by channel.
	listens map[Channel]string
	// relays stand in front of the node, by channel; none without a tap or distances.
	relays map[Channel]*Relay

	mu   sync.Mutex
	held []net.PacketConn // its ports, until it runs there; guarded by mu
	left []net.PacketConn // those of its roster line, while it is elsewhere; guarded by mu
	// numbers is where it shows its metrics: the TCP port of a UDP one that is held
	// as long as it lives.
	numbers net.PacketConn
	proc    *process // guarded by mu; nil while none runs
	end     bool     // it is this package that ends it; guarded by mu
}

// Start makes the cluster and returns when every node serves. After a failure
// nothing is left running.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, parent: newParent(), nodes: map[string]*member{}, held: holds{of: map[string]int{}}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the cluster in %s: %w", cfg.Dir, err), c.Close())
		}
	}()
	if cfg.HSM == HSMToken {
		if c.module, err = softhsm.Module(); err != nil {
			return nil, err
		}
	}
	for _, n := range cfg.Nodes {
		if _, err := c.place(n); err != nil {
			return nil, err
		}
		c.ids = append(c.ids, n.ID)
	}
	if err := c.each(func(m *member) error { return c.makeNode(ctx, m) }); err != nil {
		return nil, err
	}
	if err := c.bear(); err != nil {
		return nil, err
	}
	document := filepath.Join(cfg.Dir, "genesis")
	if err := os.WriteFile(document, c.genesis.Signed().Encode(), 0o600); err != nil {
		return nil, err
	}
	if err := c.each(func(m *member) error {
		if _, err := c.warifud(ctx, m, "join", c.Dir(m.ID), document); err != nil {
			return err
		}
		return c.run(m)
	}); err != nil {
		return nil, err
	}
	return c, c.WaitServing(ctx)
}

// each does one thing for all nodes of the roster at a time.
func (c *Cluster) each(do func(*member) error) error {
	var members []*member
	for _, id := range c.IDs() {
		members = append(members, c.at(id))
	}
	return eachOf(members, do)
}

func eachOf(members []*member, do func(*member) error) error {
	errs := make([]error, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() {
			if err := do(m); err != nil {
				errs[i] = fmt.Errorf("node %s: %w", m.ID, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// place chooses where a node is, and where it listens: each port is held until it runs.
func (c *Cluster) place(n Node) (*member, error) {
	m := &member{Node: n, dir: filepath.Join(c.cfg.Dir, "nodes", n.ID), listens: map[Channel]string{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes[n.ID] != nil {
		return nil, fmt.Errorf("there is a node %s, or was", n.ID)
	}
	c.nodes[n.ID] = m // so that Close lets its ports go
	for _, channel := range []Channel{ToClients, ToPeers} {
		socket, err := ports.Listen("127.0.0.1")
		if err != nil {
			return nil, err
		}
		m.held = append(m.held, socket)
		m.listens[channel] = socket.LocalAddr().String()
	}
	return m, nil
}

// at is a node by its id, which there must be.
func (c *Cluster) at(id string) *member {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.nodes[id]
}

// letGo makes a node's ports free for it; m.mu is held.
func (m *member) letGo() {
	for _, socket := range m.held {
		_ = socket.Close()
	}
	m.held = nil
}

// makeNode makes a node's token and directory, and keeps its roster line.
func (c *Cluster) makeNode(ctx context.Context, m *member) error {
	data := c.Dir(m.ID)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	var pin [8]byte
	rand.Read(pin[:])
	m.pin = hex.EncodeToString(pin[:])
	client, peer := m.listens[ToClients], m.listens[ToPeers]
	if c.cfg.Tap != nil || c.cfg.Distance != nil {
		m.relays = map[Channel]*Relay{}
		for channel, address := range map[Channel]*string{ToClients: &client, ToPeers: &peer} {
			r, err := newRelay(m.ID, channel, c.cfg.Tap, c.away(m.ID))
			if err != nil {
				return err
			}
			*address = r.Address()
			m.relays[channel] = r
		}
	}
	args := []string{"init", data, "--node", m.ID, "--region", m.Region, "--client", client, "--peer", peer}
	if c.cfg.AuditReserve != 0 {
		args = append(args, "--audit-reserve", fmt.Sprint(c.cfg.AuditReserve))
	}
	if c.cfg.HSM == HSMToken {
		if _, err := softhsm.NewToken(c.TokenDir(m.ID), m.ID, m.pin, "so-"+m.pin); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(data, "pin"), []byte(m.pin+"\n"), 0o600); err != nil {
			return err
		}
		args = append(args, "--hsm", "pkcs11", "--module", c.module, "--token", m.ID, "--pin-file", "pin")
	} else {
		args = append(args, "--hsm", c.cfg.HSM)
	}
	out, err := c.warifud(ctx, m, args...)
	if kept, e := os.ReadFile(filepath.Join(data, "roster-line")); err != nil && c.cfg.Revive != nil && e == nil {
		out, err = string(kept), nil // it was killed when all was done, and does not print it again
	}
	if err != nil {
		return err
	}
	if m.line, err = authority.ParseNode(strings.TrimSpace(out)); err != nil {
		return err
	}
	return errors.Join(c.hide(m), c.shows(m))
}

// shows makes the node show its numbers.
func (c *Cluster) shows(m *member) (err error) {
	if !c.cfg.Numbers {
		return nil
	}
	if m.numbers, err = ports.Listen("127.0.0.1"); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(c.Dir(m.ID), "node.toml"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n[ops]\nlisten = %q\n", m.numbers.LocalAddr())
	return errors.Join(err, f.Close())
}

// hide makes the node listen behind its relays, whose addresses its roster line has.
func (c *Cluster) hide(m *member) error {
	var lines strings.Builder
	for channel, r := range m.relays {
		address, err := net.ResolveUDPAddr("udp", m.listens[channel])
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "listen_%s = %q\n", channel, address)
		r.aim(address)
	}
	path := filepath.Join(c.Dir(m.ID), "node.toml")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(lines.String()), old...), 0o600)
}

// Genesis is the cluster's document.
func (c *Cluster) Genesis() *authority.VerifiedGenesis { return c.genesis }

// IDs are the nodes on the roster, in its order: that of their indices, at first.
func (c *Cluster) IDs() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.ids)
}

// NodeDir is where everything of a node is: data, token and log.
func (c *Cluster) NodeDir(id string) string { return c.at(id).dir }

// Dir is a node's own directory, the argument of warifud.
func (c *Cluster) Dir(id string) string { return filepath.Join(c.at(id).dir, "data") }

// TokenDir is the directory of a node's SoftHSM token.
func (c *Cluster) TokenDir(id string) string { return filepath.Join(c.at(id).dir, "token") }

// LogPath is the file with what a node's process printed.
func (c *Cluster) LogPath(id string) string { return filepath.Join(c.at(id).dir, "log") }

// PIN is the PIN of a node's token.
func (c *Cluster) PIN(id string) string { return c.at(id).pin }

// Numbers is where a node shows its metrics, host and port; empty without Config.Numbers.
func (c *Cluster) Numbers(id string) string {
	if m := c.at(id); m.numbers != nil {
		return m.numbers.LocalAddr().String()
	}
	return ""
}

// Address is where a node says it listens for clients.
func (c *Cluster) Address(id string) string { return c.at(id).line.Claim.Client }

// statusEvery is how often nodes are asked while something is waited for.
const statusEvery = 200 * time.Millisecond

// WaitServing returns when every node that runs says that it serves.
func (c *Cluster) WaitServing(ctx context.Context) error {
	asks, err := c.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	for {
		var waiting []string
		sealed := false
		for _, s := range asks.Status(ctx) {
			switch {
			case c.PID(s.Node) == 0:
			case s.Err != nil:
				waiting = append(waiting, s.Err.Error())
			case s.Answer.State != "serving":
				waiting = append(waiting, s.Node+" is "+s.Answer.State)
				sealed = sealed || s.Answer.State == "sealed"
			}
		}
		if sealed && c.cfg.Attended {
			if err := c.Unseal(ctx); err != nil {
				return err
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for every node to serve: %w: %s", ctx.Err(), strings.Join(waiting, "; "))
		case <-time.After(statusEvery):
		}
	}
}

// Custodian is a client that calls as the first custodian. The caller closes it.
func (c *Cluster) Custodian() (*client.Client, error) {
	cert, err := c.desk.certificate()
	if err != nil {
		return nil, err
	}
	return c.Client(cert)
}

// Close kills what still runs and returns when it is gone. The directory stays.
func (c *Cluster) Close() error {
	c.mu.RLock()
	all := slices.Collect(maps.Values(c.nodes))
	c.mu.RUnlock()
	err := eachOf(all, func(m *member) error {
		err := c.signalAndWait(m, killed)
		m.mu.Lock()
		m.letGo()
		m.leave()
		m.mu.Unlock()
		if m.numbers != nil {
			err = errors.Join(err, m.numbers.Close())
		}
		for _, r := range m.relays {
			err = errors.Join(err, r.Close())
		}
		return err
	})
	c.parent.end()
	return err
}
