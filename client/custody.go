package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// custodyWait is how long the others may take once one node has answered: a node that
// is behind shows custodians who were replaced since, and one that is down shows none.
const custodyWait = time.Second

// Custody returns who holds authority now, verified from genesis on, change by change.
// Several nodes are asked, and the longest chain is taken: a node can hold back the
// newest replacement, and not make one up. It fails with a *[NodesError] when nobody
// answers.
func (c *Client) Custody(ctx context.Context) (*authority.Succession, error) {
	ctx, cancel := c.bounded(ctx)
	type outcome struct {
		link  *link
		chain *authority.Succession
		err   error
	}
	outcomes := make(chan outcome, len(c.links))
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	for _, l := range c.links {
		asked.Go(func() {
			a, err := ask[api.ClusterAnswer](ctx, l, api.MethodCluster, nil)
			if err != nil {
				outcomes <- outcome{link: l, err: err}
				return
			}
			chain, err := authority.Follow(c.Genesis(), a.Succession)
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			outcomes <- outcome{l, chain, err}
		})
	}
	var longest *authority.Succession
	var late <-chan time.Time
	failed := &NodesError{Doing: "ask who the custodians are", Nodes: len(c.links)}
	for range c.links {
		select {
		case o := <-outcomes:
			switch {
			case o.err != nil:
				failed.Reasons = append(failed.Reasons, reasonOf(o.link.node.ID, o.err))
			case longest == nil:
				longest, late = o.chain, time.After(custodyWait)
			case o.chain.Len() > longest.Len():
				longest = o.chain
			}
		case <-late:
			return longest, nil
		}
	}
	if longest == nil {
		return nil, failed
	}
	return longest, nil
}
