package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// Item is one envelope with the context it was wrapped under.
type Item struct {
	Envelope []byte
	Context  api.Context
	// Endorsements is what [Client.Endorsements] gave for this item before, or nil.
	Endorsements []byte
}

// Result is what became of one [Item]: a data key, which the caller wipes, or why not.
type Result struct {
	DEK secret.Bytes
	Err error
	// Retries is how many questions went to holders beyond the t that open an envelope,
	// for the request that this item went with: in the place of those who refused, were
	// down or slow, on a new connection, or of another epoch.
	Retries int
}

// maxFrameBody bounds the items of one request, in bytes: with the frame around
// it, it stays below what transports and nodes read by default.
const maxFrameBody = 200 << 10

// Unwrap opens one envelope. reason is what the caller states for the audit, at
// most [api.MaxReason] bytes. Errors: [ErrEnvelope], [ErrUnknownKey], and a
// *[QuorumError], which may be [ErrDenied] or [ErrUnauthenticated].
func (c *Client) Unwrap(ctx context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error) {
	r := c.UnwrapBatch(ctx, []Item{{Envelope: envelope, Context: context}}, reason)[0]
	return r.DEK, r.Err
}

// UnwrapBatch opens any number of envelopes, of one key or of several, and
// returns one result for each, in order. Up to [api.MaxUnwrapItems] of one key
// travel in one request.
func (c *Client) UnwrapBatch(ctx context.Context, items []Item, reason string) []Result {
	return c.unwrapBatch(ctx, newRequestID(), items, reason, func(*pending) {})
}

func newRequestID() (id api.RequestID) {
	rand.Read(id[:])
	return id
}

// unwrapBatch shows each item that is sent to prepared, before it is.
func (c *Client) unwrapBatch(ctx context.Context, id api.RequestID, items []Item, reason string, prepared func(*pending)) []Result {
	results := make([]Result, len(items))
	if len(reason) > api.MaxReason {
		for i := range results {
			results[i].Err = fmt.Errorf("unwrap: the reason has %d bytes, at most %d", len(reason), api.MaxReason)
		}
		return results
	}
	byKey := map[*Key][]*pending{}
	var order []*Key
	for i, it := range items {
		key, p, err := c.prepare(ctx, it)
		if err != nil {
			results[i].Err = err
			continue
		}
		p.result = &results[i]
		prepared(p)
		if byKey[key] == nil {
			order = append(order, key)
		}
		byKey[key] = append(byKey[key], p)
	}
	for _, key := range order {
		single, branched := apart(byKey[key])
		c.openBranches(ctx, key, branched, id, reason)
		for _, some := range batches(single) {
			if key.Symmetric() {
				c.openSymmetric(ctx, key, some, id, reason)
				continue
			}
			c.gather(ctx, key, some, id, reason)
		}
	}
	return results
}

// apart parts items of branches from others.
func apart(list []*pending) (single, branched []*pending) {
	for _, p := range list {
		if p.branched != nil {
			branched = append(branched, p)
		} else {
			single = append(single, p)
		}
	}
	return single, branched
}

// prepare finds the key of an envelope, before any holder is asked.
func (c *Client) prepare(ctx context.Context, it Item) (*Key, *pending, error) {
	if e, err := tprf.Parse(it.Envelope); err == nil {
		return c.prepareSymmetric(ctx, e, it)
	}
	if e, err := tprf.ParseBranched(it.Envelope); err == nil {
		return c.prepareBranched(ctx, e, it)
	}
	e, err := tdh2.Parse(it.Envelope)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	key, err := c.RecordOf(ctx, e.KeyID(), e.Version())
	if cluster := api.ClusterID(e.Cluster()); errors.Is(err, ErrUnknownKey) && cluster != c.conf.Genesis.Cluster {
		return nil, nil, fmt.Errorf("%w: %w, %s, and its key was not adopted here", ErrEnvelope, tdh2.ErrWrongCluster, cluster)
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := key.address(e, it.Context)
	if err != nil {
		return nil, nil, err
	}
	p := &pending{
		envelope: a,
		wire:     api.UnwrapItem{Envelope: it.Envelope, Context: it.Context},
		partials: map[string]partial{},
		id:       c.endorsed.id(a, it.Envelope),
	}
	if p.endorsed = c.endorsed.find(p.id); p.endorsed == nil {
		p.endorsed = parseEndorsements(it.Endorsements)
		p.carried = p.endorsed != nil
	}
	return key, p, nil
}

// prepareSymmetric is prepare for an envelope of a symmetric key. It has no proof: that
// it was altered, or that its context is another, shows when it does not open.
func (c *Client) prepareSymmetric(ctx context.Context, e *tprf.Ciphertext, it Item) (*Key, *pending, error) {
	key, err := c.symmetricOf(ctx, e.Key(), it)
	if err != nil {
		return nil, nil, err
	}
	return key, &pending{
		ciphertext: e, wire: api.UnwrapItem{Envelope: it.Envelope, Context: it.Context},
	}, nil
}

// symmetricOf is the key of an envelope, which has the form of one under it.
func (c *Client) symmetricOf(ctx context.Context, of tprf.Key, it Item) (*Key, error) {
	if of.Cluster != c.conf.Genesis.Cluster {
		return nil, fmt.Errorf("%w: %w, %s", ErrEnvelope, tdh2.ErrWrongCluster, api.ClusterID(of.Cluster))
	}
	key, err := c.RecordOf(ctx, of.ID, of.Version)
	if err != nil {
		return nil, err
	}
	if err := it.Context.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if !key.Symmetric() {
		return nil, fmt.Errorf("%w: it is of another type than the key %s", ErrEnvelope, key.Name())
	}
	return key, nil
}

// batches cuts a list to what fits in one request.
func batches(list []*pending) [][]*pending {
	var out [][]*pending
	var size int
	for i, p := range list {
		n := sizeOf(p)
		if i == 0 || size+n > maxFrameBody || len(out[len(out)-1]) == api.MaxUnwrapItems {
			out, size = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], p)
		size += n
	}
	return out
}

// sizeOf is about what an item takes in a request, and never less.
func sizeOf(p *pending) int {
	const rest = 160 // an endorsement, the use of a grant, an epoch, a commitment, and what goes round all of it
	n := len(p.wire.Envelope) + rest
	for k, v := range p.wire.Context {
		n += len(k) + len(v) + 6
	}
	return n
}

// room is about what a request with these items takes.
func (g *gathering) room(items []*pending) int {
	n := 128 + len(g.reason)
	for _, p := range items {
		n += sizeOf(p)
	}
	return n
}
