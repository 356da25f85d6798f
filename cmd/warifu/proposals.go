package main

import (
	"context"
	"crypto/rand"
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

// proposalView is how far a proposal is. That a signature is one of a custodian over
// this change was verified here; the rest one node says.
type proposalView struct {
	ID       api.Digest `json:"id"`
	Kind     string     `json:"kind"`
	By       string     `json:"by"`
	Approved []string   `json:"approved"`
	Cancels  []string   `json:"votes_to_cancel"`
	Required int        `json:"required"`
	NotAfter string     `json:"not_after"`
	State    string     `json:"state"` // open, expired, passed, failed, cancelled
	Index    uint64     `json:"index"`
	Ended    uint64     `json:"ended,omitempty"`
	Why      string     `json:"why,omitempty"`
}

// States of a proposal, as nodes say them.
const (
	proposalOpen      = "open"
	proposalPassed    = "passed"
	proposalFailed    = "failed"
	proposalCancelled = "cancelled"
)

func viewProposal(p *api.ProposalSummary, g *authority.Genesis) *proposalView {
	name := func(f api.Digest) string {
		if c := g.CustodianByKey(authority.Fingerprint(f)); c != nil {
			return c.Name
		}
		return short(f.String())
	}
	names := func(votes []api.Ballot) []string {
		out := []string{}
		for _, b := range votes {
			out = append(out, name(b.Signer))
		}
		return out
	}
	required := int(p.Required)
	if required == 0 { // of a node that does not say
		required = g.RequiredFor(p.Kind)
	}
	if e, err := authority.ProposedEntry(p.Body, nil); err == nil {
		if c, err := authority.ParseChange(e); err == nil {
			required = g.RequiredForChange(c)
		}
	}
	return &proposalView{
		ID: p.ID, Kind: p.Kind, By: name(p.By), Approved: names(p.Approvals), Cancels: names(p.Cancels),
		Required: required, NotAfter: instant(p.NotAfter), State: p.State, Index: p.Index, Ended: p.Ended, Why: p.Why,
	}
}

// standing says what has become of it, in one line.
func (v *proposalView) standing() string {
	switch v.State {
	case proposalPassed:
		return fmt.Sprintf("passed at index %d: it is in force", v.Ended)
	case proposalFailed:
		return fmt.Sprintf("failed at index %d: it had its count, and its change could not be applied: %s", v.Ended, v.Why)
	case proposalCancelled:
		return fmt.Sprintf("cancelled at index %d: its change is never taken", v.Ended)
	}
	return fmt.Sprintf("%s: %d of %d required approvals, %d of %d votes to cancel", v.State, len(v.Approved), v.Required, len(v.Cancels), v.Required)
}

func (v *proposalView) words(w io.Writer) {
	facts(w, "proposal", v.standing(), "proposed by", fmt.Sprintf("%s, at index %d", v.By, v.Index),
		"approved by", orWord(strings.Join(v.Approved, ", "), "nobody yet"), "to cancel", orWord(strings.Join(v.Cancels, ", "), "nobody"))
}

func (a *app) proposalsCommand() *cobra.Command {
	return group("proposals", "Show and cancel what is before the custodians",
		"A proposal is a change that custodians collect signatures for in the ledger: each\nof them on a machine of its own, and in its own time.",
		"  warifu proposals list --custodian alice.custodian\n  warifu proposals show 6b1f... --custodian alice.custodian",
		a.proposalsListCommand(), a.proposalsShowCommand(), a.proposalsCancelCommand())
}

func (a *app) proposalsListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the proposals, what is open first",
		Long:    "Lists the proposals, what is open first, and what has ended until its time is over,\nas one node says.",
		Example: "  warifu proposals list --custodian alice.custodian\n  warifu proposals list -o json",
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
			answer, err := cluster.Proposals(c.Context())
			if err != nil {
				return err
			}
			g, err := a.askCustody(c.Context(), h, cluster)
			if err != nil {
				return err
			}
			views := []*proposalView{}
			for i := range answer.Proposals {
				views = append(views, viewProposal(&answer.Proposals[i], g))
			}
			return a.show(views, func(w io.Writer) {
				var rows [][]string
				for _, v := range views {
					rows = append(rows, []string{
						v.State, v.Kind, v.By, fmt.Sprintf("%d/%d", len(v.Approved), v.Required), fmt.Sprintf("%d/%d", len(v.Cancels), v.Required),
						strings.ReplaceAll(v.NotAfter, " ", "_"), v.ID.String(),
					})
				}
				table(w, "STATE KIND BY APPROVED CANCEL NOT-AFTER ID", rows)
			})
		},
	}
	a.addCallerFlags(c)
	return c
}

func (a *app) proposalsShowCommand() *cobra.Command {
	var out, against string
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Say in words what a proposal changes, and how far it is",
		Long: `Says in words what a proposal changes, as warifu change show does: its id is
computed here from the bytes that custodians sign, and each approval is verified.
Only how far it is, one node says.

With --out the change is written to a file with the approvals it has, for a machine
without network: warifu approve FILE --out VOTE signs there, and warifu submit VOTE
hands it in from any other.`,
		Example: "  warifu proposals show 6b1f... --custodian alice.custodian\n  warifu proposals show 6b1f... --out photos.change",
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseHash("ID", args[0])
			if err != nil {
				return err
			}
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			p, e, _, err := cluster.Proposal(c.Context(), id)
			if err != nil {
				return err
			}
			g, err := a.askCustody(c.Context(), h, cluster)
			if err != nil {
				return err
			}
			s := &said{Proposal: viewProposal(p, g)}
			if e == nil {
				if out != "" {
					return fail(exitAuthority, "nothing is left to sign: %s", s.Proposal.standing())
				}
				return s.show(a, nil, nil)
			}
			v, err := a.viewChange(e, g)
			if err != nil {
				return err
			}
			if err := a.compare(c.Context(), v, g, against); err != nil {
				return err
			}
			if out != "" {
				if err := writeNew(out, modePublic, e.Encode()); err != nil {
					return err
				}
			}
			if a.format == formatTable {
				v.words(a, a.out)
				fmt.Fprintln(a.out)
			}
			if err := s.show(a, v, func(w io.Writer) {
				if out != "" {
					fmt.Fprintf(w, "written to %s\n", out)
				}
			}); err != nil {
				return err
			}
			return spoiled(v.Signers)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write the change to, as far as it is signed")
	addAgainstFlag(c, &against)
	a.addCallerFlags(c)
	return c
}

func (a *app) proposalsCancelCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "cancel ID --custodian FILE",
		Short: "Vote that a proposal be cancelled",
		Long: `Votes that a proposal be cancelled. That takes as many custodians as passing it
would; then its change is never taken, however many have signed it. With --out the
vote is written to a file, and submitted with warifu submit. No node is asked then.`,
		Example: "  warifu proposals cancel 6b1f... --custodian alice.custodian",
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseHash("ID", args[0])
			if err != nil {
				return err
			}
			h, err := a.loadHome()
			if err != nil {
				return err
			}
			signer, err := a.custodianSigner(c.Context(), h, "to vote that "+short(id.String())+" be cancelled")
			if err != nil {
				return err
			}
			vote, err := authority.SignCancel(rand.Reader, h.Genesis.Cluster, id, signer)
			if err != nil {
				return err
			}
			if out != "" {
				return a.writeVote(out, vote, id)
			}
			cluster, err := a.connectFrom(h)
			if err != nil {
				return err
			}
			defer cluster.Close()
			ctx, cancel := context.WithTimeout(c.Context(), a.caller.timeout)
			defer cancel()
			s, err := a.say(ctx, cluster, h.Custody.Genesis, vote, nil)
			if err != nil {
				return err
			}
			return s.show(a, nil, nil)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write the vote to, in place of handing it in")
	a.addCallerFlags(c)
	a.setTimeout(c, submitTimeout)
	required(c, "custodian")
	return c
}

// writeVote writes a vote for warifu submit.
func (a *app) writeVote(out string, vote *authority.Entry, id api.Digest) error {
	if err := writeNew(out, modePublic, vote.Encode()); err != nil {
		return err
	}
	return a.show(struct {
		File     string     `json:"file"`
		Kind     string     `json:"kind"`
		Proposal api.Digest `json:"proposal"`
	}{out, vote.Kind, id}, func(w io.Writer) {
		fmt.Fprintf(w, "written to %s; hand it in with: warifu submit %s\n", out, out)
	})
}

// said is what came of what a custodian said about a change.
type said struct {
	Entry    *api.SubmitAnswer `json:"entry,omitempty"` // nil: nothing was handed in
	Proposal *proposalView     `json:"proposal,omitempty"`

	InForce []string `json:"in_force,omitempty"` // of a revoke or a seal: nodes that gave a receipt
	Missing []string `json:"no_receipt,omitempty"`

	about api.Digest // the change
}

// show prints it, after the change if there is one. A proposal that has failed is
// an error.
func (s *said) show(a *app, v *changeView, next func(io.Writer)) error {
	err := a.show(struct {
		*said
		Change *changeView `json:"change,omitempty"`
	}{s, v}, func(w io.Writer) {
		if s.Entry != nil {
			word := "taken"
			if !s.Entry.Taken {
				word = "was taken before"
			}
			facts(w, "entry", fmt.Sprintf("%s at index %d", word, s.Entry.Index))
		}
		if s.InForce != nil || s.Missing != nil {
			facts(w, "in force at", orWord(strings.Join(s.InForce, ", "), "no node"), "no receipt of", orWord(strings.Join(s.Missing, ", "), "none"))
		}
		if s.Proposal != nil {
			s.Proposal.words(w)
		}
		switch {
		case s.Proposal == nil:
			fmt.Fprintf(w, "whoever called may not ask what came of it; a custodian in force may: warifu proposals show %s\n", s.about)
		case next != nil && s.Proposal.State == proposalOpen:
			next(w)
		}
	})
	if err == nil && s.Entry != nil && s.Proposal != nil && s.Proposal.State == proposalFailed {
		err = fail(exitAuthority, "the proposal has its count, and its change could not be applied: %s", s.Proposal.Why)
	}
	return err
}

// lookAgain is the pause between looks at a proposal, until a node has applied what
// was handed in.
const lookAgain = 100 * time.Millisecond

// say hands in what a custodian says about a change, and looks what came of it.
// change, if it is known, has the signature that is handed in: what denies, and
// is complete by it, is handed to every node as well, where it acts at once.
func (a *app) say(ctx context.Context, cluster *client.Client, g *authority.Genesis, entry, change *authority.Entry) (*said, error) {
	s := &said{}
	if change != nil {
		if c, err := authority.VerifyChange(g, change); err == nil && stops(c) {
			if s.InForce, s.Missing, err = handOver(ctx, cluster, change.Encode()); err != nil {
				return nil, err
			}
		}
	}
	answer, err := cluster.Submit(ctx, entry.Encode())
	if err != nil {
		return nil, err
	}
	s.Entry = &answer
	id, err := authority.AboutChange(entry)
	if err != nil {
		return nil, err
	}
	s.about = id
	for {
		p, _, at, err := cluster.Proposal(ctx, id)
		switch {
		case err == nil && at >= answer.Index:
			s.Proposal = viewProposal(p, g)
			return s, nil
		case ctx.Err() != nil, errors.Is(err, client.ErrDenied), errors.Is(err, client.ErrUnauthenticated):
			return s, nil // who carries a vote for a custodian may not ask, nor one whose vote replaced itself
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
}
