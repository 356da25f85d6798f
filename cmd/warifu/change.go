package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"

	"github.com/spf13/cobra"
)

// defaultExpiry is how long a new change may wait for signatures.
const defaultExpiry = 7 * 24 * time.Hour

// readingOut says what comparing words over the telephone proves.
const readingOut = `The 24 words to read out say the whole digest, which is computed here from the very
bytes that are signed. Two people who hear the same 24 words from each other's
screens have the same document before them; with fewer words, whoever wrote it could
have prepared two. They prove nothing about whether it is right, or who is
speaking. They are no secret.`

func (a *app) changeCommand() *cobra.Command {
	return group("change", "Read, sign and submit what changes the cluster",
		`Whatever changes the cluster is a change: a file that policy put, ca put and
key create write, that custodians read in words and sign, each on their own
machine, and that anyone may then submit. Its signatures authorise it.`,
		"  warifu change show photos.change\n  warifu change sign photos.change --custodian alice.custodian\n  warifu change submit photos.change --wait",
		a.changeShowCommand(), a.changeSignCommand(), a.changeSubmitCommand())
}

// changeFlags are those of every verb that writes a change.
type changeFlags struct {
	out, genesis string
	expires      time.Duration

	proposes   bool // the change goes before the custodians in the ledger, and into no file
	unapproved bool // its proposer does not approve it at once
	command    *cobra.Command
}

func (f *changeFlags) add(a *app, c *cobra.Command) {
	f.proposes, f.command = a.proposing, c
	c.Flags().DurationVar(&f.expires, "expires", defaultExpiry, "how long it may wait to be signed and submitted")
	if f.proposes {
		f.addProposing(a)
		return
	}
	c.Flags().StringVar(&f.out, "out", "", "file to write the change to")
	c.Flags().StringVar(&f.genesis, "genesis", "", "genesis document of the cluster (default: the one of client init)")
	required(c, "out")
}

// write makes the change and says what it is and what comes next.
func (f *changeFlags) write(a *app, g *authority.Genesis, kind string, body []byte, base api.Digest) error {
	if f.expires <= 0 {
		return fail(exitUsage, "--expires must be more than nothing")
	}
	c := authority.Change{Cluster: g.Cluster, Kind: kind, Body: body, Base: base, NotAfter: now().Add(f.expires).UnixMilli()}
	if _, err := rand.Read(c.Nonce[:]); err != nil {
		return fmt.Errorf("make a nonce: %w", err)
	}
	e := authority.NewChange(c)
	if len(e.Encode()) > authority.MaxEntrySize-authority.MaxSignatures*128 {
		return fail(exitInput, "the change is larger than a ledger entry may be (%d KiB)", authority.MaxEntrySize>>10)
	}
	v, err := a.viewChange(e, g)
	if err != nil {
		return err
	}
	if f.proposes {
		return f.propose(a, e, v)
	}
	if err := writeNew(f.out, modePublic, e.Encode()); err != nil {
		return err
	}
	return a.show(struct {
		File string `json:"file"`
		*changeView
	}{f.out, v}, func(w io.Writer) {
		v.words(a, w)
		fmt.Fprintf(w, "\nwritten to %s; each custodian runs: warifu change sign %s --custodian FILE\n", f.out, f.out)
	})
}

func readEntry(name string) (*authority.Entry, error) {
	b, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	e, err := authority.ParseEntry(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

func readChange(name string) (*authority.Entry, error) {
	e, err := readEntry(name)
	if err != nil {
		return nil, err
	}
	if _, err := authority.ParseChange(e); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

func (a *app) changeShowCommand() *cobra.Command {
	var genesis, against string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Say in words what a change does, and who signed it",
		Long: `Says in words what a change does, what it replaces, until when it may be taken,
who signed it and how many signatures it still needs. Text that others wrote
stands behind a bar; in it \u{...} stands for what a terminal could act on, for
what is invisible, and for letters of another script that pass for Latin ones.

A new policy is laid beside the one that it replaces, line by line: - goes, + comes.
Every line of the new one is shown. The old one is that of --against, the change
that put it, or what a node says is in force; if nobody can be asked, it says so.

` + readingOut,
		Example: "  warifu change show photos.change\n  warifu change show policy.change --against last.change",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			g, err := a.knownGenesis(genesis)
			if err != nil {
				return err
			}
			e, err := readChange(args[0])
			if err != nil {
				return err
			}
			v, err := a.viewChange(e, g)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := a.compare(c.Context(), v, g, against); err != nil {
				return err
			}
			if err := a.show(v, func(w io.Writer) { v.words(a, w) }); err != nil {
				return err
			}
			return spoiled(v.Signers)
		},
	}
	c.Flags().StringVar(&genesis, "genesis", "", "genesis document of the cluster (default: the one of client init)")
	addAgainstFlag(c, &against)
	a.addCallerFlags(c)
	return c
}

func (a *app) changeSignCommand() *cobra.Command {
	var genesis, against, custodianFile, passphraseFile string
	c := &cobra.Command{
		Use:   "sign FILE --custodian FILE",
		Short: "Show a change, then sign it as a custodian",
		Long: `Shows what a change does, as change show does, and then asks for the custodian's
passphrase: giving it is what signs. The signature is added to the file, in place.
Signing twice changes nothing.

To lay a new policy beside the one in force, the cluster is asked, as the custodian:
the passphrase is then asked for twice, and only the second time signs. With
--against FILE nobody is asked.`,
		Example: "  warifu change sign photos.change --custodian alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			g, err := a.knownGenesis(genesis)
			if err != nil {
				return err
			}
			e, err := readChange(args[0])
			if err != nil {
				return err
			}
			before, err := a.viewChange(e, g)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := before.signable(args[0]); err != nil {
				return err
			}
			a.caller.custodianFile, a.caller.passphraseFile = custodianFile, passphraseFile
			if err := a.compare(c.Context(), before, g, against); err != nil {
				return err
			}
			if a.format == formatTable {
				before.words(a, a.out)
				fmt.Fprintln(a.out)
			}
			signer, name, err := a.openSigner(custodianFile, passphraseFile, "to sign this")
			if err != nil {
				return err
			}
			if g != nil && g.CustodianByKey(authority.FingerprintOf(signer.PublicKey())) == nil {
				return fmt.Errorf("%w: %s is not a custodian of this cluster", authority.ErrSignature, name)
			}
			if err := authority.SignChange(rand.Reader, e, signer); err != nil {
				return err
			}
			if err := writeReplacing(args[0], modePublic, e.Encode()); err != nil {
				return err
			}
			after, err := a.viewChange(e, g)
			if err != nil {
				return err
			}
			return a.show(after, func(w io.Writer) {
				fmt.Fprintf(w, "signed by %s; %s\n", name, after.standing())
			})
		},
	}
	c.Flags().StringVar(&genesis, "genesis", "", "genesis document of the cluster (default: the one of client init)")
	addAgainstFlag(c, &against)
	a.addTimeoutFlag(c)
	addSignerFlags(c, &custodianFile, &passphraseFile)
	return c
}

// signable refuses what no custodian should sign; name is what it is called.
func (v *changeView) signable(name string) error {
	if err := spoiled(v.Signers); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if v.Expired {
		return fail(exitAuthority, "%s was good until %s; make it anew", name, v.NotAfter)
	}
	if v.Policy != nil && v.Policy.Broken != "" {
		return fail(exitInput, "%s: the policy does not compile: %s", name, v.Policy.Broken)
	}
	return nil
}

// standing says how far a change is, in half a sentence.
func (v *changeView) standing() string {
	switch {
	case !v.known:
		return plural(len(v.Signers), "signature") + " in all"
	case v.Missing > 0:
		return fmt.Sprintf("%d more needed", v.Missing)
	default:
		return "that is enough: submit it with warifu change submit"
	}
}

// addSignerFlags adds the flags that name a custodian and its passphrase.
func addSignerFlags(c *cobra.Command, custodianFile, passphraseFile *string) {
	c.Flags().StringVar(custodianFile, "custodian", "", "the custodian's file")
	c.Flags().StringVar(passphraseFile, "passphrase-file", "", "file with its passphrase, or its token's PIN, mode 0600 (default: ask on the terminal)")
	required(c, "custodian")
}
