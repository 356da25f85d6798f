package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/tprf"
)

// Branch says into which branch of a symmetric key something is encrypted. Its key makes
// and opens all items of one principal, in one interval of this length, whose contexts
// agree in the named pairs: it is asked for once and kept until the interval is over. So
// long a revoke leaves its items open to those who have it.
type Branch struct {
	Length time.Duration // one of [api.BranchLengths]
	Names  []string      // of the pairs of the context that the branch has; nil: all of them
}

// ErrBranch: the branch names a pair that the context does not have, or one twice.
var ErrBranch = errors.New("the branch is not usable")

// pairs are those of a context that the branch names.
func (b Branch) pairs(context api.Context) (api.Context, error) {
	if err := api.CheckBranchLength(b.Length); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBranch, err)
	}
	if b.Names == nil {
		return context, nil
	}
	return named(context, b.Names)
}

// named picks pairs of a context by their names.
func named(context api.Context, names []string) (api.Context, error) {
	out := api.Context{}
	for _, name := range names {
		value, has := context[name]
		if _, twice := out[name]; !has || twice {
			return nil, fmt.Errorf("%w: it names the pair %q, which the context does not have, or twice", ErrBranch, name)
		}
		out[name] = value
	}
	return out, nil
}

// IntervalOf is the interval of the branch that an envelope says it is of: when it begins,
// Unix seconds, and its length; false for one that is of none.
func IntervalOf(envelope []byte) (from int64, seconds uint32, is bool) {
	c, err := tprf.ParseBranched(envelope)
	if err != nil {
		return 0, 0, false
	}
	return c.Interval().From, c.Interval().Seconds, true
}

// intervalAt is the one of a length that a time falls into.
func intervalAt(at time.Time, length time.Duration) tprf.Interval {
	seconds := int64(length / time.Second)
	return tprf.Interval{From: at.Unix() - at.Unix()%seconds, Seconds: uint32(seconds)}
}

// EncryptInBranch is [Client.Encrypt] into a branch. The branch key is asked for as the
// values of an item are, once in its interval, and what is encrypted then asks nobody. It
// takes the policy's actions encrypt and unwrapBranch. Errors may also be an [ErrBranch].
func (c *Client) EncryptInBranch(ctx context.Context, key *Key, in Branch, context api.Context, dek secret.Bytes, reason string) ([]byte, error) {
	return c.encryptInBranch(ctx, key, in, context, dek, reason, func(p *pending) { c.encryptSome(ctx, key, []*pending{p}, newRequestID(), reason) })
}

// EncryptInBranch is [Client.EncryptInBranch] by the grant: each branch takes a use.
func (g *Granted) EncryptInBranch(ctx context.Context, key *Key, in Branch, context api.Context, dek secret.Bytes, reason string) ([]byte, error) {
	id := newRequestID()
	return g.client.encryptInBranch(ctx, key, in, context, dek, reason, func(p *pending) {
		slot := uint32(1)
		for tries := 1; ; tries++ {
			p.wire.Use = &api.Use{Grant: g.grant, Slot: slot}
			p.answers, p.gave, p.reasons, p.nextSlot = tprf.Answers{}, 0, nil, 0
			*p.result = Result{}
			g.client.encryptSome(ctx, key, []*pending{p}, id, reason)
			if p.result.Err == nil || p.nextSlot == 0 || ctx.Err() != nil || tries == maxSlotTries {
				return
			}
			slot = p.nextSlot
		}
	})
}

func (c *Client) encryptInBranch(ctx context.Context, key *Key, in Branch, context api.Context, dek secret.Bytes, reason string, ask func(*pending)) ([]byte, error) {
	who, err := c.mayEncrypt(key, context, reason)
	if err != nil {
		return nil, err
	}
	pairs, err := in.pairs(context)
	if err != nil {
		return nil, fmt.Errorf("encrypt under the key %s: %w", key.Name(), err)
	}
	now := c.branches.now()
	of := tprf.Branch{Key: key.named(), Context: pairs.Canonical(), Interval: intervalAt(now, in.Length), Principal: who}
	err = c.makeBranch(ctx, key, of, pairs, of.Interval.End(), ask)
	var q *QuorumError
	if before := now.Add(-api.BranchSkew); errors.As(err, &q) && tooEarly(q) && intervalAt(before, in.Length) != of.Interval {
		// This clock is ahead of theirs: for a moment the interval before is as good.
		of.Interval = intervalAt(before, in.Length)
		err = c.makeBranch(ctx, key, of, pairs, of.Interval.End()+int64(api.BranchSkew/time.Second), ask)
	}
	if err != nil {
		return nil, err
	}
	var envelope []byte
	if !c.branches.use(toMake, of.Input().Hash(), func(k *tprf.BranchKey) {
		envelope, err = k.Seal(rand.Reader, pairs.Keys(), context.Canonical(), dek)
	}) {
		return nil, fmt.Errorf("encrypt under the key %s: %w", key.Name(), ErrClosed)
	}
	return envelope, err
}

func tooEarly(q *QuorumError) bool {
	return slices.ContainsFunc(q.Reasons, func(r NodeReason) bool { return r.Code == api.CodeInterval })
}

// makeBranch sees that the key of a branch is at hand to encrypt with, until a time.
func (c *Client) makeBranch(ctx context.Context, key *Key, of tprf.Branch, pairs api.Context, until int64, ask func(*pending)) error {
	id := of.Input().Hash()
	over, err := c.branches.turn(ctx, id)
	if err != nil {
		return fmt.Errorf("encrypt under the key %s: %w", key.Name(), err)
	}
	defer over()
	if c.branches.use(toMake, id, func(*tprf.BranchKey) {}) {
		return nil
	}
	var result Result
	p := &pending{branch: &of, pairs: pairs, result: &result, answers: tprf.Answers{}}
	if ask(p); result.Err != nil {
		return result.Err
	}
	c.branches.keep(toMake, id, p.branchKey, until)
	return nil
}

// prepareBranched is prepareSymmetric for an item of a branch.
func (c *Client) prepareBranched(ctx context.Context, e *tprf.Branched, it Item) (*Key, *pending, error) {
	key, err := c.symmetricOf(ctx, e.Key(), it)
	if err != nil {
		return nil, nil, err
	}
	pairs, err := named(it.Context, e.Names())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its context is another: %w", ErrEnvelope, err)
	}
	of := e.Branch(pairs.Canonical())
	return key, &pending{
		branched: e, branch: &of, pairs: pairs, wire: api.UnwrapItem{Envelope: it.Envelope, Context: it.Context},
	}, nil
}

// openBranches opens items of branches. The key of a branch is asked for with one of its
// items, which shows that it is right; it opens the others, and later ones.
func (c *Client) openBranches(ctx context.Context, key *Key, items []*pending, id api.RequestID, reason string) {
	for len(items) > 0 {
		asking := map[[32]byte]*pending{}
		var first, rest []*pending
		for _, p := range items {
			switch of := p.branch.Input().Hash(); {
			case c.branches.use(toOpen, of, func(k *tprf.BranchKey) { p.openWith(k) }):
			case asking[of] == nil:
				asking[of] = p
				first = append(first, p)
			default:
				rest = append(rest, p)
			}
		}
		for _, some := range batches(first) {
			c.openSymmetric(ctx, key, some, id, reason)
		}
		for of, p := range asking {
			if p.branchKey != nil {
				// Of an interval that is over, it is kept for as long as one takes.
				length := int64(p.branch.Interval.Seconds)
				until := p.branch.Interval.End()
				if now := c.branches.now().Unix(); until <= now {
					until = now + length
				}
				c.branches.keep(toOpen, of, p.branchKey, until)
			}
		}
		items = rest[:0]
		for _, p := range rest {
			of := asking[p.branch.Input().Hash()]
			if of.result.Err == nil || errors.Is(of.result.Err, ErrEnvelope) { // then another item may show the key
				items = append(items, p)
				continue
			}
			p.done, p.nextSlot, p.result.Err = true, of.nextSlot, of.result.Err
		}
	}
}

// openWith opens an item with the key of its branch, which has opened another one.
func (p *pending) openWith(k *tprf.BranchKey) {
	p.done = true
	dek, err := k.Open(p.branched, p.wire.Context.Canonical())
	if err != nil {
		p.result.Err = fmt.Errorf("%w: it was altered, or its context is another: %w", ErrEnvelope, err)
		return
	}
	p.result.DEK = dek
}

// opens tries the value of the function on an item.
func (p *pending) opens(f tprf.Value) (secret.Bytes, error) {
	if p.branched == nil {
		return p.ciphertext.Open(f)
	}
	k := tprf.NewBranchKey(*p.branch, f)
	dek, err := k.Open(p.branched, p.wire.Context.Canonical())
	if err != nil {
		k.Wipe()
		return secret.Bytes{}, err
	}
	p.branchKey = k
	return dek, nil
}

// branchBody asks a holder for its part of some branch keys: the XOR of the values of these
// sets, or each.
func (a *asking) branchBody(sets []tprf.Set, items []*pending, each bool) []byte {
	request := api.BranchRequest{RequestID: a.id, Reason: a.reason, Region: a.client.conf.Region, Sets: wired(sets), Each: each}
	for _, p := range items {
		it := api.BranchItem{
			Key: p.branch.Key.ID, Version: p.branch.Key.Version, Context: p.pairs,
			From: p.branch.Interval.From, Seconds: p.branch.Interval.Seconds, Use: p.wire.Use,
		}
		if p.branched != nil {
			it.Principal = p.branch.Principal
		}
		request.Items = append(request.Items, it)
	}
	return wire.Encode(request)
}

// maxBranches bounds the branch keys that are kept, at about 300 bytes each.
const maxBranches = 4096

// How a branch key came here: by what has opened with it, or by holders that agree.
const (
	toOpen = iota
	toMake
)

type branchOf struct {
	how int
	id  [32]byte
}

// branches are the branch keys at hand, each until it is over. A key is wiped then.
type branches struct {
	clock  func() time.Time // nil: the system's
	mu     sync.RWMutex
	kept   map[branchOf]*keptBranch   // guarded by mu; at most maxBranches
	asking map[[32]byte]chan struct{} // guarded by mu; closed when somebody has asked
	closed bool                       // guarded by mu
}

type keptBranch struct {
	key   *tprf.BranchKey
	until int64 // Unix seconds
	end   *time.Timer
}

func (b *branches) now() time.Time {
	if b.clock != nil {
		return b.clock()
	}
	return time.Now()
}

// use lends the key of a branch, if it is here and not over.
func (b *branches) use(how int, id [32]byte, with func(*tprf.BranchKey)) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	k := b.kept[branchOf{how, id}]
	if k == nil || b.now().Unix() >= k.until {
		return false
	}
	with(k.key)
	return true
}

// keep takes a key until a time. It is the store's to wipe from now on.
func (b *branches) keep(how int, id [32]byte, key *tprf.BranchKey, until int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := branchOf{how, id}
	if b.closed {
		key.Wipe()
		return
	}
	if b.kept == nil {
		b.kept = map[branchOf]*keptBranch{}
	}
	b.drop(of)
	for other := range b.kept {
		if len(b.kept) < maxBranches {
			break
		}
		b.drop(other)
	}
	k := &keptBranch{key: key, until: until}
	k.end = time.AfterFunc(time.Unix(until, 0).Sub(b.now()), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.kept[of] == k {
			b.drop(of)
		}
	})
	b.kept[of] = k
}

// drop wipes a key; mu is held.
func (b *branches) drop(of branchOf) {
	if k := b.kept[of]; k != nil {
		k.end.Stop()
		k.key.Wipe()
		delete(b.kept, of)
	}
}

// turn waits until nobody else asks for the key of a branch. Whoever has the turn ends it.
func (b *branches) turn(ctx context.Context, id [32]byte) (over func(), err error) {
	for {
		b.mu.Lock()
		busy := b.asking[id]
		if busy == nil {
			if b.asking == nil {
				b.asking = map[[32]byte]chan struct{}{}
			}
			mine := make(chan struct{})
			b.asking[id] = mine
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				delete(b.asking, id)
				b.mu.Unlock()
				close(mine)
			}, nil
		}
		b.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// close wipes all of them.
func (b *branches) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for of := range b.kept {
		b.drop(of)
	}
}
