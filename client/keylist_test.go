package client

import (
	"testing"

	"warifu.dev/api"
)

// A node whose list of keys goes back, stands still or says that more comes of nothing
// cannot keep a client asking for ever.
func TestAListOfKeysGoesForward(t *testing.T) {
	list := func(more bool, names ...string) *api.KeyListAnswer {
		a := &api.KeyListAnswer{More: more}
		for _, n := range names {
			a.Keys = append(a.Keys, api.KeySummary{Name: n})
		}
		return a
	}
	for _, tt := range []struct {
		sentence string
		after    string
		answer   *api.KeyListAnswer
		follows  bool
	}{
		{"all of them", "", list(false, "a", "b"), true},
		{"none", "", list(false), true},
		{"some of them", "b", list(true, "c"), true},
		{"more of nothing", "b", list(true), false},
		{"the one asked after", "b", list(false, "b"), false},
		{"one twice", "", list(false, "a", "a"), false},
		{"out of order", "", list(true, "b", "a"), false},
	} {
		if got := follows(tt.after, tt.answer); got != tt.follows {
			t.Errorf("%s: %v", tt.sentence, got)
		}
	}
}
