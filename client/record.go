package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Record returns a key by its name, or by its id of 64 hexadecimal digits (no
// name is that long). It is fetched from the nodes in turn until one serves a
// record that [ParseKey] believes, and is then kept. Failures: a *[NodesError],
// which is [ErrUnknownKey] when a node says that there is none.
func (c *Client) Record(ctx context.Context, nameOrID string) (*Key, error) {
	if id, err := api.ParseDigest(nameOrID); err == nil {
		return c.RecordByID(ctx, api.KeyID(id))
	}
	if err := api.CheckName(nameOrID); err != nil {
		return nil, fmt.Errorf("fetch a key record: %w", err)
	}
	c.mu.Lock()
	k := c.names[nameOrID]
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return c.fetch(ctx, "fetch the record of the key "+nameOrID, api.KeyRecordRequest{Name: nameOrID}, func(k *Key) error {
		if k.Name() != nameOrID {
			return fmt.Errorf("%w: the record of another key, %s", ErrAnswer, k.Name())
		}
		return nil
	})
}

// RecordByID is [Client.Record] by id.
func (c *Client) RecordByID(ctx context.Context, id api.KeyID) (*Key, error) {
	c.mu.Lock()
	k := c.keys[id]
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return c.fetchByID(ctx, id)
}

func (c *Client) fetchByID(ctx context.Context, id api.KeyID) (*Key, error) {
	return c.fetch(ctx, "fetch the record of the key "+id.String(), api.KeyRecordRequest{ID: id}, func(k *Key) error {
		if k.ID() != id {
			return fmt.Errorf("%w: the record of another key, %s", ErrAnswer, k.ID())
		}
		return nil
	})
}

// Use keeps a record that was stored elsewhere, so that it need not be fetched.
func (c *Client) Use(k *Key) { c.keep(k) }

func (c *Client) fetch(ctx context.Context, doing string, request api.KeyRecordRequest, wanted func(*Key) error) (*Key, error) {
	body := wire.Encode(request)
	k, err := firstOf(ctx, c, doing, func(ctx context.Context, l *link) (*Key, error) {
		answer, err := ask[api.KeyRecordAnswer](ctx, l, api.MethodKeyRecord, body)
		if err != nil {
			return nil, err
		}
		k, err := ParseKey(c.conf.Genesis, answer.Record)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if k, err = k.With(answer.Life); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		return k, wanted(k)
	})
	if err != nil {
		return nil, err
	}
	return c.keep(k), nil
}

// newer fetches a record of a later epoch than the one at hand.
func (c *Client) newer(ctx context.Context, k *Key) (*Key, error) {
	c.mu.Lock()
	has := c.keys[k.ID()]
	c.mu.Unlock()
	if has != nil && has.after(k) { // another request has fetched it
		return has, nil
	}
	return c.fetch(ctx, "fetch a newer record of the key "+k.Name(), api.KeyRecordRequest{ID: k.ID()}, func(got *Key) error {
		if got.ID() != k.ID() || !got.after(k) {
			return fmt.Errorf("%w: the record of epoch %d of the key %s", ErrAnswer, got.Epoch(), got.ID())
		}
		return k.sameKey(got)
	})
}

// keep remembers a key, with the state that is known of it already where the new one
// lacks it. It never goes back to an earlier record.
func (c *Client) keep(k *Key) *Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.keys[k.ID()]; before != nil {
		if before.after(k) {
			return before
		}
		k = k.Following(before)
	}
	if len(c.keys) >= maxKeys {
		clear(c.keys)
		clear(c.names)
	}
	c.keys[k.ID()] = k
	c.names[k.Name()] = k
	return k
}

// pollRecord is how often [Client.WaitKey] asks.
const pollRecord = 500 * time.Millisecond

// WaitKey returns the key as soon as its record is served with enough
// signatures: after an order is taken, its ceremony takes a while. It gives up
// when ctx ends, with the last failure, and at once when this client is unknown
// to the cluster.
func (c *Client) WaitKey(ctx context.Context, name string) (*Key, error) {
	tick := time.NewTicker(pollRecord)
	defer tick.Stop()
	var last error
	for {
		k, err := c.Record(ctx, name)
		switch {
		case err == nil:
			return k, nil
		case errors.Is(err, ErrUnauthenticated), errors.Is(err, api.ErrName), errors.Is(err, ErrClosed):
			return nil, err
		case last == nil || ctx.Err() == nil: // a failure caused by the end of ctx says less
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the key %s: %w: %w", name, ctx.Err(), last)
		}
	}
}
