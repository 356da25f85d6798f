package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

func (a *app) approveCommand() *cobra.Command {
	var out, against string
	c := &cobra.Command{
		Use:   "approve ID|FILE --custodian FILE",
		Short: "Show a proposal, then approve it as a custodian",
		Long: `Shows what a proposal changes, beside what it replaces, as proposals show does, and
then asks for the custodian's passphrase: giving it is what signs. The signature is
over the very bytes that are shown, whose id is computed here. It is handed in at
once; with as many as genesis requires the change passes. Approving twice changes
nothing.

For a machine without network, give the FILE of proposals show --out in place of the
ID: with --out the vote is written to a file, which warifu submit hands in from any
other machine.

To ask the cluster, the passphrase is asked for as well: only the second time signs.

` + readingOut,
		Example: `  warifu approve 6b1f... --custodian alice.custodian
  warifu approve photos.change --custodian alice.custodian --out photos.vote`,
		Args: exactly("ID or FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), a.caller.timeout)
			defer cancel()
			e, err := a.toApprove(ctx, h, args[0])
			if err != nil {
				return err
			}
			g := h.Custody.Genesis
			v, err := a.viewChange(e, g)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := v.signable(args[0]); err != nil {
				return err
			}
			if err := a.compare(ctx, v, g, against); err != nil {
				return err
			}
			if a.format == formatTable {
				v.words(a, a.out)
				fmt.Fprintln(a.out)
			}
			signer, err := a.custodianSigner(ctx, h, "to approve this")
			if err != nil {
				return err
			}
			vote, err := authority.SignApproval(rand.Reader, e, signer)
			if err != nil {
				return err
			}
			if out != "" {
				return a.writeVote(out, vote, v.ID)
			}
			if e, err = approvedBy(g, vote, e); err != nil {
				return err
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			ctx, cancel = context.WithTimeout(c.Context(), a.caller.timeout) // reading took its time
			defer cancel()
			s, err := a.say(ctx, cluster, g, vote, e)
			if err != nil {
				return err
			}
			return s.show(a, v, func(w io.Writer) {
				fmt.Fprintf(w, "each other custodian runs: warifu approve %s --custodian FILE\n", v.ID)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write the vote to, in place of handing it in")
	addAgainstFlag(c, &against)
	a.addCallerFlags(c)
	a.setTimeout(c, submitTimeout)
	required(c, "custodian")
	return c
}

// toApprove is the change that a proposal's id, or a file, names.
func (a *app) toApprove(ctx context.Context, h *home.Home, name string) (*authority.Entry, error) {
	id, notID := parseHash("ID", name)
	if notID != nil {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, fail(exitUsage, "%q is neither the id of a proposal (64 hexadecimal digits, or its 24 words in quotes) nor a file", oneLine(name))
		}
		return readChange(name)
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	g, err := a.askCustody(ctx, h, cluster)
	if err != nil {
		return nil, err
	}
	return openProposal(ctx, cluster, g, id)
}

// openProposal fetches a change that can still be voted on.
func openProposal(ctx context.Context, cluster *client.Client, g *authority.Genesis, id api.Digest) (*authority.Entry, error) {
	p, e, _, err := cluster.Proposal(ctx, id)
	if err != nil {
		return nil, err
	}
	if v := viewProposal(p, g); e == nil || v.State != proposalOpen {
		return nil, fail(exitAuthority, "the proposal is not open: %s", v.standing())
	}
	return e, nil
}
