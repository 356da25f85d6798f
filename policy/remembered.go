package policy

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"warifu.dev/internal/cache"
)

// A decision depends on the document and on the request, and on nothing else; of the
// time it knows the minute. So a yes to the very same question is remembered: it costs a
// look-up where the decision costs ten times as much. Of a request only what the rules look at is part of
// the question. Where no rule looks at the envelope's context, one decision does for all
// envelopes of a key.
const (
	// maxRemembered is how many answers are remembered at most: they take some 3 MB.
	maxRemembered = 4096
	// maxQuestion bounds what is remembered, in bytes. A longer question is decided anew.
	maxQuestion = 512
)

// remembered are answers to questions. Which of them are forgotten depends on the seed;
// what is answered does not.
type remembered struct {
	seed    maphash.Seed
	answers *cache.Cache[answer]
}

type answer struct {
	question string
	decision Decision
}

func newRemembered() remembered {
	return remembered{maphash.MakeSeed(), cache.New[answer](maxRemembered)}
}

func (m *remembered) recall(question []byte) (Decision, bool) {
	a := m.answers.Find(maphash.Bytes(m.seed, question), func(a *answer) bool { return a.question == string(question) })
	if a == nil {
		return Decision{}, false
	}
	return a.decision, true
}

func (m *remembered) keep(question []byte, d Decision) {
	d.Rules = slices.Clip(d.Rules) // whoever adds to it has a list of their own
	m.answers.Keep(maphash.Bytes(m.seed, question), &answer{string(question), d})
}

// question writes down all of r that a decision can depend on, each part with its length,
// after b. It says no if that is longer than what is remembered.
func (p *Policy) question(b []byte, r *Request) ([]byte, bool) {
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	pairs := func(m map[string]string) {
		b = binary.AppendUvarint(b, uint64(len(m)))
		if len(m) == 0 {
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			text(k)
			text(m[k])
		}
	}
	text(r.Principal)
	text(r.Action)
	if r.Action == UnwrapBranch {
		b = binary.AppendVarint(b, int64(r.Branch))
	}
	b = append(b, r.KeyID[:]...)
	text(r.KeyName)
	pairs(r.Labels)
	text(r.NodeRegion)
	text(r.NodeHSM)
	if p.looksAt("envelope") {
		size := 0
		for k, v := range r.Context {
			size += len(k) + len(v)
		}
		if size > maxQuestion {
			return nil, false
		}
		pairs(r.Context)
	}
	if p.looksAt("source") {
		a := r.SourceIP.Unmap().As16()
		if b = append(b, byte(r.SourceIP.BitLen())); r.SourceIP.IsValid() {
			b = append(b, a[:]...)
			text(r.SourceIP.Zone())
		}
	}
	if p.looksAt("callerRegion") {
		text(r.CallerRegion)
	}
	if p.looksAt("reason") {
		text(r.Reason)
	}
	if p.looksAt("grants") {
		b = binary.AppendUvarint(b, uint64(len(r.Grants)))
		for _, g := range r.Grants {
			text(g)
		}
	}
	if p.looksAt("time") {
		b = binary.AppendVarint(b, r.Now.Unix()/60)
	}
	return b, len(b) <= maxQuestion
}

// LooksAtContext says whether a rule can look at the envelope's context. Where none can, a
// decision is the same for all envelopes of a key.
func (p *Policy) LooksAtContext() bool { return p.looksAt("envelope") }

// looksAt says whether a rule can look at this attribute of the context.
func (p *Policy) looksAt(attribute string) bool { return p.wholeContext || p.looked[attribute] }

// findLooks finds out which attributes of the context the rules look at. One that does
// anything else with the context, such as to compare it, may look at all of them.
func (p *Policy) findLooks() {
	p.looked = map[string]bool{}
	for _, r := range p.rules {
		named, all := 0, 0
		name := func(n ast.StrOpNode) {
			if isContext(n.Arg) {
				named++
				p.looked[string(n.Value)] = true
			}
		}
		for _, c := range r.ast().Conditions {
			ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
				switch n := n.(type) {
				case ast.NodeTypeAccess:
					name(n.StrOpNode)
				case ast.NodeTypeHas:
					name(n.StrOpNode)
				case ast.NodeTypeVariable:
					if isContext(n) {
						all++
					}
				}
				return true
			})
		}
		p.wholeContext = p.wholeContext || all != named
	}
}

func isContext(n ast.IsNode) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == types.String("context")
}
