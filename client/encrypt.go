package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// Secret is a data key of 1 to 64 bytes, and the context under which alone it opens.
type Secret struct {
	DEK     secret.Bytes
	Context api.Context
}

// Encrypted is what became of one [Secret]: an envelope, or why there is none.
type Encrypted struct {
	Envelope []byte
	Err      error
}

// Encrypt makes an envelope of a symmetric key, by quorum. t+f holders give values, and a
// value counts when f+1 agree ([Key.Copies]). reason is what the caller states for the
// audit. Errors: [ErrAsymmetric], [ErrKeyState], [ErrNoPrincipal], an [api.ErrContext], a
// *[QuorumError], and [ErrDisagree].
func (c *Client) Encrypt(ctx context.Context, key *Key, context api.Context, dek secret.Bytes, reason string) ([]byte, error) {
	e := c.EncryptBatch(ctx, key, []Secret{{dek, context}}, reason)[0]
	return e.Envelope, e.Err
}

// EncryptBatch makes any number of envelopes of one symmetric key, and returns one for
// each secret, in order. Up to [api.MaxUnwrapItems] travel in one request.
func (c *Client) EncryptBatch(ctx context.Context, key *Key, secrets []Secret, reason string) []Encrypted {
	out, results := make([]Encrypted, len(secrets)), make([]Result, len(secrets))
	var items []*pending
	for i, s := range secrets {
		p, err := c.begin(key, s, reason)
		if err != nil {
			out[i].Err = err
			continue
		}
		defer p.sealing.Wipe()
		p.result, p.envelopeTo = &results[i], &out[i].Envelope
		items = append(items, p)
	}
	id := newRequestID()
	for _, some := range batches(items) {
		c.encryptSome(ctx, key, some, id, reason)
	}
	for i := range results {
		if results[i].Err != nil {
			out[i].Err = results[i].Err
		}
	}
	return out
}

// begin commits to a secret, before any holder is asked.
func (c *Client) begin(key *Key, s Secret, reason string) (*pending, error) {
	who, err := c.mayEncrypt(key, s.Context, reason)
	if err != nil {
		return nil, err
	}
	sealing, err := tprf.Begin(rand.Reader, key.named(), who, s.Context.Canonical(), s.DEK)
	if err != nil {
		return nil, err
	}
	return &pending{
		sealing: sealing, wire: api.UnwrapItem{Context: s.Context},
		answers: tprf.Answers{},
	}, nil
}

// mayEncrypt says who it is that encrypts, or why nobody needs to be asked.
func (c *Client) mayEncrypt(key *Key, context api.Context, reason string) (who string, err error) {
	if !key.Symmetric() {
		return "", fmt.Errorf("encrypt under the key %s: %w", key.Name(), ErrAsymmetric)
	}
	if len(reason) > api.MaxReason {
		return "", fmt.Errorf("encrypt: the reason has %d bytes, at most %d", len(reason), api.MaxReason)
	}
	if err := context.Check(); err != nil {
		return "", fmt.Errorf("encrypt under the key %s: %w", key.Name(), err)
	}
	if err := key.mayWrap(); err != nil {
		return "", err
	}
	if who = c.Principal(); who == "" {
		return "", fmt.Errorf("encrypt under the key %s: %w", key.Name(), ErrNoPrincipal)
	}
	return who, nil
}

// encryption collects the values of one request's items.
type encryption struct {
	*asking
	questions []*question
}

// encryptSome encrypts the items, or says in each result why not. It returns within the
// client's timeout.
func (c *Client) encryptSome(outer context.Context, key *Key, items []*pending, id api.RequestID, reason string) {
	e := &encryption{asking: c.asking(outer, key, items, id, reason)}
	enough := key.Threshold() + key.Copies() - 1
	e.run(e, enough)
	e.lacking("encrypt", enough)
	for _, p := range e.open() {
		if err := e.disagreement(p); err != nil && !errors.Is(outer.Err(), context.Canceled) {
			p.result.Err = fmt.Errorf("%w\n%w", err, p.result.Err)
		}
	}
}

// due asks t+f holders first, and then, for each set of which too few agree, or of whose
// members one is down or slow, as many others as are needed.
func (e *encryption) due() (due []*question) {
	if e.questions == nil {
		e.questions = e.shared(e.key.Threshold()+e.key.Copies()-1, e.key.Copies())
		return e.questions
	}
	by := map[*link]*question{}
	for _, s := range tprf.Sets(e.key.params()) {
		lacking := e.lacks(s)
		for _, l := range e.queue {
			if lacking <= 0 {
				break
			}
			if !s.Has(e.place(l)) || e.unfit[l.node.ID] || e.wasAsked(l, s) {
				continue
			}
			if by[l] == nil {
				by[l] = &question{holder: l}
				due = append(due, by[l])
			}
			by[l].sets = append(by[l].sets, s)
			lacking--
		}
	}
	e.questions = append(e.questions, due...)
	return due
}

// lacks is how many more members of a set are to be asked, for the item that needs most.
func (e *encryption) lacks(s tprf.Set) (most int) {
	coming := 0
	for _, q := range e.questions {
		if !q.over && !q.late && slices.Contains(q.sets, s) {
			coming++
		}
	}
	for _, p := range e.open() {
		most = max(most, e.key.Copies()-agreeing(p, s)-coming)
	}
	return most
}

// agreeing is the largest number of holders that gave the same value of a set.
func agreeing(p *pending, s tprf.Set) (most int) {
	count := map[tprf.Value]int{}
	for _, values := range p.answers {
		if v, gave := values[s]; gave {
			count[v]++
			most = max(most, count[v])
		}
	}
	return most
}

func (e *encryption) wasAsked(l *link, s tprf.Set) bool {
	return slices.ContainsFunc(e.questions, func(q *question) bool { return q.holder == l && slices.Contains(q.sets, s) })
}

func (e *encryption) form(q *question) {
	if q.items[0].branch != nil {
		q.method, q.body = e.body(q.sets, q.items, true)
		return
	}
	request := api.EncryptRequest{
		RequestID: e.id, Reason: e.reason, Region: e.client.conf.Region, Sets: wired(q.sets), Items: make([]api.EncryptItem, 0, len(q.items)),
	}
	for _, p := range q.items {
		request.Items = append(request.Items, api.EncryptItem{
			Key: e.key.ID(), Version: e.key.Version(), Context: p.wire.Context, Commitment: p.sealing.Commitment(), Use: p.wire.Use,
		})
	}
	q.method, q.body = api.MethodEncrypt, wire.EncodeIn(e.room(q.items), &request)
}

// took reads the values that a holder gave, and encrypts with those that enough agree on.
func (e *encryption) took(q *question, answer *api.UnwrapAnswer) {
	for i, it := range q.items {
		if it.done {
			continue
		}
		b := e.read(q.holder, it, answer.Items[i], len(q.sets)*tprf.ValueSize)
		if b == nil {
			continue
		}
		place := e.place(q.holder)
		it.gave = it.gave.With(place)
		if it.answers[place] == nil {
			it.answers[place] = map[tprf.Set]tprf.Value{}
		}
		for s, v := range split(q.sets, b) {
			it.answers[place][s] = v
		}
		f, missing := tprf.Agree(e.key.params(), e.key.Copies(), it.answers)
		if missing != nil {
			continue
		}
		if it.done = true; it.branch != nil {
			it.branchKey = tprf.NewBranchKey(*it.branch, f)
		} else {
			*it.envelopeTo = it.sealing.Finish(f)
		}
		if err := e.disagreement(it); err != nil {
			e.client.conf.Log.Warn("holders do not agree, and enough of them do", "key", e.key.ID().String(), "request", e.id.String(), "error", err)
		}
	}
}

// disagreement names the holders of which some give false values for an item, or is nil.
func (e *encryption) disagreement(p *pending) error {
	o := e.key.record.Order()
	for _, s := range tprf.Sets(e.key.params()) {
		var who []string
		values := map[tprf.Value]bool{}
		for i := sharing.Index(1); i <= sharing.Index(o.H()); i++ {
			if v, gave := p.answers[i][s]; gave {
				who, values[v] = append(who, o.Holders[i-1]), true
			}
		}
		if len(values) > 1 {
			return fmt.Errorf("%w: one of %s gives false values", ErrDisagree, strings.Join(who, ", "))
		}
	}
	return nil
}
