package policy

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"warifu.dev/api"
)

// Bounds of a document's limits. Every request is held against them.
const (
	MaxApprovers = 64        // people whom one organisation asks
	MaxApprovals = 64        // ways to ask them
	MaxRates     = 256       // looked through at each request
	MaxRateCount = 1_000_000 // above it a rate limits nothing that one node can do
	MinRatePer   = time.Second
	MaxRatePer   = 24 * time.Hour // a node that starts has it before it to the full rate
)

// limits is the part of a document that Cedar has no words for: who may approve
// grants, how many of them are enough, and how often a principal may use a key. It
// is TOML:
//
//	[[approver]]
//	name = "dr-sato"
//	key = "BASE64"            # public signing key: P-256, 65 bytes, base64url
//
//	[[approval]]              # context.grants.contains("two-doctors")
//	name = "two-doctors"
//	count = 2
//	of = ["dr-sato", "dr-mori", "dr-abe"]
//
//	[[rate]]
//	name = "ward"
//	principal = "spiffe://hospital.example/ward-terminal"  # left out: each, by itself
//	key = "patient-records"                                # left out: each, by itself
//	count = 100
//	per = "1m"
type limits struct {
	Approvers []tomlApprover `toml:"approver"`
	Approvals []Approval     `toml:"approval"`
	Rates     []tomlRate     `toml:"rate"`
}

type tomlApprover struct {
	Name string `toml:"name"`
	Key  string `toml:"key"`
}

type tomlRate struct {
	Name      string `toml:"name"`
	Principal string `toml:"principal"`
	Key       string `toml:"key"`
	Count     int    `toml:"count"`
	Per       string `toml:"per"`
}

// Approver is somebody who may approve grants.
type Approver struct {
	Name string `json:"name"`
	Key  []byte `json:"key"` // P-256, 65 bytes
}

// Approval is how many of whom a grant needs. In a rule it is
// context.grants.contains("NAME").
type Approval struct {
	Name  string   `toml:"name" json:"name"`
	Count int      `toml:"count" json:"count"`
	Of    []string `toml:"of" json:"of"`
}

// Rate is how often one principal may use one key at one node: at most Count at
// once, and Count more in each Per.
type Rate struct {
	Name      string        `json:"name"`
	Principal string        `json:"principal,omitempty"` // empty: each, by itself
	Key       string        `json:"key,omitempty"`       // empty: each, by itself
	Count     int           `json:"count"`
	Per       time.Duration `json:"per_ns"`
}

// Applies says whether the rate is about this principal and this key.
func (r *Rate) Applies(principal, key string) bool {
	return (r.Principal == "" || r.Principal == principal) && (r.Key == "" || r.Key == key)
}

// ClusterBound is how many requests of one principal and key a cluster releases in
// each Per when every node lets r through: of a key's h holders t must agree, and f
// of them may not count. With f = 0 it is h·r/t.
func (r *Rate) ClusterBound(h, t, f int) int { return (h - f) * r.Count / (t - f) }

// String says the rate in words.
func (r *Rate) String() string {
	who, what := "each principal", "each key"
	if r.Principal != "" {
		who = r.Principal
	}
	if r.Key != "" {
		what = "the key " + r.Key
	}
	return fmt.Sprintf("%s with %s: at most %d at once, and %d more in each %v, at each node; of h holders of whom t must agree the cluster releases at most h·%d/t",
		who, what, r.Count, r.Count, r.Per, r.Count)
}

// Approvers lists who may approve grants, in the order of the document.
func (p *Policy) Approvers() []Approver { return p.approvers }

// Approvals lists how many of whom are asked, in the order of the document.
func (p *Policy) Approvals() []Approval { return p.approvals }

// Rates lists the rates, in the order of the document.
func (p *Policy) Rates() []Rate { return p.rates }

// Met lists the approvals that these approvers meet together, sorted.
func (p *Policy) Met(signed []string) []string {
	var out []string
	for _, a := range p.approvals {
		count := 0
		for _, who := range p.approvers {
			if slices.Contains(signed, who.Name) && slices.Contains(a.Of, who.Name) {
				count++
			}
		}
		if count >= a.Count {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

func (p *Policy) loadLimits() error {
	if strings.TrimSpace(p.document.Limits) == "" {
		return nil
	}
	var l limits
	if err := toml.NewDecoder(bytes.NewReader([]byte(p.document.Limits))).DisallowUnknownFields().Decode(&l); err != nil {
		var strict *toml.StrictMissingError
		var at *toml.DecodeError
		switch {
		case errors.As(err, &strict):
			row, column := strict.Errors[0].Position()
			return fmt.Errorf("line %d, column %d: there is no field %s", row, column, strings.Join(strict.Errors[0].Key(), "."))
		case errors.As(err, &at):
			row, column := at.Position()
			return fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return err
	}
	for _, list := range []struct {
		what string
		has  int
		max  int
	}{{"approvers", len(l.Approvers), MaxApprovers}, {"approvals", len(l.Approvals), MaxApprovals}, {"rates", len(l.Rates), MaxRates}} {
		if list.has > list.max {
			return fmt.Errorf("%d %s, at most %d", list.has, list.what, list.max)
		}
	}
	for i, a := range l.Approvers {
		if err := p.addApprover(a); err != nil {
			return fmt.Errorf("approver %d: %w", i+1, err)
		}
	}
	for i, a := range l.Approvals {
		if err := p.addApproval(a); err != nil {
			return fmt.Errorf("approval %d: %w", i+1, err)
		}
	}
	for i, r := range l.Rates {
		if err := p.addRate(r); err != nil {
			return fmt.Errorf("rate %d: %w", i+1, err)
		}
	}
	return nil
}

// addApprover refuses a name or a key that is there: one who has two votes makes two
// of three one of two.
func (p *Policy) addApprover(a tomlApprover) error {
	if err := api.CheckName(a.Name); err != nil {
		return err
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(a.Key)
	if err != nil {
		return fmt.Errorf("the key of %s is not base64url: %w", a.Name, err)
	}
	if _, err := ecdh.P256().NewPublicKey(key); err != nil {
		return fmt.Errorf("the key of %s is not a P-256 point of 65 bytes: %w", a.Name, err)
	}
	for _, other := range p.approvers {
		if other.Name == a.Name || bytes.Equal(other.Key, key) {
			return fmt.Errorf("%s, or its key, stands twice (%s)", a.Name, other.Name)
		}
	}
	p.approvers = append(p.approvers, Approver{a.Name, key})
	return nil
}

func (p *Policy) addApproval(a Approval) error {
	if err := api.CheckName(a.Name); err != nil {
		return err
	}
	if slices.ContainsFunc(p.approvals, func(o Approval) bool { return o.Name == a.Name }) {
		return fmt.Errorf("%s stands twice", a.Name)
	}
	for i, who := range a.Of {
		if slices.Contains(a.Of[:i], who) {
			return fmt.Errorf("%s asks %q twice", a.Name, who)
		}
		if !slices.ContainsFunc(p.approvers, func(o Approver) bool { return o.Name == who }) {
			return fmt.Errorf("%s asks %q, who is no approver", a.Name, who)
		}
	}
	if a.Count < 1 || a.Count > len(a.Of) {
		return fmt.Errorf("%s asks for %d of %d", a.Name, a.Count, len(a.Of))
	}
	p.approvals = append(p.approvals, a)
	return nil
}

func (p *Policy) addRate(t tomlRate) error {
	if err := api.CheckName(t.Name); err != nil {
		return err
	}
	if slices.ContainsFunc(p.rates, func(o Rate) bool { return o.Name == t.Name }) {
		return fmt.Errorf("%s stands twice", t.Name)
	}
	if t.Principal != "" {
		if err := api.CheckPrincipal(t.Principal); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	if t.Key != "" {
		if err := api.CheckName(t.Key); err != nil {
			return fmt.Errorf("%s: key: %w", t.Name, err)
		}
	}
	per, err := time.ParseDuration(t.Per)
	if err != nil {
		return fmt.Errorf("%s: per: %w", t.Name, err)
	}
	switch {
	case per < MinRatePer || per > MaxRatePer:
		return fmt.Errorf("%s: per is from %v to %v, not %v", t.Name, MinRatePer, MaxRatePer, per)
	case t.Count < 1 || t.Count > MaxRateCount:
		return fmt.Errorf("%s: count is from 1 to %d, not %d", t.Name, MaxRateCount, t.Count)
	}
	p.rates = append(p.rates, Rate{t.Name, t.Principal, t.Key, t.Count, per})
	return nil
}
