package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/home"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// learnCustody asks the cluster who the custodians are, and keeps at home what goes
// further than what is known: never back to those who were replaced. Where the nodes are
// is kept with it.
func (a *app) learnCustody(ctx context.Context, h *home.Home, cluster *client.Client) error {
	s, err := cluster.Custody(ctx)
	if claims := cluster.Claims(); err == nil && !slices.EqualFunc(claims, h.Claims, slices.Equal) {
		err = writeReplacing(filepath.Join(h.Dir, home.AddressesFile), modePublic, home.EncodeAddresses(claims))
		h.Claims = claims
	}
	if err != nil || s.Len() <= h.Custody.Len() {
		return err
	}
	if !s.Extends(h.Custody) {
		return fail(exitAuthority, "nodes show custodians who do not follow those known here, put by %s: their chain parts from it, as one does that those who were replaced went on to sign", orWord(idWord(h.Custody.Last), "genesis"))
	}
	name := filepath.Join(h.Dir, home.CustodyFile)
	if err := writeReplacing(name, modePublic, authority.EncodeSuccession(s.Entries())); err != nil {
		return fmt.Errorf("keep who the custodians are: %w", err)
	}
	h.Custody = s
	return nil
}

// askCustody is [app.learnCustody] for verbs that do without: when nobody answers, what
// is known stands.
func (a *app) askCustody(ctx context.Context, h *home.Home, cluster *client.Client) (*authority.Genesis, error) {
	err := a.learnCustody(ctx, h, cluster)
	var silent *client.NodesError
	if err != nil && !errors.As(err, &silent) {
		return nil, err
	}
	return h.Custody.Genesis, nil
}

// mayBeNews says whether a refusal may come of custodians who were replaced since.
func mayBeNews(err error) bool {
	return errors.Is(err, authority.ErrNotCustodian) || errors.Is(err, authority.ErrTooFewSignatures)
}

// custodyView lays new custodians, and what is required of them, beside those who are
// known here.
type custodyView struct {
	Custodians []heldView     `json:"custodians"`
	Required   map[string]int `json:"required"`
	Known      bool           `json:"compared"` // with those of Against
	Against    []diffLine     `json:"against,omitempty"`
	Means      []string       `json:"means"`
	Warnings   []string       `json:"warnings,omitempty"`
}

// heldView is a custodian in force.
type heldView struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Open        string `json:"open"`
	Drilled     string `json:"last_drill,omitempty"` // ledger time, and the node that vouches for it
}

func viewHeld(list []authority.Custodian) []heldView {
	out := []heldView{}
	for _, c := range list {
		out = append(out, heldView{Name: c.Name, Fingerprint: authority.FingerprintOf(c.Sign).String(), Open: c.Open})
	}
	return out
}

// drilled fills in the last drill.
func (v *heldView) drilled(a *api.DrillsAnswer) {
	if a == nil {
		return
	}
	for _, d := range a.Drills {
		if d.Custodian.String() == v.Fingerprint {
			v.Drilled = fmt.Sprintf("%s, at %s", instant(d.Time), d.Node)
		}
	}
}

// custodyText says in lines who the custodians are, and what takes how many of them.
func custodyText(g *authority.Genesis) string {
	var b strings.Builder
	for _, c := range viewHeld(g.Custodians) {
		fmt.Fprintf(&b, "custodian %s signs with %s opens with %s\n", c.Name, c.Fingerprint, strings.ReplaceAll(c.Open, "\n", " "))
	}
	for _, kind := range authority.ChangeKinds() {
		fmt.Fprintf(&b, "%s takes %d of %d\n", kind, g.RequiredFor(kind), len(g.Custodians))
	}
	if g.UnsealCount > 0 {
		fmt.Fprintf(&b, "to open a seal takes %d of %d\n", g.UnsealCount, len(g.Custodians))
	}
	return b.String()
}

// viewCustody reads a change of the custodians. g may be nil.
func viewCustody(c *authority.Change, g *authority.Genesis) (*custodyView, error) {
	by, err := authority.ParseCustody(c)
	if err != nil {
		return nil, err
	}
	next := &authority.Genesis{Custodians: by.Custodians, Required: by.Required, UnsealCount: by.UnsealCount}
	var before string
	if g != nil {
		if next, err = g.Succeeded(by); err != nil {
			return nil, err
		}
		before = custodyText(g)
	}
	v := &custodyView{Custodians: viewHeld(next.Custodians), Required: map[string]int{}, Known: g != nil, Against: diff(before, custodyText(next))}
	for _, kind := range authority.ChangeKinds() {
		v.Required[kind] = next.RequiredFor(kind)
	}
	n := len(next.Custodians)
	for _, kind := range authority.ChangeKinds() {
		if need := next.RequiredFor(kind); need == n && n > 1 && kind != authority.KindGenesis {
			v.Warnings = append(v.Warnings, fmt.Sprintf("%s takes every custodian: when one is lost, nobody can sign it any more", kind))
		}
	}
	if n == 1 {
		v.Warnings = append(v.Warnings, "one custodian is left: whoever has it has everything, and when it is lost nothing can be changed any more")
	}
	if g != nil {
		var gone, come []string
		for _, c := range g.Custodians {
			if next.CustodianByKey(authority.FingerprintOf(c.Sign)) == nil {
				gone = append(gone, c.Name)
			}
		}
		for _, c := range next.Custodians {
			if g.CustodianByKey(authority.FingerprintOf(c.Sign)) == nil {
				come = append(come, c.Name)
			}
		}
		if g.Unseal == authority.UnsealCustodians && !next.SameKeepers(g) {
			v.Means = append(v.Means, "each node that is open locks itself anew for them at once; one that is sealed, or down, is opened by the custodians before, and does it then",
				"the custodians before keep their files until no node is locked for them any more: warifu custodian list")
		}
		v.Means = append(v.Means, "custodians no more, by their keys: "+orWord(strings.Join(gone, ", "), "nobody"), "new custodians, by their keys: "+orWord(strings.Join(come, ", "), "nobody"))
	}
	return v, nil
}

// hold warns of a change that was made against other custodians than those known here.
func (v *custodyView) hold(base api.Digest, known *authority.Succession) {
	if base != known.Last {
		v.Warnings = append(v.Warnings, fmt.Sprintf("the custodians known here were put by %s; this change replaces those that %s put, and is laid beside others",
			orWord(idWord(known.Last), "genesis"), orWord(idWord(base), "genesis")))
	}
}

func (v *custodyView) words(a *app, w io.Writer) {
	fmt.Fprintln(w, "These become the custodians. Nobody else holds authority afterwards, and they hold all of it.")
	if !v.Known {
		fmt.Fprintln(w, a.loud("Who the custodians are is not known here, so nothing is compared."))
	}
	writeDiff(a, w, "custodians", v.Against)
	for _, m := range v.Means {
		fmt.Fprintf(w, "  - %s\n", oneLine(m))
	}
	for _, m := range v.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}

func (a *app) custodianListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the custodians in force, and what takes how many of them",
		Long: `Lists the custodians in force, and how many of them each kind of change takes. Who
they are is verified from genesis on, replacement by replacement; several nodes are
asked, since one could hold back the newest. When each has drilled last, one node
says, to a custodian, an operator or an auditor. Who they are is kept in this client's home, for
verbs that ask nobody: on a machine without network, its file custodians is what
that machine needs.

Where custodians open the nodes' seals, it names every node that may still be locked
for custodians who were replaced: until none is named, those keep their files.`,
		Example: "  warifu custodian list\n  warifu custodian list -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			if err := a.learnCustody(c.Context(), h, cluster); err != nil {
				return err
			}
			g := h.Custody.Genesis
			v := struct {
				Change     *api.Digest      `json:"change"` // nil: genesis
				Replaced   int              `json:"replaced"`
				Custodians []heldView       `json:"custodians"`
				Required   map[string]int   `json:"required"`
				Unseal     uint32           `json:"unseal_count,omitempty"`
				Former     []api.FormerLock `json:"former_locks,omitempty"`
			}{Unseal: g.UnsealCount, Replaced: h.Custody.Len(), Custodians: viewHeld(g.Custodians), Required: map[string]int{}}
			if v.Replaced > 0 {
				v.Change = &h.Custody.Last
			}
			drills, err := cluster.Drills(c.Context())
			if err != nil && !errors.Is(err, client.ErrDenied) { // an application may not ask
				return err
			}
			for i := range v.Custodians {
				v.Custodians[i].drilled(drills)
			}
			if g.UnsealCount > 0 {
				v.Former = formerLocks(cluster.Status(c.Context()))
			}
			var must []string
			for _, kind := range authority.ChangeKinds() {
				v.Required[kind] = g.RequiredFor(kind)
				must = append(must, fmt.Sprintf("%s %d", kind, v.Required[kind]))
			}
			return a.show(v, func(w io.Writer) {
				var rows [][]string
				for _, c := range v.Custodians {
					rows = append(rows, []string{c.Name, c.Fingerprint, c.Open, orWord(c.Drilled, "-")})
				}
				table(w, "CUSTODIAN FINGERPRINT OPENS LAST-DRILL", rows)
				fmt.Fprintf(w, "must sign, of %d: %s\n", len(v.Custodians), strings.Join(must, ", "))
				if v.Unseal > 0 {
					fmt.Fprintf(w, "to open a node's seal, of %d: %d\n", len(v.Custodians), v.Unseal)
				}
				for _, l := range v.Former {
					fmt.Fprintln(w, a.loud(formerLockWords(l)))
				}
				if v.Change != nil {
					fmt.Fprintf(w, "put by the change %s, after %s\n", v.Change, plural(v.Replaced, "replacement"))
				} else {
					fmt.Fprintln(w, "as genesis has them")
				}
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

func (a *app) custodianReplaceCommand() *cobra.Command {
	var f changeFlags
	var counts []string
	var base string
	var unsealCount uint32
	c := &cobra.Command{
		Use:   "replace [LINES...] --out FILE.change",
		Short: "Write a change that replaces the custodians, or what is required of them",
		Long: `Writes a change that replaces the custodians, for those in force to sign: as many as
the kind custodians takes. LINES are files with the public lines of all who are to
be custodians from then on, also of those who stay; without any, only --require
changes. Afterwards they hold authority, and nobody else: what the others had
proposed is gone, and their approvals count no more.

--require is as for genesis new; what it does not say stays as it is. Where seals are
opened by custodians (unseal mode hsm+custodians) each node that is open then locks
itself anew for those who are custodians now, of whom --unseal-count open it. A node
that is sealed or down is opened by those before, who keep their files until warifu
custodian list names no node that is locked for them. The change names the one it
replaces: the cluster is asked which, unless --base says it ("none" for the custodians
of genesis).`,
		Example: `  warifu custodian replace alice.custodian.pub carol.custodian.pub dora.custodian.pub --out custodians.change
  warifu custodian replace --require policy=3 --out counts.change`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			replaces, err := baseFlag(base, func() (last api.Digest, err error) {
				g, last, err = a.custodyInForce(c.Context())
				return last, err
			})
			if err != nil {
				return err
			}
			by := authority.Custody{Custodians: g.Custodians, UnsealCount: g.UnsealCount}
			if c.Flags().Changed("unseal-count") {
				by.UnsealCount = unsealCount
			}
			if len(args) > 0 {
				if by.Custodians, err = readCustodians(args); err != nil {
					return err
				}
			}
			if by.Required, err = requiredCounts(counts, g.RequiredFor); err != nil {
				return err
			}
			if _, err := g.Succeeded(&by); err != nil {
				return err
			}
			return f.write(a, g, authority.KindCustodians, wire.Encode(by), replaces)
		},
	}
	f.add(a, c)
	c.Flags().StringArrayVar(&counts, "require", nil, "custodians that must sign: COUNT, or KIND=COUNT; may be repeated (default: as it is)")
	c.Flags().Uint32Var(&unsealCount, "unseal-count", 0, "custodians that open a node's seal, where they do (default: as it is)")
	c.Flags().StringVar(&base, "base", "", "id of the change this replaces, or none (default: ask the cluster)")
	a.addCallerFlags(c)
	return c
}

// custodyInForce asks the cluster who the custodians are, and which change put them.
func (a *app) custodyInForce(ctx context.Context) (*authority.Genesis, api.Digest, error) {
	h, err := a.loadHome()
	if err != nil {
		return nil, api.Digest{}, fmt.Errorf("ask who the custodians are (or say which change put them with --base): %w", err)
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return nil, api.Digest{}, fmt.Errorf("ask who the custodians are (or say which change put them with --base): %w", err)
	}
	defer cluster.Close()
	if _, err := a.askCustody(ctx, h, cluster); err != nil {
		return nil, api.Digest{}, err
	}
	return h.Custody.Genesis, h.Custody.Last, nil
}

// readCustodians reads the public lines of custodians; a node's line is refused.
func readCustodians(files []string) ([]authority.Custodian, error) {
	var g authority.Genesis
	for _, file := range files {
		if err := addLines(&g, file); err != nil {
			return nil, err
		}
		if len(g.Roster) > 0 {
			return nil, fail(exitInput, "%s holds the line of the node %s", file, g.Roster[0].ID)
		}
	}
	return g.Custodians, nil
}
