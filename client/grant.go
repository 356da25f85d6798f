package client

import (
	"context"
	"fmt"
	"sync"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/tprf"
)

// maxSlotTries bounds how many uses one envelope is tried in. An honest holder offers
// a free one at once, so that a few are enough, unless others use the grant at the
// same time.
const maxSlotTries = 16

// Granted opens envelopes by a grant, or makes those of a symmetric key. Each envelope and
// context takes one of its uses, however often it is opened. Its methods are safe for
// concurrent use.
type Granted struct {
	client *Client
	grant  api.Digest
}

// Granted names the grant by which envelopes are to be opened or made.
func (c *Client) Granted(grant api.Digest) *Granted {
	return &Granted{client: c, grant: grant}
}

// Unwrap is [Client.Unwrap] by the grant. It asks for the first use, and goes on to the
// one that holders offer: that which this envelope has already, or a free one. They
// keep no count of each other's. A failure may also be [ErrGrant].
func (g *Granted) Unwrap(ctx context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error) {
	item, id := Item{Envelope: envelope, Context: context}, newRequestID()
	slot := uint32(1)
	for tries := 1; ; tries++ {
		r, next := g.try(ctx, id, item, reason, slot)
		if r.Err == nil || next == 0 || ctx.Err() != nil || tries == maxSlotTries {
			return r.DEK, r.Err
		}
		slot = next
	}
}

// try asks for one envelope in one slot, and says which one holders offer instead.
func (g *Granted) try(ctx context.Context, id api.RequestID, item Item, reason string, slot uint32) (r Result, next uint32) {
	var sent *pending
	r = g.client.unwrapBatch(ctx, id, []Item{item}, reason, func(p *pending) {
		p.wire.Use = &api.Use{Grant: g.grant, Slot: slot}
		sent = p
	})[0]
	if sent == nil {
		return r, 0
	}
	return r, sent.nextSlot
}

// Encrypt is [Client.Encrypt] by the grant, which asks for uses as [Granted.Unwrap] does. A
// failure may also be [ErrGrant]. What fails half way has its use at those who answered, and
// begun anew it is another item: see first that every node has the grant
// ([Client.GrantEverywhere]).
func (g *Granted) Encrypt(ctx context.Context, key *Key, context api.Context, dek secret.Bytes, reason string) ([]byte, error) {
	begun, err := g.client.begin(key, Secret{dek, context}, reason)
	if err != nil {
		return nil, err
	}
	defer begun.sealing.Wipe()
	id := newRequestID()
	slot := uint32(1)
	for tries := 1; ; tries++ {
		// One commitment for all tries: holders tell by it that the use is for the same.
		p, envelope, result := *begun, []byte(nil), Result{}
		p.wire.Use = &api.Use{Grant: g.grant, Slot: slot}
		p.answers, p.gave = tprf.Answers{}, 0
		p.envelopeTo, p.result = &envelope, &result
		g.client.encryptSome(ctx, key, []*pending{&p}, id, reason)
		if result.Err == nil || p.nextSlot == 0 || ctx.Err() != nil || tries == maxSlotTries {
			return envelope, result.Err
		}
		slot = p.nextSlot
	}
}

// GrantAtNode is a grant as one node has it committed.
type GrantAtNode struct {
	Node  string
	ID    api.Digest
	Grant *authority.Grant
	Entry *authority.Entry // with its approvers' signatures
	Index uint64
	Used  int // slots that are bound there
}

// Grants lists the grants that have not expired and that the caller may see, as the
// nearest node that answers has them; more says how many it left out.
func (c *Client) Grants(ctx context.Context) (list []GrantAtNode, more int, err error) {
	answer, err := firstOf(ctx, c, "list the grants", func(ctx context.Context, l *link) (*found, error) {
		return l.grants(ctx, api.Digest{})
	})
	if err != nil {
		return nil, 0, err
	}
	return answer.list, answer.more, nil
}

// GrantEverywhere asks every node for one grant. Those that have it are listed, those
// that say nothing are not; without any, the failure is a *[NodesError].
func (c *Client) GrantEverywhere(ctx context.Context, id api.Digest) ([]GrantAtNode, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	links := c.links()
	failure := &NodesError{Doing: "find the grant " + id.String(), Nodes: len(links)}
	answers := make([]*found, len(links))
	errs := make([]error, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() { answers[i], errs[i] = l.grants(ctx, id) })
	}
	all.Wait()
	var out []GrantAtNode
	for i, l := range links {
		switch {
		case errs[i] != nil:
			failure.Reasons = append(failure.Reasons, reasonOf(l.node.ID, errs[i]))
		case len(answers[i].list) == 0:
			failure.Reasons = append(failure.Reasons, NodeReason{Node: l.node.ID, Code: api.CodeGrant, Sentence: "it has no such grant, or shows it to others"})
		default:
			out = append(out, answers[i].list[0])
		}
	}
	if len(out) == 0 {
		return nil, failure
	}
	return out, nil
}

type found struct {
	list []GrantAtNode
	more int
}

func (l *link) grants(ctx context.Context, id api.Digest) (*found, error) {
	answer, err := ask[api.GrantsAnswer](ctx, l, api.MethodGrants, wire.Encode(api.GrantsRequest{ID: id}))
	if err != nil {
		return nil, err
	}
	f := &found{more: int(answer.More)}
	for _, s := range answer.Grants {
		e, err := authority.ParseEntry(s.Entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		g, err := authority.ParseGrant(e)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if e.ID() != s.ID || !id.IsZero() && s.ID != id {
			return nil, fmt.Errorf("%w: another grant than it says", ErrAnswer)
		}
		f.list = append(f.list, GrantAtNode{Node: l.node.ID, ID: s.ID, Grant: g, Entry: e, Index: s.Index, Used: int(s.Used)})
	}
	return f, nil
}
