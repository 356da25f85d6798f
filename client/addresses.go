package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

const (
	// addressWait bounds the question for newer addresses to one node, or, where one node
	// is looked for, to all others.
	addressWait = time.Second
	// seekEvery is how often the others are asked where a node is that does not answer: most
	// that do not are down, and have not moved.
	seekEvery = 10 * time.Second
	// seekTick is how soon it is seen that a node that was asked is itself not there: where
	// nobody is, that is said at once.
	seekTick = 20 * time.Millisecond
)

// sought is where a node is that does not answer at an address, as far as those others
// know that were there when they were last tried.
func (c *Client) sought(missed *link, address string) string {
	ctx, cancel := context.WithTimeout(c.ctx, addressWait)
	defer cancel()
	select {
	case c.seeking <- struct{}{}:
		defer func() { <-c.seeking }()
	case <-ctx.Done():
		return missed.address()
	}
	if now := missed.address(); now != address || !c.soughtAt.IsZero() && time.Since(c.soughtAt) < seekEvery {
		return now
	}
	c.soughtAt = time.Now()
	others := slices.DeleteFunc(slices.Clone(c.links()), func(l *link) bool { return l == missed || l.standing().shunned })
	waiting := map[*link]bool{}
	answered := make(chan *link, len(others))
	for _, l := range others {
		waiting[l] = c.goes(func() {
			c.askClaims(ctx, l)
			answered <- l
		})
	}
	tick := time.NewTicker(seekTick)
	defer tick.Stop()
	for len(waiting) > 0 && ctx.Err() == nil && missed.address() == address {
		select {
		case l := <-answered:
			delete(waiting, l)
		case <-tick.C:
			maps.DeleteFunc(waiting, func(l *link, asked bool) bool { return !asked || l.standing().shunned })
		case <-ctx.Done():
		}
	}
	return missed.address()
}

// askAddresses asks the nodes that are connected for newer address claims, and
// takes over those that verify. It says whether some node has moved. Only the
// nodes that are missed make it worth asking: see [Client.nearest].
func (c *Client) askAddresses(ctx context.Context) (moved bool) {
	for _, l := range c.links() {
		if s := l.standing(); s.rtt == 0 || s.shunned {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, addressWait)
		moved = c.askClaims(ctx, l) || moved
		cancel()
	}
	return moved
}

// askClaims asks one node which claims it knows.
func (c *Client) askClaims(ctx context.Context, l *link) (moved bool) {
	answer, err := ask[api.ClusterAnswer](ctx, l, api.MethodCluster, nil)
	return err == nil && c.hearAll(l, answer.Claims)
}

// hearAll takes over what one node says of addresses, and says whether some node has moved.
func (c *Client) hearAll(from *link, claims [][]byte) (moved bool) {
	if len(claims) > authority.MaxNodes {
		return false
	}
	for _, b := range claims {
		m, err := c.hear(b)
		if err != nil {
			c.conf.Log.Info("an address claim is not taken", "node", from.node.ID, "error", err)
		}
		moved = moved || m
	}
	return moved
}

// Claims are the newest address claims that are known here of nodes that are elsewhere than
// their roster lines say, each an encoded [authority.AddressClaim], in the roster's order.
// They are worth keeping: see [Config].
func (c *Client) Claims() (claims [][]byte) {
	for _, l := range c.links() {
		l.mu.Lock()
		claim := l.claim
		l.mu.Unlock()
		if claim.Counter > l.node.Claim.Counter {
			claims = append(claims, wire.Encode(claim))
		}
	}
	return claims
}

// hear takes over one encoded [authority.AddressClaim], if it is newer than what
// is known and signed by the node it is about.
func (c *Client) hear(b []byte) (moved bool, err error) {
	var claim authority.AddressClaim
	if err := wire.Decode(b, &claim); err != nil {
		return false, fmt.Errorf("%w: address claim: %w", ErrAnswer, err)
	}
	l, err := c.link(claim.Node)
	if err != nil {
		return false, err
	}
	if err := claim.Verify(l.node.Key); err != nil {
		return false, fmt.Errorf("%w: address claim of %s: %w", ErrAnswer, l.node.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if claim.Counter <= l.claim.Counter {
		return false, nil
	}
	moved = claim.Client != l.claim.Client
	l.claim = claim
	if moved {
		l.failure = nil // another address deserves a dial now
	}
	return moved, nil
}
