package main

import (
	"fmt"
	"io"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
)

// showRecipient prints a key as a recipient of age, and keeps its record where
// age-plugin-warifu looks for it.
func (a *app) showRecipient(k *client.Key, g *authority.VerifiedGenesis, pairs []string) error {
	context, err := parseContext(pairs)
	if err != nil {
		return err
	}
	h, err := a.loadHome()
	if err != nil {
		return err
	}
	if err := keepRecord(h, k); err != nil {
		return err
	}
	v := struct {
		Recipient string `json:"recipient"`
	}{agefile.Reference{Genesis: g.Hash(), Key: k.ID(), Context: context}.String()}
	return a.show(v, func(w io.Writer) { fmt.Fprintln(w, v.Recipient) })
}
