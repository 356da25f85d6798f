package warifutest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// lap is one round of a lane.
func (r *race) lap(ctx context.Context, l *lane) {
	wait(ctx, time.Duration(l.random.Int64N(int64(2*r.Pause))))
	if ctx.Err() != nil {
		return
	}
	r.unwrap(ctx, l, l.random.IntN(2) == 0)
	var beside sync.WaitGroup
	for range racing {
		after, all := time.Duration(l.random.Int64N(int64(raceSpread))), l.random.IntN(2) == 0
		beside.Go(func() {
			wait(ctx, after)
			r.unwrap(ctx, l, all)
		})
	}
	wait(ctx, raceSpread/4)
	id, done := r.revoke(ctx, l)
	if done { // what begins now is refused, whatever still runs beside it
		r.unwrap(ctx, l, true)
		r.unwrap(ctx, l, false)
	}
	beside.Wait()
	all := l.random.IntN(2) == 0
	beside.Go(func() { r.unwrap(ctx, l, all) })
	r.lift(ctx, l, id)
	beside.Wait()
}

// receipt is what one node signed, or nil.
type receipt struct {
	node   string
	signed *authority.SignedReceipt
	at     int64
}

// revoke hands in a revoke of a lane's subject, and asks for receipts until it is
// done. No node lies here, so the count is the smallest, with f = 0.
func (r *race) revoke(ctx context.Context, l *lane) (id api.Digest, done bool) {
	e, err := r.Sign(authority.KindRevoke, wire.Encode(authority.Revoke{Subject: l.subject}), api.Digest{})
	if err != nil {
		panic(fmt.Sprintf("warifutest: sign a revoke: %v", err)) // the desk's own keys
	}
	id = e.ID()
	entry, directly := e.Encode(), l.random.IntN(2) == 0
	ctx, cancel := context.WithTimeout(ctx, raceGivesUp)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	op := Op{l.name, OpRevoke, id.String(), r.now(), Never}
	r.begun(l, op)
	ordered, arrived := make(chan uint64, 1), make(chan receipt)
	asked.Go(func() {
		if index, err := r.submit(ctx, l, entry); err == nil {
			ordered <- index
		}
	})
	ask := func(node string, method uint16, body []byte) {
		asked.Go(func() {
			s := r.receiptOf(ctx, l, id, node, method, body)
			select {
			case arrived <- receipt{node, s, r.now()}:
			case <-ctx.Done():
			}
		})
	}
	if directly {
		for _, node := range r.IDs() {
			ask(node, api.MethodDeny, wire.Encode(api.SubmitRequest{Entry: entry}))
		}
	}
	body := wire.Encode(api.ReceiptRequest{ID: id})
	got := map[string]*authority.SignedReceipt{}
	again := time.NewTicker(receiptEvery)
	defer again.Stop()
	askAll := func() {
		for _, node := range r.IDs() {
			if s := got[node]; s == nil || s.Receipt.Index == 0 {
				ask(node, api.MethodReceipt, body)
			}
		}
	}
	for {
		select {
		case <-ctx.Done():
			r.ended(l, op, false)
			return id, false
		case index := <-ordered:
			r.placed(l, id, func(p *lap) { p.revoked = index })
			askAll()
		case <-again.C:
			askAll()
		case a := <-arrived:
			s := got[a.node]
			if a.signed == nil || s != nil && s.Receipt.Index != 0 {
				continue
			}
			if s == nil {
				r.add(Op{l.name + " at " + a.node, OpRevoke, op.ID, op.Call, a.at})
			}
			got[a.node] = a.signed
			var list []*authority.SignedReceipt
			for _, s := range got {
				list = append(list, s)
			}
			count, err := authority.CountReceipts(authority.Begin(r.Genesis()), id, 0, list)
			if err != nil {
				r.say(Violation{Revoked, fmt.Sprintf("%s: receipts that do not belong together: %v", l.name, err)})
				continue
			}
			if count.Done() {
				op.Return = r.now()
				r.placed(l, id, func(p *lap) { p.revoked = count.Index })
				r.ended(l, op, true)
				return id, true
			}
		}
	}
}

// receiptOf asks one node, and believes what it signed.
func (r *race) receiptOf(ctx context.Context, l *lane, id api.Digest, node string, method uint16, body []byte) *authority.SignedReceipt {
	b, err := l.carrier.Call(ctx, node, method, body)
	if err != nil {
		return nil
	}
	var a api.ReceiptAnswer
	if wire.Decode(b, &a) != nil || len(a.Receipt) == 0 {
		return nil
	}
	s, err := authority.ParseSignedReceipt(a.Receipt)
	if err != nil || s.Verify(authority.Begin(r.Genesis()), id) != nil || s.Receipt.Node != node || s.Receipt.Subject != l.subject {
		r.say(Violation{Revoked, fmt.Sprintf("%s: the receipt of %s is not believable", l.name, node)})
		return nil
	}
	return s
}

// submit hands an entry to one node after another until it is in the ledger.
func (r *race) submit(ctx context.Context, l *lane, entry []byte) (uint64, error) {
	ids := r.IDs()
	for i := int(r.now()); ; i++ {
		a, err := l.carrier.Submit(ctx, ids[i%len(ids)], entry)
		if err == nil {
			return a.Index, nil
		}
		wait(ctx, submitEvery)
		if ctx.Err() != nil {
			return 0, err
		}
	}
}

// lift ends a revoke, done or pending, and returns when that is in the ledger.
func (r *race) lift(ctx context.Context, l *lane, id api.Digest) {
	e, err := r.Sign(authority.KindLift, wire.Encode(authority.Lift{Lifts: id}), api.Digest{})
	if err != nil {
		panic(fmt.Sprintf("warifutest: sign a lift: %v", err)) // the desk's own keys
	}
	op := Op{l.name, OpLift, id.String(), r.now(), Never}
	index, err := r.submit(ctx, l, e.Encode())
	if err == nil {
		op.Return = r.now()
		r.placed(l, id, func(p *lap) { p.until = index })
	}
	r.add(op)
	for _, node := range r.IDs() {
		at := op
		at.Subject = l.name + " at " + node
		r.add(at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Lifts++
}

// unwrap makes one attempt, through the lane's client or of all holders at once.
func (r *race) unwrap(ctx context.Context, l *lane, all bool) {
	if ctx.Err() != nil {
		return
	}
	a := raceAttempt{lane: l.name, reason: fmt.Sprintf("race %s %d", l.name, r.count.Add(1)), call: r.now()}
	if all {
		a.outcome, a.ret = r.ask(ctx, l, &a)
	} else {
		dek, err := l.client.Unwrap(ctx, l.envelope, nil, a.reason)
		dek.Wipe()
		a.ret = r.now()
		switch {
		case err == nil:
			a.outcome = opened
		case errors.Is(err, client.ErrDenied), errors.Is(err, client.ErrUnauthenticated):
			a.outcome = refused
		default:
			a.outcome = unavailable
		}
	}
	if a.outcome == opened {
		r.add(Op{l.name, OpRelease, a.reason, a.call, a.ret})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
	r.report.Unwraps++
	switch a.outcome {
	case opened:
		r.report.Opened++
	case refused:
		r.report.Denied++
	default:
		r.report.Unavailable++
	}
}

// ask asks every holder for its partial. It is open when t of them have given one,
// of one epoch.
func (r *race) ask(ctx context.Context, l *lane, a *raceAttempt) (raceOutcome, int64) {
	var all sync.WaitGroup
	var mu sync.Mutex
	gave, outcome, ret := map[uint64]int{}, unavailable, int64(0) // guarded by mu
	for _, node := range r.IDs() {
		all.Go(func() {
			answer, err := l.direct.Unwrap(ctx, node, l.envelope, a.reason)
			at := r.now()
			mu.Lock()
			defer mu.Unlock()
			var e *api.Error
			switch {
			case err == nil:
				r.add(Op{l.name + " at " + node, OpRelease, a.reason, a.call, at})
				epoch := answer.Items[0].Epoch
				if gave[epoch]++; gave[epoch] == Threshold {
					outcome, ret = opened, at
				}
			case errors.As(err, &e) && e.Code == api.CodeDenied && outcome != opened:
				outcome = refused
			}
		})
	}
	all.Wait()
	if ret == 0 {
		ret = r.now()
	}
	return outcome, ret
}

func (r *race) add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
}

func (r *race) say(v Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Violations = append(r.report.Violations, v)
}

// begun and ended note when a revoke is in flight.
func (r *race) begun(l *lane, op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows[l.name] = append(r.windows[l.name], op)
}

func (r *race) ended(l *lane, op Op, done bool) {
	until := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[l.name]
	w[len(w)-1].Return = until
	r.history = append(r.history, op)
	if done {
		r.report.Done++
	} else {
		r.report.Pending++
	}
}

func (r *race) placed(l *lane, id api.Digest, note func(*lap)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.at[l.name]
	if n := len(of); n == 0 || of[n-1].id != id {
		of = append(of, lap{id: id})
		r.at[l.name] = of
	}
	note(&of[len(of)-1])
}
