package policy

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Describe says the policy in words, for the eyes of who signs it. The
// conditions stay Cedar: words for them would be another program.
func (p *Policy) Describe() string {
	counts := map[Class]int{}
	for _, class := range p.classes {
		counts[class]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "policy %x\n", p.digest)
	fmt.Fprintf(&b, "principals: %d applications, %d operators, %d auditors; times in %v\n",
		counts[Application], counts[Operator], counts[Auditor], p.zone)
	for _, a := range p.approvals {
		fmt.Fprintf(&b, "approval %s: %d of %s\n", a.Name, a.Count, strings.Join(a.Of, ", "))
	}
	for _, r := range p.rates {
		fmt.Fprintf(&b, "rate %s: %v\n", r.Name, &r)
	}
	if len(p.rules) == 0 {
		b.WriteString("no policies: everything is denied\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%d policies; what none of them permits is denied, and a forbid wins\n", len(p.rules))
	for _, r := range p.rules {
		tree := r.ast()
		effect := "PERMIT"
		if r.policy.Effect() == cedar.Forbid {
			effect = "FORBID"
		}
		fmt.Fprintf(&b, "\n%s  %s (line %d)\n", effect, r.id, r.policy.Position().Line)
		fmt.Fprintf(&b, "  who   %s\n", scope(tree.Principal, "any principal"))
		fmt.Fprintf(&b, "  what  %s\n", scope(tree.Action, "any action"))
		fmt.Fprintf(&b, "  key   %s\n", scope(tree.Resource, "any key"))
		for _, line := range conditions(r.policy) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return b.String()
}

// Since says which rules are new, gone or changed since the old policy, by their
// ids, in the order of the text. A rule is changed if its Cedar is, its annotations
// included; comments and layout are no part of it. Rules without an @id are
// named by their place, and compared by it.
func (p *Policy) Since(old *Policy) (new, gone, changed []string) {
	before, now := old.cedar(), p.cedar()
	for _, r := range p.rules {
		switch text, was := before[r.id]; {
		case !was:
			new = append(new, string(r.id))
		case text != now[r.id]:
			changed = append(changed, string(r.id))
		}
	}
	for _, r := range old.rules {
		if _, is := now[r.id]; !is {
			gone = append(gone, string(r.id))
		}
	}
	return new, gone, changed
}

// cedar is each rule in canonical Cedar.
func (p *Policy) cedar() map[cedar.PolicyID]string {
	texts := map[cedar.PolicyID]string{}
	for _, r := range p.rules {
		texts[r.id] = string(r.policy.MarshalCedar())
	}
	return texts
}

// scope says one part of a policy's head in words.
func scope(n ast.IsScopeNode, all string) string {
	switch n := n.(type) {
	case ast.ScopeTypeEq:
		return name(n.Entity)
	case ast.ScopeTypeIn:
		return "in " + name(n.Entity)
	case ast.ScopeTypeInSet:
		names := make([]string, 0, len(n.Entities))
		for _, e := range n.Entities {
			names = append(names, name(e))
		}
		return "one of " + strings.Join(names, ", ")
	case ast.ScopeTypeIs:
		return "any " + string(n.Type)
	case ast.ScopeTypeIsIn:
		return "any " + string(n.Type) + " in " + name(n.Entity)
	}
	return all
}

// name drops our own namespace.
func name(u types.EntityUID) string { return strings.TrimPrefix(u.String(), "Warifu::") }

// conditions returns the lines of the policy's when and unless clauses.
func conditions(p *cedar.Policy) []string {
	var lines []string
	for line := range strings.Lines(string(p.MarshalCedar())) {
		line = strings.TrimRight(line, " \n")
		if len(lines) > 0 || strings.HasPrefix(line, "when ") || strings.HasPrefix(line, "unless ") {
			lines = append(lines, line)
		}
	}
	return lines
}
