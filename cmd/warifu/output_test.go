package main

import (
	"errors"
	"testing"

	"warifu.dev/client"
)

func TestEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 割符\n\tand lines": "plain, 割符\n\tand lines",
		"\x1b[2Jclear":           `\u{1b}[2Jclear`,
		"\u202eright to left":    `\u{202e}right to left`,
		"\u009b1m":               `\u{9b}1m`,
		"broken \xff":            `broken \x{ff}`,
		"over\rwritten":          `over\u{d}written`,
	} {
		if got := escaped(in); got != want {
			t.Errorf("escaped(%q) = %q, expected %q", in, got, want)
		}
	}
}

// TestSentence: an error is one line, whatever it lists.
func TestSentence(t *testing.T) {
	err := &client.NodesError{Doing: "ask", Reasons: []client.NodeReason{{Node: "a", Code: "denied", Sentence: "no"}, {Node: "b", Code: "stale", Sentence: "late"}}}
	const want = "denied; ask: no node could; a: denied: no; b: stale: late"
	if got := sentence(err); got != want {
		t.Errorf("sentence = %q, expected %q", got, want)
	}
	if got := sentence(errors.New("a\x1b[2Jb")); got != `a\u{1b}[2Jb` {
		t.Errorf("sentence = %q", got)
	}
}
