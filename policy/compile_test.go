package policy

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCompileRefusals(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		document Document
		want     string
	}{
		{"a syntax error has its line and column", Document{Text: "permit(principal, action, resource);\npermit(principal, action, resource)\nwhen { context.reason == };"}, `line 3, column 27`},
		{"an unfinished string", Document{Text: `permit(principal, action, resource) when { "abc };`}, "line 1, column 44"},
		{"prose", Document{Text: "anybody may do anything"}, "line 1, column "},
		{"two policies of one id", Document{Text: "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);"}, `line 2: the id "a" is taken by the policy on line 1`},
		{"an id that takes another's place", Document{Text: "@id(\"policy1\") permit(principal, action, resource);\nforbid(principal, action, resource);"}, `line 2: the id "policy1" is taken`},
		{"an id that is no text", Document{Text: "@id(\"a\\nb\") permit(principal, action, resource);"}, "line 1: an @id has"},
		{"an empty id", Document{Text: `@id("") permit(principal, action, resource);`}, "line 1: an @id has"},
		{"a typing error in an attribute", Document{Text: "\n@id(\"hours\") permit(principal, action, resource) when { context.time.hours < 9 };"}, `policy "hours" on line 2`},
		{"a typing error in an entity type", Document{Text: `permit(principal in Warifu::Grp::"apps", action, resource);`}, `policy "policy0" on line 1`},
		{"an action there is not", Document{Text: `permit(principal, action == Warifu::Action::"read", resource);`}, `policy "policy0" on line 1`},
		{"a comparison of different types", Document{Text: `permit(principal, action, resource) when { context.time.hour == "9" };`}, `policy "policy0" on line 1`},
		{"a number too large", Document{Text: `permit(principal, action, resource) when { context.time.hour < 99999999999999999999 };`}, "out of range"},
		{"a condition nested without end", Document{Text: "\npermit(principal, action, resource) when { " + strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000) + " };"}, "line 2: nested more than 50 deep"},
		{"a thousand negations", Document{Text: "permit(principal, action, resource) when { " + strings.Repeat("!", 1000) + "true };"}, "line 1: nested"},
		{"a thousand conditionals", Document{Text: "permit(principal, action, resource) when { " + strings.Repeat("if true then true else ", 1000) + "true };"}, "line 1: nested"},
		{"entities that are no JSON", Document{Entities: "{"}, "entities: "},
		{"an entity given twice", Document{Entities: `[{"uid":{"type":"Warifu::Group","id":"a"},"parents":[],"attrs":{}},{"uid":{"type":"Warifu::Group","id":"a"},"parents":[],"attrs":{}}]`}, "duplicate entity"},
		{"an entity of an unknown type", Document{Entities: `[{"uid":{"type":"Warifu::User","id":"a"},"parents":[],"attrs":{}}]`}, `Warifu::User::"a"`},
		{"a principal in a group of keys", Document{Entities: `[{"uid":{"type":"Warifu::Principal","id":"a"},"parents":[{"type":"Warifu::KeyGroup","id":"k"}],"attrs":{}}]`}, `Warifu::Principal::"a"`},
		{"a key whose attributes are said here", Document{Entities: `[{"uid":{"type":"Warifu::Key","id":"demo"},"parents":[],"attrs":{"name":"other"}}]`}, "come from the ledger"},
		{"an action said here", Document{Entities: `[{"uid":{"type":"Warifu::Action","id":"unwrap"},"parents":[],"attrs":{}}]`}, "actions are not said here"},
		{"a schema that does not parse", Document{Schema: "entity User in;"}, "schema: "},
		{"a schema that leaves out what the policies need", Document{Schema: "entity User;", Text: `permit(principal, action == Warifu::Action::"unwrap", resource);`}, `policy "policy0"`},
		{"a zone there is not", Document{Zone: "Asia/Edo"}, "Asia/Edo"},
		{"a zone that is another on every machine", Document{Zone: "Local"}, "another zone on every machine"},
		{"a zone that is a path", Document{Zone: "../../etc/passwd"}, "zone: "},
		{"a text too long", Document{Text: strings.Repeat(" ", MaxText+1)}, "text of 131073 bytes, at most 131072"},
		{"too many policies", Document{Text: strings.Repeat("permit(principal,action,resource);\n", MaxPolicies+1)}, "2001 policies, at most 2000"},
		{"text that is not UTF-8", Document{Text: "// \xff"}, "text is not UTF-8"},
		{"a format of the future", Document{Format: 2}, "format 2, this program knows 1"},
	} {
		if _, err := Compile(tt.document); !errors.Is(err, ErrBadDocument) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.sentence, err, tt.want)
		} else if len(err.Error()) > 2000 {
			t.Errorf("%s: an error of %d bytes", tt.sentence, len(err.Error()))
		}
	}
}

func TestASchemaOfTheDocumentsOwn(t *testing.T) {
	own := strings.ReplaceAll(Schema, "envelope: {}", "envelope: { purpose: String, ward?: String }")
	p := must(t, Document{Schema: own, Entities: testEntities, Text: `permit(principal, action, resource) when { context.envelope.purpose == "payroll" };`})
	if d := p.Decide(request()); !d.Allowed {
		t.Errorf("%+v", d)
	}
	for sentence, text := range map[string]string{
		"an attribute the schema does not have":        `context.envelope.purpse == "payroll"`,
		"an optional attribute nobody asked for first": `context.envelope.ward == "payroll"`,
	} {
		_, err := Compile(Document{Schema: own, Text: `permit(principal, action, resource) when { ` + text + ` };`})
		if !errors.Is(err, ErrBadDocument) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func TestDepthIgnoresStringsAndComments(t *testing.T) {
	brackets := strings.Repeat("(", 200)
	must(t, Document{Text: "// " + brackets + "\npermit(principal, action, resource) when { context.reason != \"\\\"" + brackets + "\" };"})
	must(t, Document{Text: strings.Repeat("permit(principal, action, resource) when { !(context.reason == \"x\") };\n", 300)})
}

func TestDocumentRoundTrip(t *testing.T) {
	d := demo(t)
	b := d.Encode()
	back, err := DecodeDocument(b)
	if err != nil || back.Digest() != d.Digest() || back.Text != d.Text || back.Format != Format {
		t.Fatalf("%+v, %v", back, err)
	}
	if must(t, d).Digest() != d.Digest() {
		t.Error("the compiled policy has another digest")
	}
	seen := map[[32]byte]string{d.Digest(): "itself"}
	for part, change := range map[string]func(*Document){
		"text":     func(d *Document) { d.Text += " " },
		"schema":   func(d *Document) { d.Schema = Schema },
		"entities": func(d *Document) { d.Entities += " " },
		"zone":     func(d *Document) { d.Zone = "UTC" },
	} {
		other := d
		change(&other)
		if same, ok := seen[other.Digest()]; ok {
			t.Errorf("%s and %s have one digest", part, same)
		}
		seen[other.Digest()] = part
	}
	for sentence, b := range map[string][]byte{
		"nothing":         nil,
		"a cut document":  b[:len(b)-1],
		"one byte more":   append(bytes.Clone(b), 0),
		"a future format": Document{Format: 2}.Encode(),
		"too long a zone": Document{Zone: strings.Repeat("z", MaxZone+1)}.Encode(),
		"a huge document": make([]byte, MaxDocument+1),
	} {
		if _, err := DecodeDocument(b); !errors.Is(err, ErrBadDocument) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func FuzzDecodeDocument(f *testing.F) {
	f.Add(demo(f).Encode())
	f.Add(Document{}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDocument(b)
		if err != nil {
			if !errors.Is(err, ErrBadDocument) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		if !bytes.Equal(d.Encode(), b) {
			t.Error("decodes and encodes to other bytes")
		}
	})
}

func FuzzCompile(f *testing.F) {
	d := demo(f)
	f.Add(d.Text, "", d.Entities, d.Zone)
	f.Add(`permit(principal, action, resource) when { if context.envelope has a then -1 < 2 else [1,2].contains(3) };`, Schema, testEntities, "UTC")
	f.Add(`permit(principal is Warifu::Principal in Warifu::Group::"g", action in [Warifu::Action::"unwrap"], resource) unless { {a: ip("::1")}.a.isLoopback() };`, "", "", "")
	f.Fuzz(func(t *testing.T, text, schema, entities, zone string) {
		p, err := Compile(Document{Text: text, Schema: schema, Entities: entities, Zone: zone})
		if err != nil {
			if !errors.Is(err, ErrBadDocument) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		p.Describe()
		r := request()
		if d := p.Decide(r); d.Allowed && (len(d.Errors) > 0 || len(d.Rules) == 0) {
			t.Errorf("allowed with %+v", d)
		}
		r.Principal = mallory
		if p.Class(mallory) == None && p.Decide(r).Allowed {
			t.Error("a stranger is allowed")
		}
	})
}
