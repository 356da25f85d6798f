package netsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxWaiting bounds the packets of one socket that are on their way to it or wait
// in its buffer: 1,280 bytes each, about what a tuned UDP buffer holds.
const maxWaiting = 4096

// Delay is how long a packet takes from one host to another.
type Delay func(from, to string) time.Duration

// Network connects hosts. It is safe for concurrent use.
type Network struct {
	delay Delay

	mu      sync.Mutex
	random  *rand.Rand                 // guarded by mu
	sockets map[netip.AddrPort]*socket // guarded by mu
	rules   []*Effect                  // guarded by mu
	holds   map[string][]*Effect       // by host; guarded by mu
	held    []packet                   // sent by hosts that are held; guarded by mu
	port    uint16                     // the last one chosen; guarded by mu
	order   uint64                     // of the last packet; guarded by mu
	sent    uint64                     // guarded by mu
}

// New makes a network whose chances come from seed. A nil delay means none.
func New(seed uint64, delay Delay) *Network {
	if delay == nil {
		delay = func(string, string) time.Duration { return 0 }
	}
	return &Network{
		delay: delay, random: rand.New(rand.NewPCG(seed, 0x6e657473696d)),
		sockets: map[netip.AddrPort]*socket{}, holds: map[string][]*Effect{}, port: 49151,
	}
}

// Sent is how many packets were sent so far.
func (n *Network) Sent() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// ErrAddress means that an address is not of the form IP:port, or is taken.
var ErrAddress = errors.New("netsim: not an address to listen on")

// Listen opens a socket of a host. Port 0 chooses one.
func (n *Network) Listen(host, address string) (net.PacketConn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for at.Port() == 0 {
		n.port = max(n.port+1, 49152)
		if next := netip.AddrPortFrom(at.Addr(), n.port); n.sockets[next] == nil {
			at = next
		}
	}
	if n.sockets[at] != nil {
		return nil, fmt.Errorf("%w: %s is taken", ErrAddress, at)
	}
	s := &socket{network: n, host: host, address: at, closed: make(chan struct{}), wake: make(chan struct{}, 1)}
	n.sockets[at] = s
	return s, nil
}

// Rule is what happens to packets from one host to another, both of which may be
// empty for any.
type Rule struct {
	From, To string
	Loss     float64       // the part of them that is dropped; 1 is a cut
	Delay    time.Duration // added to the way
	Jitter   time.Duration // at most as much again, by chance
}

func (r *Rule) matches(from, to string) bool {
	return (r.From == "" || r.From == from) && (r.To == "" || r.To == to)
}

// Effect is a fault in force.
type Effect struct {
	network *Network
	rule    Rule
	host    string // held; empty for a rule
	count   atomic.Uint64
}

// Count is how many packets the fault has met: dropped, delayed or held.
func (e *Effect) Count() uint64 { return e.count.Load() }

// Impose puts a rule in force until it is healed.
func (n *Network) Impose(r Rule) *Effect {
	e := &Effect{network: n, rule: r}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = append(n.rules, e)
	return e
}

// Hold stops a host: until it is healed, nothing comes out of its sockets and
// nothing that it sends leaves.
func (n *Network) Hold(host string) *Effect {
	e := &Effect{network: n, host: host}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holds[host] = append(n.holds[host], e)
	return e
}

// Heal ends the fault; a second time does nothing.
func (e *Effect) Heal() {
	n := e.network
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = slices.DeleteFunc(n.rules, func(o *Effect) bool { return o == e })
	n.holds[e.host] = slices.DeleteFunc(n.holds[e.host], func(o *Effect) bool { return o == e })
	if e.host == "" || len(n.holds[e.host]) > 0 {
		return
	}
	held := n.held
	n.held = nil
	for _, p := range held {
		n.route(p)
	}
	for _, s := range n.sockets {
		if s.host == e.host {
			s.rouse()
		}
	}
}

// packet is one datagram on its way.
type packet struct {
	from     *socket
	to       netip.AddrPort
	data     []byte
	due      time.Time
	order    uint64
	fromHost string
}

// send takes a packet from a socket.
func (n *Network) send(from *socket, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent++
	if from.unplugged {
		return
	}
	n.route(packet{from: from, to: to, data: slices.Clone(b), fromHost: from.host})
}

// route decides what becomes of a packet. n.mu is held.
func (n *Network) route(p packet) {
	if holds := n.holds[p.fromHost]; len(holds) > 0 {
		meet(holds)
		if len(n.held) < maxWaiting {
			n.held = append(n.held, p)
		}
		return
	}
	s := n.sockets[p.to]
	if s == nil {
		return // nobody listens there
	}
	meet(n.holds[s.host])
	wait := n.delay(p.fromHost, s.host)
	for _, e := range n.rules {
		r := &e.rule
		if !r.matches(p.fromHost, s.host) {
			continue
		}
		if r.Loss >= 1 || r.Loss > 0 && n.random.Float64() < r.Loss {
			e.count.Add(1)
			return
		}
		if r.Delay > 0 || r.Jitter > 0 {
			e.count.Add(1)
			wait += r.Delay
			if r.Jitter > 0 {
				wait += time.Duration(n.random.Int64N(int64(r.Jitter)))
			}
		}
	}
	n.order++
	p.due, p.order = time.Now().Add(wait), n.order
	s.take(p)
}

func meet(holds []*Effect) {
	for _, e := range holds {
		e.count.Add(1)
	}
}

// stopped says whether a host is held.
func (n *Network) stopped(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.holds[host]) > 0
}

// leave takes a socket off the network.
func (n *Network) leave(s *socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[s.address] == s {
		delete(n.sockets, s.address)
	}
}

// Unplug takes every socket of a host off the network, as if its machine had lost
// its power: nothing more comes to them, and what they send is lost. Sockets that
// the host opens later, at the same addresses too, are new ones.
func (n *Network) Unplug(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at, s := range n.sockets {
		if s.host == host {
			s.unplugged = true
			delete(n.sockets, at)
		}
	}
	n.held = slices.DeleteFunc(n.held, func(p packet) bool { return p.fromHost == host })
}

// HealAll ends every fault.
func (n *Network) HealAll() {
	n.mu.Lock()
	effects := slices.Clone(n.rules)
	for _, of := range n.holds {
		effects = append(effects, of...)
	}
	n.mu.Unlock()
	for _, e := range effects {
		e.Heal()
	}
}
