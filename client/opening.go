package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"warifu.dev/api"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// part is a share of the work of opening: the sets that one holder was asked for, what it
// gave, and, when it gave nothing or is slow, who was asked in its place.
type part struct {
	*question
	sums    []*tprf.Value // by the place of the item; nil while there is none
	instead []*part
}

// sum is the XOR of the values of the part's sets for one item, if it is known.
func (p *part) sum(of *pending) (tprf.Value, bool) {
	if v := p.sums[of.at]; v != nil {
		return *v, true
	}
	return sumOf(p.instead, of)
}

func sumOf(parts []*part, of *pending) (sum tprf.Value, ok bool) {
	for _, p := range parts {
		v, ok := p.sum(of)
		if !ok {
			return tprf.Value{}, false
		}
		sum = sum.XOR(v)
	}
	return sum, len(parts) > 0
}

// opening opens the items of one request, all of one version of a symmetric key. The sets
// are shared out among the t nearest holders, each of which gives one sum; what one of
// them does not give is shared out among others.
type opening struct {
	*asking
	parts []*part
	of    map[*question]*part
}

// openSymmetric opens the items, or says in each result why not. It returns within the
// client's timeout.
func (c *Client) openSymmetric(outer context.Context, key *Key, items []*pending, id api.RequestID, reason string) {
	for i, p := range items {
		p.at = i
	}
	o := &opening{asking: c.asking(outer, key, items, id, reason), of: map[*question]*part{}}
	o.run(o, key.Threshold())
	for _, p := range items {
		p.result.Retries = max(0, int(o.asked.Load())-key.Threshold())
	}
	o.lacking("unwrap", key.Threshold())
}

func (o *opening) due() (due []*question) {
	if o.parts == nil {
		due = o.shared(o.key.Threshold(), 1)
		o.parts = o.partsOf(due)
		return due
	}
	for _, p := range o.parts {
		due = append(due, o.replaced(p)...)
	}
	return due
}

func (o *opening) partsOf(questions []*question) (parts []*part) {
	for _, q := range questions {
		o.of[q] = &part{question: q, sums: make([]*tprf.Value, len(o.items))}
		parts = append(parts, o.of[q])
	}
	return parts
}

// replaced shares out anew what a holder does not give, or not yet.
func (o *opening) replaced(p *part) (due []*question) {
	if !slices.ContainsFunc(o.open(), func(it *pending) bool { _, has := p.sum(it); return !has }) {
		return nil
	}
	if p.instead != nil {
		for _, i := range p.instead {
			due = append(due, o.replaced(i)...)
		}
		return due
	}
	if !p.late && !p.over {
		return nil
	}
	by := map[*link]*question{}
	for _, s := range p.sets {
		at := slices.IndexFunc(o.queue, func(l *link) bool { return s.Has(o.place(l)) && !o.unfit[l.node.ID] })
		if at < 0 {
			return nil // nobody is left for this set
		}
		l := o.queue[at]
		if by[l] == nil {
			by[l] = &question{holder: l}
			due = append(due, by[l])
		}
		by[l].sets = append(by[l].sets, s)
	}
	p.instead = o.partsOf(due)
	return due
}

func (o *opening) form(q *question) {
	q.method, q.body = o.body(q.sets, q.items, false)
}

// took reads the sums that a holder gave, and opens what can be opened with them.
func (o *opening) took(q *question, answer *api.UnwrapAnswer) {
	part, place := o.of[q], o.place(q.holder)
	for i, it := range q.items {
		if it.done {
			continue
		}
		b := o.read(q.holder, it, answer.Items[i], tprf.ValueSize)
		if b == nil {
			continue
		}
		it.gave = it.gave.With(place)
		part.sums[it.at] = (*tprf.Value)(b)
		if f, ok := sumOf(o.parts, it); ok {
			o.try(it, f)
		}
	}
}

// try opens an item with the value of the function, as holders gave it.
func (o *opening) try(it *pending, f tprf.Value) {
	dek, err := it.opens(f)
	switch {
	case err == nil:
		it.done, it.result.DEK = true, dek
	case errors.Is(err, tprf.ErrNotOpened):
		o.settle(it)
	default: // whoever made it did not make it as it should be
		it.done, it.result.Err = true, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
}

// settle asks every holder for the value of each of its sets, and tries what any t of them
// gave. Only what has opened, and is what was committed to, shows who gave something else:
// those are set aside. If nothing opens nobody is blamed.
func (o *opening) settle(it *pending) {
	ctx := o.context()
	answers, opened := o.each(ctx, it)
	if ctx.Err() != nil && opened == nil { // the whole request ran out of time: that is nobody's lie
		return
	}
	it.done = true
	if opened == nil {
		it.result.Err = fmt.Errorf("%w: it opens with nothing that any %d of %d holders gave: it was altered, or its context is another", ErrEnvelope, o.key.Threshold(), len(answers))
		if len(answers) < o.key.Threshold()+o.key.Copies()-1 {
			it.result.Err = o.tooFew(it, o.key.Threshold()+o.key.Copies()-1)
		}
		return
	}
	liars := map[sharing.Index]bool{}
	for _, i := range tprf.Blame(opened, answers) {
		liars[i] = true
	}
	for q, p := range o.of {
		var want tprf.Value
		for _, s := range q.sets {
			want = want.XOR(opened[s])
		}
		if got := p.sums[it.at]; got != nil && *got != want {
			liars[o.place(q.holder)] = true
		}
	}
	for _, l := range o.holders {
		if liars[o.place(l)] {
			o.unfit[l.node.ID] = true
			o.blame(l, it, fmt.Errorf("%w: its values are not those that opened the envelope", errFalse))
		}
	}
	for q, p := range o.of {
		if liars[o.place(q.holder)] {
			clear(p.sums)
		}
	}
}

// each asks every holder for each value, until what t of them gave opens the item.
func (o *opening) each(outer context.Context, it *pending) (answers tprf.Answers, opened map[tprf.Set]tprf.Value) {
	ctx, cancel := context.WithTimeout(outer, proofWait)
	type heard struct {
		link   *link
		sets   []tprf.Set
		answer *api.UnwrapAnswer
		err    error
	}
	gave := make(chan heard, len(o.holders))
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	asked := 0
	for _, l := range o.holders {
		if o.falsified[l.node.ID] {
			continue
		}
		asked++
		all.Go(func() {
			sets := tprf.Held(o.key.params(), o.place(l))
			o.asked.Add(1)
			method, body := o.body(sets, []*pending{it}, true)
			answer, err := answered[api.UnwrapAnswer](l.repeat(ctx, method, body, func() { o.asked.Add(1) }))
			gave <- heard{l, sets, answer, err}
		})
	}
	answers = tprf.Answers{}
	for range asked {
		h := <-gave
		if h.err == nil && len(h.answer.Items) != 1 {
			h.err = fmt.Errorf("%w: %d answers for one item", ErrAnswer, len(h.answer.Items))
		}
		if h.err != nil {
			o.refuse([]*pending{it}, reasonOf(h.link.node.ID, h.err))
			continue
		}
		b := o.read(h.link, it, h.answer.Items[0], len(h.sets)*tprf.ValueSize)
		if b == nil {
			continue
		}
		answers[o.place(h.link)] = split(h.sets, b)
		if opened == nil {
			if opened = o.subset(it, answers, o.place(h.link)); opened != nil {
				it.done = true
			}
		}
	}
	return answers, opened
}

// subset looks for t holders, the last one among them, whose values open the item: 70 at
// most, of 9 holders.
func (o *opening) subset(it *pending, answers tprf.Answers, last sharing.Index) map[tprf.Set]tprf.Value {
	p := o.key.params()
	sets := tprf.Sets(p)
	for some := tprf.Set(1); some>>p.H == 0; some++ {
		if some.Size() != p.T || !some.Has(last) {
			continue
		}
		values := map[tprf.Set]tprf.Value{}
		var f tprf.Value
		for i := sharing.Index(1); int(i) <= p.H; i++ {
			for _, s := range sets {
				if v, gave := answers[i][s]; gave && some.Has(i) && !has(values, s) {
					values[s], f = v, f.XOR(v)
				}
			}
		}
		if len(values) < len(sets) {
			continue
		}
		if dek, err := it.opens(f); err == nil {
			it.result.DEK = dek
			return values
		}
	}
	return nil
}

func has(values map[tprf.Set]tprf.Value, s tprf.Set) bool {
	_, is := values[s]
	return is
}
