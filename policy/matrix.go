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
	Verdict   string   `json:"verdict"`
	Rules     []string `json:"rules,omitempty"`
}

// Matrix says for every principal named and every key given what is possible:
// rows in the order of [Policy.Principals], then keys as given. labels are those of the
// keys that have some, by name; a key that is not in it has none.
func (p *Policy) Matrix(keys []string, labels map[string]map[string]string) []Cell {
	var out []Cell
	for _, principal := range p.Principals() {
		for _, key := range keys {
			asked := Request{Action: Unwrap, KeyName: key, Labels: labels[key]}
			v, rules := p.Possible(principal, asked)
			word := v.String()
			if without, _ := p.Possible(principal, asked, "grants"); v != Never && without == Never {
				word = WithGrant
			}
			out = append(out, Cell{principal, key, word, rules})
		}
	}
	return out
}
