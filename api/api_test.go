package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	. "warifu.dev/api"
	"warifu.dev/internal/wire"
)

func TestNames(t *testing.T) { // R22
	for _, ok := range []string{"a", "0", "payroll", "jp-east", "n1.example_x", strings.Repeat("a", MaxNameLength)} {
		if err := CheckName(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{
		"", "A", "-a", ".a", "_a", "..", "a b", "a/b", "a\x00", "a\n", "ａ", "é", "a:b", strings.Repeat("a", MaxNameLength+1), strings.Repeat("0", 64),
	} {
		if err := CheckName(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := CheckName(strings.Repeat("x", 1<<20)); len(err.Error()) > 1000 {
		t.Error("a refusal repeats a megabyte")
	}
}

func TestContexts(t *testing.T) {
	c, err := ParseContext([]string{"app=payroll", "row=a=b", "empty="})
	if err != nil || !maps.Equal(c, Context{"app": "payroll", "row": "a=b", "empty": ""}) {
		t.Fatalf("%v, %v", c, err)
	}
	var many []string
	for i := range MaxContextPairs + 1 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	if _, err := ParseContext(many[1:]); err != nil {
		t.Errorf("as many pairs as there may be: %v", err)
	}
	for name, pairs := range map[string][]string{
		"no equals sign":      {"app"},
		"an empty key":        {"=payroll"},
		"a key given twice":   {"app=a", "app=b"},
		"the same pair twice": {"app=a", "app=a"},
		"one pair too many":   many,
		"a key too long":      {strings.Repeat("k", MaxContextKey+1) + "=v"},
		"a value too long":    {"k=" + strings.Repeat("v", MaxContextValue+1)},
		"no UTF-8 in a key":   {"\xff=v"},
		"no UTF-8 in a value": {"k=\xff"},
	} {
		if _, err := ParseContext(pairs); !errors.Is(err, ErrContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R11: no two contexts have the same canonical bytes, and order does not matter.
func TestCanonicalContexts(t *testing.T) {
	seen := map[string]int{}
	for i, c := range []Context{
		{},
		{"a": ""},
		{"a": "b"},
		{"ab": ""},
		{"a": "b", "c": "d"},
		{"a": "bcd"},
		{"a": "bc", "d": ""},
		{"a": "d", "c": "b"},
		{"A": "b"},
		{"a": "b "},
	} {
		b := string(c.Canonical())
		if j, dup := seen[b]; dup {
			t.Errorf("contexts %d and %d have the same bytes", i, j)
		}
		seen[b] = i
	}
	if !bytes.Equal(Context(nil).Canonical(), Context{}.Canonical()) {
		t.Error("no context and an empty one differ")
	}
	forwards, backwards := Context{}, Context{}
	for i := range MaxContextPairs {
		forwards[fmt.Sprint("k", i)] = "v"
		backwards[fmt.Sprint("k", MaxContextPairs-1-i)] = "v"
	}
	for range 20 {
		if !bytes.Equal(forwards.Canonical(), backwards.Canonical()) {
			t.Fatal("the order of a map shows")
		}
	}
}

func TestDigests(t *testing.T) {
	d := Digest{1, 0xab}
	got, err := ParseDigest(d.String())
	if err != nil || got != d || d.IsZero() || !(Digest{}).IsZero() {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", d.String()[1:], d.String() + "0", strings.Repeat("g", 64), strings.ToUpper(d.String()), " " + d.String()[1:]} {
		if _, err := ParseDigest(bad); !errors.Is(err, ErrIdentifier) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	b, err := json.Marshal(map[string]any{"digest": d, "key": KeyID(d), "cluster": ClusterID(d), "request": RequestID{1}})
	if err != nil || strings.Count(string(b), d.String()) != 3 || !strings.Contains(string(b), RequestID{1}.String()) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestRefusals(t *testing.T) {
	no, later := Refuse(CodeDenied, "not %s", "you"), Retry(CodeStale, "wait")
	if no.Error() != "denied: not you" || no.Retryable || !later.Retryable {
		t.Errorf("%+v, %+v", no, later)
	}
}

func TestMessagesReadBack(t *testing.T) {
	request := UnwrapRequest{
		RequestID: RequestID{1}, Reason: "because",
		Items: []UnwrapItem{{Envelope: []byte{1}}, {Envelope: []byte{2}, Context: Context{"a": "b"}, Endorsement: []byte{3}, Prove: true}},
	}
	answer := UnwrapAnswer{
		Header: AnswerHeader{Node: "n1", Index: 7},
		Items:  []ItemAnswer{{Refusal: Refuse(CodeDenied, "no")}, {Epoch: 1, Index: 2, Partial: []byte{4}}},
	}
	var r UnwrapRequest
	if err := wire.Decode(wire.Encode(request), &r); err != nil || !bytes.Equal(wire.Encode(r), wire.Encode(request)) || !r.Items[1].Prove {
		t.Errorf("%+v, %v", r, err)
	}
	var a UnwrapAnswer
	if err := wire.Decode(wire.Encode(answer), &a); err != nil || a.Items[0].Refusal.Code != CodeDenied || a.Items[1].Index != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParseContext(f *testing.F) {
	f.Add("app=payroll", "row=42")
	f.Add("=", "a=b=c")
	f.Fuzz(func(t *testing.T, one, two string) {
		c, err := ParseContext([]string{one, two})
		if err != nil {
			if !errors.Is(err, ErrContext) {
				t.Fatal(err)
			}
			return
		}
		if len(c) != 2 || c.Check() != nil {
			t.Fatalf("%q and %q gave %v", one, two, c)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add(Digest{1}.String())
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err == nil && d.String() != s {
			t.Fatalf("%q has a second spelling", s)
		}
	})
}
