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

		// Letters of another script in a Latin word, or a whole word that poses as one.
		"p\u0430yroll":             `p\u{430}yroll`,
		"\u03c1ermit":              `\u{3c1}ermit`,
		"\u0440\u0430\u0443":       `\u{440}\u{430}\u{443}`,
		"key_\u043e1":              `key_\u{43e}1`,
		"\uff41dmin":               `\u{ff41}dmin`,
		"\U0001d41admin":           `\u{1d41a}dmin`,
		"a\u0661":                  `a\u{661}`,
		"a\u0301, \u0301b":         `a\u{301}, \u{301}b`,
		"\u0e01\u0e34\u0e34\u0e34": "\u0e01\u0e34\u0e34" + `\u{e34}`,
		"a\u20dd":                  `a\u{20dd}`,
		// What has no picture.
		"pay\u200broll":        `pay\u{200b}roll`,
		"\u2066a\u2069":        `\u{2066}a\u{2069}`,
		"a\u3164b \u115f":      `a\u{3164}b \u{115f}`,
		"a\ufe0f \U000e0100":   `a\u{fe0f} \u{e0100}`,
		"\u2800 \u00a0 \ufeff": `\u{2800} \u{a0} \u{feff}`,
		// What people write.
		"caf\u00e9 na\u00efve":     "caf\u00e9 na\u00efve",
		"привет, мир":              "привет, мир",
		"病院のAPI鍵 und Straße_2":     "病院のAPI鍵 und Straße_2",
		"γειά σου, สวัสดี, हिन्दी": "γειά σου, สวัสดี, हिन्दी",
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
