package client

import (
	"context"
	"fmt"
	"slices"
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
// custodians signed who had been replaced. It is the longest chain; of chains that part,
// that which t nodes follow beyond the parting, one of them honest. It fails with
// [ErrParted] when there is none such, and with a *[NodesError] when nobody answers.
// From then on this client calls the nodes of that roster, if it goes on from the one
// that it knew.
func (c *Client) Custody(ctx context.Context) (*authority.Succession, error) {
	chain, err := c.custody(ctx)
	if err != nil {
		return nil, err
	}
	return chain, c.learn(chain)
}

func (c *Client) custody(ctx context.Context) (*authority.Succession, error) {
	ctx, cancel := c.bounded(ctx)
	type outcome struct {
		link  *link
		chain *authority.Succession
		err   error
	}
	links := c.links()
	outcomes := make(chan outcome, len(links))
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	for _, l := range links {
		asked.Go(func() {
			a, err := ask[api.ClusterAnswer](ctx, l, api.MethodCluster, nil)
			if err != nil {
				outcomes <- outcome{link: l, err: err}
				return
			}
			c.hearAll(l, a.Claims)
			chain, err := authority.Follow(c.Genesis(), a.Succession)
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			outcomes <- outcome{l, chain, err}
		})
	}
	var chains []*authority.Succession
	var late <-chan time.Time
	failed := &NodesError{Doing: "ask who the custodians are", Nodes: len(links)}
	for range links {
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
			return agreed(chains, int(c.Genesis().Root.T))
		}
	}
	if len(chains) == 0 {
		return nil, failed
	}
	return agreed(chains, int(c.Genesis().Root.T))
}

// agreed is the chain that no other extends, if there is one such; else that which t
// nodes follow to where it has parted from every other. Who is behind follows all of
// them, and says nothing: those who were replaced make their chain as long as they like.
func agreed(chains []*authority.Succession, t int) (*authority.Succession, error) {
	var ends []*authority.Succession
	for _, c := range chains {
		if !slices.ContainsFunc(chains, func(o *authority.Succession) bool { return o.Len() > c.Len() && o.Extends(c) }) &&
			!slices.ContainsFunc(ends, func(o *authority.Succession) bool { return o.Extends(c) }) {
			ends = append(ends, c)
		}
	}
	if len(ends) == 1 {
		return ends[0], nil
	}
	for _, end := range ends {
		followers := 0
		for _, c := range chains {
			if end.Extends(c) && !slices.ContainsFunc(ends, func(o *authority.Succession) bool { return o != end && o.Extends(c) }) {
				followers++
			}
		}
		if followers >= t {
			return end, nil
		}
	}
	return nil, fmt.Errorf("%w: %d chains, none of them shown by %d nodes", ErrParted, len(ends), t)
}
