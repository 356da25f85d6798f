package node

import (
	"cmp"
	"slices"

	"warifu.dev/api"
	"warifu.dev/consensus/ledger"
)

// maxListed bounds the proposals of one answer, so that it is one frame: all that can
// be open, and as many that have ended.
const maxListed = 2 * ledger.MaxProposals

// proposalExpired is what a node says of an open proposal whose time is over.
const proposalExpired = "expired"

// proposals is what a state has of one proposal, whole, or of all, the newest first.
func proposals(s *ledger.State, id api.Digest) *api.ProposalsAnswer {
	a := &api.ProposalsAnswer{Index: s.Position().Index}
	if !id.IsZero() {
		if p := s.Proposal(id); p != nil {
			a.Proposals = append(a.Proposals, summary(s, p, true))
		}
		return a
	}
	for _, p := range s.Proposals() {
		a.Proposals = append(a.Proposals, summary(s, p, false))
	}
	slices.SortFunc(a.Proposals, func(a, b api.ProposalSummary) int {
		return cmp.Or(cmp.Compare(hasEnded(a), hasEnded(b)), cmp.Compare(b.Index, a.Index))
	})
	a.Proposals = a.Proposals[:min(len(a.Proposals), maxListed)]
	return a
}

// hasEnded is 1 for what has ended: what is open comes first.
func hasEnded(p api.ProposalSummary) int { return min(1, int(p.Ended)) }

func summary(s *ledger.State, p *ledger.Proposal, whole bool) api.ProposalSummary {
	out := api.ProposalSummary{
		ID: p.Change, Kind: p.Kind, By: api.Digest(p.By), Index: p.Index, NotAfter: p.NotAfter,
		Approvals: ballots(p.Approvals, whole), Cancels: ballots(p.Cancels, whole), State: p.State, Ended: p.Ended, Why: p.Why,
	}
	if p.State == ledger.ProposalOpen && s.PastDue(p) {
		out.State = proposalExpired
	}
	if p.State == ledger.ProposalOpen {
		out.Required = uint32(s.Required(p))
	}
	if whole {
		out.Body = p.Body
	}
	return out
}

func ballots(votes []ledger.Ballot, whole bool) []api.Ballot {
	var out []api.Ballot
	for _, v := range votes {
		b := api.Ballot{Signer: api.Digest(v.Signature.Signer), Index: v.Index}
		if whole {
			b.Signature = v.Signature.ASN1
		}
		out = append(out, b)
	}
	return out
}
