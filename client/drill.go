package client

import (
	"context"
	"crypto/rand"
	"fmt"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"
)

// Drill shows to one node, the nearest that takes it, that the custodian who calls can
// open what is encrypted to it, and sign: the node's challenge is opened, and nothing
// but a hash of it is answered. It returns the node, and where the ledger keeps it.
func (c *Client) Drill(ctx context.Context, s *authority.Signer, opens age.Identity) (node string, answer api.SubmitAnswer, err error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	failure := &NodesError{Doing: "drill", Nodes: len(c.links())}
	for _, l := range c.nearest(func() context.Context { return ctx }, c.links(), 1) {
		a, err := c.drillWith(ctx, l, s, opens)
		if err == nil {
			return l.node.ID, *a, nil
		}
		failure.Reasons = append(failure.Reasons, reasonOf(l.node.ID, err))
		if ctx.Err() != nil {
			break
		}
	}
	return "", answer, failure
}

func (c *Client) drillWith(ctx context.Context, l *link, s *authority.Signer, opens age.Identity) (*api.SubmitAnswer, error) {
	q, err := ask[api.DrillChallenge](ctx, l, api.MethodDrill, nil)
	if err != nil {
		return nil, err
	}
	cluster := c.conf.Genesis.Cluster
	about := custodian.Drill{Cluster: cluster, Node: l.node.ID, Signer: authority.FingerprintOf(s.PublicKey()), Index: q.Index, Link: q.Link}
	answer, err := custodian.AnswerChallenge(about, q.Box, opens)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	d, err := authority.SignDrill(rand.Reader, s, cluster, l.node.ID, authority.Drill{Index: q.Index, Link: q.Link, Answer: answer})
	if err != nil {
		return nil, err
	}
	return ask[api.SubmitAnswer](ctx, l, api.MethodDrillAnswer, wire.Encode(api.DrillAnswer{Answer: answer, Signature: d.Signature.ASN1}))
}

// Drills returns when each custodian drilled last, as one node says.
func (c *Client) Drills(ctx context.Context) (*api.DrillsAnswer, error) {
	return firstOf(ctx, c, "ask for the drills", func(ctx context.Context, l *link) (*api.DrillsAnswer, error) {
		return ask[api.DrillsAnswer](ctx, l, api.MethodDrills, nil)
	})
}
