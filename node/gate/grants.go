package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/policy"
)

// granted is what the grant that an item names comes to, in one state and under the
// policy of that state.
type granted struct {
	grant *authority.Grant // nil: the state has none of this id that fits the request
	meets []string         // the approvals of the policy that its signatures meet
	why   *api.Error       // why it fits not, or meets nothing
}

// grantOf holds the grant that an item names against one state: it is there, it is
// for this key, principal and action, its time has come and is not past, it is not
// revoked, and enough of those whom the policy asks have signed it. Several nodes may
// have put the same grant with other signatures; the first that meets an approval
// counts, and what a lying node put beside it counts for nothing.
func (g *Gate) grantOf(a *asked, it *item, s *ledger.State, p *policy.Policy) granted {
	id := it.request.Use.Grant
	no := func(format string, args ...any) granted {
		return granted{why: api.Refuse(api.CodeGrant, format, args...)}
	}
	best := granted{why: api.Retry(api.CodeGrant, "this node has no such grant, or not yet")}
	for _, put := range s.GrantsNamed(id) {
		e, err := authority.ParseEntry(put.Entry)
		if err != nil {
			return no("%v", err) // the ledger took it: it cannot be
		}
		grant, err := authority.ParseGrant(e)
		if err != nil {
			return no("%v", err)
		}
		if grant.Principal != a.caller.Principal {
			return best // whose it is, is not said
		}
		if by, is := s.Revoked(authority.Subject{Kind: authority.SubjectGrant, Name: id.String()}); is {
			return no("the grant is revoked by %s", by)
		}
		now := g.cfg.Now().UnixMilli()
		switch {
		case grant.Key != it.key.ID || grant.Action != a.request.action:
			return no("the grant is for another key or action")
		case s.Time() > grant.NotAfter:
			return no("the grant has expired, by ledger time")
		case now > grant.NotAfter:
			return no("the grant has expired, by this node's clock")
		case now < grant.NotBefore:
			return granted{why: api.Retry(api.CodeGrant, "the grant's time has not come: from %s on", time.UnixMilli(grant.NotBefore).UTC().Format(time.RFC3339))}
		case it.request.Use.Slot < 1 || it.request.Use.Slot > grant.Uses:
			return no("the grant has the uses 1 to %d, not %d", grant.Uses, it.request.Use.Slot)
		}
		this := granted{grant: grant}
		if this.meets = a.approvedBy(put, e, p); len(this.meets) > 0 {
			return this
		}
		this.why = api.Refuse(api.CodeGrant, "the grant is signed by fewer than the policy in force asks for")
		best = this
	}
	return best
}

// approvedBy is [ApprovedBy], worked out once for the items of a request.
func (a *asked) approvedBy(put *ledger.Granted, e *authority.Entry, p *policy.Policy) []string {
	k := approving{&put.Entry[0], p}
	meets, known := a.approved[k]
	if !known {
		meets = ApprovedBy(e, p)
		if a.approved == nil {
			a.approved = map[approving][]string{}
		}
		a.approved[k] = meets
	}
	return meets
}

// approving is a grant as one node has put it, and a policy.
type approving struct {
	entry  *byte
	policy *policy.Policy
}

// needsGrant is what a caller hears whose request a grant would carry.
func needsGrant(needs []string, why *api.Error) *api.Error {
	if why == nil {
		why = api.Refuse(api.CodeGrant, "none was named, or it was approved by others")
	}
	return &api.Error{Code: why.Code, Retryable: why.Retryable, Sentence: fmt.Sprintf("the policy demands a grant (%s): %s", strings.Join(needs, ", "), why.Sentence)}
}

// requestDigest is what a slot is bound to: an envelope and its context. The request's
// id is not in it, so that a retry takes no second slot.
func (it *item) requestDigest() api.Digest {
	hash := it.hash()
	return tag.Hash(tag.GrantUse, hash[:], it.request.Context.Canonical())
}

// use is the item's use of its grant; it has one.
func (it *item) use() use {
	return use{
		grant: it.request.Use.Grant, principal: it.grant.Principal, notAfter: it.grant.NotAfter, slot: it.request.Use.Slot, uses: it.grant.Uses,
		request: it.requestDigest(),
	}
}

// checkBudgets looks whether the slot of the item's grant is free and its rates have
// room. It takes nothing: that is for [Gate.spend], when all else has said yes.
func (g *Gate) checkBudgets(a *asked, it *item) *api.Error {
	if it.grant != nil {
		if ok, next := g.cfg.Slots.free(it.use()); !ok {
			return it.boundElsewhere(next)
		}
	}
	if it.spent {
		return nil
	}
	return g.checkRates(a, it, a.states())
}

// checkRates looks at the rates of the policies of some states.
func (g *Gate) checkRates(a *asked, it *item, states []*ledger.State) *api.Error {
	for _, s := range states {
		p, err := g.cfg.Policy(s)
		if err != nil {
			return denied()
		}
		if by, wait := g.cfg.Rates.take(p.Rates(), a.caller.Principal, it.key.Name, true); by != nil {
			return overRate(by, wait)
		}
	}
	return nil
}

func overRate(by *policy.Rate, wait time.Duration) *api.Error {
	return api.Retry(api.CodeRate, "the rate %s lets %d through in each %v at this node; again in %v", by.Name, by.Count, by.Per, max(wait.Round(time.Millisecond), time.Millisecond))
}

// boundElsewhere refuses an item whose slot another request has.
func (it *item) boundElsewhere(next uint32) *api.Error {
	it.nextSlot = next
	it.why = "grant: its uses are bound to other requests"
	if next == 0 {
		return api.Refuse(api.CodeGrant, "all %d uses of the grant are bound to other requests at this node", it.grant.Uses)
	}
	return api.Retry(api.CodeSlot, "use %d of the grant is bound to another request at this node; ask for use %d", it.request.Use.Slot, next)
}

// spend charges the rates, and binds the slots of those items that every step has let
// through, durably, before anything is recorded of them or leaves.
func (g *Gate) spend(ctx context.Context, a *asked, items []*item) {
	var uses []use
	var of []*item
	p, err := g.cfg.Policy(a.committed)
	for _, it := range items {
		if it.refusal != nil {
			continue
		}
		if err != nil {
			it.refusal = denied()
			continue
		}
		if by, wait := g.cfg.Rates.take(p.Rates(), a.caller.Principal, it.key.Name, false); by != nil {
			it.refusal = overRate(by, wait)
			continue
		}
		it.spent = true
		if it.grant != nil {
			uses, of = append(uses, it.use()), append(of, it)
		}
	}
	if len(uses) == 0 {
		return
	}
	ledgerTime, now := a.committed.Time(), g.cfg.Now().UnixMilli()
	over := func(notAfter int64) bool { return ledgerTime > notAfter && now > notAfter }
	ok, err := g.cfg.Slots.bind(ctx, uses, over)
	for i, it := range of {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			it.refusal = api.Retry(api.CodeOverloaded, "the use of the grant was not durable in time")
		case errors.Is(err, errNoPart):
			it.why = "grant: " + errNoPart.Error()
			it.refusal = api.Retry(api.CodeGrant, "%v at this node: %d that have not expired", errNoPart, MaxSlotsOfPrincipal)
		case err != nil:
			it.why = "grant: " + err.Error()
			it.refusal = api.Retry(api.CodeGrant, "this node cannot make the use of a grant durable")
		case !ok[i]:
			_, next := g.cfg.Slots.free(uses[i])
			it.refusal = it.boundElsewhere(next)
		default: // the record says which use it is, and not which was named
			it.request.Use = &api.Use{Grant: uses[i].grant, Slot: g.cfg.Slots.boundTo(uses[i])}
		}
	}
}

// ApprovedBy lists the approvals of a policy that a grant's signatures meet, sorted.
// An unwrap asks the same, among other things.
func ApprovedBy(e *authority.Entry, p *policy.Policy) []string {
	var keys [][]byte
	for _, who := range p.Approvers() {
		keys = append(keys, who.Key)
	}
	var signed []string
	for _, key := range authority.Approvers(e, keys) {
		i := slices.IndexFunc(p.Approvers(), func(who policy.Approver) bool { return string(who.Key) == string(key) })
		signed = append(signed, p.Approvers()[i].Name)
	}
	return p.Met(signed)
}
