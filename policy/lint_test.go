package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/policy"
)

const people = `[
  {"uid": {"type": "Warifu::Principal", "id": "spiffe://x/app"}, "parents": [{"type": "Warifu::Group", "id": "apps"}], "attrs": {}},
  {"uid": {"type": "Warifu::Principal", "id": "spiffe://x/op"}, "parents": [{"type": "Warifu::Group", "id": "operators"}], "attrs": {}}
]`

func compiled(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Document{Text: text, Entities: people})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const appsDemo = `@id("apps") permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrap", resource == Warifu::Key::"demo")`

func demoHolders(t int) []policy.Shared {
	return []policy.Shared{{Key: "demo", T: t, Holders: []policy.Holder{{"a", "jp-east"}, {"b", "jp-east"}, {"c", "jp-west"}, {"d", "jp-west"}, {"e", "sg"}}}}
}

func TestLint(t *testing.T) {
	for _, tt := range []struct {
		sentence, text string
		want           []string
	}{
		{"narrow", appsDemo + `;`, nil},
		{"narrow, and a forbid", appsDemo + `; forbid (principal, action, resource) when { context.reason == "" };`, nil},
		{"anyone", `permit (principal, action, resource == Warifu::Key::"demo");`, []string{policy.WarnBroadPrincipal, policy.WarnClass}},
		{"any principal by type", `permit (principal is Warifu::Principal, action, resource == Warifu::Key::"demo");`, []string{policy.WarnBroadPrincipal, policy.WarnClass}},
		{"any key", `permit (principal in Warifu::Group::"apps", action, resource);`, []string{policy.WarnBroadKey}},
		{"a group that is not", `permit (principal in Warifu::Group::"aps", action, resource == Warifu::Key::"demo");`, []string{policy.WarnUnknown}},
		{"a principal that is not", `permit (principal == Warifu::Principal::"spiffe://x/ap", action, resource == Warifu::Key::"demo");`, []string{policy.WarnUnknown}},
		{"nothing at all", appsDemo + `; forbid (principal, action, resource);`, []string{policy.WarnForbidsAll}},
		{"an operator by name", `permit (principal == Warifu::Principal::"spiffe://x/op", action, resource == Warifu::Key::"demo");`, []string{policy.WarnClass}},
		{"two regions, four nodes", appsDemo + ` when { ["jp-east", "jp-west"].contains(context.nodeRegion) };`, nil},
		{"one region, two nodes", appsDemo + ` when { context.nodeRegion == "jp-east" };`, []string{policy.WarnFewerThanT}},
		{"by a forbid", appsDemo + `; forbid (principal, action, resource) unless { context.nodeRegion == "sg" };`, []string{policy.WarnFewerThanT}},
		{"a region without nodes is nobody's, not a trap", appsDemo + ` when { context.nodeRegion == "eu" };`, nil},
		{"one region or in an emergency", appsDemo + ` when { context.nodeRegion == "jp-east" || context.reason == "emergency" };`, nil},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			var got []string
			for _, w := range compiled(t, tt.text).Lint(demoHolders(3)) {
				got = append(got, w.Code)
				if w.Sentence == "" {
					t.Errorf("%s says nothing", w.Code)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	onlyEast := compiled(t, appsDemo+` when { context.nodeRegion == "jp-east" };`)
	if w := onlyEast.Lint(demoHolders(2)); len(w) != 0 {
		t.Errorf("two suffice: %v", w)
	}
	if w := onlyEast.Lint(demoHolders(3)); len(w) != 1 || w[0].Sentence != `spiffe://x/app: of the 5 holders of the key "demo" only 2 can ever say yes, and it takes 3` || w[0].Rule != "apps" {
		t.Errorf("%+v", w)
	}
	for _, name := range stories {
		_, p := story(t, name)
		for _, w := range p.Lint(nil) {
			if w.Code != policy.WarnBroadKey { // the bank's rule goes by label
				t.Errorf("%s: %+v", name, w)
			}
		}
	}
}

const writersDemo = `@id("writers") permit (principal in Warifu::Group::"apps", action == Warifu::Action::"encrypt", resource == Warifu::Key::"demo")`

// Of a symmetric key the tools say who may encrypt, and that whoever does can open it.
func TestLintKnowsWhoMayEncrypt(t *testing.T) {
	symmetric, asymmetric, unknown := demoHolders(3), demoHolders(3), demoHolders(3)
	symmetric[0].Actions, symmetric[0].F = policy.Actions(), 1
	asymmetric[0].Actions = []string{policy.Unwrap}
	both := appsDemo + `; ` + writersDemo
	anyKey := strings.Replace(writersDemo, `resource == Warifu::Key::"demo"`, "resource", 1)
	west := ` when { ["jp-west", "sg"].contains(context.nodeRegion) };`
	for _, tt := range []struct {
		sentence, text string
		keys           []policy.Shared
		want           []string
	}{
		{"writers read", both + `;`, symmetric, nil},
		{"writers do not read", writersDemo + `;`, symmetric, []string{policy.WarnWriterOpens}},
		{"writers do not read, as far as it is known", writersDemo + `;`, nil, []string{policy.WarnWriterOpens}},
		{"writers are kept from reading", both + `; forbid (principal, action == Warifu::Action::"unwrap", resource);`, symmetric, []string{policy.WarnWriterOpens}},
		{"writers of any key do not read", anyKey + `;`, nil, []string{policy.WarnBroadKey, policy.WarnWriterOpens}},
		{"writers may read sometimes", appsDemo + ` when { context.reason != "" }; ` + writersDemo + `;`, symmetric, nil},
		{"nobody writes under an asymmetric key", both + `;`, asymmetric, []string{policy.WarnOffline}},
		{"writers are forbidden an asymmetric key", appsDemo + `; ` + strings.Replace(writersDemo, "permit", "forbid", 1) + `;`, asymmetric, []string{policy.WarnOffline}},
		{"three holders open and do not encrypt", appsDemo + west + writersDemo + west, symmetric, []string{policy.WarnFewerThanT}},
		{"an asymmetric key takes three", appsDemo + west, asymmetric, nil},
		{"nobody writes at all", both + `; forbid (principal, action == Warifu::Action::"encrypt", resource);`, symmetric, nil},
		{"any action is that of branches too", `permit (principal == Warifu::Principal::"spiffe://x/app", action, resource == Warifu::Key::"demo");`, symmetric, []string{policy.WarnBranch}},
		{"an asymmetric key has no branches", `permit (principal == Warifu::Principal::"spiffe://x/app", action, resource == Warifu::Key::"demo");`, asymmetric, nil},
		{"branches of an asymmetric key", appsDemo + `; ` + strings.Replace(writersDemo, "encrypt", "unwrapBranch", 1) + `;`, asymmetric, []string{policy.WarnOffline}},
		{"a rule for a branch", both + `; permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrapBranch", resource == Warifu::Key::"demo") when { context.branchSeconds <= 900 };`, symmetric, nil},
		{"nobody does anything", both + `; forbid (principal, action in [Warifu::Action::"encrypt", Warifu::Action::"unwrap", Warifu::Action::"unwrapBranch"], resource);`, symmetric, []string{policy.WarnForbidsAll}},
		{"an operator writes", both + `; permit (principal == Warifu::Principal::"spiffe://x/op", action == Warifu::Action::"encrypt", resource == Warifu::Key::"demo");`, symmetric, []string{policy.WarnClass}},
		{"the type is not known", both + `;`, unknown, nil},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			var got []string
			found := compiled(t, tt.text).Lint(tt.keys)
			for _, w := range found {
				got = append(got, w.Code)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %v", found, tt.want)
			}
		})
	}
	for text, want := range map[string]string{
		writersDemo + `;`:                    `spiffe://x/app may encrypt under the key "demo" and not unwrap: it can open what it encrypted all the same. Where writers must not read, use an asymmetric key`,
		appsDemo + west + writersDemo + west: `spiffe://x/app: of the 5 holders of the key "demo" only 3 can ever say yes, and it takes 4 to encrypt`,
		`permit (principal == Warifu::Principal::"spiffe://x/op", action in [Warifu::Action::"unwrap", Warifu::Action::"encrypt"], resource == Warifu::Key::"demo");`: `spiffe://x/op is an operator and may unwrap and encrypt`,
	} {
		if w := compiled(t, text).Lint(symmetric); len(w) != 1 || w[0].Sentence != want {
			t.Errorf("%s: %+v", text, w)
		}
	}
}

// The matrix has a row for each action that the key's type has; where that is not known, a
// row for encrypting if anybody may.
func TestTheMatrixKnowsWhoMayEncrypt(t *testing.T) {
	p := compiled(t, appsDemo+`; `+writersDemo+` when { context.grants.contains("two") }; permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrap", resource == Warifu::Key::"old");`)
	rows := func(keys ...policy.Shared) (got []string) {
		for _, c := range p.Matrix(keys) {
			if c.Principal == "spiffe://x/app" {
				got = append(got, fmt.Sprintf("%s %s %s", c.Key, c.Action, c.Verdict))
			}
		}
		return got
	}
	for _, tt := range []struct {
		keys []policy.Shared
		want []string
	}{
		{[]policy.Shared{{Key: "demo"}, {Key: "old"}}, []string{"demo unwrap always", "demo encrypt with a grant", "old unwrap always"}},
		{[]policy.Shared{{Key: "demo", Actions: []string{policy.Unwrap}}}, []string{"demo unwrap always"}},
		{[]policy.Shared{{Key: "old", Actions: policy.Actions()}}, []string{"old unwrap always", "old encrypt never", "old unwrapBranch never"}},
	} {
		if got := rows(tt.keys...); !slices.Equal(got, tt.want) {
			t.Errorf("got %v, want %v", got, tt.want)
		}
	}
}

func TestPossible(t *testing.T) {
	p := compiled(t, appsDemo+`;
@id("hours") permit (principal in Warifu::Group::"apps", action, resource == Warifu::Key::"late") when { context.time.hour < 18 };
@id("never") permit (principal in Warifu::Group::"apps", action, resource == Warifu::Key::"no") when { false };
@id("dead") forbid (principal, action, resource == Warifu::Key::"dead");
@id("alive") permit (principal in Warifu::Group::"apps", action, resource == Warifu::Key::"dead");
@id("not-training") forbid (principal, action, resource == Warifu::Key::"data") when { context.envelope has purpose && context.envelope.purpose == "training" };
@id("data") permit (principal in Warifu::Group::"apps", action, resource == Warifu::Key::"data");`)
	var got []string
	var keys []policy.Shared
	for _, name := range []string{"demo", "late", "no", "dead", "data", "other"} {
		keys = append(keys, policy.Shared{Key: name, Actions: []string{policy.Unwrap}})
	}
	for _, c := range p.Matrix(keys) {
		got = append(got, fmt.Sprintf("%s %s %s %s", strings.TrimPrefix(c.Principal, "spiffe://x/"), c.Key, c.Verdict, strings.Join(c.Rules, ",")))
	}
	want := []string{
		"app demo always apps", "app late sometimes hours", "app no never ", "app dead never ", "app data sometimes data", "app other never ",
		"op demo never ", "op late never ", "op no never ", "op dead never ", "op data never ", "op other never ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v, _ := p.Possible("spiffe://x/stranger", policy.Request{Action: policy.Unwrap, KeyName: "demo"}); v != policy.Never {
		t.Errorf("a stranger: %v", v)
	}
}

// What is decided with everything known agrees with what was said to be possible.
func TestPossibleAgreesWithDecide(t *testing.T) {
	for _, name := range stories {
		c, p := story(t, name)
		for _, k := range c.Cases {
			r := k.Request()
			allowed := p.Decide(r).Allowed
			v, _ := p.Possible(r.Principal, r)
			if allowed && v == policy.Never || !allowed && v == policy.Always {
				t.Errorf("%s, %s: allowed %v, possible %v", name, k.Name, allowed, v)
			}
			all := []string{"envelope", "source", "nodeRegion", "callerRegion", "reason", "grants", "time", "nodeHSM"}
			if !r.SourceIP.IsValid() {
				continue // what is absent cannot be known
			}
			if v, _ := p.Possible(r.Principal, r, all...); (v == policy.Always) != allowed || v == policy.Sometimes {
				t.Errorf("%s, %s, with everything known: %v, allowed %v", name, k.Name, v, allowed)
			}
		}
	}
}

// An operator does not unwrap, whatever a policy permits.
func TestOperatorsDoNotUnwrap(t *testing.T) {
	p := compiled(t, `permit (principal, action, resource);`)
	for who, want := range map[string]bool{"spiffe://x/app": true, "spiffe://x/op": false, "spiffe://x/stranger": false} {
		r := policy.Request{Principal: who, Action: policy.Unwrap, KeyName: "demo"}
		if d := p.Decide(r); d.Allowed != want || (len(d.Errors) == 0) != want {
			t.Errorf("%s: %+v", who, d)
		}
		if x := p.Explain(r); x.Allowed != want {
			t.Errorf("%s: %+v", who, x)
		}
	}
}

func TestExplain(t *testing.T) {
	c, p := story(t, "hospital")
	for _, tt := range []struct {
		name string
		why  map[string]string
	}{
		{"the ward at noon on a Tuesday", map[string]string{
			"ward-by-day": "everything fits", "emergency-room": `who: it is for in Group::"emergency"`, "blocked-by-patient": "when does not hold: context.envelope has blocked && context.envelope.blocked == \"yes\"",
		}},
		{"the ward at three in the night", map[string]string{
			"ward-by-day":   "when does not hold: context.time.hour >= 8 && context.time.hour < 18",
			"ward-by-grant": `when does not hold: context.grants.contains("two-doctors") && context.reason != ""`,
		}},
		{"the ward without a reason", map[string]string{"ward-by-day": `when does not hold: context.reason != ""`}},
	} {
		i := slices.IndexFunc(c.Cases, func(k policy.Case) bool { return k.Name == tt.name })
		x := p.Explain(c.Cases[i].Request())
		if len(x.Findings) != 4 {
			t.Fatalf("%d findings", len(x.Findings))
		}
		for _, f := range x.Findings {
			if want, ok := tt.why[f.Rule]; ok && f.Why != want {
				t.Errorf("%s: %s: %s, want %s", tt.name, f.Rule, f.Why, want)
			}
			if f.Applies != (f.Why == "everything fits") || f.Line == 0 {
				t.Errorf("%+v", f)
			}
		}
	}
	errs := compiled(t, `@id("no-has") permit (principal, action, resource) when { context.envelope.purpose == "x" };`)
	x := errs.Explain(policy.Request{Principal: "spiffe://x/app", Action: policy.Unwrap, KeyName: "k"})
	if x.Allowed || len(x.Errors) != 1 || !strings.HasPrefix(x.Findings[0].Why, "when cannot be evaluated, which denies: ") {
		t.Errorf("%+v", x)
	}
	broken := compiled(t, `@id("unless") permit (principal, action, resource) unless { context.reason == "x" };`)
	x = broken.Explain(policy.Request{Principal: "spiffe://x/app", Action: policy.Unwrap, KeyName: "k", Reason: "x"})
	if x.Allowed || x.Findings[0].Why != `unless does not hold: context.reason == "x"` {
		t.Errorf("%+v", x)
	}
}
