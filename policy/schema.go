package policy

// This file alone knows cedar-go's validator, which is experimental there.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// Schema is the built-in schema. Into context.envelope go the attributes that
// the policies speak of, for only their author knows them: each a String, and
// optional where some policy asks with `has`.
const Schema = `namespace Warifu {
  entity Group in [Group];
  entity Principal in [Group];
  entity KeyGroup in [KeyGroup];
  entity Key in [KeyGroup] { id: String, name: String } tags String;
  action unwrap, encrypt appliesTo {
    principal: [Principal],
    resource: [Key],
    context: {
      envelope: {},
      source: ipaddr,
      nodeRegion: String,
      nodeHSM: String,
      callerRegion: String,
      reason: String,
      grants: Set<String>,
      time: { hour: Long, minute: Long, weekday: String, date: String },
    },
  };
  action unwrapBranch appliesTo {
    principal: [Principal],
    resource: [Key],
    context: {
      envelope: {},
      source: ipaddr,
      nodeRegion: String,
      nodeHSM: String,
      callerRegion: String,
      reason: String,
      grants: Set<String>,
      time: { hour: Long, minute: Long, weekday: String, date: String },
      branchSeconds: Long,
    },
  };
}
`

// validate holds the policies and the entities against the schema.
func (p *Policy) validate() error {
	text := p.document.Schema
	if strings.TrimSpace(text) == "" {
		text = strings.ReplaceAll(Schema, "envelope: {}", "envelope: {"+p.spokenOf()+"}")
	}
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(text)); err != nil {
		return errors.New(place.ReplaceAllString(err.Error(), "line $1, column $2"))
	}
	resolved, err := s.Resolve()
	if err != nil {
		return err
	}
	v := validate.New(resolved)
	var faults []error
	for _, r := range p.rules {
		if err := v.Policy(string(r.id), r.ast()); err != nil {
			faults = append(faults, fmt.Errorf("policy %q on line %d: %w", r.id, r.policy.Position().Line, err))
		}
	}
	for _, u := range slices.SortedFunc(maps.Keys(p.entities), func(a, b types.EntityUID) int { return strings.Compare(a.String(), b.String()) }) {
		e := p.entities[u]
		if u.Type == typeKey { // as it will be when it is asked for
			e.Attributes = types.NewRecord(types.RecordMap{"id": types.String(""), "name": types.String("")})
		}
		if err := v.Entity(e); err != nil {
			faults = append(faults, fmt.Errorf("%v: %w", u, err))
		}
	}
	if len(faults) > maxErrors {
		faults = append(faults[:maxErrors], fmt.Errorf("and %d more", len(faults)-maxErrors))
	}
	return errors.Join(faults...)
}

// spokenOf returns schema attributes for everything that follows
// context.envelope in the policies.
func (p *Policy) spokenOf() string {
	optional := map[string]bool{}
	for _, r := range p.rules {
		for _, condition := range r.ast().Conditions {
			ast.Inspect(ast.NewNode(condition.Body), func(n ast.IsNode) bool {
				switch n := n.(type) {
				case ast.NodeTypeAccess:
					if isEnvelope(n.Arg) {
						optional[string(n.Value)] = optional[string(n.Value)]
					}
				case ast.NodeTypeHas:
					if isEnvelope(n.Arg) {
						optional[string(n.Value)] = true
					}
				}
				return true
			})
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		mark := ""
		if optional[name] {
			mark = "?"
		}
		fmt.Fprintf(&b, " %s%s: String,", types.String(name).MarshalCedar(), mark)
	}
	return b.String()
}

// isEnvelope says whether n is context.envelope.
func isEnvelope(n ast.IsNode) bool {
	access, ok := n.(ast.NodeTypeAccess)
	if !ok || access.Value != "envelope" {
		return false
	}
	variable, ok := access.Arg.(ast.NodeTypeVariable)
	return ok && variable.Name == "context"
}
