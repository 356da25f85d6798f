package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Verdict is what a policy says when parts of the request are left open.
type Verdict int

// The verdicts, from no to yes.
const (
	Never     Verdict = iota // whatever the open parts are
	Sometimes                // it depends on them
	Always                   // whatever the open parts are, and nothing forbids it
)

// interval is how long a branch key is for: open where a request does not say it.
const interval types.String = "branchSeconds"

// String says the verdict in a word.
func (v Verdict) String() string { return [...]string{"never", "sometimes", "always"}[v] }

// open are the parts of a request that [Policy.Possible] leaves open.
var open = []types.String{"envelope", "source", "nodeRegion", "callerRegion", "reason", "grants", "time", "nodeHSM"}

// Possible says what the policy says of a principal and a key when nothing else is
// known but the given parts of the context, by name, and of a branch its length, unless
// that is zero. Rules are the permits that
// may apply, by id, sorted. It is Cedar's partial evaluation: what cannot be
// decided without the open parts counts as possible, so it may say Sometimes of what
// no request ever meets, and never the other way round.
func (p *Policy) Possible(principal string, r Request, known ...string) (v Verdict, rules []string) {
	if p.mayAsk(principal) != nil {
		return Never, nil
	}
	return p.possible(principal, r, known)
}

// possible is [Policy.Possible] for any class.
func (p *Policy) possible(principal string, r Request, known []string) (v Verdict, rules []string) {
	env, resource := p.openly(principal, r, known)
	forbidden := false
	for id, policy := range p.about(resource).All() {
		residue, kept := eval.PartialPolicy(env, (rule{id, policy}).ast())
		if !kept {
			continue
		}
		certain := len(residue.Conditions) == 0
		switch {
		case policy.Effect() == cedar.Permit:
			rules = append(rules, string(id))
			if certain {
				v = Always
			} else {
				v = max(v, Sometimes)
			}
		case certain:
			return Never, nil
		default:
			forbidden = true
		}
	}
	if forbidden {
		v = min(v, Sometimes)
	}
	slices.Sort(rules)
	return v, rules
}

// openly is a request of which the context is open but for the known parts.
func (p *Policy) openly(principal string, r Request, known []string) (eval.Env, types.EntityUID) {
	resource := uid(typeKey, r.KeyName)
	given := p.context(r).Map()
	context := types.RecordMap{}
	for _, name := range open {
		if slices.Contains(known, string(name)) {
			context[name] = given[name]
		} else {
			context[name] = eval.Variable(name)
		}
	}
	if r.Action == UnwrapBranch {
		if context[interval] = given[interval]; r.Branch == 0 {
			context[interval] = eval.Variable(interval)
		}
	}
	return eval.Env{
		Principal: uid(typePrincipal, principal), Action: uid(typeAction, r.Action), Resource: resource,
		Context: types.NewRecord(context), Entities: overlay{p.entities, p.key(resource, r)},
	}, resource
}
