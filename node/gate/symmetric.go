package gate

import (
	"context"

	"warifu.dev/api"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// symmetric is an item of a symmetric key: an input at which values are asked for.
type symmetric struct {
	key   tprf.Key
	input tprf.Input
	sets  []tprf.Set // that are asked of this node, once they are checked
	each  bool       // the value of each set, and not their XOR
}

// Encrypt decides on each item of a request and answers with the values that it is
// encrypted with, and refusals, in order. That is a release as [Gate.Unwrap] is one: who
// has the values of an item opens it. The error, if any, is an *[api.Error] about the
// whole request.
func (g *Gate) Encrypt(ctx context.Context, caller *Caller, req *api.EncryptRequest) (*api.UnwrapAnswer, error) {
	q, items, err := encryption(req)
	if err != nil {
		return nil, err
	}
	return g.answer(ctx, caller, q, items)
}

// RefuseEncrypt is [Gate.Refuse] of an encryption.
func (g *Gate) RefuseEncrypt(ctx context.Context, caller *Caller, req *api.EncryptRequest, refusal *api.Error, why string) error {
	q, items, err := encryption(req)
	if err != nil {
		return err
	}
	return g.refuse(ctx, caller, q, items, refusal, why)
}

func encryption(req *api.EncryptRequest) (*question, []*item, error) {
	q := &question{RequestID: req.RequestID, Reason: req.Reason, Region: req.Region, action: policy.Encrypt}
	items := make([]*item, len(req.Items))
	for i := range req.Items {
		items[i] = &item{encrypt: &req.Items[i], request: api.UnwrapItem{Context: req.Items[i].Context, Use: req.Items[i].Use}}
	}
	return q, items, q.wellFormed(len(items), req.Sets)
}

// name takes the sets that a request names.
func (req *question) name(sets []uint16) error {
	if len(sets) > api.MaxSets {
		return api.Refuse(api.CodeMalformed, "a request names at most %d sets of holders", api.MaxSets)
	}
	for i, s := range sets {
		if s == 0 || i > 0 && s <= sets[i-1] {
			return api.Refuse(api.CodeMalformed, "the sets of holders are not in their order, or one stands twice")
		}
		req.sets = append(req.sets, tprf.Set(s))
	}
	return nil
}

// encrypting is what is asked for by an encryption. Whose it is the connection has proved,
// and the request cannot say.
func encrypting(cluster api.ClusterID, e *api.EncryptItem, context []byte, caller *Caller) *symmetric {
	k := tprf.Key{Cluster: cluster, ID: e.Key, Version: e.Version}
	return &symmetric{key: k, input: tprf.ItemInput(k, context, caller.Principal, e.Commitment), each: true}
}

// opening is what is asked for to open a ciphertext, under the context that is decided on.
func opening(c *tprf.Ciphertext, context []byte, each bool) *symmetric {
	return &symmetric{key: c.Key(), input: c.Input(context), each: each}
}

// checkSets holds what is asked of this node against the key and its holders: it is asked
// for sets of this key alone, and only for those that it is a member of.
func (it *item) checkSets(a *asked) *api.Error {
	if it.symmetric.key.Cluster != a.committed.Genesis().Cluster {
		return api.Refuse(api.CodeEnvelope, "it was encrypted in another cluster")
	}
	if len(a.request.sets) == 0 {
		return api.Refuse(api.CodeMalformed, "a symmetric key is asked for by sets of its holders, and none is named")
	}
	t, h := int(it.epoch.T), len(it.epoch.Holders)
	for _, s := range a.request.sets {
		if s>>h != 0 || s.Size() != h-t+1 || !s.Has(sharing.Index(it.share.Index)) {
			return api.Refuse(api.CodeMalformed, "the set %b is none of this holder's", s)
		}
	}
	it.symmetric.sets = a.request.sets
	return nil
}

// evaluating evaluates the sets that a request asks this node for, with the share of the
// item before if that is the same.
type evaluating struct {
	share *tprf.Share
	*tprf.Evaluator
}

// evaluate makes what is released of an item that passed every step.
func (e *evaluating) evaluate(it *item) api.ItemAnswer {
	if e.share != it.share.Sets {
		of, err := it.share.Sets.Evaluator(it.symmetric.sets)
		if err != nil {
			return api.ItemAnswer{Refusal: api.Retry(api.CodeInternal, "the share lacks a set of its holder")}
		}
		e.share, e.Evaluator = it.share.Sets, of
	}
	a := api.ItemAnswer{Epoch: it.epoch.Number, Index: it.share.Index}
	if !it.symmetric.each {
		sum := e.Sum(it.symmetric.input)
		a.Partial = sum[:]
		return a
	}
	for _, v := range e.Values(it.symmetric.input) {
		a.Values = append(a.Values, v[:]...)
	}
	return a
}
