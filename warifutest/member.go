package warifutest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/authority"
	"warifu.dev/hsm/soft"
	"warifu.dev/node"
)

// member is one node: its directory, its clock and disk, and its incarnations.
type member struct {
	Node
	cluster *Cluster
	place   int // in the roster
	dir     string
	clock   clock
	disk    platter

	mu      sync.Mutex
	running *incarnation // guarded by mu; nil while none runs
}

// incarnation is one run of a node, from its start to its end.
type incarnation struct {
	stop context.CancelFunc
	done chan struct{} // closed when Run has returned
	err  error         // of Run; read after done
	dead atomic.Bool   // its disk takes nothing any more
	gone chan struct{} // closed when dead is set
}

// clock is a wall clock that may be off.
type clock struct {
	off   atomic.Int64 // nanoseconds
	asked atomic.Uint64
}

func (c *clock) now() time.Time {
	c.asked.Add(1)
	return time.Now().Add(time.Duration(c.off.Load()))
}

func (m *member) address(port int) string { return fmt.Sprintf("10.0.0.%d:%d", m.place+1, port) }

// Ports of a node.
const (
	clientPort = 7001
	peerPort   = 7002
)

func (m *member) device() (*soft.Device, error) {
	return soft.Open(soft.Config{Dir: filepath.Join(m.dir, "soft-hsm"), Log: m.cluster.trace.logger(100)})
}

func (m *member) init(random io.Reader) (line authority.Node, err error) {
	dev, err := m.device()
	if err != nil {
		return line, err
	}
	line, err = node.Init(random, m.dir, node.Config{
		Node: m.ID, Region: m.Region, Client: m.address(clientPort), Peer: m.address(peerPort),
		HSM: node.HSMConfig{Kind: "soft"}, AuditReserve: 4096,
	}, dev)
	return line, errors.Join(err, dev.Close())
}

func (m *member) join(g *authority.VerifiedGenesis) error {
	_, err := node.Join(m.dir, g.Signed().Encode(), nil)
	return err
}

// ErrRuns and ErrDown are said of a node that is not as a call needs it.
var (
	ErrRuns = errors.New("the node runs")
	ErrDown = errors.New("the node does not run")
)

// Start starts a node. It does not wait until it serves.
func (c *Cluster) Start(id string) error {
	m := c.members[id]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running.lives() {
		return fmt.Errorf("start %s: %w", id, ErrRuns)
	}
	dev, err := m.device()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	in := &incarnation{stop: stop, done: make(chan struct{}), gone: make(chan struct{})}
	m.running = in
	c.trace.add("start %s", id)
	go func() {
		in.err = node.Run(ctx, node.Options{
			Dir: m.dir, Device: dev, Log: c.trace.logger(c.level),
			Listen: func(address string) (net.PacketConn, error) { return c.net.Listen(id, address) },
			Now:    m.clock.now, Disk: in.before(&m.disk), Snapshots: c.policy, KeepLog: c.keepLog,
			Boot: func() time.Duration { return age + time.Since(c.began) },
		})
		in.err = errors.Join(in.err, dev.Close())
		c.trace.add("%s has ended: %v", id, in.err)
		close(in.done)
	}()
	return nil
}

// Runs says whether a node runs.
func (c *Cluster) Runs(id string) bool {
	m := c.members[id]
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running.lives()
}

// lives says whether Run has not returned. One that ended by itself is as good as
// none: a supervisor may start the node again.
func (in *incarnation) lives() bool {
	if in == nil {
		return false
	}
	select {
	case <-in.done:
		return false
	default:
		return true
	}
}

// take takes the incarnation that runs off the member.
func (m *member) take() *incarnation {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.running
	m.running = nil
	if !in.lives() {
		return nil
	}
	return in
}

// Stop stops a node in good order, and returns what its Run did. One that does not
// run is stopped already.
func (c *Cluster) Stop(id string) error {
	m := c.members[id]
	in := m.take()
	if in == nil {
		return nil
	}
	c.trace.add("stop %s", id)
	in.stop()
	<-in.done
	if in.err != nil {
		return fmt.Errorf("stop %s: %w", id, in.err)
	}
	return nil
}

// Crash ends a node at once: nothing that it still does reaches the network or the
// disk.
func (c *Cluster) Crash(id string) error {
	m := c.members[id]
	in := m.take()
	if in == nil {
		return fmt.Errorf("crash %s: %w", id, ErrDown)
	}
	c.trace.add("crash %s", id)
	in.dead.Store(true)
	close(in.gone)
	c.net.Unplug(id)
	in.stop()
	<-in.done
	return nil
}

// copyTo copies the directories of the nodes. Modes stay.
func (b *birth) copyTo(t interface{ Fatal(...any) }, dir string) {
	for _, n := range Nodes() {
		if err := copyTree(filepath.Join(b.dir, n.ID), filepath.Join(dir, n.ID)); err != nil {
			t.Fatal(err)
		}
	}
}

func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(from, to, info)
	}
	if err := os.MkdirAll(to, info.Mode().Perm()); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies what a file holds; its zeros at the end stay a hole.
func copyFile(from, to string, info os.FileInfo) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	if err := os.WriteFile(to, b[:end], info.Mode().Perm()); err != nil {
		return err
	}
	return os.Truncate(to, info.Size())
}
