package client_test

import (
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/client"
)

func TestFoldReasons(t *testing.T) {
	denied := func(node string) client.NodeReason {
		return client.NodeReason{Node: node, Code: api.CodeDenied, Sentence: "no"}
	}
	down := func(node string) client.NodeReason {
		return client.NodeReason{Node: node, Code: api.CodeUnreachable, Sentence: node + ":1: connection refused"}
	}
	for _, c := range []struct {
		reasons []client.NodeReason
		nodes   int
		want    []string
	}{
		{nil, 3, nil},
		{[]client.NodeReason{denied("a")}, 1, []string{"a: denied: no"}},
		{[]client.NodeReason{denied("a"), denied("b"), denied("c")}, 3, []string{"all 3 nodes: denied: no"}},
		{[]client.NodeReason{denied("a"), denied("b")}, 3, []string{"2 nodes (a, b): denied: no"}},
		{[]client.NodeReason{denied("a"), denied("b")}, 0, []string{"2 nodes (a, b): denied: no"}},
		{[]client.NodeReason{denied("a"), denied("a")}, 2, []string{"a: denied: no"}},
		{[]client.NodeReason{denied("a"), down("b"), denied("c"), down("d")}, 4, []string{
			"2 nodes (a, c): denied: no", "b: unreachable (b:1: connection refused)", "d: unreachable (d:1: connection refused)",
		}},
	} {
		if got := client.FoldReasons(c.reasons, c.nodes); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, expected %q", c.reasons, got, c.want)
		}
	}
}

// An auditor finds a refusal by its request id.
func TestQuorumErrorNamesTheRequest(t *testing.T) {
	err := &client.QuorumError{Need: 3, Request: api.RequestID{0x4c, 0xcb}}
	if !strings.Contains(err.Error(), "(request 4ccb0000") {
		t.Error(err)
	}
}
