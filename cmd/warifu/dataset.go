package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"warifu.dev/api"
	"warifu.dev/authority"

	"github.com/spf13/cobra"
)

func (a *app) datasetCommand() *cobra.Command {
	return group("dataset", "State what is under a key, for the certificate of its end",
		`Wrapping is offline: no node knows what is under a key. Its owner can state it, signed
with the key of its client certificate. The statement stays with the key, and the
erasure certificate names it as what it is: the owner's word.`,
		"  warifu dataset register xrays-2026 --key photos --manifest xrays.sha256\n  warifu dataset list --key photos",
		a.datasetRegisterCommand(), a.datasetListCommand())
}

func (a *app) datasetRegisterCommand() *cobra.Command {
	var key, manifest, note string
	c := &cobra.Command{
		Use:   "register NAME --key KEY",
		Short: "State that a data set is under a key",
		Long: `States, in the name of this client's certificate, that a data set is under a key. It
cannot be taken back or altered; a name stands once for each owner and key. --manifest
is a list of what is in it: its SHA-256 and its length are stated, and the file stays
here. Keep it.`,
		Example: "  warifu dataset register xrays-2026 --key photos --manifest xrays.sha256 --note \"ward 3\"",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			if err := checkKeyName("--key", key); err != nil {
				return err
			}
			d := authority.Dataset{Name: args[0], Note: note, Time: now().UnixMilli()}
			if manifest != "" {
				if err := hashManifest(&d, manifest); err != nil {
					return err
				}
			}
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			cert, err := loadIdentity(h)
			if err != nil {
				return err
			}
			if cert.Leaf == nil || len(cert.Leaf.URIs) != 1 {
				return fail(exitInput, "%w: the certificate of this client names no owner", authority.ErrDataset)
			}
			held, ok := cert.PrivateKey.(crypto.Signer)
			if !ok {
				return fail(exitInput, "%w: the key of this client does not sign", authority.ErrDataset)
			}
			signer, err := authority.NewSigner(held)
			if err != nil {
				return fmt.Errorf("the key of this client: %w", err)
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			ctx, cancel := context.WithTimeout(c.Context(), a.caller.timeout)
			defer cancel()
			id, err := a.keyIDOf(c, key)
			if err != nil {
				return err
			}
			digest, err := api.ParseDigest(id)
			if err != nil {
				return err
			}
			d.Cluster, d.Key, d.Owner, d.Certificate = cluster.Genesis().Cluster, api.KeyID(digest), cert.Leaf.URIs[0].String(), cert.Certificate[0]
			e, err := authority.SignDataset(rand.Reader, signer, d)
			if err != nil {
				return err
			}
			answer, err := cluster.Submit(ctx, e.Encode())
			if err != nil {
				return err
			}
			return a.show(answer, func(w io.Writer) {
				facts(w, "data set", d.Name, "owner", d.Owner, "key id", d.Key.String(), "taken", fmt.Sprintf("at index %d", answer.Index))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the key's name, or its id")
	f.StringVar(&manifest, "manifest", "", "list of what is in it: its hash and its length are stated")
	f.StringVar(&note, "note", "", "a word about it, for whoever reads the certificate")
	required(c, "key")
	a.addTimeoutFlag(c)
	a.setTimeout(c, submitTimeout)
	return c
}

// hashManifest states what a file is, as sha256sum says it.
func hashManifest(d *authority.Dataset, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fail(exitLocal, "read %s: %w", name, err)
	}
	d.Manifest, d.Size = api.Digest(h.Sum(nil)), uint64(n)
	return nil
}

// datasetView is an owner's statement in words.
type datasetView struct {
	Name     string      `json:"name"`
	Owner    string      `json:"owner"`
	Note     string      `json:"note,omitempty"`
	Manifest *api.Digest `json:"manifest_sha256,omitempty"`
	Size     uint64      `json:"manifest_bytes,omitempty"`
	Since    int64       `json:"since_ledger_time_ms"`
	Index    uint64      `json:"ledger_index"`
	Node     string      `json:"admitted_by"`
}

func (a *app) datasetListCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:     "list --key KEY",
		Short:   "List what owners have stated to be under a key",
		Long:    "Lists what owners have stated to be under a key, as the nearest node has it. Every\nsignature is verified here; who issued an owner's certificate, the node knew that\nadmitted it.",
		Example: "  warifu dataset list --key photos\n  warifu dataset list --key photos -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkKeyName("--key", key); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			list, err := cluster.Datasets(c.Context(), key)
			if err != nil {
				return err
			}
			views := []datasetView{}
			for _, d := range list {
				v := datasetView{Name: d.Name, Owner: d.Owner, Note: d.Note, Size: d.Size, Since: d.Since, Index: d.Index, Node: d.Node}
				if !d.Manifest.IsZero() {
					v.Manifest = &d.Manifest
				}
				views = append(views, v)
			}
			return a.show(views, func(w io.Writer) {
				if len(views) == 0 {
					fmt.Fprintln(w, "nobody has stated what is under the key")
					return
				}
				var rows [][]string
				for _, v := range views {
					m := "-"
					if v.Manifest != nil {
						m = fmt.Sprintf("%s (%s)", short(v.Manifest.String()), plural(int(v.Size), "byte"))
					}
					rows = append(rows, []string{v.Name, v.Owner, instant(v.Since), m, orWord(v.Note, "-")})
				}
				table(w, "NAME OWNER SINCE MANIFEST NOTE", rows)
			})
		},
	}
	c.Flags().StringVar(&key, "key", "", "the key's name, or its id")
	required(c, "key")
	a.addCallerFlags(c)
	return c
}
