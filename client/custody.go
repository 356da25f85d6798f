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
// Several nodes are asked: one can hold back the newest replacement, and show one that
// custodians signed who had been replaced. Of chains that part, that is taken which
// most nodes follow, as far as they show any; else the longest. It fails with a
// *[NodesError] when nobody answers.
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
	var chains []*authority.Succession
	var late <-chan time.Time
	failed := &NodesError{Doing: "ask who the custodians are", Nodes: len(c.links)}
	for range c.links {
		select {
		case o := <-outcomes:
			if o.err != nil {
				failed.Reasons = append(failed.Reasons, reasonOf(o.link.node.ID, o.err))
				continue
			}
			if chains = append(chains, o.chain); late == nil {
				late = time.After(custodyWait)
			}
		case <-late:
			return mostFollowed(chains), nil
		}
	}
	if len(chains) == 0 {
		return nil, failed
	}
	return mostFollowed(chains), nil
}

// mostFollowed is the chain, of those that no other extends, that most chains are the
// beginning of; of several the longest.
func mostFollowed(chains []*authority.Succession) *authority.Succession {
	var best *authority.Succession
	most := 0
	for _, c := range chains {
		count, end := 0, true
		for _, other := range chains {
			if c.Extends(other) {
				count++
			}
			end = end && (c.Extends(other) || !other.Extends(c))
		}
		if end && (best == nil || count > most || count == most && c.Len() > best.Len()) {
			best, most = c, count
		}
	}
	return best
}
