package policy

import (
	"reflect"
	"testing"
)

// What a verdict comes from is listed as it was signed: permits and forbids that may
// apply, and of these the conditions; a rule that applies for certain has none.
func TestCouldListsTheRulesOfAVerdict(t *testing.T) {
	const entities = `[
		{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/a"},"attrs":{},"parents":[]},
		{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/b"},"attrs":{},"parents":[{"type":"Warifu::Group","id":"auditors"}]}]`
	const permit, day, other = `@id("all") permit (principal, action, resource);`,
		`@id("day") forbid (principal, action, resource) when { context.time.hour > 18 } unless { context.reason like "urgent*" };`,
		`@id("other") permit (principal, action, resource == Warifu::Key::"other");`
	all := Clause{Rule: "all", Effect: "permit"}
	byDay := Clause{Rule: "day", Effect: "forbid", Conditions: []string{"when context.time.hour > 18", `unless context.reason like "urgent*"`}}
	for what, tt := range map[string]struct {
		text, principal string
		want            Verdict
		clauses         []Clause
	}{
		"whatever it says":         {permit + other, "spiffe://demo/a", Always, []Clause{all}},
		"a forbid that may apply":  {permit + day, "spiffe://demo/a", Sometimes, []Clause{all, byDay}},
		"a rule of another key":    {other, "spiffe://demo/a", Never, nil},
		"an auditor":               {permit, "spiffe://demo/b", Never, nil},
		"somebody whom none names": {permit, "spiffe://demo/c", Never, nil},
		"a forbid that does apply": {permit + `forbid (principal, action, resource);`, "spiffe://demo/a", Never, nil},
	} {
		p, err := Compile(Document{Text: tt.text, Entities: entities})
		if err != nil {
			t.Fatal(err)
		}
		if v, clauses := p.Could(tt.principal, Request{Action: Unwrap, KeyName: "demo"}); v != tt.want || !reflect.DeepEqual(clauses, tt.clauses) {
			t.Errorf("%s: %v, %+v", what, v, clauses)
		}
	}
}
