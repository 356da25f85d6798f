package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestADiffHidesNothing: what does not go is the new text, what does not come the old
// one, and equal lines at both ends stay.
func TestADiffHidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", " a\n", "b\n", "\n", "c"}), 0, 12).Draw(t, "lines"), "")
		})
		before, after := text.Draw(t, "old"), text.Draw(t, "new")
		var was, is strings.Builder
		for _, l := range diff(before, after) {
			if l.Mark != "+" {
				was.WriteString(l.Text)
			}
			if l.Mark != "-" {
				is.WriteString(l.Text)
			}
		}
		if was.String() != before || is.String() != after {
			t.Fatalf("%q and %q, of %q and %q", was.String(), is.String(), before, after)
		}
	})
}

func TestADiffKeepsWhatItCan(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"nothing changes", "a\nb\n", "a\nb\n", " a, b"},
		{"a line comes between", "a\nc\n", "a\nb\nc\n", " a,+b, c"},
		{"a line goes", "a\nb\nc\n", "a\nc\n", " a,-b, c"},
		{"a line changes", "a\nb\nc\n", "a\nx\nc\n", " a,-b,+x, c"},
		{"all is new", "", "a\n", "+a"},
		{"all goes", "a\n", "", "-a"},
		{"only the last line break", "a\n", "a", "-a,+a"},
		{"the longest part stays", "x\na\nb\nc\ny\n", "p\na\nb\nc\nq\n", "-x,+p, a, b, c,-y,+q"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			for _, l := range diff(row.old, row.new) {
				got = append(got, l.Mark+strings.TrimSuffix(l.Text, "\n"))
			}
			if s := strings.Join(got, ","); s != row.want {
				t.Errorf("%q, expected %q", s, row.want)
			}
		})
	}
	// Beyond the bound everything between goes and comes, in bounded memory.
	many := strings.Repeat("a\nb\n", 3000)
	if list := diff("x\n"+many, many+"y\n"); len(list) != 12002 || list[0].Mark != "-" || list[12001].Mark != "+" {
		t.Errorf("%d lines", len(list))
	}
}
