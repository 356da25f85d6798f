package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"

	"github.com/spf13/cobra"
)

// revokeView is how far a revoke is.
type revokeView struct {
	Revoke  api.Digest        `json:"revoke"`
	Denies  string            `json:"denies,omitempty"`
	State   string            `json:"state"` // done, pending
	Index   uint64            `json:"index"` // where it is committed, or 0
	Nodes   []string          `json:"nodes"` // whose receipts count
	Need    int               `json:"need"`
	F       int               `json:"tolerate"`
	Roster  uint64            `json:"roster"`                // version of the roster under which they are counted
	Missing map[string]string `json:"missing,omitempty"`     // the others, and why
	Branch  *branchBound      `json:"branch_keys,omitempty"` // how long those that were released go on; nil: they do not matter
}

// askAgain is how long a pending revoke is left alone.
const askAgain = 250 * time.Millisecond

func (a *app) revokeStatusCommand() *cobra.Command {
	var tolerate int
	var wait time.Duration
	var out, from, genesis string
	c := &cobra.Command{
		Use:   "status ID",
		Short: "Say whether a revoke is done: no later request is released",
		Long: `Asks every node whether the revoke or the seal of this id is in force and durable
there, and counts the receipts that they sign. It is done when it is committed and
n-t+1+f of the n nodes have signed, for then fewer than t could release, whatever f
liars do; otherwise it is pending: ask again. f nodes may also stay silent, so it
surely comes to an end only if 2f is at most t-1. Nodes hear that it is committed a
moment after the leader: with --wait they are asked until it is done. With --out the receipts are kept;
with --from they are counted again, by anybody who has the genesis document: the file
carries the changes of the roster since.`,
		Example: "  warifu revoke status 6b1f... --tolerate 1 --out app.receipts\n  warifu revoke status 6b1f... --from app.receipts",
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseHash("ID", args[0])
			if err != nil {
				return err
			}
			known, list, missing, err := a.receipts(c.Context(), id, from, genesis)
			if err != nil {
				return err
			}
			count, err := authority.CountReceipts(known, id, tolerate, list)
			for end := time.Now().Add(wait); err == nil && !count.Done() && from == "" && time.Now().Before(end); {
				time.Sleep(askAgain)
				if known, list, missing, err = a.receipts(c.Context(), id, from, genesis); err != nil {
					return err
				}
				count, err = authority.CountReceipts(known, id, tolerate, list)
			}
			if err != nil {
				return fail(exitInput, "%w", err)
			}
			if out != "" {
				if err := writeNew(out, modePublic, authority.EncodeReceipts(id, list, known.Entries())); err != nil {
					return err
				}
			}
			v := revokeView{Revoke: id, State: "pending", Index: count.Index, Nodes: count.Nodes, Need: count.Need, F: tolerate, Roster: count.Roster, Missing: missing}
			if len(list) > 0 {
				v.Denies = count.Subject.String()
			}
			if len(list) == 0 || hasBranchBound(count.Subject.Kind) {
				bound := longestBranch()
				if len(list) > 0 && from == "" {
					bound = a.branchBound(c.Context(), count.Subject)
				}
				v.Branch = &bound
			}
			if count.Done() {
				v.State = "done"
			}
			if err := a.show(v, v.words); err != nil || count.Done() {
				return err
			}
			return fail(exitCheck, "the revoke is pending: %s of %d, committed at index %d", plural(len(count.Nodes), "receipt"), count.Need, count.Index)
		},
	}
	c.Flags().IntVar(&tolerate, "tolerate", 1, "how many nodes may lie")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to go on asking while it is pending")
	c.Flags().StringVar(&out, "out", "", "file to write the receipts to")
	c.Flags().StringVar(&from, "from", "", "file with receipts to count instead of asking")
	c.Flags().StringVar(&genesis, "genesis", "", "with --from: genesis document of the cluster (default: the one of client init)")
	a.addCallerFlags(c)
	return c
}

// receipts reads receipts from a file, or asks every node for its own.
func (a *app) receipts(ctx context.Context, id api.Digest, from, genesis string) (*authority.Succession, []*authority.SignedReceipt, map[string]string, error) {
	if from == "" {
		_, cluster, err := a.rosterInForce(ctx) // whom a change has brought may hold shares
		var silent *client.NodesError
		if errors.As(err, &silent) {
			cluster, err = a.connect() // nobody says otherwise
		}
		if err != nil {
			return nil, nil, nil, err
		}
		defer cluster.Close()
		var list []*authority.SignedReceipt
		missing := map[string]string{}
		for _, r := range cluster.Receipts(ctx, id) {
			var why *client.NodesError
			if r.Receipt != nil {
				list = append(list, r.Receipt)
			} else if errors.As(r.Err, &why) && len(why.Reasons) > 0 {
				missing[r.Node] = string(why.Reasons[0].Code) + ": " + why.Reasons[0].Sentence
			}
		}
		return cluster.Known(), list, missing, nil
	}
	b, err := readSmall(from)
	if err != nil {
		return nil, nil, nil, err
	}
	about, list, chain, err := authority.ParseReceipts(b)
	if err == nil && about != id {
		err = fmt.Errorf("%w: they are about the change %s", authority.ErrReceipt, about)
	}
	if err != nil {
		return nil, nil, nil, fail(exitInput, "%s: %w", from, err)
	}
	g, known, err := a.pinned(genesis)
	if err != nil {
		return nil, nil, nil, err
	}
	if known, err = authority.Continue(g, known, chain); err != nil {
		return nil, nil, nil, fail(exitInput, "%s: %w", from, err)
	}
	return known, list, nil, nil
}

// pinned is the document of --genesis, or the one pinned at home with the changes that are
// known there.
func (a *app) pinned(genesis string) (*authority.VerifiedGenesis, *authority.Succession, error) {
	if genesis == "" {
		if _, err := a.needGenesis(""); err != nil {
			return nil, nil, err
		}
		h, err := a.loadHome()
		if err != nil {
			return nil, nil, err
		}
		return h.Genesis, h.Custody, nil
	}
	s, _, err := readGenesis(genesis)
	if err != nil {
		return nil, nil, err
	}
	g, err := s.Verify()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", genesis, err)
	}
	return g, authority.Begin(g), nil
}

func (v revokeView) words(w io.Writer) {
	committed := "not known"
	if v.Index != 0 {
		committed = fmt.Sprintf("at index %d", v.Index)
	}
	facts(w, "revoke", v.Revoke.String(), "denies", orWord(v.Denies, "not known"), "state", v.State, "committed", committed,
		"in force at", fmt.Sprintf("%s (%d of %d needed, %d may lie)", orWord(strings.Join(v.Nodes, ", "), "no node"), len(v.Nodes), v.Need, v.F))
	if v.Branch != nil {
		facts(w, "branch keys", v.Branch.String())
	}
	for _, node := range sortedKeys(v.Missing) {
		facts(w, "no receipt of", node+": "+oneLine(v.Missing[node]))
	}
}
