package client

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
)

// policyWait is how long the others may take once a majority has answered.
const policyWait = time.Second

// Policy fetches the policy in force. Every node is asked, and answers after it has
// applied what it had stored: a node that is behind shows one that was replaced since.
// Of those that more nodes show than may lie, the newest is taken; else the newest of
// all. While fewer than a majority answer, a warning is logged. It fails with a
// *[NodesError] when nobody answers.
func (c *Client) Policy(ctx context.Context) (*api.PolicyAnswer, error) {
	ctx, cancel := c.bounded(ctx)
	type outcome struct {
		link   *link
		answer *api.PolicyAnswer
		err    error
	}
	links := c.links()
	outcomes := make(chan outcome, len(links))
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	for _, l := range links {
		asked.Go(func() {
			a, err := ask[api.PolicyAnswer](ctx, l, api.MethodPolicy, nil)
			outcomes <- outcome{l, a, err}
		})
	}
	liars := int(c.Genesis().Root.F)
	enough := len(links)/2 + 1
	var answers []*api.PolicyAnswer
	var late <-chan time.Time
	failed := &NodesError{Doing: "fetch the policy", Nodes: len(links)}
	for range links {
		select {
		case o := <-outcomes:
			if o.err != nil {
				failed.Reasons = append(failed.Reasons, reasonOf(o.link.node.ID, o.err))
				continue
			}
			if answers = append(answers, o.answer); len(answers) == enough {
				late = time.After(policyWait)
			}
		case <-late:
			return newestPolicy(answers, liars), nil
		}
	}
	if len(answers) == 0 {
		return nil, failed
	}
	if len(answers) < enough {
		c.conf.Log.Warn("fewer than a majority of the nodes show the policy: it may have been replaced", "shown", len(answers), "nodes", len(links))
	}
	return newestPolicy(answers, liars), nil
}

// newestPolicy is the newest that more nodes show than may lie, each policy as new as
// all but those of them say; if none is, the newest of all.
func newestPolicy(answers []*api.PolicyAnswer, liars int) *api.PolicyAnswer {
	type shown struct {
		document       string
		digest, change api.Digest
	}
	by := map[shown][]*api.PolicyAnswer{}
	for _, a := range answers {
		what := shown{string(a.Document), a.Digest, a.Change}
		by[what] = append(by[what], a)
	}
	var best, newest *api.PolicyAnswer
	for _, same := range by {
		slices.SortFunc(same, func(a, b *api.PolicyAnswer) int { return cmp.Compare(b.Index, a.Index) })
		if newest == nil || same[0].Index > newest.Index {
			newest = same[0]
		}
		if len(same) > liars && (best == nil || same[liars].Index > best.Index) {
			best = same[liars]
		}
	}
	return cmp.Or(best, newest)
}
