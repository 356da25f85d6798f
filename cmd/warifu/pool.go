package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"

	"github.com/spf13/cobra"
)

// defaultPoolLife is how long a key waits in a pool, unless its order says otherwise.
const defaultPoolLife = 30 * 24 * time.Hour

func (a *app) poolCommand() *cobra.Command {
	return group("pool", "Have keys born ahead, so that key create is done at once",
		`A pool is keys of one shape that are born ahead, without names. The order of a key
with that threshold among these holders takes one with its own entry in the ledger, and
needs no ceremony; where none fits, the key is born as ever. Nodes fill a pool up by
themselves when it is under half. A pool is worth it where keys are made often, or while
somebody waits; see docs/operations.md.`,
		`  warifu pool set web --size 20 --out pool.change
  warifu pool show
  warifu pool drop web --out drop.change`,
		a.poolSetCommand(), a.poolShowCommand(), a.poolDropCommand())
}

func (a *app) poolSetCommand() *cobra.Command {
	var f changeFlags
	var of orderFlags
	var size uint32
	var life time.Duration
	c := &cobra.Command{
		Use:   "set NAME --size N --out FILE.change",
		Short: "Write a change that has keys born ahead",
		Long: `Writes a change that has keys born ahead, for custodians to sign. It takes the place of
the pool of this name, if there is one, whose waiting keys are erased. What is not given
is as for the cluster's root key: key create then fits it as it stands.

--regions is short for the nodes there: key create --regions, of the same regions, takes its keys from
this pool, and it is that order which pins them.

A waiting key opens nothing, is in no list of keys, and is given no new shares: after
--life it is erased, and another one is born in its place. So are all that wait when every
key is given new shares (rotate-shares --all, and the period of the policy), and when one
of the holders leaves the roster, which ends the pool.`,
		Example: `  warifu pool set web --size 20 --out pool.change
  warifu pool set vault --size 4 --life 168h --threshold 3 --holders tokyo,osaka,nagoya,sg --out pool.change
  warifu pool set japan --size 8 --regions jp-east,jp-west --out pool.change`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
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
			p := authority.Pool{
				Name: o.Name, Size: size, T: o.T, F: o.F, Holders: o.Holders, PhaseSeconds: o.PhaseSeconds, LifeSeconds: uint64(life / time.Second),
			}
			if p.Size == 0 {
				return fail(exitUsage, "--size: from 1 to %d keys are possible; to end a pool: warifu pool drop", authority.MaxPoolSize)
			}
			if err := p.Check(); err != nil {
				return fail(exitUsage, "%w", err)
			}
			list, err := a.pools(c.Context())
			if err != nil {
				return err
			}
			var base api.Digest
			if at := slices.IndexFunc(list, func(p api.PoolSummary) bool { return p.Name == args[0] }); at >= 0 {
				base = list[at].Order
			}
			return f.write(a, g, authority.KindPool, wire.Encode(p), base)
		},
	}
	f.add(a, c)
	of.addShape(c)
	c.Flags().StringSliceVar(&of.regions, "regions", nil, "regions whose nodes hold the keys, all of them (default: the cluster's holders)")
	c.Flags().Uint32Var(&size, "size", 0, "how many keys wait when it is full")
	c.Flags().DurationVar(&life, "life", defaultPoolLife, "after how long a key that nobody took is erased")
	required(c, "size")
	if !a.proposing {
		a.addCallerFlags(c)
	}
	return c
}

func (a *app) poolDropCommand() *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "drop NAME --out FILE.change",
		Short: "Write a change that ends a pool",
		Long: `Writes a change that ends a pool, for custodians to sign. The keys that wait in it are
erased; those that were taken from it are keys as any other, and stay.`,
		Example: "  warifu pool drop web --out drop.change",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := misused("NAME", api.CheckName(args[0])); err != nil {
				return err
			}
			g, err := a.needGenesis(f.genesis)
			if err != nil {
				return err
			}
			list, err := a.pools(c.Context())
			if err != nil {
				return err
			}
			at := slices.IndexFunc(list, func(p api.PoolSummary) bool { return p.Name == args[0] })
			if at < 0 {
				return fail(exitUsage, "there is no pool %s; there are: %s", args[0], orWord(strings.Join(poolNames(list), ", "), "none"))
			}
			return f.write(a, g, authority.KindPool, wire.Encode(authority.Pool{Name: args[0]}), list[at].Order)
		},
	}
	f.add(a, c)
	if !a.proposing {
		a.addCallerFlags(c)
	}
	return c
}

func (a *app) poolShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show", Short: "Show the pools, and how many keys wait in them",
		Long:    "Shows the pools, and how many keys wait in them, as the node says that has come\nfurthest in the ledger.",
		Example: "  warifu pool show\n  warifu pool show -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.pools(c.Context())
			if err != nil {
				return err
			}
			return a.show(list, func(w io.Writer) {
				var rows [][]string
				for _, p := range list {
					rows = append(rows, []string{
						p.Name, fmt.Sprintf("%d of %d", p.Waiting, p.Size), fmt.Sprintf("%d of %d", p.T, len(p.Holders)), strings.Join(p.Holders, ","),
						(time.Duration(p.LifeSeconds) * time.Second).String(), poolState(p),
					})
				}
				table(w, "NAME WAITING THRESHOLD HOLDERS LIFE STATE", rows)
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

func poolNames(list []api.PoolSummary) (names []string) {
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

// low says whether nodes are to fill a pool up, and none does.
func low(p api.PoolSummary) bool { return 2*p.Waiting < p.Size && p.Phase == "" }

func poolState(p api.PoolSummary) string {
	switch {
	case p.Phase != "":
		return fmt.Sprintf("run %d, of %s: %s", p.Attempt, plural(int(p.Batch), "key"), p.Phase)
	case low(p):
		return "low"
	default:
		return "ready"
	}
}

// pools asks the cluster for its pools.
func (a *app) pools(ctx context.Context) ([]api.PoolSummary, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	return askPools(ctx, cluster)
}

// askPools is what the node says that has come furthest.
func askPools(ctx context.Context, cluster *client.Client) ([]api.PoolSummary, error) {
	statuses := cluster.Status(ctx)
	newest := furthest(statuses)
	if newest == nil {
		return nil, fmt.Errorf("ask for the pools: %w", statuses[0].Err)
	}
	return append([]api.PoolSummary{}, newest.Pools...), nil
}

// furthest is the answer of the node that has come furthest in the ledger, or nil.
func furthest(statuses []client.NodeStatus) (newest *api.StatusAnswer) {
	for _, s := range statuses {
		if s.Answer != nil && (newest == nil || s.Answer.Index > newest.Index) {
			newest = s.Answer
		}
	}
	return newest
}

// waitPool waits until the pool that this change put is full.
func (a *app) waitPool(ctx context.Context, cluster *client.Client, order api.Digest) (*api.PoolSummary, error) {
	last := ""
	for {
		list, err := askPools(ctx, cluster)
		if at := slices.IndexFunc(list, func(p api.PoolSummary) bool { return p.Order == order }); err == nil && at >= 0 {
			p := list[at]
			if line := fmt.Sprintf("%s %d of %d: %s", bar(int(p.Waiting), int(p.Size)), p.Waiting, p.Size, poolState(p)); line != last {
				last = line
				fmt.Fprintln(a.errs, line)
			}
			if p.Waiting == p.Size {
				return &p, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the pool's keys: %w", ctx.Err())
		case <-time.After(pollRenewal):
		}
	}
}

// poolView is the order of a pool for a custodian's eyes.
type poolView struct {
	Name        string     `json:"name"`
	Size        uint32     `json:"size"` // 0: it ends
	LifeSeconds uint64     `json:"life_seconds,omitempty"`
	Order       *orderView `json:"order,omitempty"` // of each of its keys
}

func viewPool(p *authority.Pool, g *authority.Genesis) *poolView {
	v := &poolView{Name: p.Name, Size: p.Size, LifeSeconds: p.LifeSeconds}
	if p.Size > 0 {
		v.Order = viewOrder(&authority.Order{Purpose: authority.PurposeUnwrap, T: p.T, F: p.F, Holders: p.Holders, PhaseSeconds: p.PhaseSeconds}, g)
	}
	return v
}

func (v *poolView) words(a *app, w io.Writer) {
	if v.Order == nil {
		fmt.Fprintln(w, "This pool ends; the keys that wait in it are erased, and those taken from it stay:")
		facts(w, "  name", v.Name)
		return
	}
	fmt.Fprintf(w, "%s without names are born ahead among these holders, in this order, again and again as they are taken:\n", plural(int(v.Size), "key"))
	facts(w, "  pool", v.Name, "  threshold", fmt.Sprintf("%d of %d", v.Order.Threshold, len(v.Order.Holders)), "  holders", strings.Join(v.Order.Holders, ", "),
		"  a key waits", "at most "+(time.Duration(v.LifeSeconds)*time.Second).String()+", and is erased then",
		"  a phase lasts", fmt.Sprintf("at most %d s", v.Order.PhaseSeconds))
	fmt.Fprintln(w, "  - a waiting key opens nothing: it takes the order of a key, with as many signatures as ever, to give it a name")
	for _, m := range v.Order.Means {
		fmt.Fprintf(w, "  - %s\n", m)
	}
	for _, m := range v.Order.Warnings {
		fmt.Fprintln(w, a.loud("  ! "+oneLine(m)))
	}
}

// poolsLine says in one line what the pools have, or nothing where there is none.
func poolsLine(statuses []client.NodeStatus) string {
	newest := furthest(statuses)
	if newest == nil || len(newest.Pools) == 0 {
		return ""
	}
	var words []string
	for _, p := range newest.Pools {
		words = append(words, fmt.Sprintf("%s %d of %d (%s)", oneLine(p.Name), p.Waiting, p.Size, poolState(p)))
	}
	return "keys born ahead: " + strings.Join(words, ", ")
}
