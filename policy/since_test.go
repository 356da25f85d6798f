package policy_test

import (
	"reflect"
	"testing"

	"warifu.dev/policy"
)

func TestSinceNamesRulesThatAreNewGoneOrChanged(t *testing.T) {
	const (
		app   = "@id(\"app\") permit (principal, action, resource);\n"
		night = "@id(\"night\") forbid (principal, action, resource);\n"
	)
	for _, row := range []struct {
		name, old, new         string
		added, gone, different []string
	}{
		{"nothing changes", app + night, app + night, nil, nil, nil},
		{"another order is no change", app + night, night + app, nil, nil, nil},
		{"layout and comments are no change", app, "// more\n@id(\"app\")\npermit (\n  principal, action, resource);", nil, nil, nil},
		{"a new rule", app, app + night, []string{"night"}, nil, nil},
		{"a rule is gone", app + night, app, nil, []string{"night"}, nil},
		{"the effect changes", app, "@id(\"app\") forbid (principal, action, resource);", nil, nil, []string{"app"}},
		{"a condition changes", app, "@id(\"app\") permit (principal, action, resource) when { 1 < 2 };", nil, nil, []string{"app"}},
		{"an annotation changes", app, "@id(\"app\") @note(\"x\") permit (principal, action, resource);", nil, nil, []string{"app"}},
		{"another id is another rule", app, "@id(\"bpp\") permit (principal, action, resource);", []string{"bpp"}, []string{"app"}, nil},
		{"from nothing", "", app, []string{"app"}, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			compiled := func(text string) *policy.Policy {
				p, err := policy.Compile(policy.Document{Text: text})
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			added, gone, different := compiled(row.new).Since(compiled(row.old))
			if !reflect.DeepEqual(added, row.added) || !reflect.DeepEqual(gone, row.gone) || !reflect.DeepEqual(different, row.different) {
				t.Errorf("new %q, gone %q, changed %q", added, gone, different)
			}
		})
	}
}
