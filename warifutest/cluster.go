package warifutest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/consensus"
	"warifu.dev/transport/netsim"
	"warifu.dev/warifutest/schedule"
)

// Node is one node of the cluster.
type Node struct{ ID, Region string }

// Nodes are the five of the demo: any region may die, and two regions have t.
func Nodes() []Node {
	return []Node{
		{"jp-east-1", "jp-east"},
		{"jp-east-2", "jp-east"},
		{"jp-west-1", "jp-west"},
		{"jp-west-2", "jp-west"},
		{"sg-1", "sg"},
	}
}

// The cluster: 3 of 5 holders, 2 of 3 custodians.
const (
	Threshold  = 3
	faulty     = 1
	custodians = 3
	required   = 2
)

// KeyName is the key that the cluster is born with.
const KeyName = "payroll"

// Options says how a test differs from others.
type Options struct {
	Seed    uint64 // of the network's chances
	Verbose bool   // the nodes' debug lines are in the trace too
	// Snapshots is when the nodes write their ledgers down whole; the zero value is
	// the daemon's, under which no test lives long enough to see one.
	Snapshots consensus.Policy
	// KeepLog is a cluster whose nodes do not compact after a ceremony, so that its
	// history can be replayed from the first entry on.
	KeepLog bool
	// Sealed is a cluster whose seals custodians open: no node serves when the test
	// begins.
	Sealed bool
}

// age is how old a cluster is when a test begins: its clocks are past everything
// that its ledger holds.
const age = time.Hour

// Patience bounds, in simulated time, what a healed cluster may need: elections,
// dials that back off, a log to catch up with.
const Patience = 90 * time.Second

// Cluster is a running cluster. Its methods are safe for concurrent use, and are
// called in the bubble alone.
type Cluster struct {
	t       testing.TB
	birth   *birth
	dir     string
	began   time.Time
	net     *netsim.Network
	trace   *trace
	level   slog.Level
	policy  consensus.Policy // of snapshots
	keepLog bool             // see Options
	members map[string]*member
	clients []*client.Client // guarded by mu
	mu      sync.Mutex
}

// Run makes a cluster in a bubble of its own and runs f with it. All nodes serve
// when f begins; f may leave them as it likes.
func Run(t *testing.T, o Options, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	b := born(t, o.Sealed)
	dir := t.TempDir()
	b.copyTo(t, dir)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(age)
		c := newCluster(t, b, dir, o)
		defer func() {
			c.close()
			if t.Failed() {
				t.Logf("seed %d\n%s", o.Seed, c.trace)
			}
		}()
		for _, n := range Nodes() {
			if err := c.Start(n.ID); err != nil {
				t.Fatal(err)
			}
		}
		if !o.Sealed {
			ctx, cancel := context.WithTimeout(t.Context(), Patience)
			defer cancel()
			if err := c.WaitServing(ctx); err != nil {
				t.Fatal(err)
			}
		}
		f(t, c)
	})
}

func newCluster(t testing.TB, b *birth, dir string, o Options) *Cluster {
	c := &Cluster{t: t, birth: b, dir: dir, began: time.Now(), members: map[string]*member{}}
	c.trace = &trace{began: c.began}
	c.policy, c.keepLog = o.Snapshots, o.KeepLog
	c.level = slog.LevelInfo
	if o.Verbose {
		c.level = slog.LevelDebug
	}
	regions := map[string]string{}
	for i, n := range Nodes() {
		regions[n.ID] = n.Region
		c.members[n.ID] = &member{Node: n, cluster: c, place: i, dir: filepath.Join(dir, n.ID)}
	}
	c.net = netsim.New(o.Seed, func(from, to string) time.Duration { return distance(regions[from], regions[to]) })
	return c
}

// distance is one way between regions; clients are in jp-east.
func distance(a, b string) time.Duration {
	for _, r := range []*string{&a, &b} {
		if *r == "" {
			*r = "jp-east"
		}
	}
	switch {
	case a == b:
		return 500 * time.Microsecond
	case a == "sg" || b == "sg":
		return 35 * time.Millisecond
	default:
		return 4 * time.Millisecond
	}
}

// close stops what runs and waits until all is quiet.
func (c *Cluster) close() {
	c.mu.Lock()
	clients := c.clients
	c.clients = nil
	c.mu.Unlock()
	for _, cl := range clients {
		cl.Close()
	}
	for id := range c.members {
		c.net.HealAll()
		if err := c.Stop(id); err != nil {
			c.t.Error(err)
		}
	}
}

// Genesis is the cluster's document.
func (c *Cluster) Genesis() *authority.VerifiedGenesis { return c.birth.genesis }

// Desk is where the custodians sit.
func (c *Cluster) Desk() *Desk { return c.birth.desk }

// PolicyChange is the change that put the policy which the cluster was born with.
func (c *Cluster) PolicyChange() api.Digest { return c.birth.policy }

// Dir is the directory of a node.
func (c *Cluster) Dir(id string) string { return c.members[id].dir }

// Network is what connects the nodes and the clients, by their names, and
// [schedule.Clients].
func (c *Cluster) Network() *netsim.Network { return c.net }

// IDs are the nodes, in the order of their indices.
func (c *Cluster) IDs() (ids []string) {
	for _, n := range Nodes() {
		ids = append(ids, n.ID)
	}
	return ids
}

// Installs is how many snapshots have taken the place of a node's log so far.
func (c *Cluster) Installs() int { return int(c.trace.installs.Load()) }

// Trace writes a line into the trace.
func (c *Cluster) Trace(format string, args ...any) { c.trace.add(format, args...) }

// Open is a [client.OpenSocket] of the simulated network.
func (c *Cluster) Open(_ context.Context, addr string) (net.PacketConn, string, error) {
	s, err := c.net.Listen(schedule.Clients, "10.0.1.1:0")
	return s, addr, err
}

// Client makes a client that shows a certificate. It is closed with the cluster.
func (c *Cluster) Client(cert tls.Certificate) (*client.Client, error) {
	return c.client(client.Config{Genesis: c.birth.genesis, Certificate: cert, Region: "jp-east", Dial: c.Open})
}

func (c *Cluster) client(conf client.Config) (*client.Client, error) {
	cl, err := client.New(conf)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = append(c.clients, cl)
	return cl, nil
}

// Custodian makes a client that calls as the first custodian.
func (c *Cluster) Custodian() (*client.Client, error) { return c.CustodianAt(0) }

// CustodianAt makes a client that calls as a custodian, by its place in genesis,
// from 0.
func (c *Cluster) CustodianAt(place int) (*client.Client, error) {
	cert, err := c.birth.desk.Custodian(place)
	if err != nil {
		return nil, err
	}
	return c.Client(cert)
}

// Application makes a client of an application, and its key by name.
func (c *Cluster) Application(uri string) (*client.Client, *client.Key, error) {
	cert, err := c.birth.desk.Application(uri)
	if err != nil {
		return nil, nil, err
	}
	cl, err := c.Client(cert)
	if err != nil {
		return nil, nil, err
	}
	key, err := client.ParseKey(c.birth.genesis, c.birth.key)
	if err != nil {
		return nil, nil, err
	}
	cl.Use(key)
	return cl, key, nil
}

// WaitServing returns when every node that runs serves, with the same ledger.
func (c *Cluster) WaitServing(ctx context.Context) error {
	asks, err := c.Custodian()
	if err != nil {
		return err
	}
	_, err = Converged(ctx, asks, c.Runs)
	return err
}

// statusEvery is how often the nodes are asked while something is waited for.
const statusEvery = 500 * time.Millisecond

// Converged returns when every node of which runs is true serves, all with the
// same link at the same index, and says which index.
func Converged(ctx context.Context, asks *client.Client, runs func(id string) bool) (api.StatusAnswer, error) {
	for {
		var waiting []string
		var at *api.StatusAnswer
		for _, s := range asks.Status(ctx) {
			switch {
			case !runs(s.Node):
			case s.Err != nil:
				waiting = append(waiting, s.Err.Error())
			case s.Answer.State != "serving":
				waiting = append(waiting, s.Node+" is "+s.Answer.State)
			case at == nil:
				at = s.Answer
			case s.Answer.Index != at.Index || s.Answer.Link != at.Link:
				waiting = append(waiting, fmt.Sprintf("%s is at %d, %s at %d", s.Node, s.Answer.Index, at.Node, at.Index))
			}
		}
		if len(waiting) == 0 && at != nil {
			return *at, nil
		}
		select {
		case <-ctx.Done():
			return api.StatusAnswer{}, fmt.Errorf("wait for every node to serve: %w: %s", ctx.Err(), strings.Join(waiting, "; "))
		case <-time.After(statusEvery):
		}
	}
}

// birth is what every cluster of this process begins with.
type birth struct {
	dir     string // holds a directory for each node
	genesis *authority.VerifiedGenesis
	desk    *Desk
	policy  api.Digest // the change that put it
	key     []byte     // its signed record
}

var (
	bearing sync.Mutex
	births  = map[bool]*birth{} // by whether custodians open the seals; guarded by bearing
)

// born bears the cluster, once in a process for each way of unsealing.
func born(t *testing.T, sealed bool) *birth {
	t.Helper()
	bearing.Lock()
	defer bearing.Unlock()
	if births[sealed] == nil {
		syscall.Umask(0o077) // as the daemon does: Raft's log makes its files by it
		dir, err := os.MkdirTemp("", "warifutest-")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			b, err := bear(t, dir, sealed)
			if err != nil {
				t.Fatal(err)
			}
			births[sealed] = b
		})
	}
	return births[sealed]
}

// Forget removes what [Run] keeps for the tests of this process: for TestMain.
func Forget() error {
	bearing.Lock()
	defer bearing.Unlock()
	var err error
	for sealed, b := range births {
		delete(births, sealed)
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// bearingTime bounds the births of the two keys, in simulated time.
const bearingTime = 10 * time.Minute

func bear(t *testing.T, dir string, sealed bool) (_ *birth, err error) {
	b := &birth{dir: dir}
	if b.desk, err = newDesk(custodians, required); err != nil {
		return nil, err
	}
	c := newCluster(t, b, dir, Options{})
	defer func() {
		c.close()
		if err != nil {
			t.Logf("the birth:\n%s", c.trace)
		}
	}()
	var roster []authority.Node
	for _, n := range Nodes() {
		line, err := c.members[n.ID].init(rand.Reader)
		if err != nil {
			return nil, err
		}
		roster = append(roster, line)
	}
	if b.genesis, err = b.desk.genesis(roster, Threshold, faulty, 30, sealed); err != nil {
		return nil, err
	}
	for _, n := range Nodes() {
		if err := c.members[n.ID].join(b.genesis); err != nil {
			return nil, err
		}
		if err := c.Start(n.ID); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), bearingTime)
	defer cancel()
	if err := c.WaitServing(ctx); err != nil {
		return nil, err
	}
	if err := b.furnish(ctx, c); err != nil {
		return nil, err
	}
	return b, errors.Join(c.WaitServing(ctx))
}
