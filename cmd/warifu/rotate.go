package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// renewedFlags say which keys an order of new shares is about.
type renewedFlags struct {
	keys   []string
	all    bool
	root   bool
	status bool
	wait   time.Duration
	phase  uint32

	overlap time.Duration
}

func (f *renewedFlags) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.keys, "key", nil, "the key, by name or id; may be repeated")
	c.Flags().BoolVar(&f.all, "all", false, "every key that there is when the change is taken")
	c.Flags().Uint32Var(&f.phase, "phase-seconds", defaultPhase, "how long a phase waits for a silent holder")
	c.Flags().DurationVar(&f.overlap, "overlap", time.Minute, "how long the old shares answer beside the new ones, 10s to 1h")
	c.Flags().BoolVar(&f.root, "root", false, "the cluster's root key as well; its holders can hold no other key without a share of it")
}

// ids looks up the keys, at home or in the cluster, ascending. They have to admit the
// holders that a reshare gives them.
func (f *renewedFlags) ids(ctx context.Context, a *app, g *authority.Genesis, holders []string) ([]api.KeyID, error) {
	if f.all == (len(f.keys) > 0) {
		return nil, fail(exitUsage, "say which keys: --key NAME, or --all")
	}
	var out []api.KeyID
	for _, name := range f.keys {
		if err := checkKeyName("--key", name); err != nil {
			return nil, err
		}
		k, err := a.wrappingKey(ctx, &keyFlags{name: name})
		if err != nil {
			return nil, err
		}
		if err := k.Record().Order().CheckPlaces(g, holders); err != nil {
			return nil, fail(exitUsage, "--holders: %w", err)
		}
		out = append(out, k.ID())
	}
	slices.SortFunc(out, func(a, b api.KeyID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out), nil
}

func (a *app) rotateSharesCommand() *cobra.Command {
	var f changeFlags
	var of renewedFlags
	c := &cobra.Command{
		Use:   "rotate-shares (--key NAME | --all) --out FILE.change",
		Short: "Write a change that gives every holder of keys new shares",
		Long: `Writes a change that gives every holder of these keys new shares, for custodians to
sign. The public keys stay, so nothing is wrapped anew. Old and new shares answer side
by side for a minute, or --overlap; then the old ones are erased on every node, with every
backup of them. Up to 100 keys go in one run, one run after the other; a holder that was down
gets none, and is given one by the next. With --root the root key's shares turn over,
too: a holder that is down then is sealed until the next time.

--status shows how far such orders have come, and with --wait until all are done.`,
		Example: `  warifu rotate-shares --all --out rotate.change
  warifu rotate-shares --key photos --out rotate.change
  warifu rotate-shares --status --wait 10m`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if of.status {
				return a.showRenewals(c.Context(), of.wait)
			}
			if of.wait != 0 {
				return fail(exitUsage, "--wait goes with --status; of a change: warifu change submit FILE --wait")
			}
			return a.writeRenewal(c, &f, &of, authority.KindRefresh, authority.Renewal{})
		},
	}
	f.add(a, c)
	of.add(c)
	if !a.proposing {
		delete(c.Flags().Lookup("out").Annotations, cobra.BashCompOneRequiredFlag) // not with --status
		c.Flags().BoolVar(&of.status, "status", false, "show how far refreshes and reshares have come")
		c.Flags().DurationVar(&of.wait, "wait", 0, "with --status: show it for so long, or until all are done")
		a.addCallerFlags(c)
	}
	return c
}

func (a *app) reshareCommand() *cobra.Command {
	var f changeFlags
	var of renewedFlags
	var threshold, tolerate uint32
	var holders []string
	c := &cobra.Command{
		Use:   "reshare (--key NAME | --all) --threshold N --holders NODES --out FILE.change",
		Short: "Write a change that gives keys to other holders, or another threshold",
		Long: `Writes a change that gives keys to other holders, or another threshold, for
custodians to sign, and says what its numbers mean. The public keys stay, so nothing is
wrapped anew. The holders before go on for a minute, or --overlap, beside the new ones;
then what they have of these keys is erased. --all is about the root key as well: who has no share of it
can hold no other key. It leaves out keys that are pinned to regions (key create --regions)
in which not all of the holders are: reshare these by name.`,
		Example: `  warifu reshare --key photos --threshold 3 --holders tokyo,osaka,nagoya,sg --out reshare.change
  warifu reshare --all --threshold 4 --holders a,b,c,d,e,f,g --out reshare.change`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			r := authority.Renewal{T: threshold, Holders: holders}
			r.F = defaultTolerate(c, tolerate, r.T, r.Holders)
			return a.writeRenewal(c, &f, &of, authority.KindReshare, r)
		},
	}
	f.add(a, c)
	of.add(c)
	if !a.proposing {
		a.addCallerFlags(c)
	}
	c.Flags().Uint32Var(&threshold, "threshold", 0, "how many holders it takes to open")
	c.Flags().StringSliceVar(&holders, "holders", nil, "node ids that hold it, in order")
	c.Flags().Uint32Var(&tolerate, "tolerate", 1, "how many may lie or be silent (0 only if all are needed)")
	required(c, "threshold", "holders")
	return c
}

func (a *app) writeRenewal(c *cobra.Command, f *changeFlags, of *renewedFlags, kind string, r authority.Renewal) error {
	if f.out == "" && !f.proposes {
		return fail(exitUsage, "say where to write the change: --out FILE.change")
	}
	g, err := a.needGenesis(f.genesis)
	if err != nil {
		return err
	}
	if of.overlap < 0 || of.overlap%time.Second != 0 || of.overlap > authority.MaxOverlapSecond*time.Second {
		return fail(exitUsage, "--overlap is in whole seconds, from %ds to %ds, not %s", authority.MinOverlapSecond, authority.MaxOverlapSecond, of.overlap)
	}
	if c.Flags().Changed("overlap") {
		r.OverlapSeconds = uint32(of.overlap / time.Second)
	}
	if kind == authority.KindReshare {
		if err := checkShape(g, r.T, r.Holders); err != nil {
			return err
		}
	}
	if r.Keys, err = of.ids(c.Context(), a, g, r.Holders); err != nil {
		return err
	}
	r.PhaseSeconds, r.Root = of.phase, of.root || of.all && kind == authority.KindReshare
	if err := r.Check(kind); err != nil {
		return fail(exitUsage, "%w", err)
	}
	return f.write(a, g, kind, wire.Encode(r), api.Digest{})
}

// renewalView is an order of new shares for a custodian's eyes.
type renewalView struct {
	Kind  string      `json:"kind"`
	Keys  []api.KeyID `json:"keys,omitempty"` // none: all
	Root  bool        `json:"root,omitempty"`
	Order *orderView  `json:"order,omitempty"`

	OverlapSeconds uint32 `json:"overlap_seconds,omitempty"` // 0: a minute
}

func viewRenewal(kind string, r *authority.Renewal, g *authority.Genesis) *renewalView {
	v := &renewalView{Kind: kind, Keys: r.Keys, Root: r.Root, OverlapSeconds: r.OverlapSeconds}
	if kind == authority.KindReshare {
		v.Order = viewOrder(&authority.Order{Purpose: authority.PurposeUnwrap, T: r.T, F: r.F, Holders: r.Holders, PhaseSeconds: r.PhaseSeconds}, g)
	}
	return v
}

func (v *renewalView) words(a *app, w io.Writer) {
	of := "every key that there is when it is taken"
	if v.Root {
		of += ", and of the root key"
	}
	if len(v.Keys) > 0 {
		of = plural(len(v.Keys), "key") + ":"
	}
	if v.Order == nil {
		fmt.Fprintf(w, "The holders get new shares, and the old ones are erased, of %s\n", of)
	} else {
		fmt.Fprintf(w, "These holders, in this order, take the place of those before, of %s\n", of)
	}
	for _, k := range v.Keys {
		fmt.Fprintf(w, "  %s  %s\n", k, a.keyName(k))
	}
	if v.OverlapSeconds > 0 {
		fmt.Fprintf(w, "The old shares answer beside the new ones for %s\n", plural(int(v.OverlapSeconds), "second"))
	}
	if v.Order == nil {
		return
	}
	facts(w, "  threshold", fmt.Sprintf("%d of %d", v.Order.Threshold, len(v.Order.Holders)), "  holders", strings.Join(v.Order.Holders, ", "))
	if len(v.Keys) == 0 {
		fmt.Fprintln(w, "  - a key that is pinned to regions, and not all of these holders are there, is left out")
	}
	for _, m := range v.Order.Means {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Order.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}

// showRenewals lists how far each order of new shares has come, at last.
func (a *app) showRenewals(ctx context.Context, wait time.Duration) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	defer cluster.Close()
	list, err := cluster.Renewals(ctx)
	if err != nil {
		return err
	}
	waits := func(r api.RenewalSummary) bool { return r.Ended == 0 }
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for waiting.Err() == nil && slices.ContainsFunc(list, waits) { // others may be ordered meanwhile
		for _, r := range list {
			if waits(r) {
				if _, err := a.waitRenewal(waiting, cluster, r.Order); err != nil {
					break
				}
			}
		}
		if list, err = cluster.Renewals(ctx); err != nil {
			return err
		}
	}
	if list == nil {
		list = []api.RenewalSummary{}
	}
	shown := a.show(list, func(w io.Writer) {
		var rows [][]string
		for _, r := range list {
			rows = append(rows, []string{r.Order.String(), r.Kind, fmt.Sprintf("%d of %d", r.Total-r.Left, r.Total), renewalState(r)})
		}
		table(w, "ORDER KIND DONE STATE", rows)
	})
	if shown == nil && wait > 0 && slices.ContainsFunc(list, waits) {
		return fail(exitCheck, "not everything that was ordered is done yet")
	}
	return shown
}

func renewalState(r api.RenewalSummary) string {
	switch {
	case r.Ended > 0:
		return "done"
	case r.Phase != "":
		return fmt.Sprintf("run %d, of %s: %s", r.Attempt, plural(int(r.Batch), "key"), r.Phase)
	default:
		return "waits"
	}
}

// pollRenewal is how often a wait for new shares asks.
const pollRenewal = time.Second

// waitRenewal shows how far an order has come until it is done.
func (a *app) waitRenewal(ctx context.Context, cluster *client.Client, order api.Digest) (*api.RenewalSummary, error) {
	last, say := "", a.progressLine()
	for {
		list, err := cluster.Renewals(ctx)
		if at := slices.IndexFunc(list, func(r api.RenewalSummary) bool { return r.Order == order }); err == nil && at >= 0 {
			r := list[at]
			line := fmt.Sprintf("%s %d of %d: %s", bar(int(r.Total-r.Left), int(r.Total)), r.Total-r.Left, r.Total, renewalState(r))
			if line != last {
				last = line
				say(line, r.Ended > 0)
			}
			if r.Ended > 0 {
				return &r, nil
			}
		}
		select {
		case <-ctx.Done():
			say("", true)
			return nil, fmt.Errorf("wait for new shares: %w", ctx.Err())
		case <-time.After(pollRenewal):
		}
	}
}

// progressLine writes how far something is: over what it wrote before on a terminal, and
// below it elsewhere.
func (a *app) progressLine() func(line string, last bool) {
	f, is := a.errs.(*os.File)
	if !is || !term.IsTerminal(int(f.Fd())) {
		return func(line string, _ bool) {
			if line != "" {
				fmt.Fprintln(a.errs, line)
			}
		}
	}
	width := 0
	return func(line string, last bool) {
		fmt.Fprintf(f, "\r%-*s", width, line) // what was longer is wiped
		if width = len(line); last {
			fmt.Fprintln(f)
		}
	}
}

// bar draws how much of a whole is done.
func bar(done, of int) string {
	const width = 20
	full := width
	if of > 0 {
		full = width * done / of
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}
