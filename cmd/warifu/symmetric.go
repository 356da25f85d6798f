package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// wrapUnder wraps a data key: offline, or, under a symmetric key, by asking its holders
// for its newest version, by a grant if one is named.
func (a *app) wrapUnder(ctx context.Context, key *client.Key, pairs api.Context, dek secret.Bytes, reason, grant string, in *client.Branch) ([]byte, error) {
	if !key.Symmetric() {
		if in != nil {
			return nil, fail(exitUsage, "--branch is for symmetric keys: %s has no branches", key.Name())
		}
		if reason != "" || grant != "" {
			return nil, fail(exitUsage, "--reason and --grant are for symmetric keys: under %s nobody is asked", key.Name())
		}
		return key.Wrap(rand.Reader, pairs, dek)
	}
	encrypt := (*client.Client).Encrypt
	if in != nil {
		encrypt = func(c *client.Client, ctx context.Context, key *client.Key, pairs api.Context, dek secret.Bytes, reason string) ([]byte, error) {
			return c.EncryptInBranch(ctx, key, *in, pairs, dek, reason)
		}
	}
	if grant != "" {
		id, err := api.ParseDigest(grant)
		if err != nil {
			return nil, misused("--grant", err)
		}
		encrypt = func(c *client.Client, ctx context.Context, key *client.Key, pairs api.Context, dek secret.Bytes, reason string) ([]byte, error) {
			if in != nil {
				return c.Granted(id).EncryptInBranch(ctx, key, *in, pairs, dek, reason)
			}
			return c.Granted(id).Encrypt(ctx, key, pairs, dek, reason)
		}
	}
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	c, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.Use(key)
	if key, err = c.Refresh(ctx, key.ID().String()); err != nil {
		return nil, err
	}
	a.tryKeep(h, key)
	if key.Copies() == 1 {
		fmt.Fprintf(a.errs, "warifu: note: %s\n", unchecked(key.Name(), key.Threshold()))
	}
	return encrypt(c, ctx, key, pairs, dek, reason)
}

// unchecked says what it means that a symmetric key needs all of its holders.
func unchecked(name string, t int) string {
	return fmt.Sprintf("all %d holders of %s are needed to encrypt, so that none checks the others: one that lies makes what nobody can open; keep the original until you have decrypted it once", t, name)
}
