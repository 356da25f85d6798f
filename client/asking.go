package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// question asks one holder of a symmetric key for some of its sets.
type question struct {
	holder  *link
	sets    []tprf.Set
	items   []*pending
	address string // where the holder was asked
	late    bool   // others were asked in its place, and its answer is welcome still
	over    bool   // it has answered, or will not
}

// work is what an [asking] is for. due says what is to be asked now, none of it twice;
// took reads an answer, and settles the items that it can.
type work interface {
	due() []*question
	took(ctx context.Context, q *question, answer *api.UnwrapAnswer)
	send(ctx context.Context, q *question) (*api.UnwrapAnswer, error)
}

// asking asks holders of a symmetric key until the items of one request are settled. One
// goroutine owns it; those that ask nodes only send answers. Whoever refuses one item, is
// down, slow or false is asked for nothing more.
type asking struct {
	*gathering
	unfit map[string]bool // by node
}

func (c *Client) asking(key *Key, items []*pending, id api.RequestID, reason string, asked *atomic.Int64) *asking {
	return &asking{gathering: c.gathering(key, items, id, reason, asked), unfit: map[string]bool{}}
}

// place is the index of a holder, from the order.
func (a *asking) place(l *link) sharing.Index {
	return sharing.Index(a.key.record.Order().IndexOf(l.node.ID))
}

// usable are the nearest n holders that can be asked, or nil if there are not so many.
func (a *asking) usable(n int) (some []*link, places tprf.Set) {
	for _, l := range a.queue {
		if len(some) < n && !a.unfit[l.node.ID] {
			some, places = append(some, l), places|1<<(a.place(l)-1)
		}
	}
	if len(some) < n {
		return nil, 0
	}
	return some, places
}

// shared are the questions of a first round.
func (a *asking) shared(n, copies int) (first []*question) {
	some, places := a.usable(n)
	if some == nil {
		return nil
	}
	sets, err := tprf.Assign(a.key.params(), places, copies)
	if err != nil {
		panic("client: share out the sets: " + err.Error()) // enough distinct holders are asked
	}
	for _, l := range some {
		if mine := sets[a.place(l)]; len(mine) > 0 {
			first = append(first, &question{holder: l, sets: mine})
		}
	}
	return first
}

// run asks until the items are settled, or nobody is left to ask.
func (a *asking) run(outer context.Context, w work, enough int) {
	ctx, cancel := context.WithCancel(outer)
	for _, h := range a.key.record.Order().Holders {
		if l, err := a.client.link(h); err == nil {
			a.holders = append(a.holders, l)
		} else {
			a.strange = append(a.strange, h)
		}
	}
	a.queue = a.client.nearest(ctx, a.holders, enough)
	type heard struct {
		*question
		answer *api.UnwrapAnswer
		err    error
	}
	answers := make(chan heard)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	hedge := time.NewTimer(time.Hour)
	defer hedge.Stop()
	under := map[*question]bool{}
	ask := func(q *question) {
		q.items, q.address = a.open(), q.holder.address()
		under[q] = true
		a.slow = max(a.slow, q.holder.standing().rtt)
		all.Go(func() {
			answer, err := w.send(ctx, q)
			select {
			case answers <- heard{q, answer, err}:
			case <-ctx.Done():
			}
		})
		hedge.Reset(a.patience())
	}
	for len(a.open()) > 0 {
		for _, q := range w.due() {
			ask(q)
		}
		if len(under) == 0 {
			before := len(a.queue)
			if a.meet(ctx) || a.follow(ctx) {
				for _, l := range a.queue[before:] {
					delete(a.unfit, l.node.ID)
				}
				continue
			}
			return
		}
		select {
		case h := <-answers:
			delete(under, h.question)
			h.over = true
			a.hear(ctx, w, h.question, h.answer, h.err)
		case <-hedge.C:
			for q := range under {
				q.holder.markLate()
			}
			if a.spares(under) && a.client.hedges.spend() {
				for q := range under {
					q.late, a.unfit[q.holder.node.ID] = true, true
				}
			}
			hedge.Reset(a.patience())
		case <-ctx.Done():
			for q := range under {
				a.refuse(a.open(), reasonOf(q.holder.node.ID, ctx.Err()))
			}
			return
		}
	}
}

// spares says whether somebody could be asked in the place of those who are slow.
func (a *asking) spares(under map[*question]bool) bool {
	slow := map[*link]bool{}
	for q := range under {
		slow[q.holder] = !q.late
	}
	return slices.ContainsFunc(a.queue, func(l *link) bool { return !a.unfit[l.node.ID] && !slow[l] })
}

// hear takes one holder's answer, or that there is none.
func (a *asking) hear(ctx context.Context, w work, q *question, answer *api.UnwrapAnswer, err error) {
	node := q.holder.node.ID
	if err == nil && len(answer.Items) != len(q.items) {
		err = fmt.Errorf("%w: %d answers for %d items", ErrAnswer, len(answer.Items), len(q.items))
	}
	if err != nil {
		a.unfit[node] = true
		r := reasonOf(node, err)
		a.refuse(q.items, r)
		if r.Code == api.CodeUnreachable {
			a.missed = append(a.missed, missed{q.holder, q.address})
		}
		return
	}
	a.client.hedges.answered()
	a.client.hearHistory(ctx, node, answer.Header)
	w.took(ctx, q, answer)
}

// read is what a holder gave for an item, of this length, or nil: it refused, or answered
// what no honest holder does.
func (a *asking) read(l *link, p *pending, it api.ItemAnswer, size int) []byte {
	node := l.node.ID
	given := append(slices.Clone(it.Partial), it.Values...)
	var err error
	switch place := a.place(l); {
	case a.falsified[node]:
		a.refuse([]*pending{p}, NodeReason{Node: node, Code: api.CodeFalsePartial, Sentence: "it gave a false partial of another item"})
		return nil
	case it.Refusal != nil:
		a.unfit[node] = true
		a.refuse([]*pending{p}, reasonOf(node, it.Refusal))
		p.offered(it)
		return nil
	case it.Epoch != a.key.Epoch():
		err = fmt.Errorf("%w: it is of epoch %d, asked for was %d", errFalse, it.Epoch, a.key.Epoch())
	case it.Index != uint32(place):
		err = fmt.Errorf("%w: it says to be index %d, the order says %d", errFalse, it.Index, place)
	case len(given) != size:
		err = fmt.Errorf("%w: %d bytes, not %d", errFalse, len(given), size)
	default:
		return given
	}
	a.unfit[node] = true
	a.blame(l, p, err)
	return nil
}

// split cuts values by their sets.
func split(sets []tprf.Set, values []byte) map[tprf.Set]tprf.Value {
	out := make(map[tprf.Set]tprf.Value, len(sets))
	for i, s := range sets {
		out[s] = tprf.Value(values[i*tprf.ValueSize:])
	}
	return out
}

func wired(sets []tprf.Set) []uint16 {
	out := make([]uint16, len(sets))
	for i, s := range sets {
		out[i] = uint16(s)
	}
	return out
}

// unwrap asks for what opens some items: the XOR of the values of these sets, or each.
func (a *asking) unwrap(ctx context.Context, l *link, sets []tprf.Set, items []*pending, each bool) (*api.UnwrapAnswer, error) {
	a.asked.Add(1)
	request := api.UnwrapRequest{RequestID: a.id, Reason: a.reason, Region: a.client.conf.Region, Sets: wired(sets)}
	for _, p := range items {
		it := p.wire
		it.Prove, it.Epoch = each, a.key.Epoch()
		request.Items = append(request.Items, it)
	}
	return answered[api.UnwrapAnswer](l.repeat(ctx, api.MethodUnwrap, wire.Encode(request), func() { a.asked.Add(1) }))
}

// lacking says in the results of the items that are left why they are not settled.
func (a *asking) lacking(outer context.Context, doing string, need int) {
	for _, p := range a.open() {
		if errors.Is(outer.Err(), context.Canceled) {
			p.result.Err = fmt.Errorf("%s: %w", doing, outer.Err())
			continue
		}
		p.result.Err = a.tooFew(p, need)
	}
}

// tooFew says what each node said, once: one that is asked for more before its refusal is
// there repeats it.
func (a *asking) tooFew(p *pending, need int) error {
	var reasons []NodeReason
	for _, r := range p.reasons {
		if !slices.ContainsFunc(reasons, func(o NodeReason) bool { return o.Node == r.Node && o.Code == r.Code }) {
			reasons = append(reasons, r)
		}
	}
	return &QuorumError{
		Need: need, Got: len(p.gave), Key: a.key.ID(), Request: a.id,
		Nodes: len(a.key.record.Order().Holders), Reasons: reasons,
	}
}
