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
	var whole wholeFlags
	c := &cobra.Command{
		Use:   "import NAME --scalar FILE | --seed FILE --out FILE.change",
		Short: "Write a change that orders the import of a key that is whole",
		Long: `Writes a change that orders the import of a P-256 key that is whole, for custodians to
sign: as key create does, with the public key of the one in FILE. FILE is a private key
in PEM, PKCS#8 or SEC 1, and nothing secret of it goes into the change. When the change
is taken, warifu key deal shares the key among its holders.

What is wrapped under the public key with warifu, before or after, t holders open; what
other programs made for it (ECDH, signatures) they do not. The copy in FILE stays a whole
key: record, list and certificate say so for ever. It has its next version born here
(key rotate), and files are moved to that one with rewrap.

--seed imports a symmetric key (see key create): FILE is 32 random bytes, or 64
hexadecimal digits, from which the key of every set of holders is derived. It is a new
key, bound to its id: whoever has the seed computes it again, and it opens nothing that
was made elsewhere. No AES key becomes one: wrap that.`,
		Example: `  openssl ecparam -name prime256v1 -genkey -noout -out legacy.pem
  warifu key import legacy --scalar legacy.pem --out legacy.change
  warifu key deal legacy --scalar legacy.pem
  openssl rand -hex 32 > tallies.seed
  warifu key import tallies --seed tallies.seed --out tallies.change`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			key, err := whole.read()
			if err != nil {
				return err
			}
			defer key.Wipe()
			if key.Symmetric() {
				of.purpose = authority.PurposeEncrypt
			}
			o, err := of.order(c, g, args[0])
			if err != nil {
				return err
			}
			if o.Import, err = key.Import(&o); err != nil {
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
	whole.add(c)
	return c
}

// wholeFlags name the file of a key that is whole.
type wholeFlags struct{ scalar, seed string }

func (f *wholeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.scalar, "scalar", "", "the private key, PEM (PKCS#8 or SEC 1); nobody else may read the file")
	c.Flags().StringVar(&f.seed, "seed", "", "of a symmetric key: 32 random bytes, raw or hexadecimal; nobody else may read the file")
	c.MarkFlagsOneRequired("scalar", "seed")
	c.MarkFlagsMutuallyExclusive("scalar", "seed")
}

func (f *wholeFlags) read() (*client.Owned, error) {
	if f.seed != "" {
		return readSeed(f.seed)
	}
	return readScalar(f.scalar)
}

// file is the one that was given.
func (f *wholeFlags) file() string { return f.scalar + f.seed }

func (a *app) keyDealCommand() *cobra.Command {
	var whole wholeFlags
	var wait bool
	var waiting time.Duration
	c := &cobra.Command{
		Use:   "deal NAME --scalar FILE | --seed FILE",
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
			key, err := whole.read()
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
				PublicKey string    `json:"public_key,omitempty"` // a symmetric key has none
				T         uint32    `json:"t"`
				Holders   []string  `json:"holders"`
				Imported  bool      `json:"imported"`
			}{k.ID(), k.Name(), fmt.Sprintf("%x", k.Record().Y), o.T, o.Holders, true}
			return a.show(v, func(w io.Writer) {
				pairs := []string{"key", v.Name, "id", v.ID.String(), "threshold", fmt.Sprintf("%d of %d", v.T, len(v.Holders))}
				if v.PublicKey != "" {
					pairs = append(pairs, "public key", v.PublicKey)
				}
				facts(w, append(pairs, "copies", copyWords)...)
				fmt.Fprintln(w, a.loud("  ! "+whole.file()+" still is the whole key: keep it where no holder is, or destroy it"))
			})
		},
	}
	whole.add(c)
	c.Flags().BoolVar(&wait, "wait", false, "wait until custodians have ordered the import")
	c.Flags().DurationVar(&waiting, "wait-timeout", birthTimeout, "how long it may take in all")
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
