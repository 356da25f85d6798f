package main

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

func (a *app) restoreCommand() *cobra.Command {
	return group("restore", "Open seals for warifud restore, as a custodian; no cluster",
		`Where custodians open seals, warifud restore asks them before it moves a share of a
lost cluster into a node of another one. What it asks for is a file, the offer; what a
custodian answers with is another one, for that offer alone.`,
		`  warifu restore show offer --genesis-hash 6b1f...
  warifu restore piece offer --genesis-hash 6b1f... --custodian alice.custodian --out alice.piece`,
		a.restoreShowCommand(), a.restorePieceCommand())
}

// readRestoreOffer reads an offer, and believes it from the hash of the genesis document of
// the cluster that takes the shares on.
func readRestoreOffer(name, hash string) (*client.RestoreOffer, error) {
	want, err := parseHash("--genesis-hash", hash)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, authority.MaxRestoreOffer+1))
	if err != nil {
		return nil, err
	}
	o, err := client.ParseRestoreOffer(b, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return o, nil
}

// restoreView is an offer for a custodian's eyes.
type restoreView struct {
	Node    string          `json:"node"` // that asks, and takes the shares
	Region  string          `json:"region"`
	Address string          `json:"address"` // for clients, as its first claim has it
	Cluster api.ClusterID   `json:"cluster"`
	Lost    api.ClusterID   `json:"lost_cluster"`
	From    string          `json:"from_node"`
	Token   string          `json:"from_token_serial"`
	Shares  []restoredShare `json:"shares"`
	Leave   bool            `json:"leave_others"`
	Seals   []restoredSeal  `json:"seals"`
}

type restoredShare struct {
	Key     api.KeyID `json:"key"`
	Name    string    `json:"name"`
	Version uint32    `json:"version"`
	Epoch   uint64    `json:"epoch"`
	Index   uint32    `json:"index"`
}

type restoredSeal struct {
	Cluster    api.ClusterID `json:"cluster"`
	Node       string        `json:"node"`
	Generation uint64        `json:"generation"`
	Need       int           `json:"custodians_needed"`
	Custodians []string      `json:"custodians"`
}

func viewRestore(o *client.RestoreOffer) restoreView {
	v := restoreView{
		Node: o.To, Region: o.Node.Region, Address: o.Node.Claim.Client, Cluster: o.Takes.Cluster, Lost: o.Gone.Cluster, From: o.From, Token: o.Token, Leave: o.Leave,
	}
	for _, s := range o.Shares {
		v.Shares = append(v.Shares, restoredShare{s.Record.Key, s.Record.Order().Name, s.Record.Version, s.Record.Epoch, s.Index})
	}
	for i, s := range o.Seals {
		seal := restoredSeal{Cluster: s.Cluster, Node: s.Node, Generation: s.Generation, Need: o.Need(i)}
		for _, k := range s.Kept.Keepers {
			seal.Custodians = append(seal.Custodians, k.Name)
		}
		v.Seals = append(v.Seals, seal)
	}
	return v
}

func (v *restoreView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, a.loud("A node asks custodians to open seals, to move a lost cluster's shares into its keyring:"))
	facts(w, "  asks", oneLine(fmt.Sprintf("%s in %s, at %s, of the cluster %s", v.Node, v.Region, v.Address, v.Cluster)),
		"  for shares of", oneLine(fmt.Sprintf("%s, of the lost cluster %s", v.From, v.Lost)),
		"  out of", oneLine(fmt.Sprintf("a backup, with the token %s, which is in its machine", v.Token)))
	for _, s := range v.Shares {
		fmt.Fprintf(w, "  - %s, version %d, epoch %d, index %d, key id %s\n", oneLine(s.Name), s.Version, s.Epoch, s.Index, s.Key)
	}
	for _, s := range v.Seals {
		fmt.Fprintf(w, "  opens: the seal of %s, generation %d: %d of %s\n", oneLine(s.Node), s.Generation, s.Need, oneLine(strings.Join(s.Custodians, ", ")))
	}
	fmt.Fprintln(w, "  - when the shares are there, what seals them on the old token is destroyed: they move once")
	if v.Leave {
		fmt.Fprintln(w, a.loud("  ! every other share in that backup is LOST with it"))
	}
}

func (a *app) showRestore(o *client.RestoreOffer, last string) error {
	v := viewRestore(o)
	return a.show(v, func(w io.Writer) {
		v.words(a, w)
		fmt.Fprintln(w, last)
	})
}

const restoreHash = "hash of the genesis document of the cluster that takes the shares, all that is trusted: 64 hexadecimal digits, or its 24 words in quotes"

func (a *app) restoreShowCommand() *cobra.Command {
	var hash string
	c := &cobra.Command{
		Use:   "show OFFER --genesis-hash HASH",
		Short: "Verify what warifud restore asks custodians to open, and say what it is",
		Long: `Verifies an offer of warifud restore from the hash of the genesis document of the cluster
that takes the shares on: who asks, from where, for which shares, by adoptions that
custodians of both clusters have signed. It asks nobody, and opens nothing.`,
		Example: "  warifu restore show offer --genesis-hash 6b1f...",
		Args:    exactly("OFFER"),
		RunE: func(_ *cobra.Command, args []string) error {
			o, err := readRestoreOffer(args[0], hash)
			if err != nil {
				return err
			}
			return a.showRestore(o, "verified; nothing was opened")
		},
	}
	c.Flags().StringVar(&hash, "genesis-hash", "", restoreHash)
	required(c, "genesis-hash")
	return c
}

func (a *app) restorePieceCommand() *cobra.Command {
	var hash, file, passphraseFile, out string
	c := &cobra.Command{
		Use:   "piece OFFER --genesis-hash HASH --custodian FILE --out FILE.piece",
		Short: "Hand this custodian's pieces to the restore that asks for them",
		Long: `Opens this custodian's pieces of the seals that an offer of warifud restore names, on its
own machine, and encrypts them to keys that live in that one process: nobody else reads
them, and in a later run, or for another restore, they are of no use. A custodian of
both clusters hands over for both seals at once.

The offer is verified first, as warifu restore show does. It says who asks, from where and for what
before it asks for the passphrase: giving that is what hands the pieces over.`,
		Example: "  warifu restore piece offer --genesis-hash 6b1f... --custodian alice.custodian --out alice.piece",
		Args:    exactly("OFFER"),
		RunE: func(_ *cobra.Command, args []string) error {
			o, err := readRestoreOffer(args[0], hash)
			if err != nil {
				return err
			}
			if a.format == formatTable {
				if err := a.showRestore(o, ""); err != nil {
					return err
				}
			}
			who, err := a.openCustodian(file, passphraseFile, "to hand over its pieces")
			if err != nil {
				return err
			}
			key, err := who.SignKey().Public().(*ecdsa.PublicKey).Bytes()
			if err != nil {
				return err
			}
			handed, err := o.HandOver(authority.FingerprintOf(key), who.OpenKey())
			if errors.Is(err, client.ErrNoPiece) {
				return fmt.Errorf("%s: %w", who.Name(), err)
			}
			if err != nil {
				return err
			}
			if err := writeNew(out, modeSecret, handed); err != nil {
				return err
			}
			return a.show(map[string]string{"file": out, "from": who.Name(), "for": o.To}, func(w io.Writer) {
				fmt.Fprintf(w, "written to %s, for %s alone\n", out, oneLine(o.To))
			})
		},
	}
	c.Flags().StringVar(&hash, "genesis-hash", "", restoreHash)
	addSignerFlags(c, &file, &passphraseFile)
	c.Flags().StringVar(&out, "out", "", "file to write, whose name ends in .piece")
	required(c, "genesis-hash", "out")
	return c
}
