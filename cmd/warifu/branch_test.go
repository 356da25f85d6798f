package main

import (
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/policy"
)

// The bound that a revoke prints is that of the longest branch key which the policy permits
// to anybody it is about.
func TestTheBoundOfARevoke(t *testing.T) {
	const entities = `[{"uid":{"type":"Warifu::Principal","id":"spiffe://x/app"},"parents":[],"attrs":{}},
		{"uid":{"type":"Warifu::Principal","id":"spiffe://x/archive"},"parents":[],"attrs":{}}]`
	const app = `permit (principal == Warifu::Principal::"spiffe://x/app", action == Warifu::Action::"unwrapBranch", resource == Warifu::Key::"tally") when { context.branchSeconds <= 900 };`
	const archive = `permit (principal == Warifu::Principal::"spiffe://x/archive", action, resource);`
	const byID = `permit (principal == Warifu::Principal::"spiffe://x/app", action == Warifu::Action::"unwrapBranch", resource) when { resource.id == "0100000000000000000000000000000000000000000000000000000000000000" && context.branchSeconds <= 60 };`
	keys := []policy.Shared{{Key: "tally", ID: [32]byte{1}, Actions: policy.Actions()}, {Key: "other", ID: [32]byte{2}, Actions: policy.Actions()}, {Key: "old", ID: [32]byte{3}, Actions: []string{policy.Unwrap}}}
	of := func(id byte) authority.Subject {
		return authority.Subject{Kind: authority.SubjectKey, Name: api.KeyID{id}.String()}
	}
	everybody := authority.Subject{Kind: authority.SubjectCA, Name: "apps"}
	for _, tt := range []struct {
		sentence, text string
		about          authority.Subject
		keys           []policy.Shared
		want           time.Duration
		known          string
	}{
		{"nobody", "", everybody, keys, 0, "policy"},
		{"a quarter", app, everybody, keys, 15 * time.Minute, "policy"},
		{"the longest of several", app + archive, everybody, keys, 24 * time.Hour, "policy"},
		{"of one principal", app + archive, authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://x/app"}, keys, 15 * time.Minute, "policy"},
		{"of another", app, authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://x/archive"}, keys, 0, "policy"},
		{"no symmetric key", app + archive, everybody, keys[2:], 0, "keys"},
		{"of the key", app, of(1), keys, 15 * time.Minute, "policy"},
		{"of another key", app, of(2), keys, 0, "policy"},
		{"of an asymmetric key", app + archive, of(3), keys, 0, "keys"},
		{"of a key that no node lists", app + archive, of(4), keys, 24 * time.Hour, "format"},
		{"of a key that was stopped", app, authority.Subject{Kind: authority.SubjectKeyState, Name: of(1).Name}, keys, 15 * time.Minute, "policy"},
		{"by the key's id", byID, everybody, keys, time.Minute, "policy"},
		{"a key whose type is not known", app, everybody, []policy.Shared{{Key: "tally"}}, 15 * time.Minute, "policy"},
		{"by the context alone", archive + ` forbid (principal, action, resource) when { context.envelope has x };`, everybody, keys, 24 * time.Hour, "policy"},
		{"by the length, over all", archive + ` forbid (principal, action == Warifu::Action::"unwrapBranch", resource) when { context.branchSeconds > 60 };`, everybody, keys, time.Minute, "policy"},
	} {
		p, err := policy.Compile(policy.Document{Text: tt.text, Entities: entities})
		if err != nil {
			t.Fatal(err)
		}
		if got := boundOf(p, tt.keys, tt.about); got.Seconds != int64(tt.want/time.Second) || got.Known != tt.known {
			t.Errorf("%s: %+v, not %v", tt.sentence, got, tt.want)
		}
	}
	for _, kind := range []string{authority.SubjectPrincipal, authority.SubjectCertificate, authority.SubjectKey, authority.SubjectGrant, authority.SubjectCA, authority.SubjectCluster, authority.SubjectNode} {
		if got := hasBranchBound(kind); got != (kind != authority.SubjectNode) {
			t.Errorf("a denial of a %s: %v", kind, got)
		}
	}
	for want, b := range map[string]branchBound{
		"none: nodes list no symmetric key that this is about":                                                                                                                     {0, "keys"},
		"whoever has a branch key opens without asking what is made in its interval, which ends at most 24h after this is done":                                                    longestBranch(),
		"whoever has a branch key opens without asking what is made in its interval, which ends at most 15m after this is done, and at most 24h if an earlier policy permitted it": {900, "policy"},
		"the policy in force permits none; whoever has one by an earlier policy opens without asking what is made in its interval, which ends at most 24h after this is done":      {0, "policy"},
	} {
		if b.String() != want {
			t.Errorf("%+v: %s", b, b)
		}
	}
	for want, of := range map[string][2]int64{
		"":                                  {0, 0},
		"15m from 2026-11-23 00:15:00 UTC":  {1795392900, 900},
		"1m1s from 1970-01-01 00:00:01 UTC": {1, 61},
	} {
		if got := branchWords(of[0], uint32(of[1])); got != want {
			t.Errorf("%v is said as %q", of, got)
		}
	}
	if inBranch("tally", "") != "tally" || inBranch("tally", "1h from then") != "tally, branch of 1h from then" {
		t.Error("a key's name in a branch")
	}
	lengths := api.BranchLengths()
	if b := longestBranch(); b.Seconds != int64(lengths[len(lengths)-1]/time.Second) {
		t.Errorf("without a policy: %+v", b)
	}
}
