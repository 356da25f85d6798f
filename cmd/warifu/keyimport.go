package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// copyWords is what is said of a key that was imported, wherever it is shown.
const copyWords = "a copy was whole before, and is outside with its owner"

func (a *app) keyImportCommand() *cobra.Command {
	var f changeFlags
	var of orderFlags
	var scalar string
	c := &cobra.Command{
		Use:   "import NAME --scalar FILE --out FILE.change",
		Short: "Write a change that orders the import of a key that is whole",
		Long: `Writes a change that orders the import of a P-256 key that is whole, for custodians to
sign: as key create does, with the public key of the one in FILE. FILE is a private key
in PEM, PKCS#8 or SEC 1, and nothing secret of it goes into the change. When the change
is taken, warifu key deal shares the key among its holders.

What is wrapped under the public key with warifu, before or after, t holders open; what
other programs made for it (ECDH, signatures) they do not. The copy in FILE stays a whole
key: record, list and certificate say so for ever. It has its next version born here
(key rotate), and files are moved to that one with rewrap.`,
		Example: `  openssl ecparam -name prime256v1 -genkey -noout -out legacy.pem
  warifu key import legacy --scalar legacy.pem --out legacy.change
  warifu key deal legacy --scalar legacy.pem`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			o, err := of.order(c, g, args[0])
			if err != nil {
				return err
			}
			key, err := readScalar(scalar)
			if err != nil {
				return err
			}
			defer key.Wipe()
			if o.Import, err = key.Import(g.Cluster, o.Name); err != nil {
				return err
			}
			if err := o.Check(); err != nil {
				return fail(exitUsage, "%w", err)
			}
			return f.write(a, g, authority.KindKey, wire.Encode(o), api.Digest{})
		},
	}
	f.add(a, c)
	of.add(c)
	c.Flags().StringVar(&scalar, "scalar", "", "the private key, PEM (PKCS#8 or SEC 1); nobody else may read the file")
	required(c, "scalar")
	return c
}

func (a *app) keyDealCommand() *cobra.Command {
	var scalar string
	var wait bool
	var waiting time.Duration
	c := &cobra.Command{
		Use:   "deal NAME --scalar FILE",
		Short: "Share a key that is whole among its holders, once its import is ordered",
		Long: `Shares a key that is whole among the holders that the order of its import names, and
returns when they have confirmed. The order is verified, with its custodians, and so is
each holder's word for where its share goes; the key itself is never sent. Whoever has
the key is its owner: nothing else is kept for it. If it is broken off, run it again.
With --wait it waits for custodians to order the import.`,
		Example: "  warifu key deal legacy --scalar legacy.pem\n  warifu key deal legacy --scalar legacy.pem --wait",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			key, err := readScalar(scalar)
			if err != nil {
				return err
			}
			defer key.Wipe()
			k, err := a.deal(c.Context(), args[0], key, wait, waiting)
			if err != nil {
				return err
			}
			o := k.Record().Order()
			v := struct {
				ID        api.KeyID `json:"id"`
				Name      string    `json:"name"`
				PublicKey string    `json:"public_key"`
				T         uint32    `json:"t"`
				Holders   []string  `json:"holders"`
				Imported  bool      `json:"imported"`
			}{k.ID(), k.Name(), fmt.Sprintf("%x", k.Record().Y), o.T, o.Holders, true}
			return a.show(v, func(w io.Writer) {
				facts(w, "key", v.Name, "id", v.ID.String(), "threshold", fmt.Sprintf("%d of %d", v.T, len(v.Holders)),
					"public key", v.PublicKey, "copies", copyWords)
				fmt.Fprintln(w, a.loud("  ! "+scalar+" still is the whole key: keep it where no holder is, or destroy it"))
			})
		},
	}
	c.Flags().StringVar(&scalar, "scalar", "", "the private key, PEM (PKCS#8 or SEC 1); nobody else may read the file")
	c.Flags().BoolVar(&wait, "wait", false, "wait until custodians have ordered the import")
	c.Flags().DurationVar(&waiting, "wait-timeout", birthTimeout, "how long it may take in all")
	required(c, "scalar")
	a.addCallerFlags(c)
	return c
}

// deal imports a key, and returns it when enough holders vouch for it.
func (a *app) deal(ctx context.Context, name string, key *client.Owned, wait bool, waiting time.Duration) (*client.Key, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, err
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, waiting)
	defer cancel()
	for {
		g, err := a.askCustody(ctx, h, cluster)
		if err != nil {
			return nil, err
		}
		_, err = cluster.Import(ctx, g, name, key)
		if err == nil {
			break
		}
		if !wait || !errors.Is(err, client.ErrNotOrdered) {
			return nil, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, err
		}
	}
	k, err := cluster.WaitKey(ctx, name)
	if err != nil {
		return nil, fail(exitUnknownOutcome, "the key is shared, and too few holders have signed its record yet: %w", err)
	}
	a.tryKeep(h, k)
	return k, nil
}
