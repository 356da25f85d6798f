package policy

import "slices"

// Principals lists who the entities name, sorted, operators and auditors too.
func (p *Policy) Principals() []string {
	out := make([]string, 0, len(p.classes))
	for name := range p.classes {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// KeysNamed lists the keys that the policies or the entities name, sorted.
func (p *Policy) KeysNamed() []string {
	seen := map[string]bool{}
	for u := range p.byKey {
		seen[string(u.ID)] = true
	}
	for u := range p.entities {
		if u.Type == typeKey {
			seen[string(u.ID)] = true
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// WithGrant is a [Cell]'s verdict where nothing is possible without a grant.
const WithGrant = "with a grant"

// Cell is one place of a [Policy.Matrix].
type Cell struct {
	Principal string   `json:"principal"`
	Key       string   `json:"key"`
	Action    string   `json:"action"`
	Verdict   string   `json:"verdict"`
	Rules     []string `json:"rules,omitempty"`
}

// Matrix says for every principal named, every key given and each of its actions what is
// possible: rows in the order of [Policy.Principals], then keys as given. Of a key whose
// type is not known, nobody is said to encrypt, or to hold branch keys, if nobody ever may.
func (p *Policy) Matrix(keys []Shared) []Cell {
	asks := func(k Shared, action string) bool {
		return k.has(action) && (action == Unwrap || k.Actions != nil || slices.ContainsFunc(p.Principals(), func(who string) bool {
			v, _ := p.Possible(who, k.Ask(action))
			return v != Never
		}))
	}
	actions := make([][]string, len(keys))
	for i, k := range keys {
		actions[i] = slices.DeleteFunc(Actions(), func(action string) bool { return !asks(k, action) })
	}
	var out []Cell
	for _, principal := range p.Principals() {
		for i, k := range keys {
			for _, action := range actions[i] {
				asked := k.Ask(action)
				v, rules := p.Possible(principal, asked)
				word := v.String()
				if without, _ := p.Possible(principal, asked, "grants"); v != Never && without == Never {
					word = WithGrant
				}
				out = append(out, Cell{principal, k.Key, action, word, rules})
			}
		}
	}
	return out
}
