package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"warifu.dev/api"
)

// ErrBadCases is returned, wrapped, for a file of cases that is malformed.
var ErrBadCases = errors.New("bad file of policy cases")

const (
	// MaxCasesFile bounds a file of cases, in bytes.
	MaxCasesFile = 1 << 20
	// MaxCases bounds the cases of one file.
	MaxCases = 10_000
)

// Cases is a decision table: which policy, and what it must say to what. It is a
// TOML file:
//
//	text = "hospital.cedar"        # paths from where the file is
//	entities = "entities.json"     # optional, as are schema, zone and limits
//	zone = "Asia/Tokyo"
//	limits = "limits.toml"
//
//	[[case]]
//	name = "a nurse at noon, from the ward"
//	principal = "spiffe://hospital.example/nurse"
//	key = "records"
//	action = "unwrap"                  # optional; of a symmetric key also "encrypt", "unwrapBranch"
//	branch = "15m"                     # of unwrapBranch: how long the interval is
//	context = { patient = "0731" }     # the envelope's
//	source = "10.20.1.5"
//	node_region = "jp-east"
//	caller_region = "jp-east"
//	time = 2026-11-24T12:00:00+09:00
//	reason = "ward round"
//	labels = { team = "care" }
//	grants = ["two-doctors"]           # approvals that the request's grant meets
//	node_hsm = "pkcs11"
//	expect = "allow"                   # or "deny", or "grant": denied for want of a grant
//	rules = ["by-day"]                 # optional: exactly the policies that decide
type Cases struct {
	Text     string `toml:"text"`
	Schema   string `toml:"schema"`
	Entities string `toml:"entities"`
	Zone     string `toml:"zone"`
	Limits   string `toml:"limits"`
	Cases    []Case `toml:"case"`
}

// Case is one row of the table.
type Case struct {
	Name         string            `toml:"name"`
	Principal    string            `toml:"principal"`
	Key          string            `toml:"key"`
	Action       string            `toml:"action"` // empty: [Unwrap]
	Branch       string            `toml:"branch"` // of [UnwrapBranch] alone
	Labels       map[string]string `toml:"labels"`
	Context      map[string]string `toml:"context"`
	Source       string            `toml:"source"`
	NodeRegion   string            `toml:"node_region"`
	NodeHSM      string            `toml:"node_hsm"`
	CallerRegion string            `toml:"caller_region"`
	Time         time.Time         `toml:"time"`
	Reason       string            `toml:"reason"`
	Grants       []string          `toml:"grants"`
	Expect       string            `toml:"expect"`
	Rules        []string          `toml:"rules"`
}

// What a case may expect.
const (
	ExpectAllow = "allow"
	ExpectDeny  = "deny"
	ExpectGrant = "grant" // a deny that a grant would turn
)

// ParseCases reads a decision table, strictly: a field it does not know is a
// mistake in a file whose purpose is to find mistakes.
func ParseCases(b []byte) (*Cases, error) {
	if len(b) > MaxCasesFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBadCases, len(b), MaxCasesFile)
	}
	var c Cases
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("%w: %s", ErrBadCases, strict.String())
		}
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("%w: line %d, column %d: %w", ErrBadCases, row, column, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrBadCases, err)
	}
	switch {
	case c.Text == "":
		return nil, fmt.Errorf("%w: it names no policy (text = \"FILE\")", ErrBadCases)
	case len(c.Cases) == 0:
		return nil, fmt.Errorf("%w: it has no [[case]]", ErrBadCases)
	case len(c.Cases) > MaxCases:
		return nil, fmt.Errorf("%w: %d cases, at most %d", ErrBadCases, len(c.Cases), MaxCases)
	}
	seen := map[string]bool{}
	for i, k := range c.Cases {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("%w: case %d (%q): %w", ErrBadCases, i+1, k.Name, err)
		}
		if seen[k.Name] {
			return nil, fmt.Errorf("%w: two cases are named %q", ErrBadCases, k.Name)
		}
		seen[k.Name] = true
	}
	return &c, nil
}

func (k *Case) check() error {
	switch {
	case k.Name == "":
		return errors.New("it has no name")
	case k.Principal == "" || k.Key == "":
		return errors.New("principal and key are needed")
	case k.Time.IsZero():
		return errors.New("time is needed, for example 2026-11-24T12:00:00+09:00")
	case k.Expect != ExpectAllow && k.Expect != ExpectDeny && k.Expect != ExpectGrant:
		return fmt.Errorf("expect is %q, %q or %q, not %q", ExpectAllow, ExpectDeny, ExpectGrant, k.Expect)
	}
	if k.Source != "" {
		if _, err := netip.ParseAddr(k.Source); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if k.Action != "" {
		if err := CheckAction(k.Action); err != nil {
			return err
		}
	}
	if (k.Action == UnwrapBranch) != (k.Branch != "") {
		return fmt.Errorf("branch is for the action %s, which needs it: branch = \"15m\"", UnwrapBranch)
	}
	if k.Branch == "" {
		return nil
	}
	length, err := time.ParseDuration(k.Branch)
	if err != nil {
		return fmt.Errorf("branch: %w", err)
	}
	return api.CheckBranchLength(length)
}

// Request is what the case asks. The key's id is not known to a table: it is zero.
func (k *Case) Request() Request {
	source, _ := netip.ParseAddr(k.Source) // checked
	branch, _ := time.ParseDuration(k.Branch)
	action := k.Action
	if action == "" {
		action = Unwrap
	}
	return Request{
		Principal: k.Principal, Action: action, Branch: branch, KeyName: k.Key, Labels: k.Labels, Context: k.Context,
		SourceIP: source, NodeRegion: k.NodeRegion, NodeHSM: k.NodeHSM, CallerRegion: k.CallerRegion,
		Reason: k.Reason, Grants: k.Grants, Now: k.Time,
	}
}

// Outcome is what the policy said to one case.
type Outcome struct {
	Case        string      `json:"case"`
	Expected    string      `json:"expected"`
	Got         string      `json:"got"`
	Passed      bool        `json:"passed"`
	Why         string      `json:"why,omitempty"` // it did not pass
	Explanation Explanation `json:"explanation"`
}

// Test holds p against every case, in order.
func (c *Cases) Test(p *Policy) []Outcome {
	out := make([]Outcome, 0, len(c.Cases))
	for _, k := range c.Cases {
		o := Outcome{Case: k.Name, Expected: k.Expect, Got: ExpectDeny, Explanation: p.Explain(k.Request())}
		switch {
		case o.Explanation.Allowed:
			o.Got = ExpectAllow
		case k.Expect == ExpectGrant && len(o.Explanation.Needs) > 0:
			o.Got = ExpectGrant
		}
		expected := slices.Sorted(slices.Values(k.Rules))
		switch {
		case o.Got != o.Expected:
			o.Why = fmt.Sprintf("it says %s", o.Got)
		case k.Rules != nil && !slices.Equal(expected, o.Explanation.Rules):
			o.Why = fmt.Sprintf("it is decided by %s", listed(o.Explanation.Rules))
		}
		o.Passed = o.Why == ""
		out = append(out, o)
	}
	return out
}

// listed says ids in one line.
func listed(ids []string) string {
	if len(ids) == 0 {
		return "no policy"
	}
	b, err := json.Marshal(ids)
	if err != nil {
		panic("policy: ids of policies are text: " + err.Error())
	}
	return string(b)
}
