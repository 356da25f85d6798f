package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Holder is a node that holds a share, as far as a policy can tell one from
// another.
type Holder struct {
	Node   string
	Region string
}

// Shared is a key, and how it is shared.
type Shared struct {
	Key     string
	ID      [32]byte // zeros: it is not known, and rules about an id are about another
	Actions []string // that its type has; nil: it is not known
	T       int
	F       int // how many of the holders asked may lie
	Holders []Holder
	Labels  map[string]string
}

// Takes is how many holders must say yes to an action: those who encrypt check each
// other, so that a client asks t+f of them.
func (k *Shared) Takes(action string) int {
	if action == Encrypt {
		return k.T + k.F
	}
	return k.T
}

// Ask is a request for an action with the key, of which nothing else is said.
func (k *Shared) Ask(action string) Request {
	return Request{Action: action, KeyID: k.ID, KeyName: k.Key, Labels: k.Labels}
}

// has says whether the key's type has an action, as far as it is known.
func (k *Shared) has(action string) bool {
	return k.Actions == nil || slices.Contains(k.Actions, action)
}

// Warning is a thing about a policy that its author should look at.
type Warning struct {
	Code     string `json:"code"`
	Rule     string `json:"rule,omitempty"` // the policy's id
	Line     int    `json:"line,omitempty"`
	Sentence string `json:"sentence"`
}

// Codes of warnings.
const (
	WarnBroadPrincipal = "broad-principal"      // a permit for anyone
	WarnBroadKey       = "broad-key"            // a permit for any key
	WarnNobody         = "nobody"               // a policy that no principal of the entities meets
	WarnUnknown        = "unknown-name"         // a scope names what the entities do not
	WarnForbidsAll     = "forbids-all"          // a forbid that always applies
	WarnClass          = "operator-permitted"   // a permit for who never uses keys
	WarnFewerThanT     = "fewer-than-threshold" // too few nodes can ever say yes
	WarnNoApproval     = "no-approval"          // a rule asks for an approval that the document does not have
	WarnUnasked        = "unasked-approval"     // an approval that no rule asks for
	WarnRate           = "rate-of-nobody"       // a rate for a principal that the entities do not name
	WarnWriterOpens    = "writer-opens"         // who may encrypt can open what it encrypted, and may not unwrap
	WarnOffline        = "offline-wrap"         // a rule about encrypting with a key under which nobody asks
	WarnBranch         = "branch-permitted"     // a permit for any action of a symmetric key: that of branch keys too
)

// Lint looks for what compiles and is probably not meant, in the order of the
// text. keys says how each key of the cluster is shared; without it the regions of
// nodes and the types of keys are not looked at.
func (p *Policy) Lint(keys []Shared) []Warning {
	var out []Warning
	for _, r := range p.rules {
		out = append(out, p.lintRule(r)...)
	}
	for _, who := range p.Principals() {
		class := p.Class(who)
		if class != Operator && class != Auditor {
			continue
		}
		var may, by []string
		for _, action := range Actions() {
			if v, rules := p.anyKey(who, action); v != Never {
				may, by = append(may, action), append(by, rules...)
			}
		}
		if len(may) > 0 {
			slices.Sort(by)
			out = append(out, Warning{
				Code: WarnClass, Rule: strings.Join(slices.Compact(by), ", "),
				Sentence: fmt.Sprintf("%s is an %s and may %s", who, p.Class(who), and(may)),
			})
		}
	}
	out = append(out, p.lintLimits()...)
	out = append(out, p.lintWriters(keys)...)
	out = append(out, p.lintBranches(keys)...)
	for _, k := range keys {
		out = append(out, p.lintOffline(k)...)
		for _, action := range Actions() {
			if k.has(action) {
				out = append(out, p.lintRegions(k, action)...)
			}
		}
	}
	return out
}

// lintWriters looks for who may encrypt and not unwrap. Whoever encrypts under a symmetric
// key is given what opens it: a rule that means to keep writers from reading keeps nobody.
func (p *Policy) lintWriters(keys []Shared) []Warning {
	if keys == nil {
		for _, name := range append(p.KeysNamed(), "") {
			keys = append(keys, Shared{Key: name})
		}
	}
	var out []Warning
	for _, who := range p.Principals() {
		of := map[string][]string{} // keys, by the rules that let it encrypt
		for _, k := range keys {
			if !k.has(Encrypt) {
				continue
			}
			r := k.Ask(Encrypt)
			writes, by := p.Possible(who, r)
			r.Action = Unwrap
			if reads, _ := p.Possible(who, r); writes == Never || reads != Never {
				continue
			}
			name := "any other key"
			if k.Key != "" {
				name = fmt.Sprintf("the key %q", k.Key)
			}
			rules := strings.Join(by, ", ")
			of[rules] = append(of[rules], name)
		}
		for _, rules := range slices.Sorted(maps.Keys(of)) {
			out = append(out, Warning{Code: WarnWriterOpens, Rule: rules, Sentence: fmt.Sprintf(
				"%s may encrypt under %s and not unwrap: it can open what it encrypted all the same. Where writers must not read, use an asymmetric key",
				who, strings.Join(of[rules], ", "))})
		}
	}
	return out
}

// lintOffline looks for rules about encrypting with an asymmetric key by name: everybody
// wraps under it offline, and no policy is asked.
func (p *Policy) lintOffline(k Shared) []Warning {
	var out []Warning
	for _, r := range p.byKey[uid(typeKey, k.Key)] {
		if only, ok := r.ast().Action.(ast.ScopeTypeEq); ok && !k.has(Encrypt) && (only.Entity == uid(typeAction, Encrypt) || only.Entity == uid(typeAction, UnwrapBranch)) {
			out = append(out, Warning{WarnOffline, string(r.id), r.policy.Position().Line, fmt.Sprintf(
				"the key %q is asymmetric: whoever has its public half wraps under it offline, and no policy is asked", k.Key)})
		}
	}
	return out
}

// lintBranches looks for permits that name no action, where they are about a symmetric key:
// they permit branch keys, which a revoke does not take away before their interval is over.
func (p *Policy) lintBranches(keys []Shared) []Warning {
	var out []Warning
	for _, r := range p.rules {
		if _, any := r.ast().Action.(ast.ScopeTypeAll); !any || r.policy.Effect() == cedar.Forbid {
			continue
		}
		var of []string
		for _, k := range keys {
			about := slices.ContainsFunc(slices.Concat(p.general, p.byKey[uid(typeKey, k.Key)]), func(o rule) bool { return o.id == r.id })
			if k.Actions != nil && k.has(UnwrapBranch) && about {
				of = append(of, fmt.Sprintf("%q", k.Key))
			}
		}
		if len(of) > 0 {
			out = append(out, Warning{WarnBranch, string(r.id), r.policy.Position().Line, fmt.Sprintf(
				"it names no action, and so permits branch keys of %s: who has one asks nobody until its interval is over, after a revoke too. Name the actions that are meant", strings.Join(of, ", "))})
		}
	}
	return out
}

// lintLimits holds what rules ask for against what the document has.
func (p *Policy) lintLimits() []Warning {
	var out []Warning
	asked := map[string]bool{}
	for _, r := range p.rules {
		for _, name := range asksFor(r.ast()) {
			if asked[name] = true; !slices.Contains(p.everybody, name) {
				out = append(out, Warning{WarnNoApproval, string(r.id), r.policy.Position().Line, fmt.Sprintf("it asks for the approval %q, which no grant can have", name)})
			}
		}
	}
	for _, name := range p.everybody {
		if !asked[name] {
			out = append(out, Warning{Code: WarnUnasked, Sentence: fmt.Sprintf("no rule asks for the approval %q", name)})
		}
	}
	for _, r := range p.rates {
		if _, named := p.classes[r.Principal]; r.Principal != "" && !named {
			out = append(out, Warning{Code: WarnRate, Sentence: fmt.Sprintf("the rate %q is for %s, who is not in the entities", r.Name, r.Principal)})
		}
	}
	return out
}

// asksFor lists the approvals that a policy asks for as
// context.grants.contains("NAME"), or in the set of a containsAny or containsAll.
func asksFor(tree *ast.Policy) []string {
	var out []string
	add := func(of, what ast.IsNode) {
		access, ok := of.(ast.NodeTypeAccess)
		if !ok || access.Value != "grants" {
			return
		}
		ast.Inspect(ast.NewNode(what), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok {
				if name, ok := v.Value.(types.String); ok {
					out = append(out, string(name))
				}
			}
			return true
		})
	}
	for _, c := range tree.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeTypeContains:
				add(n.Left, n.Right)
			case ast.NodeTypeContainsAny:
				add(n.Left, n.Right)
			case ast.NodeTypeContainsAll:
				add(n.Left, n.Right)
			}
			return true
		})
	}
	return out
}

// Bounds says, for every rate and every key it is about, how many requests of one
// principal the cluster releases at most: whoever reads the rate of one node would
// guess too little.
func (p *Policy) Bounds(keys []Shared) []string {
	var out []string
	for _, r := range p.rates {
		for _, k := range keys {
			if r.Key == "" || r.Key == k.Key {
				out = append(out, fmt.Sprintf("rate %s: with the key %s one principal is released at most %d requests in each %v, and as many at once: h·r/t = %d·%d/%d",
					r.Name, k.Key, r.ClusterBound(len(k.Holders), k.T, 0), r.Per, len(k.Holders), r.Count, k.T))
			}
		}
	}
	return out
}

func (p *Policy) lintRule(r rule) []Warning {
	var out []Warning
	warn := func(code, sentence string, args ...any) {
		out = append(out, Warning{code, string(r.id), r.policy.Position().Line, fmt.Sprintf(sentence, args...)})
	}
	tree := r.ast()
	everyone := isAll(tree.Principal, typePrincipal)
	everything := isAll(tree.Resource, typeKey)
	if r.policy.Effect() == cedar.Forbid {
		if everyone && everything && everyAction(tree.Action) && len(tree.Conditions) == 0 {
			warn(WarnForbidsAll, "it always applies: nothing is ever permitted")
		}
		return out
	}
	if everyone {
		warn(WarnBroadPrincipal, "it permits every principal that the entities name, those of a later document too")
	}
	if everything {
		warn(WarnBroadKey, "it permits every key, those that are made later too")
	}
	unknown := p.unknown(tree)
	for _, u := range unknown {
		warn(WarnUnknown, "%s is not in the entities", name(u))
	}
	if len(unknown) == 0 && !slices.ContainsFunc(p.Principals(), func(who string) bool { return p.meets(r, who) }) {
		warn(WarnNobody, "no principal of the entities can meet it")
	}
	return out
}

// isAll says whether a scope takes in everything of a type.
func isAll(n ast.IsScopeNode, t types.EntityType) bool {
	switch n := n.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeIs:
		return n.Type == t
	}
	return false
}

// everyAction says whether a scope takes in every action.
func everyAction(n ast.IsScopeNode) bool {
	switch n := n.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeInSet:
		return !slices.ContainsFunc(Actions(), func(a string) bool { return !slices.Contains(n.Entities, uid(typeAction, a)) })
	}
	return false
}

// unknown lists the principals and groups in the policy's scope that the entities
// do not name. Keys are the ledger's to name.
func (p *Policy) unknown(tree *ast.Policy) []types.EntityUID {
	var named []types.EntityUID
	switch n := tree.Principal.(type) {
	case ast.ScopeTypeEq:
		named = append(named, n.Entity)
	case ast.ScopeTypeIn:
		named = append(named, n.Entity)
	case ast.ScopeTypeIsIn:
		named = append(named, n.Entity)
	}
	switch n := tree.Resource.(type) {
	case ast.ScopeTypeIn:
		named = append(named, n.Entity)
	case ast.ScopeTypeIsIn:
		named = append(named, n.Entity)
	}
	return slices.DeleteFunc(named, func(u types.EntityUID) bool { return u.Type == typeKey || p.named(u) })
}

// named says whether the entities have u, or a member of it.
func (p *Policy) named(u types.EntityUID) bool {
	if _, ok := p.entities[u]; ok {
		return true
	}
	for other := range p.entities {
		if ancestors(p.entities, other)[u] {
			return true
		}
	}
	return false
}

// meets says whether who is in the policy's scope.
func (p *Policy) meets(r rule, who string) bool {
	switch n := r.ast().Principal.(type) {
	case ast.ScopeTypeEq:
		return n.Entity == uid(typePrincipal, who)
	case ast.ScopeTypeIn:
		return p.within(who, n.Entity)
	case ast.ScopeTypeIsIn:
		return p.within(who, n.Entity)
	}
	return true
}

func (p *Policy) within(who string, group types.EntityUID) bool {
	u := uid(typePrincipal, who)
	return u == group || ancestors(p.entities, u)[group]
}

// anyKey is the most that a principal may do with a key that the policies name, or
// with one that they do not.
func (p *Policy) anyKey(who, action string) (v Verdict, rules []string) {
	for _, key := range append(p.KeysNamed(), "") {
		got, by := p.possible(who, Request{Action: action, KeyName: key}, nil)
		v = max(v, got)
		rules = append(rules, by...)
	}
	slices.Sort(rules)
	return v, slices.Compact(rules)
}

// lintRegions counts, for everybody who may use the key at all, the holders whose
// region lets them say yes. Fewer than it takes can never open, or encrypt, anything.
func (p *Policy) lintRegions(k Shared, action string) []Warning {
	var out []Warning
	for _, who := range p.Principals() {
		yes := 0
		var by []string
		for _, h := range k.Holders {
			r := k.Ask(action)
			r.NodeRegion = h.Region
			v, rules := p.Possible(who, r, "nodeRegion")
			if v != Never {
				yes++
				by = append(by, rules...)
			}
		}
		takes := k.Takes(action)
		if yes == 0 || yes >= takes {
			continue
		}
		to := ""
		if action != Unwrap {
			to = " to " + action
		}
		slices.Sort(by)
		out = append(out, Warning{Code: WarnFewerThanT, Rule: strings.Join(slices.Compact(by), ", "), Sentence: fmt.Sprintf(
			"%s: of the %d holders of the key %q only %d can ever say yes, and it takes %d%s", who, len(k.Holders), k.Key, yes, takes, to)})
	}
	return out
}
