package policy

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	alice   = "spiffe://example/alice"
	mallory = "spiffe://example/mallory"
)

// entities: alice is in apps, which is in staff; opal operates, audrey audits.
const testEntities = `[
 {"uid":{"type":"Warifu::Principal","id":"spiffe://example/alice"},"parents":[{"type":"Warifu::Group","id":"apps"}],"attrs":{}},
 {"uid":{"type":"Warifu::Principal","id":"spiffe://example/opal"},"parents":[{"type":"Warifu::Group","id":"night-shift"}],"attrs":{}},
 {"uid":{"type":"Warifu::Principal","id":"spiffe://example/audrey"},"parents":[{"type":"Warifu::Group","id":"auditors"},{"type":"Warifu::Group","id":"operators"}],"attrs":{}},
 {"uid":{"type":"Warifu::Group","id":"apps"},"parents":[{"type":"Warifu::Group","id":"staff"}],"attrs":{}},
 {"uid":{"type":"Warifu::Group","id":"night-shift"},"parents":[{"type":"Warifu::Group","id":"operators"}],"attrs":{}},
 {"uid":{"type":"Warifu::Key","id":"demo"},"parents":[{"type":"Warifu::KeyGroup","id":"payroll-keys"}],"attrs":{}}
]`

func must(t testing.TB, d Document) *Policy {
	t.Helper()
	p, err := Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request is alice's, for the key demo, with nothing remarkable about it.
func request() Request {
	return Request{
		Principal: alice, Action: Unwrap, KeyID: [32]byte{0xab}, KeyName: "demo",
		Labels:   map[string]string{"team": "payroll"},
		Context:  map[string]string{"purpose": "payroll"},
		SourceIP: netip.MustParseAddr("10.1.2.3"), NodeRegion: "jp-east", CallerRegion: "jp-west",
		Reason: "TICKET-7", Grants: []string{"g1"},
		Now: time.Date(2026, 11, 22, 14, 59, 0, 0, time.UTC),
	}
}

func TestDecide(t *testing.T) {
	const all = `@id("all") permit(principal, action, resource);` + "\n"
	when := func(condition string) string {
		return `@id("r") permit(principal, action, resource) when { ` + condition + ` };`
	}
	at := func(clock string) func(*Request) {
		return func(r *Request) {
			now, err := time.Parse(time.RFC3339, clock)
			if err != nil {
				t.Fatal(err)
			}
			r.Now = now
		}
	}
	for _, tt := range []struct {
		sentence string
		text     string
		change   func(*Request)
		zone     string
		allowed  bool
		rules    []string
		err      string // part of the one error expected; "" expects none
	}{
		{sentence: "an empty policy denies"},
		{sentence: "what is permitted is allowed", text: all, allowed: true, rules: []string{"all"}},
		{sentence: "a forbid wins over a permit", text: all + `@id("no") forbid(principal, action, resource);`, rules: []string{"no"}},
		{sentence: "a forbid for somebody else does not count", text: all + `forbid(principal == Warifu::Principal::"spiffe://example/opal", action, resource);`, allowed: true, rules: []string{"all"}},
		{
			sentence: "a forbid that errs denies, though Cedar would skip it",
			text:     all + `@id("no") forbid(principal, action, resource) when { context.envelope.ward == "x" };`,
			rules:    []string{"all"}, err: "no: ",
		},
		{
			sentence: "a permit that errs denies, though another permits",
			text:     all + when(`context.envelope.ward == "x"`), rules: []string{"all"}, err: "r: ",
		},
		{
			sentence: "an arithmetic overflow denies",
			text:     all + when(`context.time.hour + 9223372036854775807 > 0`), rules: []string{"all"}, err: "r: ",
		},
		{sentence: "a principal nobody named is denied even what all may do", text: all, change: func(r *Request) { r.Principal = mallory }, err: "no such principal"},
		{sentence: "a group's name is no principal", text: all, change: func(r *Request) { r.Principal = "apps" }, err: "no such principal"},
		{sentence: "an action nobody permitted is denied", text: `permit(principal, action == Warifu::Action::"unwrap", resource);`, change: func(r *Request) { r.Action = "wrap" }},
		{sentence: "membership counts through groups of groups", text: `permit(principal in Warifu::Group::"staff", action, resource);`, allowed: true, rules: []string{"policy0"}},
		{sentence: "who is not in the group is denied", text: `permit(principal in Warifu::Group::"operators", action, resource);`},
		{sentence: "a key of its group is permitted", text: `permit(principal, action, resource in Warifu::KeyGroup::"payroll-keys");`, allowed: true, rules: []string{"policy0"}},
		{sentence: "a key outside of the group is denied", text: `permit(principal, action, resource in Warifu::KeyGroup::"payroll-keys");`, change: func(r *Request) { r.KeyName = "other" }},
		{sentence: "the key itself", text: `permit(principal, action, resource == Warifu::Key::"demo");`, allowed: true, rules: []string{"policy0"}},
		{sentence: "another key", text: `permit(principal, action, resource == Warifu::Key::"demo");`, change: func(r *Request) { r.KeyName = "demo2" }},
		{sentence: "a forbid for this key wins over a permit for all", text: all + `@id("no") forbid(principal, action, resource == Warifu::Key::"demo");`, rules: []string{"no"}},
		{sentence: "the key's id", text: when(`resource.id == "ab` + strings.Repeat("00", 31) + `" && resource.name == "demo"`), allowed: true, rules: []string{"r"}},
		{sentence: "the key's labels", text: when(`resource.hasTag("team") && resource.getTag("team") == "payroll"`), allowed: true, rules: []string{"r"}},
		{sentence: "a key without the label", text: when(`resource.hasTag("team") && resource.getTag("team") == "payroll"`), change: func(r *Request) { r.Labels = nil }},

		{sentence: "the context is right", text: when(`context.envelope.purpose == "payroll"`), allowed: true, rules: []string{"r"}},
		{sentence: "the context is another", text: when(`context.envelope.purpose == "payroll"`), change: func(r *Request) { r.Context["purpose"] = "lunch" }},
		{sentence: "the context says nothing, which is an error, which denies", text: when(`context.envelope.purpose == "payroll"`), change: func(r *Request) { r.Context = nil }, err: "r: "},
		{sentence: "a policy that asks first does not err", text: when(`context.envelope has ward && context.envelope.ward == "x"`)},
		{sentence: "a context key that is no identifier", text: when(`context.envelope["patient id"] == "7"`), change: func(r *Request) { r.Context["patient id"] = "7" }, allowed: true, rules: []string{"r"}},

		{sentence: "a source in the network", text: when(`context.source.isInRange(ip("10.0.0.0/8"))`), allowed: true, rules: []string{"r"}},
		{sentence: "a source in the network, as a dual-stack socket shows it", text: when(`context.source.isInRange(ip("10.0.0.0/8"))`), change: func(r *Request) { r.SourceIP = netip.MustParseAddr("::ffff:10.1.2.3") }, allowed: true, rules: []string{"r"}},
		{sentence: "a link-local source with a zone", text: when(`context.source.isInRange(ip("fe80::/10"))`), change: func(r *Request) { r.SourceIP = netip.MustParseAddr("fe80::1%eth0") }, allowed: true, rules: []string{"r"}},
		{sentence: "a source outside of the network", text: when(`context.source.isInRange(ip("10.0.0.0/8"))`), change: func(r *Request) { r.SourceIP = netip.MustParseAddr("192.0.2.1") }},
		{sentence: "a source that is unknown denies", text: when(`context.source.isInRange(ip("0.0.0.0/0"))`), change: func(r *Request) { r.SourceIP = netip.Addr{} }, err: "r: "},
		{sentence: "regions of node and caller", text: when(`context.nodeRegion == "jp-east" && context.callerRegion like "jp-*"`), allowed: true, rules: []string{"r"}},
		{sentence: "a node in another region", text: when(`context.nodeRegion == "jp-east"`), change: func(r *Request) { r.NodeRegion = "sg" }},
		{sentence: "a reason of the right form", text: when(`context.reason like "TICKET-*"`), allowed: true, rules: []string{"r"}},
		{sentence: "no reason", text: when(`context.reason != ""`), change: func(r *Request) { r.Reason = "" }},
		{sentence: "a grant that fits", text: when(`context.grants.contains("g1")`), allowed: true, rules: []string{"r"}},
		{sentence: "no grant", text: when(`!context.grants.isEmpty()`), change: func(r *Request) { r.Grants = nil }},

		{sentence: "14:59 UTC on Sunday is 23:59 on Sunday in Tokyo", zone: "Asia/Tokyo", text: when(`context.time.hour == 23 && context.time.minute == 59 && context.time.weekday == "sunday"`), allowed: true, rules: []string{"r"}},
		{sentence: "a minute later it is Monday in Tokyo", zone: "Asia/Tokyo", change: at("2026-11-22T15:00:00Z"), text: when(`context.time.hour == 0 && context.time.weekday == "monday" && context.time.date == "2026-11-23"`), allowed: true, rules: []string{"r"}},
		{sentence: "and still Sunday in UTC", change: at("2026-11-22T15:00:00Z"), text: when(`context.time.hour == 15 && context.time.weekday == "sunday"`), allowed: true, rules: []string{"r"}},
		{sentence: "office hours in Tokyo, at 09:00 there", zone: "Asia/Tokyo", change: at("2026-11-23T00:00:00Z"), text: when(`context.time.hour >= 9 && context.time.hour < 18`), allowed: true, rules: []string{"r"}},
		{sentence: "office hours in Tokyo, a second before", zone: "Asia/Tokyo", change: at("2026-11-22T23:59:59Z"), text: when(`context.time.hour >= 9 && context.time.hour < 18`)},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			p := must(t, Document{Text: tt.text, Entities: testEntities, Zone: tt.zone})
			r := request()
			if tt.change != nil {
				tt.change(&r)
			}
			d := p.Decide(r)
			if d.Allowed != tt.allowed || !slices.Equal(d.Rules, tt.rules) {
				t.Errorf("got %+v, want allowed=%v by %v", d, tt.allowed, tt.rules)
			}
			if tt.err == "" && len(d.Errors) > 0 || tt.err != "" && (len(d.Errors) != 1 || !strings.Contains(d.Errors[0], tt.err)) {
				t.Errorf("errors %q, want one with %q", d.Errors, tt.err)
			}
		})
	}
}

func TestRulesAreSortedAndOnlyTheDeciding(t *testing.T) {
	text := `@id("z") permit(principal, action, resource);
permit(principal, action, resource == Warifu::Key::"demo");
@id("a") permit(principal, action, resource);
@id("n") permit(principal, action, resource == Warifu::Key::"other");`
	d := must(t, Document{Text: text, Entities: testEntities}).Decide(request())
	if !d.Allowed || !slices.Equal(d.Rules, []string{"a", "policy1", "z"}) {
		t.Errorf("%+v", d)
	}
}

func TestClass(t *testing.T) {
	p := must(t, Document{Entities: testEntities})
	for principal, want := range map[string]Class{
		alice:                     Application,
		"spiffe://example/opal":   Operator,
		"spiffe://example/audrey": Auditor,
		mallory:                   None,
		"":                        None,
		"operators":               None,
	} {
		if got := p.Class(principal); got != want {
			t.Errorf("%q is %s, want %s", principal, got, want)
		}
	}
}

func demo(t testing.TB) Document {
	t.Helper()
	text, err := os.ReadFile("testdata/demo.cedar")
	if err != nil {
		t.Fatal(err)
	}
	entities, err := os.ReadFile("testdata/demo.entities.json")
	if err != nil {
		t.Fatal(err)
	}
	return Document{Text: string(text), Entities: string(entities), Zone: "Asia/Tokyo"}
}

func TestDemo(t *testing.T) {
	p := must(t, demo(t))
	r := request()
	r.Principal = "spiffe://demo/app"
	for sentence, tt := range map[string]struct {
		change  func(*Request)
		allowed bool
	}{
		"the application unwraps with demo":   {func(*Request) {}, true},
		"without a context, too":              {func(r *Request) { r.Context = nil }, true},
		"training data stays closed":          {func(r *Request) { r.Context = map[string]string{"purpose": "training"} }, false},
		"another key is denied":               {func(r *Request) { r.KeyName = "other" }, false},
		"the operator holds no authority":     {func(r *Request) { r.Principal = "spiffe://demo/operator" }, false},
		"the auditor may read, and only that": {func(r *Request) { r.Principal = "spiffe://demo/auditor" }, false},
		"a stranger is denied":                {func(r *Request) { r.Principal = mallory }, false},
	} {
		r := r
		tt.change(&r)
		if d := p.Decide(r); d.Allowed != tt.allowed || len(d.Errors) > 0 && p.Class(r.Principal) == Application {
			t.Errorf("%s: %+v", sentence, d)
		}
	}
	const want = `principals: 2 applications, 1 operators, 1 auditors; times in Asia/Tokyo
2 policies; what none of them permits is denied, and a forbid wins

PERMIT  apps-may-unwrap-demo (line 2)
  who   in Group::"apps"
  what  Action::"unwrap"
  key   Key::"demo"

FORBID  no-training-data (line 10)
  who   any principal
  what  any action
  key   any key
  when { context.envelope has purpose && context.envelope.purpose == "training" };
`
	if _, got, _ := strings.Cut(p.Describe(), "\n"); got != want {
		t.Errorf("described as\n%s\nwant\n%s", got, want)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "permit(principal, action, resource == Warifu::Key::\"key-%d\");\n", i)
			}
			p := must(b, Document{Text: text.String(), Entities: testEntities})
			r := request()
			r.KeyName = "key-0"
			for b.Loop() {
				if !p.Decide(r).Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}
