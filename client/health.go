package client

import (
	"context"
	"sync"
	"time"

	"warifu.dev/api"
)

// NodeHealth is what one node says of its machine, or why it says nothing.
type NodeHealth struct {
	Node   string
	Answer *api.HealthAnswer
	// Ahead is how far the node's clock is ahead of this machine's, which is taken to
	// have been asked half way through the call.
	Ahead time.Duration
	Err   error // a *[NodesError] with one reason
}

// Health asks all nodes, in parallel, in the roster's order.
func (c *Client) Health(ctx context.Context) []NodeHealth {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	links := c.links()
	list := make([]NodeHealth, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			sent := time.Now()
			answer, err := ask[api.HealthAnswer](ctx, l, api.MethodHealth, nil)
			list[i] = NodeHealth{Node: l.node.ID, Answer: answer}
			if err != nil {
				list[i].Err = &NodesError{Doing: "ask " + l.node.ID + " for its health", Reasons: []NodeReason{reasonOf(l.node.ID, err)}}
				return
			}
			list[i].Ahead = time.UnixMilli(answer.Time).Sub(sent.Add(time.Since(sent) / 2))
		})
	}
	all.Wait()
	return list
}
