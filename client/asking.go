package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// work is what an [asking] is for. due says what is to be asked now, none of it twice, and
// form says how; took reads an answer, and settles the items that it can.
type work interface {
	due() []*question
	form(q *question)
	took(q *question, answer *api.UnwrapAnswer)
}

// asking asks holders of a symmetric key until the items of one request are settled. One
// goroutine owns it. Whoever refuses one item, is down, slow or false is asked for nothing
// more.
type asking struct {
	*gathering
	unfit map[string]bool // by node
}

func (c *Client) asking(outer context.Context, key *Key, items []*pending, id api.RequestID, reason string) *asking {
	x := newExchange(outer, time.Now().Add(c.conf.Timeout), new(atomic.Int64))
	return &asking{gathering: c.gathering(x, key, items, id, reason), unfit: map[string]bool{}}
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
func (a *asking) run(w work, enough int) {
	defer a.leave()
	a.begin(enough)
	for open := a.open(); len(open) > 0; open = a.open() {
		for _, q := range w.due() {
			q.items = open
			w.form(q)
			a.ask(q)
		}
		if len(a.under) == 0 {
			before := len(a.queue)
			if a.meet() || a.follow() {
				for _, l := range a.queue[before:] {
					delete(a.unfit, l.node.ID)
				}
				continue
			}
			return
		}
		came, why := a.await(a.awaited())
		for _, h := range came {
			h.over = true
			a.hear(w, h)
		}
		switch why {
		case tooSlow:
			a.hedge()
		case timeOver:
			for _, q := range a.under {
				a.refuse(a.open(), reasonOf(q.holder.node.ID, a.timeIsOver()))
			}
			return
		}
	}
}

// awaited is how many answers are worth to be woken for: all, since each has something of
// its own; any one, when others were asked in the place of who is slow.
func (a *asking) awaited() int {
	if slices.ContainsFunc(a.under, func(q *question) bool { return q.late }) {
		return 1
	}
	return len(a.under)
}

// hedge has others asked in the place of those who are late.
func (a *asking) hedge() {
	late := a.overdue()
	instead := len(late) > 0 && a.spares(late) && a.client.hedges.spend()
	for _, q := range late {
		if instead {
			q.late, a.unfit[q.holder.node.ID] = true, true
		} else {
			q.forgive()
		}
	}
	a.bear()
}

// spares says whether somebody could be asked in the place of those who are late.
func (a *asking) spares(late []*question) bool {
	slow := map[*link]bool{}
	for _, q := range late {
		slow[q.holder] = true
	}
	return slices.ContainsFunc(a.queue, func(l *link) bool { return !a.unfit[l.node.ID] && !slow[l] })
}

// hear takes one holder's answer, or that there is none.
func (a *asking) hear(w work, h heard) {
	node, err := h.holder.node.ID, h.err
	if err == nil && len(h.answer.Items) != len(h.items) {
		err = h.wrongCount()
	}
	if err != nil {
		a.unfit[node] = true
		r := reasonOf(node, err)
		a.refuse(h.items, r)
		if r.Code == api.CodeUnreachable {
			a.missed = append(a.missed, missed{h.holder, h.address})
		}
		return
	}
	a.client.hedges.answered()
	a.client.hearHistory(a.outer, node, h.answer.Header)
	w.took(h.question, h.answer)
}

// read is what a holder gave for an item, of this length, or nil: it refused, or answered
// what no honest holder does.
func (a *asking) read(l *link, p *pending, it api.ItemAnswer, size int) []byte {
	node := l.node.ID
	given := it.Partial
	if len(given) == 0 || len(it.Values) > 0 {
		given = append(slices.Clone(given), it.Values...)
	}
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

// body asks for what opens some items, or for the branch key of each: the XOR of the values
// of these sets, or each.
func (a *asking) body(sets []tprf.Set, items []*pending, each bool) (method uint16, body []byte) {
	if items[0].branch != nil {
		return api.MethodBranch, a.branchBody(sets, items, each)
	}
	request := api.UnwrapRequest{
		RequestID: a.id, Reason: a.reason, Region: a.client.conf.Region, Sets: wired(sets),
		Items: make([]api.UnwrapItem, len(items)),
	}
	for i, p := range items {
		it := p.wire
		it.Prove, it.Epoch = each, a.key.Epoch()
		request.Items[i] = it
	}
	return api.MethodUnwrap, wire.EncodeIn(a.room(items), &request)
}

// lacking says in the results of the items that are left why they are not settled.
func (a *asking) lacking(doing string, need int) {
	for _, p := range a.open() {
		if errors.Is(a.outer.Err(), context.Canceled) {
			p.result.Err = fmt.Errorf("%s: %w", doing, a.outer.Err())
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
		Need: need, Got: p.gave.Size(), Key: a.key.ID(), Request: a.id,
		Nodes: len(a.key.record.Order().Holders), Reasons: reasons,
	}
}
