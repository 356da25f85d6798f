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
	"warifu.dev/client/home"

	"github.com/spf13/cobra"
)

const (
	// submitTimeout is how long a submission is tried: an election takes seconds.
	submitTimeout = 30 * time.Second
	// birthTimeout is how long --wait waits for a key: a birth in which a holder
	// is silent waits for the deadline of each phase.
	birthTimeout = 10 * time.Minute
)

// submitCommand is change submit for whatever custodians have signed.
func (a *app) submitCommand() *cobra.Command {
	c := a.changeSubmitCommand()
	c.Short = "Hand what custodians signed to the cluster: a change, a proposal or a vote"
	c.Long = `Hands what custodians signed to the cluster: a change with all its signatures, or the
vote that approve --out or proposals cancel --out wrote. Its signatures authorise it,
so anybody may carry it. Submitting again is harmless: the answer is the same.`
	c.Example = "  warifu submit photos.vote\n  warifu submit photos.change --wait"
	return c
}

func (a *app) changeSubmitCommand() *cobra.Command {
	var wait bool
	var waiting time.Duration
	c := &cobra.Command{
		Use:   "submit FILE",
		Short: "Hand a signed change to the cluster",
		Long: `Hands a signed change to the cluster and prints where in the ledger it stands.
Submitting again is harmless: a change is taken once, and the answer is the same.

With --wait, after the order of a key, it returns when the key is born and enough
of its holders have signed its record; after an order of new shares, when all the keys
have them, and after that of a pool, when it is full, and it shows how far it is.`,
		Example: "  warifu change submit photos.change --wait\n  warifu change submit policy.change --custodian alice.custodian",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := readEntry(args[0])
			if err != nil {
				return err
			}
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			if slices.Contains(authority.ProposalKinds(), e.Kind) {
				return a.submitSaid(c.Context(), h, args[0], e)
			}
			// The ledger would say the same; this says it without a call.
			change, err := authority.VerifyChange(h.Custody.Genesis, e)
			if err != nil && !mayBeNews(err) {
				return fail(exitAuthority, "%s: %w", args[0], err)
			}
			cluster, connected := a.connectFrom(h)
			if connected != nil {
				return connected
			}
			defer cluster.Close()
			if err != nil { // the custodians may have been replaced since
				g, asked := a.askCustody(c.Context(), h, cluster)
				if asked != nil {
					return asked
				}
				if change, err = authority.VerifyChange(g, e); err != nil {
					return fail(exitAuthority, "%s: %w", args[0], err)
				}
			}
			ctx, cancel := context.WithTimeout(c.Context(), a.caller.timeout)
			defer cancel()
			// What denies is handed to every node as well: it acts there at once, also
			// when there is no leader to order it.
			var inForce, missing []string
			if stops(change) {
				if inForce, missing, err = handOver(ctx, cluster, e.Encode()); err != nil {
					return err
				}
				if a.format == formatTable {
					facts(a.out, "in force at", orWord(strings.Join(inForce, ", "), "no node"), "no receipt of", orWord(strings.Join(missing, ", "), "none"))
				}
			}
			answer, err := cluster.Submit(ctx, e.Encode())
			if err != nil {
				return err
			}
			v := struct {
				api.SubmitAnswer
				Kind string `json:"kind"`
				Key  string `json:"key,omitempty"` // the born key's id

				Renewed *api.RenewalSummary `json:"renewed,omitempty"`
				Pool    *api.PoolSummary    `json:"pool,omitempty"`

				InForce []string `json:"in_force,omitempty"` // of what denies: nodes that gave a receipt
				Missing []string `json:"no_receipt,omitempty"`
			}{SubmitAnswer: answer, Kind: change.Kind, InForce: inForce, Missing: missing}
			if wait && change.Kind == authority.KindKey {
				o, err := authority.ParseOrder(change)
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(c.Context(), waiting)
				defer cancel()
				wait := func() (*client.Key, error) { return cluster.WaitKey(ctx, o.Name) }
				if o.Key != nil {
					wait = func() (*client.Key, error) { return cluster.WaitVersion(ctx, *o.Key, o.Version) }
				}
				k, err := wait()
				if err != nil {
					return fail(exitUnknownOutcome, "the order is taken at index %d, and the key is not born yet: %w", answer.Index, err)
				}
				v.Key = k.ID().String()
			}
			if wait && (change.Kind == authority.KindRefresh || change.Kind == authority.KindReshare) {
				ctx, cancel := context.WithTimeout(c.Context(), waiting)
				defer cancel()
				r, err := a.waitRenewal(ctx, cluster, answer.ID)
				if err != nil {
					return fail(exitUnknownOutcome, "the order is taken at index %d, and is not done yet: %w", answer.Index, err)
				}
				v.Renewed = r
			}
			if wait && change.Kind == authority.KindPool {
				p, err := authority.ParsePool(change)
				if err != nil {
					return err
				}
				if p.Size > 0 {
					ctx, cancel := context.WithTimeout(c.Context(), waiting)
					defer cancel()
					if v.Pool, err = a.waitPool(ctx, cluster, answer.ID); err != nil {
						return fail(exitUnknownOutcome, "the order is taken at index %d, and the pool is not full yet: %w", answer.Index, err)
					}
				}
			}
			return a.show(v, func(w io.Writer) {
				word := "taken"
				if !v.Taken {
					word = "was taken before"
				}
				facts(w, "change", v.ID.String(), word, fmt.Sprintf("at index %d", v.Index))
				if v.Renewed != nil {
					facts(w, "keys", fmt.Sprint(v.Renewed.Total), "state", "new shares")
				}
				if v.Pool != nil {
					facts(w, "pool", v.Pool.Name, "waiting", fmt.Sprintf("%d of %d", v.Pool.Waiting, v.Pool.Size))
				}
				if v.Key != "" {
					facts(w, "key", v.Key, "state", "active")
				}
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "after the order of a key, of new shares or of a pool: wait until it is done")
	c.Flags().DurationVar(&waiting, "wait-timeout", birthTimeout, "how long --wait waits")
	a.addCallerFlags(c)
	a.setTimeout(c, submitTimeout)
	return c
}

// submitSaid hands in a proposal or a vote that was signed elsewhere.
func (a *app) submitSaid(ctx context.Context, h *home.Home, file string, e *authority.Entry) error {
	if err := verifySaid(h.Custody.Genesis, e); err != nil && !mayBeNews(err) {
		return fail(exitAuthority, "%s: %w", file, err)
	}
	cluster, err := a.connectFrom(h)
	if err != nil {
		return err
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, a.caller.timeout)
	defer cancel()
	g, err := a.askCustody(ctx, h, cluster)
	if err != nil {
		return err
	}
	if err := verifySaid(g, e); err != nil {
		return fail(exitAuthority, "%s: %w", file, err)
	}
	var change *authority.Entry
	if id, err := authority.AboutChange(e); err == nil && e.Kind == authority.KindApprove {
		if _, change, _, err = cluster.Proposal(ctx, id); err == nil && change != nil {
			change, err = approvedBy(g, e, change)
			if err != nil {
				return fail(exitAuthority, "%s: %w", file, err)
			}
		}
	}
	s, err := a.say(ctx, cluster, g, e, change)
	if err != nil {
		return err
	}
	return s.show(a, nil, nil)
}

// verifySaid checks what can be checked without the ledger: the ledger would say the
// same.
func verifySaid(g *authority.Genesis, e *authority.Entry) error {
	if e.Kind == authority.KindPropose {
		_, err := authority.VerifyProposal(g, e)
		return err
	}
	v, err := authority.ParseVote(g, e)
	if err == nil && v.Kind == authority.KindCancel {
		_, err = authority.VerifyCancel(g, e, v)
	}
	return err
}

// approvedBy is the change with the approval that a vote carries.
func approvedBy(g *authority.Genesis, vote, change *authority.Entry) (*authority.Entry, error) {
	v, err := authority.ParseVote(g, vote)
	if err != nil {
		return nil, err
	}
	sig, err := authority.VerifyApproval(g, vote, v, change.Body)
	if err != nil {
		return nil, err
	}
	return authority.ProposedEntry(change.Body, append(slices.Clone(change.Signatures), sig))
}

// handOver gives a revoke or a seal to every node, and says which signed that it is
// in force and durable there.
func handOver(ctx context.Context, cluster *client.Client, entry []byte) (inForce, missing []string, err error) {
	list, err := cluster.Deny(ctx, entry)
	for _, r := range list {
		if r.Receipt != nil {
			inForce = append(inForce, r.Node)
		} else {
			missing = append(missing, r.Node)
		}
	}
	return inForce, missing, err
}

// setTimeout gives a verb another default for --timeout.
func (a *app) setTimeout(c *cobra.Command, d time.Duration) {
	f := c.Flags().Lookup("timeout")
	f.DefValue = d.String()
	c.PreRun = func(c *cobra.Command, _ []string) {
		if !f.Changed {
			a.caller.timeout = d
		}
	}
}
