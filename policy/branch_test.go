package policy_test

import (
	"errors"
	"testing"
	"time"

	"warifu.dev/policy"
)

const branchesDemo = `@id("branches") permit (principal in Warifu::Group::"apps", action == Warifu::Action::"unwrapBranch", resource == Warifu::Key::"demo") when { context.branchSeconds <= 900 };`

// How long a branch is belongs to the question: a yes to a short one is none to a long one,
// nor to opening items, nor the other way round.
func TestTheLengthOfABranchIsAsked(t *testing.T) {
	p := compiled(t, branchesDemo)
	ask := func(action string, length time.Duration) bool {
		return p.Decide(policy.Request{Principal: "spiffe://x/app", Action: action, KeyName: "demo", Branch: length}).Allowed
	}
	for range 2 { // the second time it is remembered
		for length, want := range map[time.Duration]bool{time.Minute: true, 15 * time.Minute: true, time.Hour: false, 24 * time.Hour: false} {
			if got := ask(policy.UnwrapBranch, length); got != want {
				t.Errorf("%v: %v", length, got)
			}
		}
		if ask(policy.Unwrap, time.Minute) || ask(policy.Encrypt, time.Minute) {
			t.Error("who may hold branch keys may unwrap or encrypt")
		}
	}
	r := policy.Request{Action: policy.UnwrapBranch, KeyName: "demo"}
	for length, want := range map[time.Duration]policy.Verdict{0: policy.Sometimes, time.Minute: policy.Always, time.Hour: policy.Never} {
		r.Branch = length
		if v, _ := p.Possible("spiffe://x/app", r); v != want {
			t.Errorf("%v is possible %v, not %v", length, v, want)
		}
	}
}

// The length is there for branches alone: a rule that asks for it about items does not
// compile.
func TestOnlyBranchesHaveALength(t *testing.T) {
	for text, good := range map[string]bool{
		branchesDemo: true,
		`permit (principal, action, resource) when { context.branchSeconds <= 900 };`:                                                       false,
		`permit (principal, action == Warifu::Action::"encrypt", resource) when { context.branchSeconds <= 900 };`:                          false,
		`forbid (principal, action == Warifu::Action::"unwrapBranch", resource) unless { context.envelope has tenant };`:                    true,
		`permit (principal, action in [Warifu::Action::"unwrap", Warifu::Action::"unwrapBranch"], resource) when { context.reason != "" };`: true,
	} {
		_, err := policy.Compile(policy.Document{Text: text, Entities: people})
		if (err == nil) != good || err != nil && !errors.Is(err, policy.ErrBadDocument) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A table of decisions says how long a branch is, and of nothing else.
func TestACaseOfABranch(t *testing.T) {
	const head = "text = \"p.cedar\"\n[[case]]\nname = \"n\"\nprincipal = \"spiffe://x/app\"\nkey = \"demo\"\ntime = 2026-11-24T12:00:00Z\nexpect = \"allow\"\n"
	p := compiled(t, branchesDemo)
	for tail, want := range map[string]string{
		"action = \"unwrapBranch\"\nbranch = \"15m\"\n": policy.ExpectAllow,
		"action = \"unwrapBranch\"\nbranch = \"1h\"\n":  policy.ExpectDeny,
		"action = \"unwrapBranch\"\n":                   "",
		"action = \"unwrapBranch\"\nbranch = \"7m\"\n":  "",
		"action = \"unwrapBranch\"\nbranch = \"x\"\n":   "",
		"branch = \"15m\"\n":                            "",
	} {
		c, err := policy.ParseCases([]byte(head + tail))
		if (err == nil) != (want != "") || err != nil && !errors.Is(err, policy.ErrBadCases) {
			t.Errorf("%s: %v", tail, err)
		}
		if err == nil {
			if got := c.Test(p)[0].Got; got != want {
				t.Errorf("%s: %s", tail, got)
			}
		}
	}
}
