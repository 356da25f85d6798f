package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/tag"
	"warifu.dev/policy"

	"github.com/spf13/cobra"
)

func (a *app) grantCommand() *cobra.Command {
	return group("grant", "Approve that somebody opens what a policy opens to nobody alone",
		`A policy can demand that some of several named people approve an unwrap. What they
approve is a grant: one key, one principal, a reason, a window of time, a number of
uses. They sign it each on their own machine; anyone may submit it, and the principal
then names it. Every node counts the signatures for itself, against the policy in force.

An approver's key is a file that warifu custodian new makes; the policy names its
public half. It need not be a custodian of the cluster, and better is none.`,
		"  warifu grant new --key records --principal spiffe://hospital.example/research --reason \"study 12\" --uses 5 --for 4h --out study.grant\n  warifu grant sign study.grant --approver dr-sato.key\n  warifu grant submit study.grant\n  warifu decrypt record.age --grant 6b1f...",
		a.grantNewCommand(), a.grantSignCommand(), a.grantSubmitCommand(), a.grantShowCommand(), a.grantListCommand(), a.grantApproverCommand())
}

// grantView is a grant in words.
type grantView struct {
	ID        api.Digest `json:"id"`
	Key       api.KeyID  `json:"key"`
	KeyName   string     `json:"key_name,omitempty"`
	Principal string     `json:"principal"`
	Action    string     `json:"action"`
	Reason    string     `json:"reason"`
	NotBefore string     `json:"not_before"`
	NotAfter  string     `json:"not_after"`
	Expired   bool       `json:"expired"`
	Uses      uint32     `json:"uses"`
	Signers   []signer   `json:"signers"`
	Meets     []string   `json:"meets,omitempty"`  // approvals of the policy that is known here
	Policy    string     `json:"policy,omitempty"` // whose word the names are: "in force", a file; empty: none is known
	Bound     *usesBound `json:"bound,omitempty"`
	Nodes     []usedView `json:"nodes,omitempty"`
}

type signer struct {
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"fingerprint"`
	State       string `json:"state"` // signed, bad signature, no approver, not checked
}

// usesBound is how many envelopes a grant can open, spread over the slots of all
// holders ([authority.UsesBound]).
type usesBound struct {
	H        int `json:"h"`
	T        int `json:"t"`
	F        int `json:"f"`
	NoLiar   int `json:"released_at_most"`
	WithLiar int `json:"released_at_most_with_f_liars"`
}

type usedView struct {
	Node  string `json:"node"`
	Index uint64 `json:"index"`
	Used  int    `json:"used"`
}

const stateNoApprover = "no approver"

// viewGrant reads everything that a grant says. p may be nil: then signers are listed
// by fingerprint, unchecked.
func viewGrant(e *authority.Entry, p *policy.Policy, from string) (*grantView, error) {
	g, err := authority.ParseGrant(e)
	if err != nil {
		return nil, err
	}
	v := &grantView{
		ID: e.ID(), Key: g.Key, Principal: g.Principal, Action: g.Action, Reason: g.Reason, Uses: g.Uses,
		NotBefore: instant(g.NotBefore), NotAfter: instant(g.NotAfter), Expired: now().UnixMilli() > g.NotAfter,
		Signers: []signer{},
	}
	var signed []string
	for _, s := range e.Signatures {
		of := signer{Fingerprint: s.Signer.String(), State: stateUnchecked}
		if p != nil {
			of.State = stateNoApprover
			for _, who := range p.Approvers() {
				if authority.FingerprintOf(who.Key) == s.Signer {
					of.Name, of.State = who.Name, stateBad
					if s.Verify(who.Key, tag.GrantSignature, e.Body) == nil {
						of.State = stateSigned
						signed = append(signed, who.Name)
					}
				}
			}
		}
		v.Signers = append(v.Signers, of)
	}
	if p != nil {
		v.Policy, v.Meets = from, p.Met(signed)
	}
	return v, nil
}

// about adds what the key's record says: its name, and what u uses come to.
func (v *grantView) about(k *client.Key) {
	o := k.Record().Order()
	h, t, f := int(o.H()), int(o.T), int(o.F)
	v.KeyName = k.Name()
	v.Bound = &usesBound{
		H: h, T: t, F: f, NoLiar: authority.UsesBound(int(v.Uses), h, t, 0), WithLiar: authority.UsesBound(int(v.Uses), h, t, f),
	}
}

func (v *grantView) words(a *app, w io.Writer) {
	key := v.Key.String()
	if v.KeyName != "" {
		key = v.KeyName + " (" + key + ")"
	}
	notAfter := v.NotAfter
	if v.Expired {
		notAfter += " (over)"
	}
	facts(w, slices.Concat([]string{"grant", v.ID.String()}, readOut(v.ID), []string{
		"who", v.Principal, "may", v.Action, "with the key", key, "because", v.Reason,
		"from", v.NotBefore, "until", notAfter, "uses", fmt.Sprint(v.Uses),
	})...)
	if b := v.Bound; b != nil {
		does, done := "opens", "opened"
		if v.Action == authority.ActionEncrypt {
			does, done = "makes", "made"
		}
		if v.Action == authority.ActionUnwrapBranch {
			fmt.Fprintln(w, "each use lends the key of one branch, which makes and opens any number of envelopes until its interval is over")
		}
		fmt.Fprintf(w, "each use %s one envelope; spread over %d holders of whom %d agree, at most %d are %s, and at most %d if %d of them lie\n", does, b.H, b.T, b.NoLiar, done, b.WithLiar, b.F)
	}
	for _, s := range v.Signers {
		fmt.Fprintf(w, "%s by %s (%s)\n", s.State, orWord(s.Name, "?"), s.Fingerprint)
	}
	switch {
	case v.Policy == "":
		fmt.Fprintln(w, a.loud("No policy is known here that names approvers: signers are not checked (--limits FILE)."))
	case len(v.Meets) == 0:
		fmt.Fprintf(w, "fewer have signed it than any approval of the policy asks for (%s)\n", oneLine(v.Policy))
	default:
		fmt.Fprintf(w, "approved for %s, by the policy %s\n", strings.Join(v.Meets, ", "), oneLine(v.Policy))
	}
	for _, n := range v.Nodes {
		fmt.Fprintf(w, "%s: %s bound\n", oneLine(n.Node), plural(n.Used, "use"))
	}
}

// approversFlag names the limits that name approvers; without, who may see the policy
// in force is shown names from there.
type approversFlag struct{ limits string }

func (f *approversFlag) add(c *cobra.Command) {
	c.Flags().StringVar(&f.limits, "limits", "", "limits of a policy, TOML, whose approvers the signers are held against (default: the policy in force, for those who may see it)")
}

// policy finds what names approvers; nil: nothing is known, which is no error unless a
// file was named.
func (f *approversFlag) policy(ctx context.Context, a *app) (*policy.Policy, string, error) {
	if f.limits != "" {
		b, err := readSmall(f.limits)
		if err != nil {
			return nil, "", err
		}
		p, err := policy.Compile(policy.Document{Limits: string(b)})
		return p, "of " + f.limits, err
	}
	if _, err := a.loadHome(); err != nil {
		return nil, "", nil
	}
	answer, err := a.askPolicy(ctx)
	if err != nil || len(answer.Document) == 0 {
		return nil, "", nil // an application is not shown it
	}
	d, err := policy.DecodeDocument(answer.Document)
	if err != nil || d.Digest() != answer.Digest {
		return nil, "", fail(exitInput, "a node sent a policy that is none, or another than it says")
	}
	p, err := policy.Compile(d)
	return p, "in force", err
}

func readGrant(name string) (*authority.Entry, error) {
	b, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	e, err := authority.ParseEntry(b)
	if err == nil {
		_, err = authority.ParseGrant(e)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

func (a *app) grantNewCommand() *cobra.Command {
	var k keyFlags
	var principal, action, reason, from, out string
	var last time.Duration
	var uses uint32
	c := &cobra.Command{
		Use:   "new --key NAME --principal ID --reason TEXT --out FILE.grant",
		Short: "Write a grant for approvers to sign",
		Long: `Writes a grant: PRINCIPAL may unwrap with the key, so often, in a window of time.
It is nothing until enough approvers have signed it, and it was submitted.

Each use opens one envelope; the same envelope may be opened again in its use. Nodes
keep no common count, and it says how many envelopes can be opened at most. With --action
encrypt it is about making envelopes of a symmetric key, one with each use.`,
		Example: "  warifu grant new --key records --principal spiffe://hospital.example/research --reason \"study 12\" --uses 5 --for 4h --out study.grant",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := k.check(c); err != nil {
				return err
			}
			begins := now()
			if from != "" {
				var err error
				if begins, err = time.Parse(time.RFC3339, from); err != nil {
					return fail(exitUsage, "--from is a time like 2026-11-30T12:00:00Z, not %q", from)
				}
			}
			if err := misused("--principal", api.CheckPrincipal(principal)); err != nil {
				return err
			}
			key, err := a.wrappingKey(c.Context(), &k)
			if err != nil {
				return err
			}
			g := authority.Grant{
				Cluster: key.Record().Cluster, Key: key.ID(), Principal: principal, Action: action, Reason: reason,
				NotBefore: begins.UnixMilli(), NotAfter: begins.Add(last).UnixMilli(), Uses: uses,
			}
			if _, err := rand.Read(g.Nonce[:]); err != nil {
				return fmt.Errorf("make a nonce: %w", err)
			}
			if err := g.Check(); err != nil {
				return misused("the grant", err)
			}
			if action == authority.ActionEncrypt && !key.Symmetric() {
				return fail(exitUsage, "--action encrypt is for symmetric keys: whoever has the public half of %s wraps under it, and asks nobody", key.Name())
			}
			if action == authority.ActionUnwrapBranch && !key.Symmetric() {
				return fail(exitUsage, "--action unwrapBranch is for symmetric keys: %s has no branches", key.Name())
			}
			e := authority.NewGrant(g)
			v, err := viewGrant(e, nil, "")
			if err != nil {
				return err
			}
			v.about(key)
			if err := writeNew(out, modePublic, e.Encode()); err != nil {
				return err
			}
			return a.show(struct {
				File string `json:"file"`
				*grantView
			}{out, v}, func(w io.Writer) {
				v.words(a, w)
				fmt.Fprintf(w, "\nwritten to %s; each approver runs: warifu grant sign %s --approver FILE\n", out, out)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&k.name, "key", "", "the key's name")
	f.StringVar(&k.record, "record", "", "a saved record of the key, in place of asking for it")
	f.StringVar(&principal, "principal", "", "who may: a SPIFFE ID")
	f.StringVar(&action, "action", authority.ActionUnwrap, "what it may: unwrap, or of a symmetric key encrypt or unwrapBranch")
	f.StringVar(&reason, "reason", "", "why; the approvers read it")
	f.StringVar(&from, "from", "", "from when on, as 2026-11-30T12:00:00Z (default: now)")
	f.DurationVar(&last, "for", time.Hour, "how long, at most 744h")
	f.Uint32Var(&uses, "uses", 1, "how often, at most 1000")
	f.StringVar(&out, "out", "", "file to write the grant to")
	required(c, "principal", "reason", "out")
	a.addCallerFlags(c)
	return c
}

func (a *app) grantSignCommand() *cobra.Command {
	var approver, passphraseFile string
	var by approversFlag
	c := &cobra.Command{
		Use:   "sign FILE --approver FILE",
		Short: "Show a grant, then sign it as an approver",
		Long: `Shows what a grant allows, and then asks for the approver's passphrase: giving it
is what signs. The signature is added to the file, in place. Signing twice changes
nothing. It asks nobody: the machine needs no network.`,
		Example: "  warifu grant sign study.grant --approver dr-sato.key",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := readGrant(args[0])
			if err != nil {
				return err
			}
			var p *policy.Policy
			var from string
			if by.limits != "" {
				if p, from, err = by.policy(c.Context(), a); err != nil {
					return err
				}
			}
			v, err := viewGrant(e, p, from)
			if err != nil {
				return err
			}
			if v.Expired {
				return fail(exitAuthority, "%s was good until %s; make it anew", args[0], v.NotAfter)
			}
			if a.format == formatTable {
				v.words(a, a.out)
				fmt.Fprintln(a.out)
			}
			signer, name, err := a.openSigner(approver, passphraseFile, "to approve this")
			if err != nil {
				return err
			}
			if err := authority.SignGrant(rand.Reader, e, signer); err != nil {
				return err
			}
			if err := writeReplacing(args[0], modePublic, e.Encode()); err != nil {
				return err
			}
			after, err := viewGrant(e, p, from)
			if err != nil {
				return err
			}
			return a.show(after, func(w io.Writer) {
				fmt.Fprintf(w, "signed by %s; %s in all\n", oneLine(name), plural(len(after.Signers), "signature"))
			})
		},
	}
	by.add(c)
	c.Flags().StringVar(&approver, "approver", "", "the approver's key file")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with its passphrase, mode 0600 (default: ask on the terminal)")
	required(c, "approver")
	return c
}

func (a *app) grantSubmitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "submit FILE",
		Short: "Hand an approved grant to the cluster",
		Long: `Hands a grant to the cluster and prints its id, by which it is used. The node that
takes it counts the signatures against the policy in force first, as every holder
does again at each use. Submitting again is harmless.`,
		Example: "  warifu grant submit study.grant",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := readGrant(args[0])
			if err != nil {
				return err
			}
			if err := authority.CheckApprovals(e); err != nil {
				return fail(exitAuthority, "%s: %w", args[0], err)
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			ctx, cancel := context.WithTimeout(c.Context(), a.caller.timeout)
			defer cancel()
			answer, err := cluster.Submit(ctx, e.Encode())
			if err != nil {
				return err
			}
			return a.show(answer, func(w io.Writer) {
				word := "taken"
				if !answer.Taken {
					word = "was taken before"
				}
				facts(w, "grant", answer.ID.String(), word, fmt.Sprintf("at index %d", answer.Index))
			})
		},
	}
	a.addCallerFlags(c)
	a.setTimeout(c, submitTimeout)
	return c
}

func (a *app) grantShowCommand() *cobra.Command {
	var by approversFlag
	c := &cobra.Command{
		Use:   "show FILE|ID",
		Short: "Say in words what a grant allows, who signed it, and how often it was used",
		Long: `Says in words what a grant allows and who signed it. Of a grant in the ledger, by its
id, it also asks every node how many uses it has bound. An application sees its own.`,
		Example: "  warifu grant show study.grant --limits limits.toml\n  warifu grant show 6b1f...",
		Args:    exactly("FILE or ID"),
		RunE: func(c *cobra.Command, args []string) error {
			var e *authority.Entry
			var nodes []usedView
			id, err := api.ParseDigest(args[0])
			if err != nil {
				if e, err = readGrant(args[0]); err != nil {
					return err
				}
			} else {
				cluster, err := a.connect()
				if err != nil {
					return err
				}
				defer cluster.Close()
				list, err := cluster.GrantEverywhere(c.Context(), id)
				if err != nil {
					return err
				}
				e = list[0].Entry
				for _, n := range list {
					nodes = append(nodes, usedView{n.Node, n.Index, n.Used})
				}
			}
			p, from, err := by.policy(c.Context(), a)
			if err != nil {
				return err
			}
			v, err := viewGrant(e, p, from)
			if err != nil {
				return err
			}
			if h, err := a.loadHome(); err == nil {
				if k, err := h.Record(v.Key); err == nil {
					v.about(k)
				}
			}
			v.Nodes = nodes
			return a.show(v, func(w io.Writer) { v.words(a, w) })
		},
	}
	by.add(c)
	a.addCallerFlags(c)
	return c
}

func (a *app) grantListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the grants that have not expired",
		Long:    "Lists the grants that have not expired by ledger time, the newest first, as the nearest\nnode has them. An application sees its own.",
		Example: "  warifu grant list\n  warifu grant list -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			list, more, err := cluster.Grants(c.Context())
			if err != nil {
				return err
			}
			views := []*grantView{}
			for _, g := range list {
				v, err := viewGrant(g.Entry, nil, "")
				if err != nil {
					return err
				}
				v.Nodes = []usedView{{g.Node, g.Index, g.Used}}
				views = append(views, v)
			}
			return a.show(views, func(w io.Writer) {
				rows := [][]string{}
				for _, v := range views {
					rows = append(rows, []string{short(v.ID.String()), v.Principal, short(v.Key.String()), v.NotAfter, fmt.Sprintf("%d/%d", v.Nodes[0].Used, v.Uses), v.Reason})
				}
				table(w, "GRANT PRINCIPAL KEY UNTIL USED REASON", rows)
				if more > 0 {
					fmt.Fprintf(w, "and %d more\n", more)
				}
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

func (a *app) grantApproverCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "approver FILE.pub",
		Short:   "Print what a policy's limits say of an approver",
		Long:    "Prints the [[approver]] of a policy's limits for a public line that warifu custodian new\nwrote.",
		Example: "  warifu grant approver dr-sato.key.pub >> limits.toml",
		Args:    exactly("FILE.pub"),
		RunE: func(_ *cobra.Command, args []string) error {
			line, err := readPublicLine(args[0])
			if err != nil {
				return err
			}
			who, err := authority.ParseCustodian(line)
			if err != nil {
				return err
			}
			key := base64.RawURLEncoding.EncodeToString(who.Sign)
			return a.show(map[string]string{"name": who.Name, "key": key, "fingerprint": authority.FingerprintOf(who.Sign).String()}, func(w io.Writer) {
				fmt.Fprintf(w, "[[approver]]\nname = %q\nkey = %q\n", who.Name, key)
			})
		},
	}
}

// addGrantFlag adds the flag of every verb that opens envelopes, or makes those of a
// symmetric key.
func addGrantFlag(c *cobra.Command, grant *string, done string) {
	c.Flags().StringVar(grant, "grant", "", "id of the grant by which it is "+done+", where the policy demands one")
}
