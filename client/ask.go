package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// NodeStatus is what one node says of itself, or why it says nothing.
type NodeStatus struct {
	Node    string
	Address string // for clients, by the newest of its claims that is known here
	Answer  *api.StatusAnswer
	Err     error // a *[NodesError] with one reason
}

// Status asks all nodes, in parallel, in the roster's order.
func (c *Client) Status(ctx context.Context) []NodeStatus {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	links := c.links()
	list := make([]NodeStatus, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			answer, err := ask[api.StatusAnswer](ctx, l, api.MethodStatus, nil)
			list[i] = NodeStatus{Node: l.node.ID, Address: l.address(), Answer: answer}
			if err != nil {
				list[i].Err = &NodesError{Doing: "ask " + l.node.ID + " for its status", Reasons: []NodeReason{reasonOf(l.node.ID, err)}}
			}
		})
	}
	all.Wait()
	return list
}

// maxKeysListed bounds what a node that never comes to an end can make of a list.
const maxKeysListed = 1 << 20

// Keys lists the named keys, as the nearest node that answers says, or several, one
// after the other.
func (c *Client) Keys(ctx context.Context) ([]api.KeySummary, error) {
	var all []api.KeySummary
	for after := ""; ; after = all[len(all)-1].Name {
		body := wire.Encode(api.KeyListRequest{After: after})
		answer, err := firstOf(ctx, c, "list the keys", func(ctx context.Context, l *link) (*api.KeyListAnswer, error) {
			a, err := ask[api.KeyListAnswer](ctx, l, api.MethodKeyList, body)
			if err == nil && !follows(after, a) {
				err = fmt.Errorf("%w: keys that do not follow each other", ErrAnswer)
			}
			return a, err
		})
		if err != nil {
			return nil, err
		}
		if all = append(all, answer.Keys...); !answer.More {
			return all, nil
		}
		if len(all) > maxKeysListed {
			return nil, fmt.Errorf("list the keys: %w: more than %d", ErrAnswer, maxKeysListed)
		}
	}
}

// follows says whether the keys of an answer come by name, after the one asked for, and
// that there are some when more are to come: whoever asks again comes to an end.
func follows(after string, a *api.KeyListAnswer) bool {
	for _, k := range a.Keys {
		if k.Name <= after {
			return false
		}
		after = k.Name
	}
	return len(a.Keys) > 0 || !a.More
}

// Renewals lists how far each refresh and reshare has come, as the nearest node that
// answers says.
func (c *Client) Renewals(ctx context.Context) ([]api.RenewalSummary, error) {
	answer, err := firstOf(ctx, c, "list the refreshes and reshares", func(ctx context.Context, l *link) (*api.RenewalsAnswer, error) {
		return ask[api.RenewalsAnswer](ctx, l, api.MethodRenewals, nil)
	})
	if err != nil {
		return nil, err
	}
	return answer.Renewals, nil
}

// AuditTail returns the last n records of one node's audit, oldest first.
func (c *Client) AuditTail(ctx context.Context, node string, n int) (*api.AuditTailAnswer, error) {
	l, err := c.link(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := ask[api.AuditTailAnswer](ctx, l, api.MethodAuditTail, wire.Encode(api.AuditTailRequest{Count: uint32(max(n, 0))}))
	if err != nil {
		return nil, &NodesError{Doing: "read the audit of " + node, Reasons: []NodeReason{reasonOf(node, err)}}
	}
	return answer, nil
}

// ask makes one call and reads its answer. Failures are a *[api.Error], an error
// that wraps [ErrAnswer], or the connection's.
func ask[A any](ctx context.Context, l *link, method uint16, body []byte) (*A, error) {
	return answered[A](l.call(ctx, method, body))
}

func answered[A any](b []byte, err error) (*A, error) {
	if err != nil {
		return nil, err
	}
	var answer A
	if err := wire.Decode(b, &answer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return &answer, nil
}

// staggered is how long a look-up waits for one node before it asks another too.
const staggered = 300 * time.Millisecond

// firstOf asks nodes, the nearest first, one more whenever one fails or is slow,
// and returns the first good answer. Its failure is a *[NodesError].
func firstOf[A any](ctx context.Context, c *Client, doing string, get func(context.Context, *link) (*A, error)) (*A, error) {
	outer := ctx
	ctx, cancel := c.bounded(ctx)
	type outcome struct {
		link   *link
		answer *A
		err    error
	}
	links := c.links()
	queue := c.nearest(func() context.Context { return ctx }, links, 1)
	outcomes := make(chan outcome, len(queue))
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	failure := &NodesError{Doing: doing, Nodes: len(links)}
	waiting := map[string]bool{}
	next := func() {
		if len(queue) == 0 {
			return
		}
		l := queue[0]
		queue = queue[1:]
		waiting[l.node.ID] = true
		asked.Go(func() {
			answer, err := get(ctx, l)
			outcomes <- outcome{l, answer, err}
		})
	}
	next()
	slow := time.NewTicker(staggered)
	defer slow.Stop()
	for len(waiting) > 0 {
		select {
		case o := <-outcomes:
			delete(waiting, o.link.node.ID)
			if o.err == nil {
				return o.answer, nil
			}
			failure.Reasons = append(failure.Reasons, reasonOf(o.link.node.ID, o.err))
			next()
		case <-slow.C:
			next()
		case <-ctx.Done():
			if err := outer.Err(); err == context.Canceled {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			for _, l := range links {
				if waiting[l.node.ID] {
					failure.Reasons = append(failure.Reasons, reasonOf(l.node.ID, ctx.Err()))
				}
			}
			return nil, failure
		}
	}
	return nil, failure
}
