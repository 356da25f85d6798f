package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Clause is a rule that has a say, with the conditions that it depends on, in
// Cedar, as they were signed.
type Clause struct {
	Rule       string   `json:"rule"`
	Effect     string   `json:"effect"`               // permit, forbid
	Conditions []string `json:"conditions,omitempty"` // each begins with when or unless; none: it applies
}

// Could is [Policy.Possible] with everything open, and the rules that the verdict
// comes from, in the order of the text: permits that apply or may, and forbids that
// may. There are none with [Never].
func (p *Policy) Could(principal string, r Request) (Verdict, []Clause) {
	v, _ := p.Possible(principal, r)
	if v == Never {
		return Never, nil
	}
	env, resource := p.openly(principal, r, nil)
	concerned := map[cedar.PolicyID]bool{}
	for id := range p.about(resource).All() {
		concerned[id] = true
	}
	var clauses []Clause
	for _, rule := range p.rules {
		if !concerned[rule.id] {
			continue
		}
		residue, kept := eval.PartialPolicy(env, rule.ast())
		if !kept {
			continue
		}
		c := Clause{Rule: string(rule.id), Effect: "permit"}
		if rule.policy.Effect() == cedar.Forbid {
			c.Effect = "forbid"
		}
		if len(residue.Conditions) > 0 {
			for i, condition := range rule.ast().Conditions {
				word := "when "
				if condition.Condition == ast.ConditionUnless {
					word = "unless "
				}
				c.Conditions = append(c.Conditions, word+conditionText(rule.policy, i))
			}
		}
		clauses = append(clauses, c)
	}
	return v, clauses
}
