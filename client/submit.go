package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

const (
	// submitTry is how long one node may take: an entry passes through the leader
	// to a majority, and an election takes some seconds.
	submitTry = 10 * time.Second
	// submitAgain is the pause between rounds over the nodes.
	submitAgain = 500 * time.Millisecond
	// submitRounds bounds the rounds when ctx has no end.
	submitRounds = 20
)

// Submit hands a ledger entry to the nodes, in turn. An entry has one id however
// often it arrives, so whatever may have failed halfway is tried again until ctx
// ends. Failures: [ErrRefusedEntry] at once when the ledger refused it; else a
// *[NodesError], which is [ErrUnknownOutcome] if it may have been taken.
func (c *Client) Submit(ctx context.Context, entry []byte) (api.SubmitAnswer, error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return api.SubmitAnswer{}, fmt.Errorf("submit an entry: %w", err)
	}
	id := e.ID()
	body := wire.Encode(api.SubmitRequest{Entry: entry})
	unknown := false
	for round := 1; ; round++ {
		failure := &NodesError{Doing: "submit the entry " + id.String(), Nodes: len(c.links())}
		again := false
		for _, l := range c.nearest(func() context.Context { return ctx }, c.links(), 1) {
			try, cancel := context.WithTimeout(ctx, submitTry)
			answer, err := ask[api.SubmitAnswer](try, l, api.MethodSubmit, body)
			cancel()
			if err == nil && answer.ID != id {
				err = fmt.Errorf("%w: it took another entry, %s", ErrAnswer, answer.ID)
			}
			if err == nil {
				return *answer, nil
			}
			refused := refusalOf(err)
			failure.Reasons = append(failure.Reasons, reasonOf(l.node.ID, err))
			switch refused.Code {
			case api.CodeRefusedEntry:
				return api.SubmitAnswer{}, failure
			case api.CodeUnknownOutcome:
				unknown, again = true, true
			case api.CodeTimeout, api.CodeUnreachable:
				// The connection may have died between the request and its answer.
				unknown = unknown || errors.Is(err, context.DeadlineExceeded) || refused.Code == api.CodeTimeout
				again = true
			default:
				again = again || refused.Retryable
			}
			if ctx.Err() != nil {
				break
			}
		}
		if again && round < submitRounds {
			select {
			case <-time.After(submitAgain):
				continue
			case <-ctx.Done():
			}
		}
		if unknown {
			return api.SubmitAnswer{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, failure)
		}
		return api.SubmitAnswer{}, failure
	}
}
