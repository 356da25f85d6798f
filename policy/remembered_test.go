package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
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
			if n := p.remembered.answers.Len(); n != 1 {
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
	if n := p.remembered.answers.Len(); n != 1 {
		t.Errorf("%d answers are remembered, want 1", n)
	}
}

// R24: what is remembered is bounded, and where all places are taken each answer is that
// to its own question still: a no that follows a thousand yeses is a no.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	p := must(t, Document{Text: `permit(principal, action, resource) when { context.reason like "yes *" };`, Entities: testEntities})
	ask := func(reason string) bool {
		r := request()
		r.Reason = reason
		return p.Decide(r).Allowed
	}
	for i := range 3 * maxRemembered {
		if !ask(fmt.Sprint("yes ", i)) || ask(fmt.Sprint("no ", i)) {
			t.Fatalf("the answers to %d are wrong", i)
		}
	}
	if n := p.remembered.answers.Len(); n > maxRemembered || n < maxRemembered*9/10 {
		t.Errorf("%d answers are remembered, at most %d", n, maxRemembered)
	}
	last := request()
	last.Reason = fmt.Sprint("yes ", 3*maxRemembered-1)
	if q, ok := p.question(nil, &last); !ok {
		t.Error("the question is too long")
	} else if _, known := p.remembered.recall(q); !known {
		t.Error("the last answer is forgotten")
	}
	p = must(t, Document{Text: `permit(principal, action, resource) when { context.reason like "yes *" };`, Entities: testEntities})
	if !ask("yes "+strings.Repeat("x", maxQuestion)) || p.remembered.answers.Len() != 0 {
		t.Error("a long question is remembered")
	}
}

// Many ask at once, some for the first time: each hears the rule that answers it.
func TestManyAskOnePolicy(t *testing.T) {
	p := must(t, Document{Text: `
		@id("even") permit(principal, action, resource) when { context.reason like "even *" };
		@id("odd") permit(principal, action, resource) when { context.reason like "odd *" };`, Entities: testEntities})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 500 {
				for _, rule := range []string{"even", "odd", "none"} {
					r := request()
					r.Reason = fmt.Sprint(rule, " ", i%100)
					d := p.Decide(r)
					if rule == "none" && d.Allowed || rule != "none" && (!d.Allowed || !slices.Equal(d.Rules, []string{rule})) {
						t.Errorf("%q: %+v", r.Reason, d)
					}
				}
			}
		})
	}
	all.Wait()
}

// What a remembered decision costs, by one who asks and by as many as there are cores.
func BenchmarkRemembered(b *testing.B) {
	p, err := Compile(Document{Text: `permit(principal, action, resource) when { context.reason != "" };`, Entities: testEntities})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := request()
		for pb.Next() {
			if !p.Decide(r).Allowed {
				b.Fatal("denied")
			}
		}
	})
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
