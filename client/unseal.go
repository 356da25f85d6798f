package client

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
)

// NodeSeal is what one node shows a custodian of its seal, or why it shows nothing.
type NodeSeal struct {
	Node  string
	Offer *api.UnsealOffer // its signature is the node's
	Err   error            // a *[NodesError] with one reason
}

// Seals asks the nodes named, or all of them, what custodians have to open there, in
// parallel, in the roster's order. The caller is a custodian.
func (c *Client) Seals(ctx context.Context, nodes ...string) []NodeSeal {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	asked := slices.DeleteFunc(slices.Clone(c.links()), func(l *link) bool {
		return len(nodes) > 0 && !slices.Contains(nodes, l.node.ID)
	})
	list := make([]NodeSeal, len(asked))
	var all sync.WaitGroup
	for i, l := range asked {
		all.Go(func() {
			list[i] = NodeSeal{Node: l.node.ID}
			offer, err := ask[api.UnsealOffer](ctx, l, api.MethodUnsealOffer, nil)
			if err == nil {
				err = c.checkOffer(l, offer)
			}
			if err != nil {
				list[i].Err = &NodesError{Doing: "ask " + l.node.ID + " for its seal", Reasons: []NodeReason{reasonOf(l.node.ID, err)}}
				return
			}
			list[i].Offer = offer
		})
	}
	all.Wait()
	return list
}

func (c *Client) seal(l *link, generation uint64) unseal.Seal {
	return unseal.Seal{Cluster: c.conf.Genesis.Cluster, Node: l.node.ID, Generation: generation}
}

// checkOffer makes sure that the door is this node's, for this generation.
func (c *Client) checkOffer(l *link, o *api.UnsealOffer) error {
	if o.Node != l.node.ID {
		return fmt.Errorf("%w: it speaks for %q", ErrAnswer, printable(o.Node))
	}
	if !o.Locked {
		return nil
	}
	if err := authority.VerifyDoor(l.node.Key, o.Signature, unseal.Signed(c.seal(l, o.Generation), o.Attempt, o.Door)...); err != nil {
		return fmt.Errorf("%w: its offer: %w", ErrAnswer, err)
	}
	return nil
}

// HandOver opens a custodian's own box and hands its piece to the node that offered
// it, and to no other: the box says which seal it is a piece of. place is the
// custodian's among those whose pieces open it, from 0: what the offer says, for one
// that is wrong fits no box.
func (c *Client) HandOver(ctx context.Context, o *api.UnsealOffer, place int, identity age.Identity) (*api.UnsealOffer, error) {
	l, err := c.link(o.Node)
	if err != nil {
		return nil, err
	}
	doing := "hand a piece to " + o.Node
	if err := c.checkOffer(l, o); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	s := c.seal(l, o.Generation)
	piece, err := unseal.OpenBox(s, place, o.Box, identity)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", doing, ErrAnswer, err)
	}
	defer piece.Wipe()
	handed, err := unseal.HandOver(s, o.Attempt, o.Door, place, piece)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	next, err := ask[api.UnsealOffer](ctx, l, api.MethodUnsealPiece, wire.Encode(api.UnsealPiece{Generation: o.Generation, Attempt: o.Attempt, Handed: handed}))
	if err == nil {
		err = c.checkOffer(l, next)
	}
	if err != nil {
		return nil, &NodesError{Doing: doing, Reasons: []NodeReason{reasonOf(o.Node, err)}}
	}
	return next, nil
}
