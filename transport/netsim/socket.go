package netsim

import (
	"container/heap"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// socket is one end. Its readers wait for the packet that is due first, for their
// deadline, and for the end.
type socket struct {
	network *Network
	host    string
	address netip.AddrPort
	wake    chan struct{} // of room 1: something a reader waits for has changed
	closed  chan struct{}
	once    sync.Once

	unplugged bool // guarded by network.mu

	mu       sync.Mutex
	waiting  queue     // guarded by mu
	deadline time.Time // guarded by mu; zero means none
}

// queue is a heap of packets, the one due first on top.
type queue []packet

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].order < q[j].order
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(packet)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = packet{}
	*q = (*q)[:last]
	return p
}

// take puts a packet on the way to this socket; a full buffer drops it.
func (s *socket) take(p packet) {
	s.mu.Lock()
	if len(s.waiting) < maxWaiting {
		heap.Push(&s.waiting, p)
	}
	s.mu.Unlock()
	s.rouse()
}

// rouse makes a reader look again.
func (s *socket) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ReadFrom returns the next packet that is due. A longer one than b is cut.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, wait, err := s.next()
		if err != nil {
			return 0, nil, err
		}
		if p != nil {
			s.rouse() // another reader may take the next
			return copy(b, p.data), net.UDPAddrFromAddrPort(p.from.address), nil
		}
		timer.Reset(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.closed:
			return 0, nil, s.failure("read", net.ErrClosed)
		}
	}
}

// next takes the packet that is due, or says how long to wait at most.
func (s *socket) next() (*packet, time.Duration, error) {
	held := s.network.stopped(s.host)
	select {
	case <-s.closed:
		return nil, 0, s.failure("read", net.ErrClosed)
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, wait := time.Now(), time.Hour
	if !s.deadline.IsZero() {
		if wait = min(wait, s.deadline.Sub(now)); wait <= 0 {
			return nil, 0, s.failure("read", os.ErrDeadlineExceeded)
		}
	}
	if held || len(s.waiting) == 0 {
		return nil, wait, nil
	}
	if first := s.waiting[0].due.Sub(now); first > 0 {
		return nil, min(wait, first), nil
	}
	p := heap.Pop(&s.waiting).(packet)
	return &p, 0, nil
}

// WriteTo sends a packet; what becomes of it is not told.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-s.closed:
		return 0, s.failure("write", net.ErrClosed)
	default:
	}
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, s.failure("write", fmt.Errorf("%v is no UDP address", to))
	}
	s.network.send(s, netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), u.AddrPort().Port()), b)
	return len(b), nil
}

func (s *socket) failure(op string, err error) error {
	return &net.OpError{Op: op, Net: "netsim", Addr: s.LocalAddr(), Err: err}
}

// Close ends every read.
func (s *socket) Close() error {
	s.once.Do(func() {
		s.network.leave(s)
		close(s.closed)
	})
	return nil
}

func (s *socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.address) }

func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	s.rouse()
	return nil
}

// SetWriteDeadline does nothing: a write does not wait.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer are asked for by QUIC. The buffer is as large
// as it is.
func (s *socket) SetReadBuffer(int) error  { return nil }
func (s *socket) SetWriteBuffer(int) error { return nil }
