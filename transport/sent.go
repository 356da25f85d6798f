package transport

import (
	"context"
	"sync"

	"github.com/quic-go/quic-go"
)

// Sent is how many bytes this process has sent on the connections that it had: QUIC's
// packets, without the headers of UDP and IP, and without what answers those who do not
// get a connection. What all processes of a cluster and its clients have sent is what the
// network between them has carried.
func Sent() uint64 { return traffic.sum() }

// traffic is of the process and of nothing smaller, as its CPU time is.
var traffic connections

// connections are those of a process, and what those have sent that are gone.
type connections struct {
	mu   sync.Mutex
	open map[*quic.Conn]bool // guarded by mu
	gone uint64              // guarded by mu; bytes
}

// watch counts what a connection sends, until it ends.
func (c *connections) watch(qc *quic.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*quic.Conn]bool{}
	}
	c.open[qc] = true
	context.AfterFunc(qc.Context(), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, qc)
		c.gone += qc.ConnectionStats().BytesSent
	})
}

func (c *connections) sum() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.gone
	for qc := range c.open {
		all += qc.ConnectionStats().BytesSent
	}
	return all
}
