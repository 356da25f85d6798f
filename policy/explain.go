package policy

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	written "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Finding says what one policy made of a request.
type Finding struct {
	Rule    string `json:"rule"`
	Effect  string `json:"effect"` // permit, forbid
	Line    int    `json:"line"`
	Applies bool   `json:"applies"`
	Why     string `json:"why"` // the first part that does not fit, or "everything fits"
}

// Explanation is a decision with what led to it.
type Explanation struct {
	Decision
	Findings []Finding `json:"findings"` // of every policy, in the order of the text
	Rates    []Rate    `json:"rates,omitempty"`
}

// Explain decides r as [Policy.Decide] does, and says of every policy whether it
// applies and, if not, which of its parts does not fit first.
func (p *Policy) Explain(r Request) Explanation {
	x := Explanation{Decision: p.Decide(r)}
	if p.mayAsk(r.Principal) != nil {
		return x
	}
	resource := uid(typeKey, r.KeyName)
	env := eval.Env{
		Principal: uid(typePrincipal, r.Principal), Action: uid(typeAction, r.Action), Resource: resource,
		Context: p.context(r), Entities: overlay{p.entities, p.key(resource, r)},
	}
	for _, rule := range p.rules {
		f := Finding{Rule: string(rule.id), Effect: "permit", Line: rule.policy.Position().Line}
		if rule.policy.Effect() == cedar.Forbid {
			f.Effect = "forbid"
		}
		f.Applies, f.Why = rule.fits(env)
		x.Findings = append(x.Findings, f)
	}
	for _, rate := range p.rates {
		if rate.Applies(r.Principal, r.KeyName) {
			x.Rates = append(x.Rates, rate)
		}
	}
	return x
}

// fits says whether every part of the policy fits, in the order in which it is
// written, and the first that does not.
func (r rule) fits(env eval.Env) (bool, string) {
	tree := r.ast()
	anyone, anything, anyKey := *tree, *tree, *tree
	for _, part := range []struct {
		says  string
		alone *ast.Policy // the policy with nothing but this part
	}{
		{"who: it is for " + scope(tree.Principal, "any principal"), only(&anyone, true, false, false)},
		{"what: it is for " + scope(tree.Action, "any action"), only(&anything, false, true, false)},
		{"key: it is for " + scope(tree.Resource, "any key"), only(&anyKey, false, false, true)},
	} {
		if _, fits := eval.PartialPolicy(env, part.alone); !fits {
			return false, part.says
		}
	}
	for i, c := range tree.Conditions {
		v, err := eval.Eval(c.Body, env)
		word, text := "when", conditionText(r.policy, i)
		if c.Condition == ast.ConditionUnless {
			word = "unless"
		}
		switch {
		case err != nil:
			return false, fmt.Sprintf("%s cannot be evaluated, which denies: %v", word, err)
		case v != types.Boolean(c.Condition):
			return false, fmt.Sprintf("%s does not hold: %s", word, text)
		}
	}
	return true, "everything fits"
}

// only leaves one part of a policy's scope, and no conditions.
func only(p *ast.Policy, principal, action, resource bool) *ast.Policy {
	p.Conditions = nil
	if !principal {
		p.Principal = ast.ScopeTypeAll{}
	}
	if !action {
		p.Action = ast.ScopeTypeAll{}
	}
	if !resource {
		p.Resource = ast.ScopeTypeAll{}
	}
	return p
}

// conditionText is the i-th clause in Cedar, on one line.
func conditionText(p *cedar.Policy, i int) string {
	alone := *(*ast.Policy)(p.AST())
	alone.Conditions = alone.Conditions[i : i+1]
	text := string(cedar.NewPolicyFromAST((*written.Policy)(&alone)).MarshalCedar())
	_, clause, _ := strings.Cut(text, "{")
	return strings.Join(strings.Fields(clause[:max(0, strings.LastIndex(clause, "}"))]), " ")
}
