package consensus

import (
	"fmt"
	"net"
	"sync/atomic"
)

// maxCall bounds what a peer may send between two answers: the entries of one call, of
// which Raft sends at most 64, and its frame. The library decodes a call whole before
// anybody can look at it.
const maxCall = 64*maxStored + 1<<20

// inbound is a stream that a peer opened. What goes beyond maxCall without an answer
// ends it, but for a snapshot that the guard has let in: that is not held in memory,
// and room says how much of it may still come.
type inbound struct {
	net.Conn
	left atomic.Int64 // until the next answer
	room *atomic.Int64
}

func newInbound(c net.Conn, room *atomic.Int64) *inbound {
	in := &inbound{Conn: c, room: room}
	in.left.Store(maxCall)
	return in
}

// Read takes from the call, and when that is used up from the snapshot.
func (c *inbound) Read(b []byte) (int, error) {
	if c.left.Load() <= 0 {
		c.left.Add(c.room.Swap(0))
	}
	left := c.left.Load()
	if left <= 0 {
		return 0, fmt.Errorf("%w: more than %d bytes without an end", errCall, maxCall)
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// Write sends an answer: another call may follow.
func (c *inbound) Write(b []byte) (int, error) {
	c.left.Store(maxCall)
	return c.Conn.Write(b)
}
