package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// The actions.
const (
	// Unwrap is opening an envelope, of either kind of key.
	Unwrap = "unwrap"
	// Encrypt is making an envelope of a symmetric key. Who may can open what it made.
	Encrypt = "encrypt"
	// UnwrapBranch is holding the key of a branch of a symmetric key, which makes and
	// opens all items of the branch: whoever has it asks nobody until its interval is
	// over, and no revoke takes it away. To make items it takes [Encrypt] as well.
	UnwrapBranch = "unwrapBranch"
)

// Actions lists the actions, in the order in which tools speak of them.
func Actions() []string { return []string{Unwrap, Encrypt, UnwrapBranch} }

// CheckAction says whether there is such an action.
func CheckAction(action string) error {
	if !slices.Contains(Actions(), action) {
		return fmt.Errorf("there is no action %q, only %s", action, and(Actions()))
	}
	return nil
}

// and lists words in a sentence.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// Request is what a policy decides on.
type Request struct {
	Principal    string            // SPIFFE ID
	Action       string            // one of [Actions]
	Branch       time.Duration     // context.branchSeconds: how long the interval is, of [UnwrapBranch] alone
	KeyID        [32]byte          // resource.id, in hex
	KeyName      string            // the resource itself, and resource.name
	Labels       map[string]string // tags of the resource
	Context      map[string]string // the envelope's: context.envelope
	SourceIP     netip.Addr        // context.source; absent when invalid
	NodeRegion   string            // context.nodeRegion
	NodeHSM      string            // context.nodeHSM: what seals this node's shares
	CallerRegion string            // context.callerRegion
	Reason       string            // context.reason
	Grants       []string          // context.grants: names of the approvals that the request's grant meets
	Now          time.Time         // this node's clock: context.time, in the document's zone
}

// Decision is the answer, and what a record needs to explain it.
type Decision struct {
	Allowed bool     `json:"allowed"`
	Rules   []string `json:"rules,omitempty"`  // ids of the policies that decided, sorted
	Errors  []string `json:"errors,omitempty"` // what could not be evaluated, sorted; any of it denies
	// Needs are the approvals of which any one, or all together, would make of this
	// no a yes: the request needs a grant. It is a denial all the same.
	Needs []string `json:"needs_grant,omitempty"`
}

// Decide evaluates r, or recalls that it was a yes. It is safe for concurrent use, and the
// same for the same document and request on every node. Nobody changes what is in a
// decision.
func (p *Policy) Decide(r Request) Decision {
	var few [maxQuestion]byte
	question, short := p.question(few[:0], &r)
	if short {
		if d, known := p.remembered.recall(question); known {
			return d
		}
	}
	d := p.decide(r)
	if d.Allowed && short {
		p.remembered.keep(question, d)
	}
	if !d.Allowed && len(d.Errors) == 0 && len(p.approvals) > 0 {
		d.Needs = p.needs(r)
	}
	return d
}

// needs finds what grants would do for a request that is denied.
func (p *Policy) needs(r Request) []string {
	given := r.Grants
	if r.Grants = p.everybody; !p.decide(r).Allowed {
		return nil
	}
	var out []string
	for _, name := range p.everybody {
		if r.Grants = append(slices.Clone(given), name); p.decide(r).Allowed {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		out = slices.Clone(p.everybody)
	}
	slices.Sort(out)
	return out
}

func (p *Policy) decide(r Request) Decision {
	if err := p.mayAsk(r.Principal); err != nil {
		return Decision{Errors: []string{err.Error()}}
	}
	resource := uid(typeKey, r.KeyName)
	decision, diagnostic := cedar.Authorize(p.about(resource), overlay{p.entities, p.key(resource, r)}, cedar.Request{
		Principal: uid(typePrincipal, r.Principal),
		Action:    uid(typeAction, r.Action),
		Resource:  resource,
		Context:   p.context(r),
	})
	d := Decision{Allowed: decision == cedar.Allow && len(diagnostic.Errors) == 0}
	for _, reason := range diagnostic.Reasons {
		d.Rules = append(d.Rules, string(reason.PolicyID))
	}
	for _, e := range diagnostic.Errors {
		d.Errors = append(d.Errors, fmt.Sprintf("%s: %s", e.PolicyID, e.Message))
	}
	slices.Sort(d.Rules)
	slices.Sort(d.Errors)
	return d
}

// mayAsk says whether the class of a principal may use keys at all: operators and
// auditors may not, whatever the policies say.
func (p *Policy) mayAsk(principal string) error {
	switch class := p.Class(principal); class {
	case None:
		return errors.New("the policy names no such principal")
	case Operator, Auditor:
		return fmt.Errorf("an %s does not use keys", class)
	}
	return nil
}

// about returns the policies that can apply to resource: those whose scope
// names another key are never evaluated, so a thousand keys with a policy each
// cost what one does.
func (p *Policy) about(resource types.EntityUID) slice {
	return slice{p.general, p.byKey[resource]}
}

// slice is part of a policy set.
type slice [2][]rule

// All implements [cedar.PolicyIterator].
func (s slice) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, part := range s {
			for _, r := range part {
				if !yield(r.id, r.policy) {
					return
				}
			}
		}
	}
}

// overlay is the document's entities with the request's key in front.
type overlay struct {
	entities types.EntityMap
	key      types.Entity
}

// Get implements [types.EntityGetter].
func (o overlay) Get(uid types.EntityUID) (types.Entity, bool) {
	if uid == o.key.UID {
		return o.key, true
	}
	return o.entities.Get(uid)
}

// key is the resource: its groups are the document's to say, all else is the ledger's.
func (p *Policy) key(resource types.EntityUID, r Request) types.Entity {
	tags := types.RecordMap{}
	for k, v := range r.Labels {
		tags[types.String(k)] = types.String(v)
	}
	return types.Entity{
		UID:     resource,
		Parents: p.entities[resource].Parents,
		Attributes: types.NewRecord(types.RecordMap{
			"id":   types.String(hex.EncodeToString(r.KeyID[:])),
			"name": types.String(r.KeyName),
		}),
		Tags: types.NewRecord(tags),
	}
}

func (p *Policy) context(r Request) types.Record {
	envelope := types.RecordMap{}
	for k, v := range r.Context {
		envelope[types.String(k)] = types.String(v)
	}
	grants := make([]types.Value, 0, len(r.Grants))
	for _, g := range r.Grants {
		grants = append(grants, types.String(g))
	}
	now := r.Now.In(p.zone)
	context := types.RecordMap{
		"envelope":     types.NewRecord(envelope),
		"nodeRegion":   types.String(r.NodeRegion),
		"nodeHSM":      types.String(r.NodeHSM),
		"callerRegion": types.String(r.CallerRegion),
		"reason":       types.String(r.Reason),
		"grants":       types.NewSet(grants...),
		"time": types.NewRecord(types.RecordMap{
			"hour":    types.Long(now.Hour()),
			"minute":  types.Long(now.Minute()),
			"weekday": types.String(strings.ToLower(now.Weekday().String())),
			"date":    types.String(now.Format(time.DateOnly)),
		}),
	}
	if r.Action == UnwrapBranch {
		context["branchSeconds"] = types.Long(r.Branch / time.Second)
	}
	if r.SourceIP.IsValid() {
		ip := r.SourceIP.Unmap() // an IPv4 caller on a dual-stack socket is an IPv4 caller; PrefixFrom drops a zone
		context["source"] = types.IPAddr(netip.PrefixFrom(ip, ip.BitLen()))
	}
	return types.NewRecord(context)
}
