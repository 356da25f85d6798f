package gate

import (
	"context"
	"time"

	"warifu.dev/api"
	"warifu.dev/policy"
	"warifu.dev/sharing/tprf"
)

// Branch decides on each branch of a request and answers with this node's part of its key,
// or a refusal, in order. It is one release of [Gate.Unwrap]'s kind for all items of the
// branch: the policy is asked once, about the pairs that the branch names and about how
// long its interval is. The error, if any, is an *[api.Error] about the whole request.
func (g *Gate) Branch(ctx context.Context, caller *Caller, req *api.BranchRequest) (*api.UnwrapAnswer, error) {
	q, items, err := branching(req)
	if err != nil {
		return nil, err
	}
	return g.answer(ctx, caller, q, items)
}

// RefuseBranch is [Gate.Refuse] of a request for branch keys.
func (g *Gate) RefuseBranch(ctx context.Context, caller *Caller, req *api.BranchRequest, refusal *api.Error, why string) error {
	q, items, err := branching(req)
	if err != nil {
		return err
	}
	return g.refuse(ctx, caller, q, items, refusal, why)
}

func branching(req *api.BranchRequest) (*question, []*item, error) {
	q := &question{RequestID: req.RequestID, Reason: req.Reason, Region: req.Region, action: policy.UnwrapBranch, each: req.Each}
	items := make([]*item, len(req.Items))
	for i := range req.Items {
		items[i] = &item{branch: &req.Items[i], request: api.UnwrapItem{Context: req.Items[i].Context, Use: req.Items[i].Use}}
	}
	return q, items, q.wellFormed(len(items), req.Sets)
}

// readBranch takes what a branch key is asked for. Of one that is to encrypt, whose it is
// the connection has proved.
func (it *item) readBranch(cluster api.ClusterID, caller *Caller, each bool) *api.Error {
	b := it.branch
	if err := api.CheckInterval(b.From, b.Seconds); err != nil {
		return api.Refuse(api.CodeMalformed, "%v", err)
	}
	if b.Principal != "" {
		if err := api.CheckPrincipal(b.Principal); err != nil {
			return api.Refuse(api.CodeMalformed, "%v", err)
		}
	}
	branch := tprf.Branch{
		Key: tprf.Key{Cluster: cluster, ID: b.Key, Version: b.Version}, Context: it.request.Context.Canonical(),
		Interval: tprf.Interval{From: b.From, Seconds: b.Seconds}, Principal: it.writer(caller.Principal),
	}
	it.symmetric = &symmetric{key: branch.Key, input: branch.Input(), each: each}
	return nil
}

// writer is whose items the branch has, if this principal asks.
func (it *item) writer(asks string) string {
	if it.makes() {
		return asks
	}
	return it.branch.Principal
}

// makes says whether what is asked for is to encrypt.
func (it *item) makes() bool {
	return it.encrypt != nil || it.branch != nil && it.branch.Principal == ""
}

// checkInterval holds a branch's interval against this node's clock. A branch key that was
// given out before its interval has begun would outlive a revoke that comes meanwhile by
// more than the interval; one for encrypting into an interval that is over would put new
// items where a key is that was released long ago.
func (g *Gate) checkInterval(_ *asked, it *item) *api.Error {
	if it.branch == nil {
		return nil
	}
	now, from := g.cfg.Now(), time.Unix(it.branch.From, 0)
	end := from.Add(time.Duration(it.branch.Seconds) * time.Second)
	switch {
	case now.Before(from):
		return api.Retry(api.CodeInterval, "the interval of the branch has not begun by this node's clock: from %s on", from.UTC().Format(time.RFC3339))
	case it.makes() && !now.Before(end.Add(api.BranchSkew)):
		return api.Retry(api.CodeInterval, "the interval of the branch is over by this node's clock: nothing is encrypted in it after %s", end.UTC().Format(time.RFC3339))
	}
	return nil
}
