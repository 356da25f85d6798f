package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
)

// TestExitCodesAreDistinct: a script can tell them apart, and `help exit-codes`
// names each.
func TestExitCodesAreDistinct(t *testing.T) {
	var codes []exitCode
	for _, m := range exitMeanings {
		codes = append(codes, m.code)
	}
	slices.Sort(codes)
	if len(slices.Compact(slices.Clone(codes))) != len(codes) || len(codes) != 12 {
		t.Fatalf("codes %v", codes)
	}
	for refusal, code := range refusalCodes {
		if !slices.Contains(codes, code) {
			t.Errorf("%s has the code %d, which help does not name", refusal, code)
		}
	}
}

func TestCodeOfNodes(t *testing.T) {
	reasons := func(codes ...api.Code) (list []client.NodeReason) {
		for i, c := range codes {
			list = append(list, client.NodeReason{Node: fmt.Sprint("n", i), Code: c})
		}
		return list
	}
	quorum := func(codes ...api.Code) error { return &client.QuorumError{Need: 3, Reasons: reasons(codes...)} }
	nodes := func(codes ...api.Code) error { return &client.NodesError{Doing: "ask", Reasons: reasons(codes...)} }
	const down, slow = api.CodeUnreachable, api.CodeTimeout
	for _, c := range []struct {
		name string
		err  error
		want exitCode
	}{
		{"all nodes of the quorum deny", quorum(api.CodeDenied, api.CodeDenied, api.CodeDenied), exitDenied},
		{"three deny and two are down", quorum(api.CodeDenied, down, api.CodeDenied, slow, api.CodeDenied), exitDenied},
		{"one that says denied while three are down is no denial by the cluster", quorum(api.CodeDenied, down, down, slow), exitQuorum},
		{"three are down", quorum(down, down, slow), exitQuorum},
		{"nodes are sealed, stale and unborn", quorum(api.CodeSealed, api.CodeStale, api.CodeUnborn), exitQuorum},
		{"a stranger", quorum(api.CodeUnauthenticated, api.CodeUnauthenticated, api.CodeUnauthenticated), exitUnauthenticated},
		{"nodes find the envelope altered", quorum(api.CodeEnvelope, api.CodeEnvelope), exitInput},
		{"a stranger asks for a record while one node is down", nodes(down, api.CodeUnauthenticated), exitUnauthenticated},
		{"no node has the key", nodes(api.CodeUnknownKey, api.CodeUnknownKey, down), exitUnknownKey},
		{"the ledger refused", nodes(down, api.CodeRefusedEntry), exitAuthority},
		{"the outcome is unknown", fmt.Errorf("%w: %w", client.ErrUnknownOutcome, nodes(slow)), exitUnknownOutcome},
		{"no node answers", nodes(down, slow), exitQuorum},
		{"a code from a newer node", quorum("brand-new", "brand-new"), exitQuorum},
		{"a refusal by itself", api.Refuse(api.CodeDenied, "no"), exitDenied},
		{"interrupted", fmt.Errorf("ask: %w", context.Canceled), exitUnknownOutcome},
		{"too few signatures", fmt.Errorf("%w: %w", authority.ErrRecord, authority.ErrTooFewSignatures), exitAuthority},
		{"nobody knows", fmt.Errorf("what"), exitUnexpected},
		{"nothing", nil, exitOK},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%s: exit code %d, expected %d", c.name, got, c.want)
		}
	}
}
