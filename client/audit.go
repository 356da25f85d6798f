package client

import (
	"context"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// pageAgain is the pause before a page is asked for again from a node that takes no
// more questions in this second.
const pageAgain = 250 * time.Millisecond

// AuditHead asks one node how far its audit goes.
func (c *Client) AuditHead(ctx context.Context, node string) (*api.AuditHeadAnswer, error) {
	return page[api.AuditHeadAnswer](ctx, c, node, api.MethodAuditHead, nil)
}

// AuditPage asks one node for records of its audit. What it answers is believed
// under a checkpoint, not before.
func (c *Client) AuditPage(ctx context.Context, node string, q api.AuditPageRequest) (*api.AuditPageAnswer, error) {
	return page[api.AuditPageAnswer](ctx, c, node, api.MethodAuditPage, wire.Encode(q))
}

// AuditHashes asks one node for the hashes of records of its audit.
func (c *Client) AuditHashes(ctx context.Context, node string, q api.AuditHashesRequest) (*api.AuditHashesAnswer, error) {
	return page[api.AuditHashesAnswer](ctx, c, node, api.MethodAuditHashes, wire.Encode(q))
}

// page asks one node, and again when it is asked too often, until the client's
// timeout. Its failure is an *[api.Error], or [ErrUnknownNode].
func page[A any](ctx context.Context, c *Client, node string, method uint16, body []byte) (*A, error) {
	l, err := c.link(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for {
		answer, err := ask[A](ctx, l, method, body)
		if err == nil {
			return answer, nil
		}
		refused := refusalOf(err)
		if refused.Code == api.CodeOverloaded {
			select {
			case <-time.After(pageAgain):
				continue
			case <-ctx.Done():
			}
		}
		return nil, refused
	}
}
