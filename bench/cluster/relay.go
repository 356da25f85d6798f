package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
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
	tap     func(Packet) bool
	front   *net.UDPConn
	all     sync.WaitGroup

	mu     sync.Mutex
	target *net.UDPAddr            // guarded by mu; nil until aimed
	ways   map[string]*net.UDPConn // by the caller's address; guarded by mu
	closed bool                    // guarded by mu
}

func newRelay(node string, channel Channel, tap func(Packet) bool) (*Relay, error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("relay for %s: %w", node, err)
	}
	r := &Relay{node: node, channel: channel, tap: tap, front: front, ways: map[string]*net.UDPConn{}}
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
		if !r.tap(Packet{Node: r.node, Channel: r.channel, Data: buf[:n]}) {
			continue
		}
		if way := r.way(from); way != nil {
			_, _ = way.Write(buf[:n]) // a packet may always be lost
		}
	}
}

// way is the socket towards the node for one caller.
func (r *Relay) way(from *net.UDPAddr) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if way, ok := r.ways[from.String()]; ok || r.closed || r.target == nil {
		return way
	}
	way, err := net.DialUDP("udp", nil, r.target)
	if err != nil {
		return nil
	}
	r.ways[from.String()] = way
	r.all.Go(func() { r.outwards(way, from) })
	return way
}

func (r *Relay) outwards(way *net.UDPConn, to *net.UDPAddr) {
	buf := make([]byte, maxPacket)
	for {
		n, err := way.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // the node is down: nobody listens
			continue
		}
		if r.tap(Packet{Node: r.node, Channel: r.channel, FromNode: true, Data: buf[:n]}) {
			_, _ = r.front.WriteToUDP(buf[:n], to)
		}
	}
}

// Close ends the relay and returns when all is quiet.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	err := r.front.Close()
	for _, way := range r.ways {
		err = errors.Join(err, way.Close())
	}
	r.mu.Unlock()
	r.all.Wait()
	return err
}
