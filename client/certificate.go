package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// maxErasureProofs keeps a node that never comes to an end from being asked for ever.
const maxErasureProofs = 64

// Erasure is what nodes have of a key that is destroyed: proofs, and who vouches for what
// each of them leads to, as a certificate takes them.
type Erasure struct {
	Key     api.KeyID
	Custody *authority.Succession // whose roster they are on
	Proofs  []ErasureProof
}

// ErasureProof is one proof, and the signatures of nodes over its point of the chain, by
// node.
type ErasureProof struct {
	Proof   []byte
	Vouched []LinkVouch
}

// LinkVouch is a node's signature over a point of the chain: see authority.VerifyLink.
type LinkVouch struct {
	Node      string
	Signature []byte
}

// Erasure asks for what the ledger has of a key that is destroyed, and every node to
// vouch for it. Without t nodes that do, it fails with a *[NodesError].
func (c *Client) Erasure(ctx context.Context, nameOrID string) (*Erasure, error) {
	q := api.ErasureRequest{Name: nameOrID}
	if id, err := api.ParseDigest(nameOrID); err == nil {
		q = api.ErasureRequest{ID: api.KeyID(id)}
	} else if err := api.CheckName(nameOrID); err != nil {
		return nil, fmt.Errorf("ask how a key was erased: %w", err)
	}
	chain, err := c.Custody(ctx)
	if err != nil {
		return nil, err
	}
	out := &Erasure{Custody: chain}
	for len(out.Proofs) < maxErasureProofs {
		body := wire.Encode(q)
		a, err := firstOf(ctx, c, "ask how a key was erased", func(ctx context.Context, l *link) (*api.ErasureAnswer, error) {
			a, err := ask[api.ErasureAnswer](ctx, l, api.MethodErasure, body)
			if err == nil && (q.Name == "" && a.Key != q.ID || a.Next != "" && a.Next <= q.After) {
				err = fmt.Errorf("%w: of another key, or from where it began", ErrAnswer)
			}
			return a, err
		})
		if err != nil {
			return nil, err
		}
		vouched, err := c.vouchers(ctx, chain.Genesis, a.Index, a.Link)
		if err != nil {
			return nil, err
		}
		out.Key, out.Proofs = a.Key, append(out.Proofs, ErasureProof{Proof: a.Proof, Vouched: vouched})
		if a.Next == "" {
			return out, nil
		}
		q = api.ErasureRequest{ID: a.Key, After: a.Next}
	}
	return nil, fmt.Errorf("ask how a key was erased: %w: more than %d proofs", ErrAnswer, maxErasureProofs)
}

// vouchers asks every node to vouch for a point of the chain.
func (c *Client) vouchers(ctx context.Context, g *authority.Genesis, index uint64, link api.Digest) ([]LinkVouch, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	body := wire.Encode(api.LinkRequest{Index: index, Link: link})
	links := c.links()
	signed, errs := make([][]byte, len(links)), make([]error, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() {
			a, err := ask[api.LinkAnswer](ctx, l, api.MethodLink, body)
			if err == nil {
				signed[i], err = a.Signature, authority.VerifyLink(g, l.node.ID, a.Signature, index, link)
			}
			errs[i] = err
		})
	}
	all.Wait()
	var out []LinkVouch
	failure := &NodesError{Doing: fmt.Sprintf("have entry %d of the ledger vouched for", index), Nodes: len(links)}
	for i, l := range links {
		if errs[i] != nil {
			failure.Reasons = append(failure.Reasons, reasonOf(l.node.ID, errs[i]))
			continue
		}
		out = append(out, LinkVouch{l.node.ID, signed[i]})
	}
	if len(out) < int(c.Genesis().Root.T) {
		return nil, failure
	}
	slices.SortFunc(out, func(a, b LinkVouch) int { return cmp.Compare(a.Node, b.Node) })
	return out, nil
}
