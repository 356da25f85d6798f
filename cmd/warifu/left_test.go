package main

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
)

func TestANodeHasLeftWhenNobodyWaitsForIt(t *testing.T) {
	up := func(node string, warnings ...string) client.NodeStatus {
		return client.NodeStatus{Node: node, Answer: &api.StatusAnswer{Node: node, FreshFor: 1000, Warnings: warnings}}
	}
	down := client.NodeStatus{Node: "a", Err: errors.New("connection refused")}
	stale := client.NodeStatus{Node: "c", Answer: &api.StatusAnswer{Node: "c"}}
	waits := up("c", "its clock is wrong", api.RosterUnfinished+": a has shares of photos")
	for _, c := range []struct {
		is     string
		leaver string
		said   []client.NodeStatus
		want   string
	}{
		{"it is down, and t others wait for nothing", "a", []client.NodeStatus{down, up("b"), up("c", "its clock is wrong")}, "a"},
		{"nobody was to leave", "", []client.NodeStatus{down, up("b"), up("c")}, ""},
		{"somebody waits", "a", []client.NodeStatus{down, up("b"), waits, up("d")}, ""},
		{"fewer than t are up to date", "a", []client.NodeStatus{down, up("b"), stale}, ""},
		{"it answers", "a", []client.NodeStatus{up("a"), up("b"), up("c")}, ""},
	} {
		known := &authority.Succession{Genesis: &authority.Genesis{Root: authority.Order{T: 2}}, Roll: authority.Roll{Leaver: c.leaver}}
		if got := hasLeft(known, c.said); got != c.want {
			t.Errorf("%s: %q, not %q", c.is, got, c.want)
		}
	}
}
