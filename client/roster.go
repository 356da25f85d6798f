package client

import (
	"context"
	"fmt"
	"time"

	"warifu.dev/authority"
)

// meetEvery is how often the roster is asked for: nodes that have not heard of a change
// have not a moment later either.
const meetEvery = time.Second

// nodes is who the nodes are, as far as it is known. It is replaced as a whole.
type nodes struct {
	known *authority.Succession
	links []*link   // in the roster's order
	met   time.Time // when it was asked for last
}

// Known returns how the custodians and the roster have changed since genesis, as far as
// this client knows.
func (c *Client) Known() *authority.Succession { return c.nodes.Load().known }

func (c *Client) links() []*link { return c.nodes.Load().links }

// link returns the way to a node by its id.
func (c *Client) link(id string) (*link, error) {
	for _, l := range c.links() {
		if l.node.ID == id {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownNode, printable(id))
}

// nodesOf makes the ways to the nodes of a roster; those that are there are kept.
func (c *Client) nodesOf(known *authority.Succession) (*nodes, error) {
	next := &nodes{known: known}
	for _, n := range known.Genesis.Roster {
		var l *link
		if c.nodes.Load() != nil {
			l, _ = c.link(n.ID) // an id is never given again
		}
		if l == nil {
			var err error
			if l, err = newLink(c, n); err != nil {
				return nil, err
			}
		}
		next.links = append(next.links, l)
	}
	return next, nil
}

// learn takes over a chain of changes that goes on from what is known: whom it brings
// is called from then on, and who has left no more. A chain that is behind, or that
// parts from what is known, is none of these. Calls that are under way are left alone.
func (c *Client) learn(chain *authority.Succession) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nodes.Load()
	if c.closed || chain.Len() <= now.known.Len() || !chain.Extends(now.known) {
		return nil
	}
	next, err := c.nodesOf(chain)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	next.met = now.met
	c.nodes.Store(next)
	for _, l := range now.links {
		if _, err := c.link(l.node.ID); err != nil {
			c.left = append(c.left, l) // at most authority.MaxSuccession of them
		}
	}
	return nil
}

// meet asks who is on the roster, unless at least this version of it is known, as after
// another's question, for whose answer it waits. One bad node could show a roster of its
// own, so that all are asked: see [Client.Custody].
func (c *Client) meet(ctx context.Context, version uint64) {
	select {
	case c.meeting <- struct{}{}:
		defer func() { <-c.meeting }()
	case <-ctx.Done():
		return
	}
	now := c.nodes.Load()
	if now.known.Roll.Version >= version || time.Since(now.met) < meetEvery {
		return
	}
	_, err := c.Custody(ctx)
	if err != nil {
		c.conf.Log.Info("the roster is not known", "version", version, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := *c.nodes.Load()
	asked.met = time.Now()
	c.nodes.Store(&asked)
}
