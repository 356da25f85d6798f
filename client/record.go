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
	k := c.newest[id]
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return c.fetchByID(ctx, id)
}

// keyVersion names one version of a key.
type keyVersion struct {
	id      api.KeyID
	version uint32
}

// RecordOf is [Client.RecordByID] for one version of the key: the one that an envelope
// names. What is known of the key's state is as new as the newest record at hand.
func (c *Client) RecordOf(ctx context.Context, id api.KeyID, version uint32) (*Key, error) {
	if version == 0 { // a request for it means the newest
		return nil, fmt.Errorf("%w: it names key version 0, the first is 1", ErrEnvelope)
	}
	c.mu.Lock()
	k := c.keys[keyVersion{id, version}]
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	return c.fetch(ctx, fmt.Sprintf("fetch the record of version %d of the key %s", version, id), api.KeyRecordRequest{ID: id, Version: version}, func(k *Key) error {
		if k.ID() != id || k.Version() != version {
			return fmt.Errorf("%w: the record of version %d of the key %s", ErrAnswer, k.Version(), k.ID())
		}
		return nil
	})
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
	if of := k.record.RosterVersion; of > c.Known().Roll.Version {
		c.goes(func() { c.meet(c.ctx, of) })
	}
	return c.keep(k), nil
}

// newer fetches a record of a later epoch than the one at hand.
func (c *Client) newer(ctx context.Context, k *Key) (*Key, error) {
	c.mu.Lock()
	has := c.keys[keyVersion{k.ID(), k.Version()}]
	c.mu.Unlock()
	if has != nil && has.after(k) { // another request has fetched it
		return has, nil
	}
	return c.fetch(ctx, "fetch a newer record of the key "+k.Name(), api.KeyRecordRequest{ID: k.ID(), Version: k.Version()}, func(got *Key) error {
		if got.ID() != k.ID() || !got.after(k) {
			return fmt.Errorf("%w: the record of epoch %d of the key %s", ErrAnswer, got.Epoch(), got.ID())
		}
		return k.sameKey(got)
	})
}

// keep remembers a key, with the state that is known of it already where the new one
// lacks it. It never goes back to an earlier record, or to one of an earlier roster.
func (c *Client) keep(k *Key) *Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := keyVersion{k.ID(), k.Version()}
	if before := c.keys[of]; before != nil && k.before(before) {
		return before
	}
	newest := c.newest[k.ID()]
	if newest != nil {
		k = k.Following(newest)
	}
	if len(c.keys) >= maxKeys {
		clear(c.keys)
		clear(c.names)
		clear(c.newest)
	}
	c.keys[of] = k
	if newest == nil || newest.Version() <= k.Version() {
		c.newest[k.ID()], c.names[k.Name()] = k, k
	}
	return k
}

// How often [Client.WaitKey] asks: less and less.
const (
	soonRecord = 20 * time.Millisecond // at first: a key from a pool is there at once
	pollRecord = 500 * time.Millisecond
)

// WaitVersion returns a version of a key as soon as its record is served with enough
// signatures; else it is as [Client.WaitKey].
func (c *Client) WaitVersion(ctx context.Context, id api.KeyID, version uint32) (*Key, error) {
	return c.wait(ctx, fmt.Sprintf("version %d of the key %s", version, id), func() (*Key, error) { return c.RecordOf(ctx, id, version) })
}

// WaitKey returns the key as soon as its record is served with enough
// signatures: after an order is taken, its ceremony takes a while. It gives up
// when ctx ends, with the last failure, and at once when this client is unknown
// to the cluster.
func (c *Client) WaitKey(ctx context.Context, name string) (*Key, error) {
	return c.wait(ctx, "the key "+name, func() (*Key, error) { return c.Record(ctx, name) })
}

func (c *Client) wait(ctx context.Context, what string, look func() (*Key, error)) (*Key, error) {
	pause := soonRecord
	var last error
	for {
		k, err := look()
		switch {
		case err == nil:
			return k, nil
		case errors.Is(err, ErrUnauthenticated), errors.Is(err, api.ErrName), errors.Is(err, ErrClosed):
			return nil, err
		case last == nil || ctx.Err() == nil: // a failure caused by the end of ctx says less
			last = err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, pollRecord)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), last)
		}
	}
}
