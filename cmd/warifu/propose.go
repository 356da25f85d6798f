package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"warifu.dev/authority"
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

const proposeLong = `The change goes before the other custodians in the ledger, in place of a file: they
look at it with warifu proposals and add their signatures with warifu approve. With
as many as genesis requires it passes, and is in force. It is shown first; giving the
passphrase proposes it, and approves it as well unless --without-approval is given.
A custodian can have 8 proposals open, and none waits longer than 90 days.`

// proposeCommand has a verb for each one that writes a change.
func (a *app) proposeCommand() *cobra.Command {
	a.proposing = true
	defer func() { a.proposing = false }()
	roster := a.nodeCommand()
	for _, c := range roster.Commands() {
		if c.Name() == "list" {
			roster.RemoveCommand(c)
			continue
		}
		asProposal(c, "node ", c.Name(), "node "+c.Name())
	}
	roster.Short = "Propose to bring a node, or to take one off the roster"
	roster.Long = roster.Short + ".\n\n" + proposeLong
	roster.Example = "  warifu propose node add osaka-3.line --custodian alice.custodian"
	revoke := a.revokeCommand()
	for _, c := range revoke.Commands() {
		if c.Name() == "status" {
			revoke.RemoveCommand(c)
			continue
		}
		asProposal(c, "revoke ", c.Name(), "revoke "+c.Name())
	}
	revoke.Short = "Propose to take a principal, certificate, key or authority out of use"
	revoke.Long = revoke.Short + ", until custodians lift it.\n\n" + proposeLong
	revoke.Example = "  warifu propose revoke principal spiffe://hospital.example/app --custodian alice.custodian"
	var states []*cobra.Command
	for _, v := range stateVerbs {
		states = append(states, asProposal(a.stateCommand(v), "", v.name, "key "+v.name))
	}
	pool := a.poolCommand()
	for _, c := range pool.Commands() {
		if c.Name() == "show" {
			pool.RemoveCommand(c)
			continue
		}
		asProposal(c, "pool ", c.Name(), "pool "+c.Name())
	}
	pool.Short = "Propose to have keys born ahead, or to end that"
	pool.Long = pool.Short + ".\n\n" + proposeLong
	pool.Example = "  warifu propose pool set web --size 20 --custodian alice.custodian"
	g := group("propose", "Put a change before the custodians, in the ledger", proposeLong,
		"  warifu propose key photos --custodian alice.custodian\n  warifu propose policy --text policy.cedar --entities entities.json --custodian alice.custodian\n  warifu approve 6b1f... --custodian bob.custodian",
		asProposal(a.policyPutCommand(), "", "policy", "policy put"),
		asProposal(a.keyCreateCommand(), "", "key", "key create"),
		asProposal(a.keyImportCommand(), "", "import", "key import"),
		asProposal(a.rotateSharesCommand(), "", "rotate-shares", "rotate-shares"),
		asProposal(a.reshareCommand(), "", "reshare", "reshare"),
		asProposal(a.caPutCommand(), "", "ca", "ca put"),
		revoke,
		roster,
		pool,
		asProposal(a.sealCommand(), "", "seal", "seal"),
		asProposal(a.liftCommand(), "", "lift", "lift"),
		asProposal(a.custodianReplaceCommand(), "", "custodians", "custodian replace"),
		asProposal(a.keyLabelCommand(), "", "label", "key label"),
		asProposal(a.keyRotateCommand(), "", "rotate", "key rotate"),
		asProposal(a.keyDestroyCommand(), "", "destroy", "key destroy"),
		asProposal(a.keyKeepCommand(), "", "keep", "key keep"),
		asProposal(a.escrowOrderCommand(), "", "escrow", "escrow order"))
	g.AddCommand(states...)
	return g
}

// asProposal gives a verb that writes a change the words of one that proposes it.
// It is called name below propose, or below propose and under, and was another verb.
func asProposal(c *cobra.Command, under, name, was string) *cobra.Command {
	_, rest, _ := strings.Cut(c.Use, " ")
	c.Use = name + " " + strings.TrimSpace(strings.Replace(rest, "--out FILE.change", "", 1)) + " --custodian FILE"
	c.Short = strings.Replace(c.Short, "Write a change", "Propose a change", 1)
	c.Long = fmt.Sprintf("Proposes the change that warifu %s writes to a file; see its help for what it means.\n\n%s", was, proposeLong)
	first, _, _ := strings.Cut(c.Example, "\n")
	first, _, _ = strings.Cut(first, " --out ")
	c.Example = strings.Replace(first, "warifu "+was, "warifu propose "+under+name, 1) + " --custodian alice.custodian"
	return c
}

// addProposing adds the flags of every verb that proposes a change.
func (f *changeFlags) addProposing(a *app) {
	f.command.Flags().BoolVar(&f.unapproved, "without-approval", false, "put it before the others without approving it")
	a.addCallerFlags(f.command)
	a.setTimeout(f.command, submitTimeout)
	required(f.command, "custodian")
}

// propose shows the change, signs that it is proposed, and hands that in.
func (f *changeFlags) propose(a *app, e *authority.Entry, v *changeView) error {
	h, err := a.loadHome()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.command.Context(), a.caller.timeout)
	defer cancel()
	if err := a.compare(ctx, v, h.Custody.Genesis, ""); err != nil {
		return err
	}
	if a.format == formatTable {
		v.words(a, a.out)
		fmt.Fprintln(a.out)
	}
	signer, err := a.custodianSigner(ctx, h, "to propose this")
	if err != nil {
		return err
	}
	entry, err := authority.SignProposal(rand.Reader, e, signer, !f.unapproved)
	if err != nil {
		return err
	}
	if !f.unapproved {
		if err := authority.SignChange(rand.Reader, e, signer); err != nil {
			return err
		}
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return err
	}
	defer cluster.Close()
	s, err := a.say(ctx, cluster, h.Custody.Genesis, entry, e)
	if err != nil {
		return err
	}
	return s.show(a, v, func(w io.Writer) {
		fmt.Fprintf(w, "proposed; each other custodian runs: warifu approve %s --custodian FILE\n", v.ID)
	})
}

// custodianSigner opens the custodian who calls, to sign with: one of this cluster's.
// If it is not known here as one, the cluster is asked once more who they are.
func (a *app) custodianSigner(ctx context.Context, h *home.Home, purpose string) (*authority.Signer, error) {
	signer, name, err := a.openSigner(a.caller.custodianFile, a.caller.passphraseFile, purpose)
	if err != nil {
		return nil, err
	}
	f := authority.FingerprintOf(signer.PublicKey())
	if h.Custody.Genesis.CustodianByKey(f) == nil {
		if cluster, err := a.connectFrom(h); err == nil {
			defer cluster.Close()
			if _, err := a.askCustody(ctx, h, cluster); err != nil {
				return nil, err
			}
		}
	}
	if h.Custody.Genesis.CustodianByKey(f) == nil {
		return nil, fmt.Errorf("%w: %s is not a custodian of this cluster", authority.ErrSignature, name)
	}
	return signer, nil
}
