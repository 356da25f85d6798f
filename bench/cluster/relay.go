package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Channel is one of a node's two sockets.
type Channel string

// A node's sockets.
const (
	ToClients Channel = "client"
	ToPeers   Channel = "peer"
)

// Packet is one UDP packet, as it passes a relay.
type Packet struct {
	Node     string // behind this relay
	Channel  Channel
	FromNode bool
	Data     []byte // valid during the call alone
}

// maxPacket is more than any UDP payload.
const maxPacket = 1 << 16

// Relay stands in front of one socket of a node and passes packets both ways,
// as a translation of addresses does: each caller gets a socket of its own
// towards the node.
type Relay struct {
	node    string
	channel Channel
	tap     func(Packet) bool // nil lets all pass
	// delay is how long a packet is held back, by the caller's address; nil holds none.
	delay func(caller string) time.Duration
	front *net.UDPConn
	all   sync.WaitGroup
	done  chan struct{} // closed by Close

	mu     sync.Mutex
	target *net.UDPAddr    // guarded by mu; nil until aimed
	ways   map[string]*way // by the caller's address; guarded by mu
	closed bool            // guarded by mu
}

// way is a caller's socket towards the node, and how packets get onto it.
type way struct {
	conn *net.UDPConn
	send func([]byte)
}

func newRelay(node string, channel Channel, tap func(Packet) bool, delay func(caller string) time.Duration) (*Relay, error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("relay for %s: %w", node, err)
	}
	r := &Relay{node: node, channel: channel, tap: tap, delay: delay, front: front, done: make(chan struct{}), ways: map[string]*way{}}
	r.all.Go(r.inwards)
	return r, nil
}

// Address is what the node claims.
func (r *Relay) Address() string { return r.front.LocalAddr().String() }

// aim says where the node listens.
func (r *Relay) aim(a net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = a.(*net.UDPAddr)
}

func (r *Relay) inwards() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := r.front.ReadFromUDP(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if r.tap != nil && !r.tap(Packet{Node: r.node, Channel: r.channel, Data: buf[:n]}) {
			continue
		}
		if w := r.way(from); w != nil {
			w.send(buf[:n])
		}
	}
}

// way is the one of a caller.
func (r *Relay) way(from *net.UDPAddr) *way {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.ways[from.String()]; ok || r.closed || r.target == nil {
		return w
	}
	conn, err := net.DialUDP("udp", nil, r.target)
	if err != nil {
		return nil
	}
	w := &way{conn: conn, send: r.line(from, func(b []byte) {
		_, _ = conn.Write(b) // a packet may always be lost
	})}
	r.ways[from.String()] = w
	back := r.line(from, func(b []byte) { _, _ = r.front.WriteToUDP(b, from) })
	r.all.Go(func() { r.outwards(conn, back) })
	return w
}

func (r *Relay) outwards(way *net.UDPConn, send func([]byte)) {
	buf := make([]byte, maxPacket)
	for {
		n, err := way.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // the node is down: nobody listens
			continue
		}
		if r.tap == nil || r.tap(Packet{Node: r.node, Channel: r.channel, FromNode: true, Data: buf[:n]}) {
			send(buf[:n])
		}
	}
}

// Close ends the relay and returns when all is quiet.
func (r *Relay) Close() error {
	r.mu.Lock()
	if !r.closed {
		close(r.done)
	}
	r.closed = true
	err := r.front.Close()
	for _, w := range r.ways {
		err = errors.Join(err, w.conn.Close())
	}
	r.mu.Unlock()
	r.all.Wait()
	return err
}
