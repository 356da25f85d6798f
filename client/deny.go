package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// NodeReceipt is one node's verified receipt of a revoke or a seal, or why there
// is none.
type NodeReceipt struct {
	Node    string
	Receipt *authority.SignedReceipt
	Err     error // a *[NodesError] with one reason
}

// Deny hands a revoke or a seal to every node directly, in parallel, in the roster's
// order. A node that answers with its receipt denies from then on, whether or not
// the entry is ordered.
func (c *Client) Deny(ctx context.Context, entry []byte) ([]NodeReceipt, error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("hand over an entry: %w", err)
	}
	return c.receipts(ctx, e.ID(), api.MethodDeny, wire.Encode(api.SubmitRequest{Entry: entry})), nil
}

// Receipts asks every node whether a revoke or a seal is in force and durable there,
// in parallel, in the roster's order.
func (c *Client) Receipts(ctx context.Context, id api.Digest) []NodeReceipt {
	return c.receipts(ctx, id, api.MethodReceipt, wire.Encode(api.ReceiptRequest{ID: id}))
}

func (c *Client) receipts(ctx context.Context, id api.Digest, method uint16, body []byte) []NodeReceipt {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	links := c.links()
	list := make([]NodeReceipt, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			list[i] = NodeReceipt{Node: l.node.ID}
			r, err := c.receiptOf(ctx, l, id, method, body)
			if err != nil {
				list[i].Err = &NodesError{Doing: "ask " + l.node.ID + " about " + id.String(), Reasons: []NodeReason{reasonOf(l.node.ID, err)}}
				return
			}
			list[i].Receipt = r
		})
	}
	all.Wait()
	return list
}

// receiptOf believes a receipt that the asked node signed, about this change.
func (c *Client) receiptOf(ctx context.Context, l *link, id api.Digest, method uint16, body []byte) (*authority.SignedReceipt, error) {
	a, err := ask[api.ReceiptAnswer](ctx, l, method, body)
	if err != nil {
		return nil, err
	}
	if len(a.Receipt) == 0 {
		return nil, api.Retry(api.CodeNoReceipt, "%.64q", a.State)
	}
	s, err := authority.ParseSignedReceipt(a.Receipt)
	if err == nil {
		err = s.Verify(c.Known(), id)
	}
	if errors.Is(err, authority.ErrRosterUnknown) {
		return nil, api.Retry(api.CodeNoReceipt, "it was given under version %d of the roster, known here is version %d", s.Receipt.Roster, c.Known().Roll.Version)
	}
	if err == nil && s.Receipt.Node != l.node.ID {
		err = fmt.Errorf("%w: it is of %s", authority.ErrReceipt, s.Receipt.Node)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return s, nil
}
