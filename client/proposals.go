package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// ErrNoProposal means that no node which answered knows of such a proposal: there
// never was one, or it has expired and is forgotten.
var ErrNoProposal = errors.New("no such proposal")

// Proposals lists what is, or was, before the custodians, as a node says. See
// [Client.Proposal] for what can be believed.
func (c *Client) Proposals(ctx context.Context) (*api.ProposalsAnswer, error) {
	return firstOf(ctx, c, "list the proposals", func(ctx context.Context, l *link) (*api.ProposalsAnswer, error) {
		return askProposals(ctx, l, api.Digest{})
	})
}

// Proposal returns one proposal, and the last command that the node which answers has
// applied. While it is open, the change is there with the approvals it has, and has
// this id: its body and its signatures need nobody's word. Whether it is open, and who
// voted to cancel, one node says.
func (c *Client) Proposal(ctx context.Context, id api.Digest) (p *api.ProposalSummary, change *authority.Entry, at uint64, err error) {
	var absent atomic.Bool // a node that is behind has not heard of it yet: the others are asked
	a, err := firstOf(ctx, c, "fetch the proposal", func(ctx context.Context, l *link) (*api.ProposalsAnswer, error) {
		a, err := askProposals(ctx, l, id)
		if err == nil && len(a.Proposals) == 0 {
			absent.Store(true)
			err = ErrNoProposal
		}
		return a, err
	})
	if err != nil && absent.Load() {
		err = fmt.Errorf("%w: %s", ErrNoProposal, id)
	}
	if err != nil {
		return nil, nil, 0, err
	}
	p = &a.Proposals[0]
	if len(a.Proposals) != 1 || p.ID != id {
		return nil, nil, 0, fmt.Errorf("%w: it is of other proposals", ErrAnswer)
	}
	if len(p.Body) == 0 {
		return p, nil, a.Index, nil
	}
	var approvals []authority.Signature
	for _, b := range p.Approvals {
		approvals = append(approvals, authority.Signature{Signer: authority.Fingerprint(b.Signer), ASN1: b.Signature})
	}
	change, err = authority.ProposedEntry(p.Body, approvals)
	switch {
	case err != nil:
		return nil, nil, 0, fmt.Errorf("%w: %w", ErrAnswer, err)
	case change.ID() != id || change.Kind != p.Kind:
		return nil, nil, 0, fmt.Errorf("%w: the change %s of the kind %s, in the place of %s", ErrAnswer, change.ID(), change.Kind, id)
	}
	return p, change, a.Index, nil
}

func askProposals(ctx context.Context, l *link, id api.Digest) (*api.ProposalsAnswer, error) {
	return ask[api.ProposalsAnswer](ctx, l, api.MethodProposals, wire.Encode(api.ProposalsRequest{ID: id}))
}
