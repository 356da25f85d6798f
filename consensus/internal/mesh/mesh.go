// Package mesh is a network of streams in memory, for tests of Raft. A node can
// be cut off, as a network cuts: its streams end, and no new ones are made.
package mesh

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Mesh joins nodes by name.
type Mesh struct {
	mu    sync.Mutex
	nodes map[string]*Node // who listens; guarded by mu
	cut   map[string]bool  // guarded by mu
	conns map[net.Conn]ends
}

type ends struct{ from, to string }

// New makes a mesh of no nodes.
func New() *Mesh {
	return &Mesh{nodes: map[string]*Node{}, cut: map[string]bool{}, conns: map[net.Conn]ends{}}
}

// Node is one node's place in the mesh: consensus.Streams.
type Node struct {
	mesh *Mesh
	id   string

	incoming chan net.Conn
	done     chan struct{}
	finish   func()
}

// Join listens in the name of id, also again after a Close.
func (m *Mesh) Join(id string) *Node {
	n := &Node{mesh: m, id: id, incoming: make(chan net.Conn), done: make(chan struct{})}
	n.finish = sync.OnceFunc(func() {
		close(n.done)
		m.hangUp(id)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[id] = n
	return n
}

// Cut takes a node off the network; Mend brings it back.
func (m *Mesh) Cut(id string) {
	m.mu.Lock()
	m.cut[id] = true
	m.mu.Unlock()
	m.hangUp(id)
}

// Mend ends a Cut.
func (m *Mesh) Mend(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.cut, id)
}

// hangUp ends every stream of a node.
func (m *Mesh) hangUp(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, e := range m.conns {
		if e.from == id || e.to == id {
			_ = c.Close() // a pipe's Close never fails
			delete(m.conns, c)
		}
	}
}

// Accept waits for the next stream.
func (n *Node) Accept() (net.Conn, error) {
	select {
	case c := <-n.incoming:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept, and every stream of this node.
func (n *Node) Close() error {
	n.finish()
	return nil
}

// Addr is the node's id.
func (n *Node) Addr() net.Addr { return address(n.id) }

// Dial opens a stream to a node that listens and is not cut off.
func (n *Node) Dial(to string, timeout time.Duration) (net.Conn, error) {
	m := n.mesh
	m.mu.Lock()
	peer := m.nodes[to]
	if peer == nil || m.cut[to] || m.cut[n.id] {
		m.mu.Unlock()
		return nil, fmt.Errorf("mesh: %s does not reach %s", n.id, to)
	}
	here, there := net.Pipe()
	m.conns[here] = ends{n.id, to}
	m.conns[there] = ends{n.id, to}
	m.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case peer.incoming <- there:
		return here, nil
	case <-peer.done:
	case <-n.done:
	case <-timer.C:
	}
	_ = here.Close()
	return nil, fmt.Errorf("mesh: %s does not accept", to)
}

type address string

func (a address) Network() string { return "mesh" }
func (a address) String() string  { return string(a) }
