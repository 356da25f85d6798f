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
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

const (
	// proofWait is the deadline for a share proof: whoever has given a partial
	// can prove it as fast.
	proofWait = 1500 * time.Millisecond
)

// partial is what one holder gave for one envelope.
type partial struct {
	index sharing.Index // from the order, never from the wire
	point *group.Point

	endorsement []byte // that came with it
}

// pending is one envelope on its way. Owned by the gathering.
type pending struct {
	envelope *tdh2.AddressedEnvelope
	verified bool // its proof has been checked here
	wire     api.UnwrapItem
	partials map[string]partial // by node, all of one epoch: never mixed (R10)
	id       uint64             // of envelope and context, among the endorsements that are kept
	endorsed *endorsements      // those that are shown; or nil
	carried  bool               // they came with the item
	reasons  []NodeReason
	nextSlot uint32 // the first that a holder offers, of those that have the asked one bound to something else; or 0
	result   *Result
	done     bool

	// Of a symmetric key:
	ciphertext *tprf.Ciphertext // to be opened
	sealing    *tprf.Sealing    // to be encrypted
	branched   *tprf.Branched   // to be opened, of a branch
	branch     *tprf.Branch     // whose key is asked for
	pairs      api.Context      // that the branch names
	branchKey  *tprf.BranchKey  // what came of it
	envelopeTo *[]byte          // where what was encrypted goes
	answers    tprf.Answers     // of an encryption
	gave       tprf.Set         // holders that gave something
	at         int              // its place among the items that are opened together
}

// gathering collects the partials of one request's items, all of one key in one epoch.
// One goroutine owns it.
type gathering struct {
	*exchange
	client    *Client
	key       *Key
	id        api.RequestID
	reason    string
	items     []*pending
	holders   []*link         // those that the record names and that are known
	strange   []string        // those that are not
	queue     []*link         // holders not asked yet, the nearest first
	falsified map[string]bool // holders that gave a false partial; nil while nobody did
	missed    []missed        // holders that were not there
	followed  bool            // those that were not there have been looked for elsewhere
	ahead     uint64          // an epoch that a holder names, above the one of the record at hand
	looked    bool            // a newer record has been asked for
}

// maxEpochs bounds how many epochs one request goes through: a refresh takes longer
// than a request may.
const maxEpochs = 3

// missed is a holder that was not there, and where that was.
type missed struct {
	link    *link
	address string
}

// gather opens the items, or says in each result why not. It returns within the
// client's timeout. When the key turns out to have another epoch, it begins again with
// the newer record.
func (c *Client) gather(outer context.Context, key *Key, items []*pending, id api.RequestID, reason string) {
	deadline := time.Now().Add(c.conf.Timeout)
	var asked atomic.Int64
	g := c.gathering(newExchange(outer, deadline, &asked), key, items, id, reason)
	for range maxEpochs {
		newer := g.run()
		if newer == nil {
			break
		}
		g = c.gathering(newExchange(outer, deadline, &asked), newer, items, id, reason)
		for _, p := range g.open() {
			p.partials, p.reasons = map[string]partial{}, nil
		}
	}
	for _, p := range items {
		p.result.Retries = max(0, int(asked.Load())-g.key.Threshold())
	}
	for _, p := range g.open() {
		if errors.Is(outer.Err(), context.Canceled) {
			p.result.Err = fmt.Errorf("unwrap: %w", outer.Err())
			continue
		}
		if g.verify(p); p.done {
			continue // holders may have told it less plainly
		}
		p.result.Err = &QuorumError{
			Need: g.key.Threshold(), Got: len(p.partials), Key: g.key.ID(), Request: id,
			Nodes: len(g.key.record.Order().Holders), Reasons: p.reasons,
		}
	}
}

func (c *Client) gathering(x *exchange, key *Key, items []*pending, id api.RequestID, reason string) *gathering {
	return &gathering{exchange: x, client: c, key: key, id: id, reason: reason, items: items}
}

// begin finds the holders that the record names, and how near they are.
func (g *gathering) begin(enough int) {
	holders := g.key.record.Order().Holders
	g.holders = make([]*link, 0, len(holders))
	for _, h := range holders {
		if l, err := g.client.link(h); err == nil {
			g.holders = append(g.holders, l)
		} else {
			g.strange = append(g.strange, h)
		}
	}
	g.queue = g.client.nearest(g.context, g.holders, enough)
}

// run asks the holders that the record names until the items are open or nobody is
// left to ask. If the key has a newer record it returns that, and leaves the rest.
func (g *gathering) run() (newer *Key) {
	defer g.leave()
	g.begin(g.key.Threshold())
	for {
		open := g.open()
		if len(open) == 0 {
			break
		}
		missing := g.missing(open)
		for len(g.queue) > 0 && missing > len(g.under) {
			g.askNext(open)
		}
		if g.ahead > g.key.Epoch() || len(g.under) == 0 && g.outdated() {
			if newer := g.look(); newer != nil {
				return newer
			}
		}
		if len(g.under) == 0 {
			if g.meet() || g.follow() {
				continue
			}
			break
		}
		came, why := g.await(min(missing, len(g.under)))
		for _, h := range came {
			g.take(h)
		}
		switch why {
		case tooSlow:
			g.hedge()
		case timeOver:
			for _, q := range g.under {
				g.refuse(g.open(), reasonOf(q.holder.node.ID, g.timeIsOver()))
				q.begun.Withdraw()
			}
			g.under, g.queue = nil, nil
		}
	}
	return nil
}

// askNext asks the nearest holder that was not asked yet.
func (g *gathering) askNext(open []*pending) {
	l := g.queue[0]
	g.queue = g.queue[1:]
	g.ask(&question{holder: l, items: open, method: api.MethodUnwrap, body: g.body(l, open, false)})
}

// hedge asks as many holders more than there have to be as others are late.
func (g *gathering) hedge() {
	for _, q := range g.overdue() {
		open := g.open()
		if len(g.queue) == 0 || len(open) == 0 || !g.client.hedges.spend() {
			q.forgive()
			continue
		}
		q.late = true
		g.askNext(open)
	}
	g.bear()
}

// outdated says whether a newer record could help: a holder that the one at hand names
// is not there, or holds no share any more.
func (g *gathering) outdated() bool {
	for _, p := range g.open() {
		for _, r := range p.reasons {
			if r.Code == api.CodeUnreachable || r.Code == api.CodeNoShare {
				return true
			}
		}
	}
	return false
}

// look asks once for a newer record of the key.
func (g *gathering) look() *Key {
	g.ahead = 0
	ctx := g.context()
	if g.looked || ctx.Err() != nil {
		return nil
	}
	g.looked = true
	newer, err := g.client.newer(ctx, g.key)
	if err != nil {
		g.client.conf.Log.Debug("no newer key record", "key", g.key.ID().String(), "epoch", g.key.Epoch(), "error", err)
		return nil
	}
	return newer
}

// offered keeps the lowest slot above the asked one that a holder offers: one that
// lies may offer the last, and would cost the caller all between.
func (p *pending) offered(it api.ItemAnswer) {
	if u := p.wire.Use; u != nil && it.Refusal.Code == api.CodeSlot && it.NextSlot > u.Slot {
		if p.nextSlot == 0 || it.NextSlot < p.nextSlot {
			p.nextSlot = it.NextSlot
		}
	}
}

// open lists the items that are not settled.
func (g *gathering) open() []*pending {
	return slices.DeleteFunc(slices.Clone(g.items), func(p *pending) bool { return p.done })
}

// missing is how many more partials the item needs that has fewest.
func (g *gathering) missing(open []*pending) int {
	n := 0
	for _, p := range open {
		n = max(n, g.key.Threshold()-len(p.partials))
	}
	return n
}

// body asks one holder for its partials of some items.
func (g *gathering) body(l *link, items []*pending, prove bool) []byte {
	request := api.UnwrapRequest{
		RequestID: g.id, Reason: g.reason, Region: g.client.conf.Region,
		Items: make([]api.UnwrapItem, len(items)),
	}
	for i, p := range items {
		it := p.wire
		it.Prove, it.Epoch, it.Endorsement = prove, g.key.Epoch(), p.endorsed.of(l.node.ID, g.key.Epoch())
		request.Items[i] = it
	}
	return wire.EncodeIn(g.room(items), &request)
}

// meet looks, before there are too few, for the holders that are not on the roster which
// this client knows: they have come since. It says whether there are any now.
func (g *gathering) meet() bool {
	if len(g.strange) == 0 {
		return false
	}
	ctx := g.context()
	if ctx.Err() != nil {
		return false
	}
	g.client.meet(ctx, g.key.record.RosterVersion)
	for _, h := range g.strange {
		l, err := g.client.link(h)
		if err != nil {
			g.refuse(g.open(), reasonOf(h, err))
			continue
		}
		g.holders, g.queue = append(g.holders, l), append(g.queue, l)
	}
	g.strange = nil
	return len(g.queue) > 0
}

// follow looks once, before there are too few, whether holders that were not there
// have moved: they are asked again then. It says whether there are any.
func (g *gathering) follow() bool {
	if g.followed || len(g.missed) == 0 {
		return false
	}
	ctx := g.context()
	if ctx.Err() != nil {
		return false
	}
	g.followed = true
	g.client.askAddresses(ctx)
	for _, m := range g.missed {
		if m.link.address() == m.address {
			continue
		}
		g.queue = append(g.queue, m.link)
		for _, p := range g.items {
			p.reasons = slices.DeleteFunc(p.reasons, func(r NodeReason) bool { return r.Node == m.link.node.ID })
		}
	}
	return len(g.queue) > 0
}

func (g *gathering) refuse(items []*pending, r NodeReason) {
	for _, p := range items {
		p.reasons = append(p.reasons, r)
	}
}

// take takes one holder's answer, and opens what can be opened with it.
func (g *gathering) take(a heard) {
	node := a.holder.node.ID
	if a.err == nil && len(a.answer.Items) != len(a.items) {
		a.err = a.wrongCount()
	}
	if a.err != nil {
		r := reasonOf(node, a.err)
		g.refuse(a.items, r)
		if r.Code == api.CodeUnreachable {
			g.missed = append(g.missed, missed{a.holder, a.address})
		}
		return
	}
	g.client.hedges.answered()
	g.client.hearHistory(g.outer, node, a.answer.Header)
	for i, p := range a.items {
		if p.done {
			continue
		}
		if g.falsified[node] {
			g.refuse([]*pending{p}, NodeReason{Node: node, Code: api.CodeFalsePartial, Sentence: "it gave a false partial of another item"})
			continue
		}
		it := a.answer.Items[i]
		if it.Refusal != nil {
			g.refuse([]*pending{p}, reasonOf(node, it.Refusal))
			p.offered(it)
			if it.Refusal.Code == api.CodeEnvelope {
				g.verify(p)
			}
			if it.Refusal.Code == api.CodeEpoch {
				g.ahead = max(g.ahead, it.Current)
			}
			continue
		}
		got, err := g.read(node, it)
		if err != nil {
			g.blame(a.holder, p, err)
			continue
		}
		p.partials[node] = got
		if len(p.partials) == g.key.Threshold() {
			g.try(p)
		}
	}
}

// errFalse is what makes a partial false, for logs and reasons.
var errFalse = errors.New("false partial")

// read decodes a partial. The index that counts is the holder's place in the
// order; one on the wire that differs is a false answer (R1).
func (g *gathering) read(node string, it api.ItemAnswer) (partial, error) {
	if it.Epoch != g.key.Epoch() {
		return partial{}, fmt.Errorf("%w: it is of epoch %d, asked for was %d", errFalse, it.Epoch, g.key.Epoch())
	}
	place := g.key.record.Order().IndexOf(node)
	if it.Index != place {
		return partial{}, fmt.Errorf("%w: it says to be index %d, the order says %d", errFalse, it.Index, place)
	}
	point, err := group.DecodePoint(it.Partial)
	if err != nil {
		return partial{}, fmt.Errorf("%w: %w", errFalse, err)
	}
	return partial{index: sharing.Index(place), point: point, endorsement: it.Endorsement}, nil
}

// blame sets a holder aside: for this request wholly, for this client until the end
// of the list of those to ask.
func (g *gathering) blame(l *link, p *pending, err error) {
	node := l.node.ID
	if g.falsified == nil {
		g.falsified = map[string]bool{}
	}
	g.falsified[node] = true
	l.markFalse()
	g.client.conf.Log.Warn("a node gave a false partial", "node", node, "key", g.key.ID().String(), "request", g.id.String(), "error", err)
	reason := NodeReason{Node: node, Code: api.CodeFalsePartial, Sentence: printable(err.Error())}
	g.refuse([]*pending{p}, reason)
	for _, o := range g.open() {
		if _, gave := o.partials[node]; gave {
			delete(o.partials, node)
			if o != p {
				g.refuse([]*pending{o}, reason)
			}
		}
	}
}

// try opens an item with t partials, and finds out who is to blame if that fails.
func (g *gathering) try(p *pending) {
	points := make(map[sharing.Index]*group.Point, len(p.partials))
	for _, got := range p.partials {
		points[got.index] = got.point
	}
	dek, err := g.key.public.Open(p.envelope, points)
	switch {
	case err == nil:
		p.done, p.result.DEK = true, dek
		g.client.endorsed.keep(p, g.key.Epoch())
	case errors.Is(err, tdh2.ErrNotOpened):
		g.settle(p)
	default:
		p.done, p.result.Err = true, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
}

// verify checks the proof of an envelope, once, when a holder refuses it or it does not
// open: one that fails is nobody's lie, and no further holder is asked.
func (g *gathering) verify(p *pending) {
	if p.verified {
		return
	}
	p.verified = true
	if err := g.key.verify(p.envelope.Envelope(), p.wire.Context); err != nil {
		p.done, p.result.Err = true, err
	}
}

// settle asks for the proof of each of the t partials that did not open the
// envelope. A holder that proves another partial, proves nothing, or does not
// answer in time, is set aside. If all t are proven the envelope is corrupt.
func (g *gathering) settle(p *pending) {
	if g.verify(p); p.done {
		return
	}
	ctx := g.context()
	proof, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	type proven struct {
		link    *link
		partial tdh2.VerifiedPartial
		err     error
	}
	var links []*link
	for _, l := range g.holders {
		if _, gave := p.partials[l.node.ID]; gave {
			links = append(links, l)
		}
	}
	outcomes := make([]proven, len(links))
	var asked sync.WaitGroup
	for i, l := range links {
		first := p.partials[l.node.ID]
		asked.Go(func() {
			v, err := g.prove(proof, l, p, first)
			outcomes[i] = proven{l, v, err}
		})
	}
	asked.Wait()
	if ctx.Err() != nil { // the whole request ran out of time: that is nobody's lie
		for _, l := range links {
			g.refuse([]*pending{p}, reasonOf(l.node.ID, ctx.Err()))
		}
		clear(p.partials)
		return
	}
	var list []tdh2.VerifiedPartial
	for _, o := range outcomes {
		if o.err != nil {
			g.blame(o.link, p, o.err)
			continue
		}
		list = append(list, o.partial)
	}
	if len(list) < len(outcomes) {
		return // the loop asks others in their place
	}
	dek, err := g.key.public.OpenProven(p.envelope, list)
	p.done, p.result.DEK = true, dek
	if err != nil {
		p.result.Err = fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
}

// prove asks one holder for the proof of the partial it gave first.
func (g *gathering) prove(ctx context.Context, l *link, p *pending, first partial) (tdh2.VerifiedPartial, error) {
	g.asked.Add(1)
	answer, err := answered[api.UnwrapAnswer](l.repeat(ctx, api.MethodUnwrap, g.body(l, []*pending{p}, true), func() { g.asked.Add(1) }))
	if err == nil && len(answer.Items) != 1 {
		err = fmt.Errorf("%w: %d answers for one item", ErrAnswer, len(answer.Items))
	}
	if err != nil {
		return tdh2.VerifiedPartial{}, fmt.Errorf("%w: it gave no proof: %w", errFalse, refusalOf(err))
	}
	it := answer.Items[0]
	if it.Refusal != nil {
		return tdh2.VerifiedPartial{}, fmt.Errorf("%w: it gave no proof: %w", errFalse, it.Refusal)
	}
	again, err := g.read(l.node.ID, it)
	if err != nil {
		return tdh2.VerifiedPartial{}, err
	}
	if !again.point.Equal(first.point) {
		return tdh2.VerifiedPartial{}, fmt.Errorf("%w: its first partial differs from the one it proves", errFalse)
	}
	v, err := tdh2.VerifyShare(tdh2.ShareID{
		Cluster: g.key.public.Cluster,
		KeyID:   g.key.public.KeyID,
		Version: g.key.public.Version,
		Epoch:   g.key.Epoch(),
		Index:   first.index,
	}, g.key.yi[first.index-1], first.point, p.envelope.Envelope(), it.Proof)
	if err != nil {
		return tdh2.VerifiedPartial{}, fmt.Errorf("%w: %w", errFalse, err)
	}
	return v, nil
}
