package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

func (a *app) keyCommand() *cobra.Command {
	g := group("key", "Order a key's birth, say where it stands in its life, and show the keys there are",
		`A key is born in shares among its holders, and is never whole. Its order is a
change that custodians sign; its public record is what wrapping needs. So are the
changes of its state: pre-active, active, suspended, deactivated, compromised.`,
		`  warifu key create photos --out photos.change
  warifu key list
  warifu key show photos --out photos.record`,
		a.keyCreateCommand(), a.keyListCommand(), a.keyShowCommand(), a.keyWhereCommand(), a.keyFindCommand(), a.keyRotateCommand(), a.keyLabelCommand(), a.keyDestroyCommand(), a.keyKeepCommand(), a.keyImportCommand(), a.keyDealCommand(), a.keyAdoptCommand())
	g.AddCommand(a.stateCommands()...)
	return g
}

// orderFlags are those of every verb that orders a key.
type orderFlags struct {
	threshold, tolerate, phase uint32
	holders, regions, labels   []string
	notBefore, expires, owner  string
	purpose                    string // empty: of a key that unwraps
}

func (f *orderFlags) add(c *cobra.Command) {
	f.addShape(c)
	c.Flags().StringSliceVar(&f.regions, "regions", nil, "regions that it is pinned to: no node elsewhere ever holds a share (default: none; its holders: all nodes there)")
	c.Flags().StringArrayVar(&f.labels, "label", nil, "a label NAME=VALUE that policies see; may be repeated")
	c.Flags().StringVar(&f.owner, "owner", "", "who answers for it: a person, a team, an address")
	c.Flags().StringVar(&f.expires, "not-after", "", "when it expires, as 2028-04-01 or 2028-04-01T09:00:00+09:00 (default: never)")
	c.Flags().StringVar(&f.notBefore, "not-before", "", "when it becomes active, as 2027-04-01 or 2027-04-01T09:00:00+09:00 (default: at its birth)")
}

// addShape adds those that say who holds a key, and how many it takes.
func (f *orderFlags) addShape(c *cobra.Command) {
	c.Flags().Uint32Var(&f.threshold, "threshold", 0, "how many holders it takes to open (default: as the root key)")
	c.Flags().StringSliceVar(&f.holders, "holders", nil, "node ids that hold it, in order (default: as the root key)")
	c.Flags().Uint32Var(&f.tolerate, "tolerate", 1, "how many may lie or be silent at its birth (0 only if all are needed)")
	c.Flags().Uint32Var(&f.phase, "phase-seconds", defaultPhase, "how long a phase of the birth waits for a silent holder")
}

// order is what the flags say, and the rest as for the cluster's root key.
func (f *orderFlags) order(c *cobra.Command, g *authority.Genesis, name string) (o authority.Order, err error) {
	o = authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeUnwrap, Name: name,
		T: g.Root.T, F: g.Root.F, Holders: g.Root.Holders, PhaseSeconds: g.Root.PhaseSeconds,
	}
	if f.purpose != "" {
		o.Purpose = f.purpose
	}
	if o.NotBefore, err = parseDate("--not-before", f.notBefore); err != nil {
		return o, err
	}
	if o.NotAfter, err = parseDate("--not-after", f.expires); err != nil {
		return o, err
	}
	if o.NotAfter != 0 && o.NotAfter <= now().UnixMilli() {
		return o, fail(exitUsage, "--not-after: %s is past", instant(o.NotAfter))
	}
	o.Owner = f.owner
	if o.Labels, err = api.ParseContext(f.labels); err != nil {
		return o, misused("--label", err)
	}
	given := c.Flags().Changed
	here := slices.DeleteFunc(slices.Clone(o.Holders), func(h string) bool { return g.NodeByID(h) == nil })
	if len(here) < len(o.Holders) && !given("holders") { // some have left since
		o.Holders, o.F = here, defaultTolerate(c, f.tolerate, o.T, here)
	}
	if given("threshold") {
		o.T = f.threshold
	}
	if given("holders") {
		o.Holders = f.holders
	}
	if given("phase-seconds") {
		o.PhaseSeconds = f.phase
	}
	if given("regions") {
		if err := pin(&o, g, f.regions, given("holders")); err != nil {
			return o, err
		}
	}
	if given("threshold") || given("holders") || given("regions") || given("tolerate") {
		o.F = defaultTolerate(c, f.tolerate, o.T, o.Holders)
	}
	if err := checkShape(g, o.T, o.Holders); err != nil {
		return o, err
	}
	if err := o.Check(); err != nil {
		return o, fail(exitUsage, "%w", err)
	}
	return o, nil
}

// checkShape says in words what is wrong with a threshold and holders.
func checkShape(g *authority.Genesis, threshold uint32, holders []string) error {
	for _, h := range holders {
		if g.NodeByID(h) == nil {
			return fail(exitUsage, "--holders: %q is not on the roster, which has %s", h, strings.Join(rosterIDs(g), ", "))
		}
	}
	switch least := int(g.Root.T); {
	case len(holders) < least:
		return fail(exitUsage, "--holders: %s cannot hold a key of this cluster, where the threshold is at least %d", plural(len(holders), "node"), least)
	case int(threshold) < least, int(threshold) > len(holders):
		return fail(exitUsage, "a threshold of %d is not possible with %s: from %d (the cluster's minimum) to %d",
			threshold, plural(len(holders), "holder"), least, len(holders))
	}
	return nil
}

func (a *app) keyCreateCommand() *cobra.Command {
	var f changeFlags
	var of orderFlags
	var every time.Duration
	var kind string
	c := &cobra.Command{
		Use:   "create NAME --out FILE.change",
		Short: "Write a change that orders the birth of a key",
		Long: `Writes a change that orders the birth of a key, for custodians to sign, and says
what its numbers mean: who can be lost, and who may lie. What is not given is as
for the cluster's root key. With --not-before the key is born pre-active: nothing is
wrapped or opened with it before, by ledger time and by each node's own clock.

--label, --owner and --not-after say of the key from its birth on what key label says
later; policies see the labels.

--regions pins it: no node outside of these regions ever holds a share, whatever is
ordered later. Nodes, custodians and clients all hold to that.

--type symmetric is for what is encrypted and decrypted often: far cheaper, and with
limits. It has no public key, so that nothing is wrapped offline: encrypting, too, asks
the holders. Who may encrypt can open what it encrypted. There are at most 9 holders. Its
shares are never made anew: it is rotated by version, and what is under older versions is
secret as long as fewer than the threshold of all who ever held them are stolen. An order
of a key says which type it is; none changes later.`,
		Example: `  warifu key create photos --out photos.change
  warifu key create photos --label env=prod --owner web@example.jp --not-after 2028-04-01 --out photos.change
  warifu key create sessions --type symmetric --out sessions.change
  warifu key create photos --threshold 3 --holders tokyo,osaka,nagoya,sg --out photos.change
  warifu key create photos --regions jp-east,jp-west --out photos.change`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			var err error
			if of.purpose, err = parseType(kind); err != nil {
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
			if o.RotateEvery, err = parseEvery(every); err != nil {
				return err
			}
			return f.write(a, g, authority.KindKey, wire.Encode(o), api.Digest{})
		},
	}
	f.add(a, c)
	of.add(c)
	c.Flags().DurationVar(&every, "rotate-every", 0, "nodes order its next version after this time, again and again (default: never)")
	c.Flags().StringVar(&kind, "type", typeAsymmetric, "asymmetric: wrap offline, unwrap by quorum; symmetric: encrypt and decrypt by quorum")
	return c
}

// The types of keys, in a user's words.
const (
	typeAsymmetric = "asymmetric"
	typeSymmetric  = "symmetric"
)

// parseType is the purpose of keys of a type.
func parseType(s string) (purpose string, err error) {
	switch s {
	case typeAsymmetric:
		return authority.PurposeUnwrap, nil
	case typeSymmetric:
		return authority.PurposeEncrypt, nil
	}
	return "", fail(exitUsage, "--type: %q is none: %s and %s are", s, typeAsymmetric, typeSymmetric)
}

func rosterIDs(g *authority.Genesis) []string {
	var ids []string
	for _, n := range g.Roster {
		ids = append(ids, n.ID)
	}
	return ids
}

func (a *app) keyListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the keys of the cluster",
		Long:    "Lists the keys of the cluster with threshold, holders and state, and what custodians\nsay of them: labels, owner and expiry.",
		Example: "  warifu key list\n  warifu key list -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			defer cluster.Close()
			keys, err := cluster.Keys(c.Context())
			if err != nil {
				return err
			}
			if keys == nil {
				keys = []api.KeySummary{}
			}
			return a.show(keys, func(w io.Writer) {
				var rows [][]string
				for _, k := range keys {
					id := "-"
					if k.ID != (api.KeyID{}) {
						id = k.ID.String()
					}
					rows = append(rows, []string{
						orWord(k.Name, "(root)"), fmt.Sprint(k.Version), fmt.Sprint(k.Epoch), fmt.Sprintf("%d of %d", k.T, len(k.Holders)),
						stateWords(k), fmt.Sprintf("%d of %d", k.Signed, len(k.Holders)),
						orWord(strings.Join(labelled(k.Labels), " "), "-"), orWord(k.Owner, "-"), instantOr(k.NotAfter, "never"), id,
					})
				}
				table(w, "NAME VERSION EPOCH THRESHOLD STATE SIGNED LABELS OWNER EXPIRES ID", rows)
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

// stateWords is a key's state, whether it was imported, and when it ends.
func stateWords(k api.KeySummary) string {
	words := k.State
	if k.Imported {
		words += ", imported"
	}
	if !k.Ends.IsZero() && k.State != string(authority.Destroyed) {
		words += ", ends after " + instant(k.EndsAfter)
	}
	return words
}

func (a *app) keyShowCommand() *cobra.Command {
	var out, saved string
	var recipient bool
	var pairs []string
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a key's record, and save it to wrap with offline",
		Long: `Shows a key's public record, once it is believed: the custodians ordered it, and
enough of its holders signed it. It is then kept at home, in the place of an older
one, and encrypt and wrap need no cluster. --out saves it for others, who have a
home of their own; --record shows a saved one.

--recipient prints the key as a recipient of age (with age-plugin-warifu on PATH).
--context is what age then wraps under.`,
		Example: `  warifu key show photos --out photos.record
  warifu key show photos --record photos.record
  age -r $(warifu key show photos --recipient) -o beach.jpg.age beach.jpg`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkKeyName("NAME", args[0]); err != nil {
				return err
			}
			if _, err := parseContext(pairs); err != nil {
				return err
			}
			k, g, err := a.findKey(c.Context(), args[0], saved)
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeNew(out, modePublic, k.Encode()); err != nil {
					return err
				}
			}
			if recipient {
				return a.showRecipient(k, g, pairs)
			}
			o, said := k.Record().Order(), k.Said()
			v := struct {
				ID        api.KeyID  `json:"id"`
				Version   uint32     `json:"version"`
				Epoch     uint64     `json:"epoch"`
				PublicKey string     `json:"public_key"` // Y, uncompressed, hexadecimal
				Order     *orderView `json:"order"`
				File      string     `json:"file,omitempty"`

				State  string            `json:"state"`
				Owner  string            `json:"owner,omitempty"`
				Labels map[string]string `json:"labels,omitempty"`
				Until  int64             `json:"not_after_ms,omitempty"`
				Whole  bool              `json:"imported,omitempty"` // a copy of this version was whole before
				Uses   []usesView        `json:"uses,omitempty"`     // as these nodes have counted since they started
			}{k.ID(), k.Version(), k.Epoch(), fmt.Sprintf("%x", k.Record().Y), viewOrder(o, &g.Genesis), out, string(k.State(now())), said.Owner, said.Labels, said.NotAfter, k.Imported(), nil}
			if saved == "" {
				v.Uses = a.usesOf(c.Context(), v.ID.String())
			}
			return a.show(v, func(w io.Writer) {
				facts(w, "key", o.Name, "id", v.ID.String(), "version", fmt.Sprint(v.Version), "epoch", fmt.Sprint(v.Epoch),
					"threshold", fmt.Sprintf("%d of %d", o.T, o.H()), "holders", strings.Join(o.Holders, ", "), "pinned to", orWord(strings.Join(o.Regions, ", "), "no region"),
					"state", v.State, "labels", orWord(strings.Join(labelled(v.Labels), " "), "none"), "owner", orWord(v.Owner, "nobody"),
					"expires", instantOr(v.Until, "never"), "public key", v.PublicKey)
				if v.Whole {
					facts(w, "copies", copyWords)
				}
				for _, m := range v.Order.Means {
					fmt.Fprintf(w, "  - %s\n", m)
				}
				for _, m := range v.Order.Warnings {
					fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
				}
				if out != "" {
					fmt.Fprintf(w, "record written to %s\n", out)
				}
				usesWords(w, v.Uses)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to save the record to")
	c.Flags().StringVar(&saved, "record", "", "a saved record to show, in place of asking the cluster")
	c.Flags().BoolVar(&recipient, "recipient", false, "print it as a recipient of age, and keep its record at home (a saved one, too)")
	c.Flags().StringArrayVar(&pairs, "context", nil, "with --recipient: a pair KEY=VALUE that age wraps under; may be repeated")
	a.addCallerFlags(c)
	return c
}
