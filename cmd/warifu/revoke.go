package main

import (
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

func (a *app) revokeCommand() *cobra.Command {
	return group("revoke", "Write a change that takes a principal, certificate, key, grant or authority out of use",
		`Writes a change that denies everything that what it names has a part in, for
custodians to sign. A node denies by it from the moment it has seen it; change
submit also hands it to every node directly. It lasts until custodians lift it.`,
		"  warifu revoke principal spiffe://hospital.example/app --out app.change\n  warifu change sign app.change --custodian alice.custodian\n  warifu change submit app.change",
		a.revokeVerb(authority.SubjectPrincipal, "SPIFFE-ID", "Deny a principal, whatever certificate it shows",
			"spiffe://hospital.example/app", func(_ *cobra.Command, s string) (string, error) { return s, nil }),
		a.revokeVerb(authority.SubjectCertificate, "CERT", "Deny a certificate's public key, wherever it stands in a chain",
			"app.crt", func(_ *cobra.Command, s string) (string, error) { return keyHashOf(s) }),
		a.revokeVerb(authority.SubjectKey, "KEY", "Deny every use of a threshold key, in all its versions",
			"photos", a.keyIDOf),
		a.revokeVerb(authority.SubjectGrant, "ID", "Deny every use of a grant",
			"6b1f...", func(_ *cobra.Command, s string) (string, error) { return s, nil }),
		a.revokeVerb(authority.SubjectCA, "NAME", "Deny every certificate under the authority of this name",
			"trial", func(_ *cobra.Command, s string) (string, error) { return s, nil }),
		a.revokeStatusCommand())
}

// revokeVerb is one kind of subject; name makes the subject's name of the argument.
func (a *app) revokeVerb(kind, arg, short, example string, name func(*cobra.Command, string) (string, error)) *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use: kind + " " + arg + " --out FILE.change", Short: short,
		Long:    short + ", until custodians lift the revoke. Writes the change for custodians to sign.",
		Example: "  warifu revoke " + kind + " " + example + " --out " + kind + ".change",
		Args:    exactly(arg),
		RunE: func(c *cobra.Command, args []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			sub := authority.Subject{Kind: kind}
			if sub.Name, err = name(c, args[0]); err != nil {
				return err
			}
			if err := sub.Check(); err != nil {
				return misused(arg, err)
			}
			return f.write(a, g, authority.KindRevoke, wire.Encode(authority.Revoke{Subject: sub}), api.Digest{})
		},
	}
	f.add(a, c)
	if kind == authority.SubjectKey {
		a.addCallerFlags(c)
	}
	return c
}

// keyHashOf reads the public key's hash out of a certificate's file; 64 hexadecimal
// digits are one.
func keyHashOf(s string) (string, error) {
	if _, err := api.ParseDigest(s); err == nil {
		return s, nil
	}
	cert, err := readCertificate(s)
	if err != nil {
		return "", err
	}
	return authority.SPKIHash(cert.RawSubjectPublicKeyInfo).String(), nil
}

// keyIDOf is the id of a key: given, from a record kept at home, or asked for.
func (a *app) keyIDOf(c *cobra.Command, s string) (string, error) {
	if _, err := api.ParseDigest(s); err == nil {
		return s, nil
	}
	if err := misused("KEY", api.CheckName(s)); err != nil {
		return "", err
	}
	k, err := a.wrappingKey(c.Context(), &keyFlags{name: s})
	if err != nil {
		return "", err
	}
	return k.ID().String(), nil
}

func (a *app) liftCommand() *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "lift ID --out FILE.change",
		Short: "Write a change that ends a revoke or a seal",
		Long: `Writes a change that ends what the revoke or the seal of this id denies, for
custodians to sign. It ends when the lift is committed, and the id is never taken
again. An id that was handed to nodes and never ordered can be lifted, too.`,
		Example: "  warifu lift 6b1f... --out lift.change",
		Args:    exactly("ID"),
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			id, err := parseHash("ID", args[0])
			if err != nil {
				return err
			}
			if id.IsZero() {
				return fail(exitUsage, "ID: no change has the id of zeros")
			}
			return f.write(a, g, authority.KindLift, wire.Encode(authority.Lift{Lifts: id}), api.Digest{})
		},
	}
	f.add(a, c)
	return c
}

func (a *app) sealCommand() *cobra.Command {
	var f changeFlags
	var cluster bool
	c := &cobra.Command{
		Use:   "seal [NODE] --out FILE.change",
		Short: "Write a change that stops a node's releases, or all of them",
		Long: `Writes a change after which a node, or with --cluster every node, releases nothing
until custodians lift it. It is for emergencies: genesis may require fewer
custodians for it than for a lift. A sealed node votes and follows the log.`,
		Example: "  warifu seal tokyo-1 --out seal.change\n  warifu seal --cluster --out seal.change",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			sub := authority.Subject{Kind: authority.SubjectCluster}
			switch {
			case cluster == (len(args) == 1):
				return fail(exitUsage, "give the id of a node, or --cluster")
			case len(args) == 1:
				sub = authority.Subject{Kind: authority.SubjectNode, Name: args[0]}
				if g.NodeByID(args[0]) == nil {
					return fail(exitUsage, "%s is not on the roster, which has %s", oneLine(args[0]), strings.Join(nodeIDs(g), ", "))
				}
			}
			return f.write(a, g, authority.KindSeal, wire.Encode(authority.Seal{Subject: sub}), api.Digest{})
		},
	}
	f.add(a, c)
	c.Flags().BoolVar(&cluster, "cluster", false, "seal every node")
	return c
}

func nodeIDs(g *authority.Genesis) []string {
	var out []string
	for _, n := range g.Roster {
		out = append(out, n.ID)
	}
	return out
}
