package gate

import "warifu.dev/api"

// Most steps look at who asks, at the key and at this moment, and not at the item. Of a
// request with many items the first that passes them answers for all that are asked for in
// the same way; what depends on the item alone is asked of each. Nothing of it outlives
// the request, nor is it used after the record, when all of it is asked anew.

// kind is all of an item that those steps look at. An item with a grant has none: whose
// uses are left is a question for each. Nor has a branch: its steps look at its interval,
// and at whether it is to encrypt.
type kind struct {
	key     api.KeyID
	version uint32
	epoch   uint64 // that is asked for
	purpose string
	context string // canonical; where a policy looks at it
}

// passed is the item of a request that was the last to pass every step as the first of its
// kind.
type passed struct {
	alone    bool // the request has no other
	item     *item
	kind     kind
	contexts bool // a policy looks at them
}

// like returns the item that has passed for this one, or nil.
func (g *Gate) like(a *asked, it *item) *item {
	p := &a.passed
	if p.item == nil || it.single() {
		return nil
	}
	if it.envelope == nil && it.symmetric == nil && it.read(a.committed.Genesis().Cluster, a.caller, a.request) != nil {
		return nil // the steps say so, in their order
	}
	if it.kind(p.contexts) != p.kind {
		return nil
	}
	return p.item
}

// remember takes an item that every step has let through.
func (p *passed) remember(g *Gate, a *asked, it *item) {
	if p.alone || it.single() {
		return
	}
	p.contexts = g.looksAtContext(a)
	p.item, p.kind = it, it.kind(p.contexts)
}

// single says that an item is asked every step by itself.
func (it *item) single() bool { return it.request.Use != nil || it.branch != nil }

func (it *item) kind(context bool) kind {
	k := kind{epoch: it.request.Epoch, purpose: it.purpose()}
	k.key, k.version = it.names()
	if context {
		k.context = string(it.context())
	}
	return k
}

// looksAtContext says whether a policy of either state can look at what is in a context.
func (g *Gate) looksAtContext(a *asked) bool {
	for _, s := range a.states() {
		if p, err := g.cfg.Policy(s); err != nil || p.LooksAtContext() {
			return true
		}
	}
	return false
}

// pass asks an item the steps that are due, in their order. One that is like an item which
// has just passed them has its key, its share and its answers.
func (g *Gate) pass(a *asked, it *item, due func(again) bool) *api.Error {
	first := g.like(a, it)
	if first != nil {
		it.key, it.epoch, it.share, it.rules = first.key, first.epoch, first.share, first.rules
	}
	for _, s := range g.steps {
		if !due(s.again) || first != nil && s.again != never {
			continue
		}
		if err := s.ask(a, it); err != nil {
			return err
		}
	}
	if first == nil {
		a.passed.remember(g, a, it)
	}
	return nil
}
