package client

import (
	"context"
	"fmt"
	"sync"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Anchors returns the newest anchor of each node, in the roster's order: how many
// audit records it had, and their root, under its own signature. All nodes are
// asked, because one could show an old one; which of them showed it does not
// matter. A node that has posted none is left out. It fails with a *[NodesError]
// when nobody answers.
func (c *Client) Anchors(ctx context.Context) ([]*authority.VerifiedAnchor, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	links, g := c.links(), c.Known().Genesis
	answers := make([]*api.AnchorsAnswer, len(links))
	errs := make([]error, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() { answers[i], errs[i] = ask[api.AnchorsAnswer](ctx, l, api.MethodAnchors, nil) })
	}
	all.Wait()
	newest := map[string]*authority.VerifiedAnchor{}
	failed := &NodesError{Doing: "fetch the anchors"}
	for i, a := range answers {
		err := errs[i]
		if err == nil && len(a.Entries) > len(links) {
			err = fmt.Errorf("%w: %d anchors of %d nodes", ErrAnswer, len(a.Entries), len(links))
		}
		if err != nil {
			failed.Reasons = append(failed.Reasons, reasonOf(links[i].node.ID, err))
			continue
		}
		for _, entry := range a.Entries {
			v, err := authority.VerifyAnchor(g, entry)
			if err != nil {
				continue // a lie; the others say what is so
			}
			if last := newest[v.Node()]; last == nil || v.Anchor().Counter > last.Anchor().Counter {
				newest[v.Node()] = v
			}
		}
	}
	if len(failed.Reasons) == len(links) {
		return nil, failed
	}
	var list []*authority.VerifiedAnchor
	for _, n := range g.Roster {
		if v := newest[n.ID]; v != nil {
			list = append(list, v)
		}
	}
	return list, nil
}
