package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Times of comparing clocks. Nothing is decided on what comes of it: a node goes by
// its own clock, and whoever runs it is told when that is alone.
const (
	clockPeriod    = 30 * time.Second
	clockTimeout   = 5 * time.Second
	clockTolerance = 5 * time.Second // hours of a policy, certificates and grants end so much apart
)

// peerClocks is how far this node's clock is ahead of its peers'.
type peerClocks struct {
	mu       sync.Mutex
	offset   time.Duration // from the median of those that answered; guarded by mu
	compared bool          // at least half of the peers answered the last round; guarded by mu
}

// round takes how far this clock is ahead of each peer's that answered.
func (c *peerClocks) round(ahead []time.Duration, peers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compared = len(ahead) > 0 && 2*len(ahead) >= peers; !c.compared {
		return
	}
	c.offset = median(ahead)
}

// median of an even number of values is the mean of the two in the middle.
func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	m := len(of) / 2
	if len(of)%2 == 1 {
		return of[m]
	}
	return of[m-1] + (of[m]-of[m-1])/2
}

func (c *peerClocks) ahead() (offset time.Duration, compared bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset, c.compared
}

// warning says that this node's clock is alone, or nothing.
func (c *peerClocks) warning() string {
	offset, compared := c.ahead()
	if !compared || offset.Abs() <= clockTolerance {
		return ""
	}
	side := "ahead of"
	if offset < 0 {
		side = "behind"
	}
	return fmt.Sprintf("this node's clock is %v %s the median of its peers'", offset.Abs().Round(100*time.Millisecond), side)
}

// runClocks asks every peer what its clock shows, every period.
func (n *Node) runClocks(ctx context.Context) {
	tick := time.NewTicker(clockPeriod)
	defer tick.Stop()
	for {
		n.clockRound(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) clockRound(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	var mu sync.Mutex
	var ahead []time.Duration // guarded by mu
	peers := 0
	var wg sync.WaitGroup
	for _, peer := range n.consensus.Committed().Roster() {
		if peer.ID == n.cfg.Node {
			continue
		}
		peers++
		wg.Go(func() {
			offset, err := n.askClock(ctx, peer.ID)
			if err != nil {
				n.log.Debug("a peer did not say what its clock shows", "peer", peer.ID, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ahead = append(ahead, offset)
		})
	}
	wg.Wait()
	n.clocks.round(ahead, peers)
}

// askClock is how far this clock is ahead of a peer's, which is taken to answer half
// way through the call.
func (n *Node) askClock(ctx context.Context, peer string) (time.Duration, error) {
	began, sent := n.now(), n.boot()
	b, err := n.peers.Call(ctx, peer, api.MethodPeerClock, nil)
	if err != nil {
		return 0, err
	}
	var a api.ClockAnswer
	if err := wire.Decode(b, &a); err != nil {
		return 0, fmt.Errorf("answer of %s: %w", peer, err)
	}
	return began.Add((n.boot() - sent) / 2).Sub(time.UnixMilli(a.Time)), nil
}
