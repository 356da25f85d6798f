package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/client/home"
	"warifu.dev/internal/secret"
)

// wrappingKey finds the key to wrap under: in the saved record if there is one,
// or among the records kept at home, or by asking the cluster, once. Only the
// last one calls anybody, and needs to be somebody.
func (a *app) wrappingKey(ctx context.Context, f *keyFlags) (*client.Key, error) {
	if f.record != "" {
		k, _, err := a.savedKey(f.name, f.record)
		return k, err
	}
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	if k, err := h.RecordOf(f.name); err == nil {
		return k, nil
	}
	return a.askKey(ctx, h, f.name)
}

// findKey reads a key from a saved record, or asks the cluster for it, even if its
// record is kept at home: that one is then made new.
func (a *app) findKey(ctx context.Context, name, saved string) (*client.Key, *authority.VerifiedGenesis, error) {
	if saved != "" {
		return a.savedKey(name, saved)
	}
	h, err := a.loadHome()
	if err != nil {
		return nil, nil, err
	}
	k, err := a.askKey(ctx, h, name)
	return k, h.Genesis, err
}

// askKey asks the cluster for a key, and keeps its record.
func (a *app) askKey(ctx context.Context, h *home.Home, name string) (*client.Key, error) {
	c, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	k, err := c.Record(ctx, name)
	if err != nil {
		return nil, err
	}
	a.tryKeep(h, k)
	return k, nil
}

func (a *app) savedKey(name, saved string) (*client.Key, *authority.VerifiedGenesis, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, nil, err
	}
	b, err := readSmall(saved)
	if err != nil {
		return nil, nil, err
	}
	k, err := client.ParseKey(h.Genesis, b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", saved, err)
	}
	if k, err = h.Recall(k); err != nil {
		return nil, nil, err
	}
	if name != "" && name != k.Name() && name != k.ID().String() {
		return nil, nil, fail(exitInput, "%s is the record of the key %s, not of %s", saved, k.Name(), name)
	}
	return k, h.Genesis, nil
}

// recorded opens envelopes with the records kept at home. A record that it had to
// ask for it keeps, once the envelope is open.
type recorded struct {
	app     *app
	home    *home.Home
	cluster *client.Client
	unwrap  agefile.Unwrapper // the cluster, or a grant at it
}

// Unwrap implements [agefile.Unwrapper].
func (r recorded) Unwrap(ctx context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error) {
	id, err := client.KeyIDOf(envelope)
	if err != nil {
		return secret.Bytes{}, err
	}
	kept, missing := r.home.Record(id)
	if missing == nil {
		r.cluster.Use(kept)
	}
	dek, err := r.unwrap.Unwrap(ctx, envelope, context, reason)
	if err == nil {
		if k, err := r.cluster.RecordByID(ctx, id); err == nil && (missing != nil || k.Version() > kept.Version()) { // it is in memory
			r.app.tryKeep(r.home, k)
		}
	}
	return dek, err
}

// opener makes what opens envelopes, by a grant if one is named. The caller closes its
// client.
func (a *app) opener(grant string) (recorded, error) {
	var id api.Digest
	var err error
	if grant != "" {
		if id, err = parseHash("--grant", grant); err != nil {
			return recorded{}, err
		}
	}
	h, err := a.loadHome()
	if err != nil {
		return recorded{}, err
	}
	c, err := a.connectFrom(h)
	if err != nil {
		return recorded{}, err
	}
	r := recorded{a, h, c, c}
	if grant != "" {
		r.unwrap = c.Granted(id)
	}
	return r, nil
}

// tryKeep is [keepRecord] where it is a convenience: what was asked for is done
// without it, too.
func (a *app) tryKeep(h *home.Home, k *client.Key) {
	if err := keepRecord(h, k); err != nil {
		fmt.Fprintf(a.errs, "warifu: note: the record of %s is not kept: %s\n", k.Name(), oneLine(err.Error()))
	}
}

// keepRecord writes the record at home, in the place of an older one. A newer one
// stays: a client never goes back.
func keepRecord(h *home.Home, k *client.Key) error {
	path := h.RecordPath(k.ID())
	if err := keepLife(h, k); err != nil {
		return err
	}
	if has, err := h.Record(k.ID()); err == nil &&
		(has.Version() > k.Version() || has.Version() == k.Version() && has.Epoch() >= k.Epoch()) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), modeDir); err != nil {
		return fail(exitLocal, "keep the record of %s: %w", k.Name(), err)
	}
	return writeReplacing(path, modePublic, k.Encode())
}

// keepLife writes beside the record what custodians have said of the key's state.
func keepLife(h *home.Home, k *client.Key) error {
	if has, err := h.Recall(k); err == nil {
		k = k.Following(has)
	}
	if len(k.Life()) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(h.LifePath(k.ID())), modeDir); err != nil {
		return fail(exitLocal, "keep the record of %s: %w", k.Name(), err)
	}
	return writeReplacing(h.LifePath(k.ID()), modePublic, k.Life())
}
