package client

import (
	"context"
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// addressWait bounds the question for newer addresses to one node.
const addressWait = time.Second

// askAddresses asks the nodes that are connected for newer address claims, and
// takes over those that verify. It says whether some node has moved. Only the
// nodes that are missed make it worth asking: see [Client.nearest].
func (c *Client) askAddresses(ctx context.Context) (moved bool) {
	for _, l := range c.links() {
		if s := l.standing(); s.rtt == 0 || s.shunned {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, addressWait)
		answer, err := ask[api.ClusterAnswer](ctx, l, api.MethodCluster, nil)
		cancel()
		if err != nil {
			continue
		}
		if len(answer.Claims) > authority.MaxNodes {
			continue
		}
		for _, b := range answer.Claims {
			m, err := c.hear(b)
			if err != nil {
				c.conf.Log.Info("an address claim is not taken", "node", l.node.ID, "error", err)
			}
			moved = moved || m
		}
	}
	return moved
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
