package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warifu.dev/policy"
)

// story reads one of the examples: its cases and its compiled policy.
func story(t testing.TB, name string) (*policy.Cases, *policy.Policy) {
	t.Helper()
	dir := filepath.Join("..", "examples", "policies", name)
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c, err := policy.ParseCases([]byte(read("cases.toml")))
	if err != nil {
		t.Fatal(err)
	}
	d := policy.Document{Text: read(c.Text), Entities: read(c.Entities), Zone: c.Zone}
	if c.Limits != "" {
		d.Limits = read(c.Limits)
	}
	p, err := policy.Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

var stories = []string{"hospital", "bank", "manufacturer"}

// The three stories hold, and each row of their tables can fail.
func TestStories(t *testing.T) {
	for _, name := range stories {
		t.Run(name, func(t *testing.T) {
			c, p := story(t, name)
			for _, o := range c.Test(p) {
				if !o.Passed {
					t.Errorf("%s: %s", o.Case, o.Why)
				}
			}
			for i := range c.Cases {
				c.Cases[i].Expect = map[string]string{policy.ExpectAllow: policy.ExpectDeny, policy.ExpectDeny: policy.ExpectAllow, policy.ExpectGrant: policy.ExpectAllow}[c.Cases[i].Expect]
			}
			for _, o := range c.Test(p) {
				if o.Passed {
					t.Errorf("%s: the opposite passes too", o.Case)
				}
			}
		})
	}
	c, p := story(t, "hospital")
	c.Cases[0].Rules = []string{"emergency-room"}
	if o := c.Test(p)[0]; o.Passed || o.Why != `it is decided by ["ward-by-day"]` {
		t.Errorf("another rule was expected: %+v", o)
	}
}

func TestParseCases(t *testing.T) {
	const good = "text = \"p.cedar\"\n[[case]]\nname = \"n\"\nprincipal = \"p\"\nkey = \"k\"\ntime = 2026-11-24T12:00:00Z\nexpect = \"deny\"\n"
	if _, err := policy.ParseCases([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for sentence, tt := range map[string]struct{ b, want string }{
		"no TOML":             {"text = ", "line 1"},
		"a field that is not": {strings.Replace(good, "reason", "raeson", 1) + "raeson = \"x\"\n", "raeson"},
		"no policy":           {strings.Replace(good, "text", "zone", 1), "names no policy"},
		"no case":             {"text = \"p\"\n", "no [[case]]"},
		"no name":             {strings.Replace(good, "\"n\"", "\"\"", 1), "has no name"},
		"no key":              {strings.Replace(good, "key = \"k\"\n", "", 1), "principal and key"},
		"no time":             {strings.Replace(good, "time = 2026-11-24T12:00:00Z\n", "", 1), "time is needed"},
		"neither yes nor no":  {strings.Replace(good, "deny", "maybe", 1), "not \"maybe\""},
		"no such action":      {good + "action = \"decrypt\"\n", "there is no action \"decrypt\", only unwrap, encrypt and unwrapBranch"},
		"a bad address":       {good + "source = \"10.0.0\"\n", "source"},
		"twice the same name": {good + strings.TrimPrefix(good, "text = \"p.cedar\"\n"), "two cases are named"},
		"too long":            {good + strings.Repeat("#", policy.MaxCasesFile), "at most"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := policy.ParseCases([]byte(tt.b))
			if !errors.Is(err, policy.ErrBadCases) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A case may ask to encrypt, and asks to unwrap if it does not say.
func TestACaseNamesItsAction(t *testing.T) {
	p, err := policy.Compile(policy.Document{Text: writersDemo + ";", Entities: people})
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]bool{"": false, policy.Unwrap: false, policy.Encrypt: true} {
		c := policy.Case{Principal: "spiffe://x/app", Key: "demo", Action: action}
		if d := p.Decide(c.Request()); d.Allowed != want {
			t.Errorf("%q: %+v", action, d)
		}
	}
}

func FuzzParseCases(f *testing.F) {
	for _, name := range stories {
		b, err := os.ReadFile(filepath.Join("..", "examples", "policies", name, "cases.toml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	_, p := story(f, "hospital")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := policy.ParseCases(b)
		if err != nil {
			if !errors.Is(err, policy.ErrBadCases) {
				t.Errorf("unnamed: %v", err)
			}
			return
		}
		for _, o := range c.Test(p) { // what was accepted can be asked
			if o.Got != policy.ExpectAllow && o.Got != policy.ExpectDeny && o.Got != policy.ExpectGrant {
				t.Errorf("%+v", o)
			}
		}
	})
}
