package auditor

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/audit"
)

// maxDecisions bounds what one question collects: 300 MiB or so. Who needs more asks
// for less at a time.
const maxDecisions = 1 << 20

// ErrTooMuch: a question has more answers than are collected at once.
var ErrTooMuch = errors.New("more than is answered at once: narrow the question")

// What nodes decided.
const (
	Released = "released"
	Refused  = "refused"
	Withheld = "withheld" // recorded as released, and kept back: a deny came in between
)

// Decisions lists the words that [Question.Decision] takes.
func Decisions() []string { return []string{Released, Refused, Withheld} }

// Question narrows what is asked for; zero fields do not.
type Question struct {
	Key       string // a key's name, or its id in hex
	Principal string // a SPIFFE ID, or part of one
	Reason    string // part of what the caller stated
	Decision  string // one of Decisions
	Since     int64  // Unix milliseconds by the clock of the node that decided
	Until     int64  // the first moment that is not asked for
	Request   string // a request id in hex
}

func (q *Question) fits(r *audit.Record) bool {
	switch {
	case q.Key != "" && r.KeyName != q.Key && hex.EncodeToString(r.Key[:]) != strings.ToLower(q.Key):
	case !strings.Contains(r.Principal, q.Principal):
	case !strings.Contains(r.Reason, q.Reason):
	case q.Since != 0 && r.Time < q.Since, q.Until != 0 && r.Time >= q.Until:
	case q.Request != "" && hex.EncodeToString(r.RequestID[:]) != strings.ToLower(q.Request):
	default:
		return true
	}
	return false
}

// At is what one node decided on one envelope of a request.
type At struct {
	Node     string   `json:"node"`
	Index    uint64   `json:"index"` // of the record in its log
	Time     int64    `json:"time_ms"`
	Decision string   `json:"decision"`
	Code     string   `json:"code,omitempty"`
	Why      string   `json:"why,omitempty"`           // what the code leaves out
	Region   string   `json:"caller_region,omitempty"` // where the caller told this node that it is
	Rules    []string `json:"rules,omitempty"`
	Policy   [32]byte `json:"-"`
	Ledger   uint64   `json:"ledger_index"`
	Grant    string   `json:"grant,omitempty"` // id of the grant that the request named
	Slot     uint32   `json:"use,omitempty"`   // which of its uses
}

// Asked is one envelope of one request, or one branch, as all nodes that were asked tell
// of it.
type Asked struct {
	RequestID [16]byte
	Principal string
	Source    string // where it came from, by the first that tells
	Reason    string
	Action    string
	Key       [32]byte
	KeyName   string
	Context   [32]byte
	Envelope  [32]byte
	// Of a branch key, which opens all that is made in the interval: when that begins, Unix
	// seconds, and how long it is. The context is of the pairs that the branch names.
	BranchFrom int64
	Branch     uint32
	Writer     string // whose items it opens
	Nodes      []At   // by node
}

// identity is what makes records of several nodes tell of one envelope.
type identity struct {
	request                [16]byte
	principal              string
	key, context, envelope [32]byte
}

// Time is when the first node decided.
func (a *Asked) Time() int64 {
	first := a.Nodes[0].Time
	for _, n := range a.Nodes {
		first = min(first, n.Time)
	}
	return first
}

// By lists the nodes with this decision.
func (a *Asked) By(decision string) []string {
	var out []string
	for _, n := range a.Nodes {
		if n.Decision == decision {
			out = append(out, n.Node)
		}
	}
	return out
}

// Rules are those that any of the nodes decided by, sorted.
func (a *Asked) Rules() []string {
	var out []string
	for _, n := range a.Nodes {
		out = append(out, n.Rules...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Grants are those that the request named, at any of the nodes, sorted.
func (a *Asked) Grants() []string {
	var out []string
	for _, n := range a.Nodes {
		if n.Grant != "" {
			out = append(out, n.Grant)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// decisions collects what nodes decided.
type decisions struct {
	question Question
	found    map[identity]*Asked
	count    int
}

// Regions lists, sorted, where the caller said that it is: one, unless it told nodes
// different things.
func (a *Asked) Regions() []string {
	var out []string
	for _, n := range a.Nodes {
		if n.Region != "" {
			out = append(out, n.Region)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func newDecisions(q Question) *decisions {
	return &decisions{question: q, found: map[identity]*Asked{}}
}

var decisionOf = map[audit.Kind]string{audit.Release: Released, audit.Refusal: Refused, audit.Withheld: Withheld}

// take is a [Visitor].
func (d *decisions) take(node string, r audit.Indexed) error {
	decision := decisionOf[r.Kind]
	if decision == "" || !d.question.fits(&r.Record) {
		return nil
	}
	id := identity{r.RequestID, r.Principal, r.Key, r.Context, r.Envelope}
	a := d.found[id]
	if a == nil {
		a = &Asked{
			RequestID: r.RequestID, Principal: r.Principal, Source: r.Source, Reason: r.Reason, Action: r.Action,
			Key: r.Key, KeyName: r.KeyName, Context: r.Context, Envelope: r.Envelope, BranchFrom: r.BranchFrom, Branch: r.Branch, Writer: r.Writer,
		}
		d.found[id] = a
	}
	at := At{
		Node: node, Index: r.Index, Time: r.Time, Decision: decision, Code: r.Code, Why: r.Why, Region: r.Region, Rules: r.Rules,
		Policy: r.PolicyDigest, Ledger: r.LedgerIndex, Slot: r.Slot,
	}
	if r.Grant != [32]byte{} {
		at.Grant = hex.EncodeToString(r.Grant[:])
	}
	if decision == Withheld { // of what the record before it says was released
		for i := len(a.Nodes) - 1; i >= 0; i-- {
			if n := &a.Nodes[i]; n.Node == node && n.Decision == Released {
				*n = at
				return nil
			}
		}
	}
	if d.count++; d.count > maxDecisions {
		return ErrTooMuch
	}
	a.Nodes = append(a.Nodes, at)
	return nil
}

// list is what was found of the nodes that are good, oldest first.
func (d *decisions) list(report *Report) []*Asked {
	bad := map[string]bool{}
	for _, n := range report.Damaged() {
		bad[n.Node] = true
	}
	var out []*Asked
	for _, a := range d.found {
		a.Nodes = slices.DeleteFunc(a.Nodes, func(n At) bool { return bad[n.Node] })
		if d.question.Decision != "" && len(a.By(d.question.Decision)) == 0 || len(a.Nodes) == 0 {
			continue
		}
		slices.SortFunc(a.Nodes, func(x, y At) int { return cmp.Or(strings.Compare(x.Node, y.Node), cmp.Compare(x.Index, y.Index)) })
		out = append(out, a)
	}
	slices.SortFunc(out, func(x, y *Asked) int {
		return cmp.Or(cmp.Compare(x.Time(), y.Time()), bytes.Compare(x.RequestID[:], y.RequestID[:]), bytes.Compare(x.Envelope[:], y.Envelope[:]))
	})
	return out
}

// Query verifies the export and finds what nodes decided, oldest first. Nodes with
// damage are left out of the answer and named in the report.
func (f *Folder) Query(given Given, q Question) ([]*Asked, *Report, error) {
	d := newDecisions(q)
	report, err := f.Verify(given, func(node string, r audit.Indexed) error {
		if r.Index < f.Manifest.node(node).From {
			return nil // of before the time that the export begins with; others like it are not here
		}
		return d.take(node, r)
	})
	if err != nil {
		return nil, nil, err
	}
	if err := overflow(report); err != nil {
		return nil, nil, err
	}
	return d.list(report), report, nil
}

// overflow tells a question that has too many answers from a damaged log.
func overflow(r *Report) error {
	for _, n := range r.Nodes {
		if errors.Is(n.Damage, ErrTooMuch) {
			return fmt.Errorf("%w (%d records)", ErrTooMuch, maxDecisions)
		}
	}
	return nil
}
