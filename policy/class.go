package policy

import "github.com/cedar-policy/cedar-go/types"

// Class is what kind of caller a principal is.
type Class string

// The classes a policy can give. The fourth, custodian, needs no policy.
const (
	None        Class = "none"        // not named in the entities
	Application Class = "application" // envelopes
	Operator    Class = "operator"    // status, metrics, own node's audit
	Auditor     Class = "auditor"     // all audit, read-only
)

// Groups that make a class.
const (
	groupOperators = "operators"
	groupAuditors  = "auditors"
)

// Class returns the class of a principal. Who is in both groups is an auditor,
// the class that may only read.
func (p *Policy) Class(principal string) Class {
	if class, ok := p.classes[principal]; ok {
		return class
	}
	return None
}

// classes finds the class of every principal named in entities.
func classes(entities types.EntityMap) map[string]Class {
	found := map[string]Class{}
	for u := range entities {
		if u.Type != typePrincipal {
			continue
		}
		groups := ancestors(entities, u)
		switch {
		case groups[uid(typeGroup, groupAuditors)]:
			found[string(u.ID)] = Auditor
		case groups[uid(typeGroup, groupOperators)]:
			found[string(u.ID)] = Operator
		default:
			found[string(u.ID)] = Application
		}
	}
	return found
}

// ancestors returns every group u is in, by any path.
func ancestors(entities types.EntityMap, u types.EntityUID) map[types.EntityUID]bool {
	seen := map[types.EntityUID]bool{}
	for todo := []types.EntityUID{u}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for parent := range entities[next].Parents.All() {
			if !seen[parent] {
				seen[parent] = true
				todo = append(todo, parent)
			}
		}
	}
	return seen
}
