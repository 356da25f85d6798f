package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/policy"
)

// key is a fresh public key as limits have it.
func key(t testing.TB) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// threeDoctors are limits with three approvers, of whom two are asked.
func threeDoctors(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"sato", "mori", "abe"} {
		fmt.Fprintf(&b, "[[approver]]\nname = %q\nkey = %q\n", name, key(t))
	}
	return b.String() + "[[approval]]\nname = \"two-doctors\"\ncount = 2\nof = [\"sato\", \"mori\", \"abe\"]\n"
}

const withTwoDoctors = appsDemo + ` when { context.grants.contains("two-doctors") };`

func limited(t testing.TB, text, limits string) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Document{Text: text, Entities: people, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLimitsThatAreNotMeant(t *testing.T) {
	one, two := key(t), key(t)
	approver := func(name, key string) string { return "[[approver]]\nname = \"" + name + "\"\nkey = \"" + key + "\"\n" }
	approval := func(count, of string) string {
		return approver("a", one) + approver("b", two) + "[[approval]]\nname = \"x\"\ncount = " + count + "\nof = [" + of + "]\n"
	}
	rate := func(lines string) string { return "[[rate]]\nname = \"r\"\n" + lines + "\n" }
	for _, tt := range []struct{ sentence, limits, says string }{
		{"two of two", approval("2", `"a", "b"`), ""},
		{"a rate", rate(`count = 3` + "\n" + `per = "1m"`), ""},
		{"no TOML", "[[", "line 1"},
		{"a field that is none", "[[rates]]\n", "there is no field"},
		{"an approver's name twice", approver("a", one) + approver("a", two), "stands twice"},
		{"an approver's key twice", approver("a", one) + approver("b", one), "stands twice"},
		{"a key off the curve", approver("a", base64.RawURLEncoding.EncodeToString(append([]byte{4}, make([]byte, 64)...))), "not a P-256 point"},
		{"a key cut short", approver("a", one[:80]), "not a P-256 point"},
		{"a key that is no text of one", approver("a", "!"), "not base64url"},
		{"a name that is none", approver("A", one), "a name has"},
		{"one asked twice", approval("2", `"a", "a"`), "twice"},
		{"one who is no approver", approval("1", `"c"`), "no approver"},
		{"more than are asked", approval("3", `"a", "b"`), "3 of 2"},
		{"nobody", approval("0", `"a"`), "0 of 1"},
		{"an approval twice", approval("1", `"a"`) + "[[approval]]\nname = \"x\"\ncount = 1\nof = [\"a\"]\n", "stands twice"},
		{"a rate of nothing", rate("count = 0\nper = \"1m\""), "count is from 1"},
		{"a rate of too much", rate("count = 1000001\nper = \"1m\""), "count is from 1"},
		{"a rate per year", rate("count = 1\nper = \"8760h\""), "per is from"},
		{"a rate per nothing", rate("count = 1"), "per"},
		{"a rate of no principal", rate("count = 1\nper = \"1s\"\nprincipal = \"app\""), "a principal is"},
		{"a rate twice", rate("count = 1\nper = \"1s\"") + rate("count = 1\nper = \"1s\""), "stands twice"},
		{"too many approvers", strings.Repeat(approver("a", one), policy.MaxApprovers+1), "at most 64"},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			_, err := policy.Compile(policy.Document{Text: appsDemo + ";", Entities: people, Limits: tt.limits})
			switch {
			case tt.says == "" && err != nil:
				t.Fatal(err)
			case tt.says != "" && (!errors.Is(err, policy.ErrBadDocument) || !strings.Contains(err.Error(), tt.says)):
				t.Fatalf("got %v, want a sentence with %q", err, tt.says)
			}
		})
	}
}

func TestADecisionSaysWhenItNeedsAGrant(t *testing.T) {
	const also = `; @id("never") forbid (principal, action, resource) when { context.reason == "" }`
	for _, tt := range []struct {
		sentence, text, principal, reason string
		grants, needs                     []string
		allowed                           bool
	}{
		{"with the approval", withTwoDoctors, "spiffe://x/app", "why", []string{"two-doctors"}, nil, true},
		{"without", withTwoDoctors, "spiffe://x/app", "why", nil, []string{"two-doctors"}, false},
		{"with another", withTwoDoctors, "spiffe://x/app", "why", []string{"one-nurse"}, []string{"two-doctors"}, false},
		{"who may not at all", withTwoDoctors, "spiffe://x/other", "why", nil, nil, false},
		{"an operator", withTwoDoctors, "spiffe://x/op", "why", []string{"two-doctors"}, nil, false},
		{"a grant would not help", strings.TrimSuffix(withTwoDoctors, ";") + also + ";", "spiffe://x/app", "", nil, nil, false},
		{"no grant is asked for", appsDemo + ";", "spiffe://x/app", "why", nil, nil, true},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			p := limited(t, tt.text, threeDoctors(t))
			d := p.Decide(policy.Request{Principal: tt.principal, Action: policy.Unwrap, KeyName: "demo", Reason: tt.reason, Grants: tt.grants, Now: time.Now()})
			if d.Allowed != tt.allowed || !slices.Equal(d.Needs, tt.needs) {
				t.Fatalf("got %+v", d)
			}
		})
	}
}

func TestAnApprovalAsksThoseItNames(t *testing.T) {
	p := limited(t, withTwoDoctors, threeDoctors(t)+"[[approver]]\nname = \"guest\"\nkey = \""+key(t)+"\"\n")
	if a := p.Approvals(); len(a) != 1 || a[0].Count != 2 || slices.Contains(a[0].Of, "guest") || len(p.Approvers()) != 4 {
		t.Fatalf("got %+v of %d", a, len(p.Approvers()))
	}
	for _, tt := range []struct {
		signed []string
		met    bool
	}{{[]string{"sato", "abe"}, true}, {[]string{"sato"}, false}, {[]string{"sato", "sato"}, false}, {[]string{"sato", "guest"}, false}, {[]string{"abe", "mori", "sato"}, true}} {
		if got := p.Met(tt.signed); (len(got) == 1) != tt.met {
			t.Errorf("%v meet %v", tt.signed, got)
		}
	}
	if !strings.Contains(p.Describe(), "approval two-doctors: 2 of sato, mori, abe") {
		t.Errorf("a custodian is not told: %s", p.Describe())
	}
	cells := p.Matrix([]policy.Shared{{Key: "demo", Actions: []string{policy.Unwrap}}})
	if len(cells) != 2 || cells[0].Verdict != policy.WithGrant || cells[1].Verdict != policy.Never.String() {
		t.Errorf("the matrix says %+v", cells)
	}
}

func TestLintOfLimits(t *testing.T) {
	for _, tt := range []struct {
		sentence, text, limits string
		want                   []string
	}{
		{"as it should be", withTwoDoctors, threeDoctors(t), nil},
		{"a rule asks for what is not there", withTwoDoctors, "", []string{policy.WarnNoApproval}},
		{"nobody asks for it", appsDemo + ";", threeDoctors(t), []string{policy.WarnUnasked}},
		{"in a set", appsDemo + ` when { context.grants.containsAny(["two-doctors", "nobody"]) };`, threeDoctors(t), []string{policy.WarnNoApproval}},
		{"a rate of somebody", appsDemo + ";", "[[rate]]\nname = \"r\"\nprincipal = \"spiffe://x/app\"\ncount = 1\nper = \"1s\"\n", nil},
		{"a rate of nobody", appsDemo + ";", "[[rate]]\nname = \"r\"\nprincipal = \"spiffe://x/gone\"\ncount = 1\nper = \"1s\"\n", []string{policy.WarnRate}},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			var got []string
			for _, w := range limited(t, tt.text, tt.limits).Lint(nil) {
				got = append(got, w.Code)
			}
			if !slices.Equal(got, tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// What one node lets through is not what the cluster does: of five holders three
// must agree, so that the cluster releases five thirds of it; with one that does not
// count, twice.
func TestTheBoundOfARateIsSaid(t *testing.T) {
	p := limited(t, appsDemo+";", "[[rate]]\nname = \"r\"\nkey = \"demo\"\ncount = 30\nper = \"1m\"\n")
	r := p.Rates()[0]
	if got := r.ClusterBound(5, 3, 0); got != 50 {
		t.Errorf("h·r/t = %d", got)
	}
	if got := r.ClusterBound(5, 3, 1); got != 60 {
		t.Errorf("with a liar %d", got)
	}
	if said := p.Bounds(demoHolders(3)); len(said) != 1 || !strings.Contains(said[0], "at most 50 requests in each 1m0s") {
		t.Errorf("said: %q", said)
	}
	x := p.Explain(policy.Request{Principal: "spiffe://x/app", Action: policy.Unwrap, KeyName: "demo", Now: time.Now()})
	if len(x.Rates) != 1 || x.Rates[0].Name != "r" {
		t.Errorf("explained: %+v", x.Rates)
	}
	if x := p.Explain(policy.Request{Principal: "spiffe://x/app", Action: policy.Unwrap, KeyName: "other", Now: time.Now()}); len(x.Rates) != 0 {
		t.Errorf("another key's: %+v", x.Rates)
	}
}
