package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zones still knows the document's
	"unicode"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Entity types of the built-in schema; a schema of the document's own keeps
// these names.
const (
	typePrincipal types.EntityType = "Warifu::Principal"
	typeGroup     types.EntityType = "Warifu::Group"
	typeAction    types.EntityType = "Warifu::Action"
	typeKey       types.EntityType = "Warifu::Key"
	typeKeyGroup  types.EntityType = "Warifu::KeyGroup"
)

const (
	// MaxPolicies bounds what one decision may have to look at.
	MaxPolicies = 2000
	// MaxID bounds a policy's @id, in bytes: it stands in every audit record it decides.
	MaxID = 128
	// maxErrors bounds how many faults one message lists: a page.
	maxErrors = 20
)

// Policy is a compiled document, safe for concurrent use. Only [Compile] makes one.
type Policy struct {
	document Document
	digest   [32]byte
	zone     *time.Location
	entities types.EntityMap
	classes  map[string]Class
	rules    []rule                     // in the order of the text
	general  []rule                     // those that may apply to any key
	byKey    map[types.EntityUID][]rule // those whose scope names one key

	approvers []Approver
	approvals []Approval
	everybody []string // names of all approvals
	rates     []Rate

	looked       map[string]bool // attributes of the context that a rule looks at by name
	wholeContext bool            // a rule may look at any
	remembered   remembered
}

type rule struct {
	id     cedar.PolicyID
	policy *cedar.Policy
}

func uid(t types.EntityType, id string) types.EntityUID {
	return types.NewEntityUID(t, types.String(id))
}

// Compile parses d, gives each policy its @id (or policyN by its place, from
// 0), and validates policies and entities against the schema. Failures wrap
// [ErrBadDocument] and name line and column, or the policy.
func Compile(d Document) (*Policy, error) {
	if d.Format == 0 {
		d.Format = Format
	}
	if d.Format != Format {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrBadDocument, d.Format, Format)
	}
	if err := d.bounded(); err != nil {
		return nil, err
	}
	p := &Policy{document: d, digest: d.Digest(), byKey: map[types.EntityUID][]rule{}, remembered: newRemembered()}
	for _, step := range []struct {
		part string
		do   func() error
	}{
		{"zone", p.loadZone},
		{"limits", p.loadLimits},
		{"policies", p.parse},
		{"entities", p.loadEntities},
		{"schema", p.validate},
	} {
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadDocument, step.part, err)
		}
	}
	p.classes = classes(p.entities)
	for _, a := range p.approvals {
		p.everybody = append(p.everybody, a.Name)
	}
	p.findLooks()
	for _, r := range p.rules {
		if eq, ok := r.ast().Resource.(ast.ScopeTypeEq); ok {
			p.byKey[eq.Entity] = append(p.byKey[eq.Entity], r)
		} else {
			p.general = append(p.general, r)
		}
	}
	return p, nil
}

// Document returns what was compiled.
func (p *Policy) Document() Document { return p.document }

// Digest identifies the document that was compiled.
func (p *Policy) Digest() [32]byte { return p.digest }

func (p *Policy) loadZone() error {
	name := p.document.Zone
	if name == "Local" {
		return errors.New(`"Local" is another zone on every machine; name one, such as "Asia/Tokyo"`)
	}
	zone, err := time.LoadLocation(name) // "" is UTC
	p.zone = zone
	return err
}

// place is how cedar-go writes where it stopped.
var place = regexp.MustCompile(`(?:parse error at )?<input>:(\d+):(\d+)`)

func (p *Policy) parse() error {
	if i := tooDeep(p.document.Text); i >= 0 {
		return fmt.Errorf("line %d: nested more than %d deep", 1+strings.Count(p.document.Text[:i], "\n"), maxDepth)
	}
	list, err := cedar.NewPolicyListFromBytes("", []byte(p.document.Text))
	if err != nil {
		sentence := strings.TrimPrefix(err.Error(), "parser error: ")
		return errors.New(place.ReplaceAllString(sentence, "line $1, column $2"))
	}
	if len(list) > MaxPolicies {
		return fmt.Errorf("%d policies, at most %d", len(list), MaxPolicies)
	}
	seen := map[cedar.PolicyID]int{}
	for i, policy := range list {
		id := cedar.PolicyID(fmt.Sprintf("policy%d", i))
		line := policy.Position().Line
		if given, ok := policy.Annotations()["id"]; ok {
			id = cedar.PolicyID(given)
			if id == "" || len(id) > MaxID || strings.ContainsFunc(string(id), func(r rune) bool { return !unicode.IsPrint(r) }) {
				return fmt.Errorf("line %d: an @id has 1 to %d printable bytes", line, MaxID)
			}
		}
		if first, twice := seen[id]; twice {
			return fmt.Errorf("line %d: the id %q is taken by the policy on line %d", line, id, first)
		}
		seen[id] = line
		p.rules = append(p.rules, rule{id, policy})
	}
	return nil
}

func (r rule) ast() *ast.Policy { return (*ast.Policy)(r.policy.AST()) }

// maxDepth bounds nesting in the text: what recurses over it stays small. The
// deepest policy in Cedar's own examples nests 6.
const maxDepth = 50

// tooDeep returns where text nests deeper than maxDepth, or -1. It counts
// brackets, prefix operators in a row and conditionals in a row, outside of
// strings and comments; on text that is no Cedar it may count wrongly, and the
// parser refuses that.
func tooDeep(text string) int {
	depth, run := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			continue
		case '/':
			if i+1 < len(text) && text[i+1] == '/' {
				for i < len(text) && text[i] != '\n' {
					i++
				}
			}
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '!', '-':
			run++
		case ' ', '\n', '\t':
			if rest := text[i+1:]; strings.HasPrefix(rest, "if ") || strings.HasPrefix(rest, "else ") {
				run++
			}
		case ';', '&', '|':
			run = 0
		}
		if depth > maxDepth || run > maxDepth {
			return i
		}
	}
	return -1
}

func (p *Policy) loadEntities() error {
	p.entities = types.EntityMap{}
	if strings.TrimSpace(p.document.Entities) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(p.document.Entities), &p.entities); err != nil {
		return err
	}
	for u, e := range p.entities {
		if u.Type == typeKey && (e.Attributes.Len() > 0 || e.Tags.Len() > 0) {
			return fmt.Errorf("%v: a key's attributes and labels come from the ledger; only its groups are said here", u)
		}
		if u.Type == typeAction {
			return fmt.Errorf("%v: actions are not said here", u)
		}
	}
	return nil
}
