package main

import (
	"fmt"
	"io"

	"warifu.dev/authority"

	"github.com/spf13/cobra"
)

func (a *app) custodianDrillCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "drill --custodian FILE",
		Short: "Show that a custodian can still sign, and still open its pieces",
		Long: `Shows that a custodian can still do both things it is there for, and exposes nothing:
a node encrypts a fresh challenge to its opening key, and the custodian answers with
a hash of what was in it, signed with its signing key. Both are bound to this
cluster, the node and its position in the ledger, where the drill is recorded; a box
with anything else in it is refused. warifu custodian list says when each was last.

The node vouches that the challenge was opened. It carries no authority.`,
		Example: "  warifu custodian drill --custodian alice.custodian",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			who, err := a.openCustodian(a.caller.custodianFile, a.caller.passphraseFile, "to drill")
			if err != nil {
				return err
			}
			cert, err := selfSigned(who.SignKey(), who.Name())
			if err != nil {
				return err
			}
			a.caller.certificate = &cert
			signer, err := authority.NewSigner(who.SignKey())
			if err != nil {
				return err
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			node, answer, err := cluster.Drill(c.Context(), signer, who.OpenKey())
			if err != nil {
				return err
			}
			return a.show(struct {
				Custodian string `json:"custodian"`
				Node      string `json:"node"`
				Index     uint64 `json:"index"`
			}{who.Name(), node, answer.Index}, func(w io.Writer) {
				fmt.Fprintf(w, "%s signs and opens: shown to %s, recorded at index %d\n", who.Name(), node, answer.Index)
			})
		},
	}
	a.addCallerFlags(c)
	a.setTimeout(c, submitTimeout)
	required(c, "custodian")
	return c
}
