package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
)

// showRecipient prints a key as a recipient of age, and keeps its record where
// age-plugin-warifu looks for it.
func (a *app) showRecipient(k *client.Key, g *authority.VerifiedGenesis, pairs []string) error {
	context, err := api.ParseContext(pairs)
	if err != nil {
		return err
	}
	if err := a.keepRecord(k); err != nil {
		return err
	}
	v := struct {
		Recipient string `json:"recipient"`
	}{agefile.Reference{Genesis: g.Hash(), Key: k.ID(), Context: context}.String()}
	return a.show(v, func(w io.Writer) { fmt.Fprintln(w, v.Recipient) })
}

// keepRecord writes the record at home, in the place of an older one. A newer one
// stays: a client never goes back.
func (a *app) keepRecord(k *client.Key) error {
	h, err := a.loadHome()
	if err != nil {
		return err
	}
	path := h.RecordPath(k.ID())
	if has, err := h.Record(k.ID()); err == nil &&
		(has.Version() > k.Version() || has.Version() == k.Version() && has.Epoch() > k.Epoch()) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), modeDir); err != nil {
		return fail(exitLocal, "keep the record of %s: %w", k.Name(), err)
	}
	return writeReplacing(path, modePublic, k.Encode())
}
