package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is remembered of one question answers no other: for everything that a rule can
// look at, a request that differs in nothing else is asked about right after a yes.
func TestAYesAnswersNoOtherQuestion(t *testing.T) {
	when := func(condition string) string {
		return `@id("r") permit(principal, action, resource) when { ` + condition + ` };`
	}
	for _, tt := range []struct {
		of, text string
		change   func(*Request)
	}{
		{"principal", `permit(principal == Warifu::Principal::"spiffe://example/alice", action, resource);`, func(r *Request) { r.Principal = "spiffe://example/opal" }},
		{"action", `permit(principal, action == Warifu::Action::"unwrap", resource);`, func(r *Request) { r.Action = Encrypt }},
		{"key", `permit(principal, action, resource == Warifu::Key::"demo");`, func(r *Request) { r.KeyName = "other" }},
		{"key id", when(`resource.id == "ab` + strings.Repeat("00", 31) + `"`), func(r *Request) { r.KeyID[31] = 1 }},
		{"a label", when(`resource.hasTag("team") && resource.getTag("team") == "payroll"`), func(r *Request) { r.Labels = map[string]string{"team": "sales"} }},
		{"no label", when(`resource.hasTag("team")`), func(r *Request) { r.Labels = nil }},
		{"context", when(`context.envelope.purpose == "payroll"`), func(r *Request) { r.Context = map[string]string{"purpose": "lunch"} }},
		{"another key of the context", when(`!(context.envelope has ward)`), func(r *Request) { r.Context = map[string]string{"purpose": "payroll", "ward": ""} }},
		{"that there is a context", when(`context has envelope && context.envelope has purpose`), func(r *Request) { r.Context = nil }},
		{"source", when(`context.source.isInRange(ip("10.0.0.0/8"))`), func(r *Request) { r.SourceIP = netip.MustParseAddr("11.1.2.3") }},
		{"a source at all", when(`context has source`), func(r *Request) { r.SourceIP = netip.Addr{} }},
		{"the node's region", when(`context.nodeRegion == "jp-east"`), func(r *Request) { r.NodeRegion = "sg" }},
		{"HSM", when(`context.nodeHSM != "soft"`), func(r *Request) { r.NodeHSM = "soft" }},
		{"the caller's region", when(`context.callerRegion == "jp-west"`), func(r *Request) { r.CallerRegion = "sg" }},
		{"reason", when(`context.reason == "TICKET-7"`), func(r *Request) { r.Reason = "TICKET-8" }},
		{"grants", when(`context.grants.contains("g1")`), func(r *Request) { r.Grants = []string{"g2"} }},
		{"no grants", when(`context.grants.contains("g1")`), func(r *Request) { r.Grants = nil }},
		{"time", when(`context.time.hour == 14`), func(r *Request) { r.Now = r.Now.Add(time.Minute) }},
		{"date", when(`context.time.date == "2026-11-22"`), func(r *Request) { r.Now = r.Now.Add(24 * time.Hour) }},
		{"where one text ends", when(`context.reason == "TICKET-7"`), func(r *Request) { r.CallerRegion, r.Reason = "jp-westT", "ICKET-7" }},
		{"the whole context", when(`context == context && {"c": context}.c.reason == "TICKET-7"`), func(r *Request) { r.Reason = "TICKET-8" }},
	} {
		t.Run(tt.of, func(t *testing.T) {
			p := must(t, Document{Text: tt.text, Entities: testEntities})
			other := request()
			tt.change(&other)
			for range 2 {
				if d := p.Decide(request()); !d.Allowed || len(d.Rules) != 1 {
					t.Fatalf("got %+v, want a yes by one rule", d)
				}
				if d := p.Decide(other); d.Allowed {
					t.Fatalf("%+v is allowed, because %+v is", other, request())
				}
			}
			if n := len(p.remembered.newer); n != 1 {
				t.Errorf("%d answers are remembered, want the one yes", n)
			}
		})
	}
}

// Where no rule looks at the envelope's context, all envelopes are one question.
func TestWhatNoRuleLooksAtIsNoPartOfTheQuestion(t *testing.T) {
	p := must(t, Document{Text: `permit(principal, action, resource) when { context.reason != "" };`, Entities: testEntities})
	for i := range 10 {
		r := request()
		r.Context = map[string]string{"patient": fmt.Sprint(i)}
		r.Now = r.Now.Add(time.Duration(i) * time.Hour)
		if !p.Decide(r).Allowed {
			t.Fatal("denied")
		}
	}
	if n := len(p.remembered.newer); n != 1 {
		t.Errorf("%d answers are remembered, want 1", n)
	}
}

// R24
func TestWhatIsRememberedIsBounded(t *testing.T) {
	p := must(t, Document{Text: `permit(principal, action, resource) when { context.reason != "" };`, Entities: testEntities})
	ask := func(reason string) {
		r := request()
		if r.Reason = reason; !p.Decide(r).Allowed {
			t.Fatal("denied")
		}
	}
	for i := range 5 * maxRemembered {
		ask(fmt.Sprint(i))
		ask("often")
	}
	if n := len(p.remembered.newer) + len(p.remembered.older); n > 2*maxRemembered {
		t.Errorf("%d answers are remembered, at most %d", n, 2*maxRemembered)
	}
	r := request()
	r.Reason = "often"
	if q, ok := p.question(nil, &r); !ok {
		t.Error("the question is too long")
	} else if _, known := p.remembered.recall(q); !known {
		t.Error("what is asked again and again is forgotten")
	}
	before := len(p.remembered.newer)
	ask(strings.Repeat("x", maxQuestion))
	if len(p.remembered.newer) != before {
		t.Error("a long question is remembered")
	}
}

// Who adds to a decision's rules changes nobody else's.
func TestDecisionsAreNotShared(t *testing.T) {
	p := must(t, Document{Text: `@id("r") permit(principal, action, resource);`, Entities: testEntities})
	for range 3 {
		d := p.Decide(request())
		if _ = append(d.Rules, "mine"); !slices.Equal(d.Rules, []string{"r"}) {
			t.Fatalf("rules %q", d.Rules)
		}
	}
}
