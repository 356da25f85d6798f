package main

import (
	"fmt"
	"io"
	"strings"
)

// diffLine is one line of two texts laid over each other. The lines that do not
// go are the new text, whole; those that do not come are the old one.
type diffLine struct {
	Mark string `json:"mark"` // " ", "-" goes, "+" comes
	Text string `json:"text"` // with its line break, if it has one
}

// maxDiffCells bounds the table of a comparison, 16 MiB: two texts of 2,000 lines
// that have no first or last line in common. Beyond it, all lines between go and come.
const maxDiffCells = 1 << 22

// diff lays the new text over the old one, by lines, with as many lines kept as
// there can be.
func diff(old, new string) []diffLine {
	a, b := lines(old), lines(new)
	var head, tail []diffLine
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, diffLine{" ", a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, diffLine{" ", a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	out := append(head, between(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}

// between compares by the table of longest common subsequences (Wagner and
// Fischer, 1974): kept[i][j] lines of a[i:] and b[j:] can stay.
func between(a, b []string) []diffLine {
	var out []diffLine
	i, j, width := 0, 0, len(b)+1
	if (len(a)+1)*width <= maxDiffCells {
		kept := make([]int32, (len(a)+1)*width)
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					kept[i*width+j] = kept[(i+1)*width+j+1] + 1
				} else {
					kept[i*width+j] = max(kept[(i+1)*width+j], kept[i*width+j+1])
				}
			}
		}
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				out = append(out, diffLine{" ", a[i]})
				i, j = i+1, j+1
			case kept[(i+1)*width+j] >= kept[i*width+j+1]:
				out = append(out, diffLine{"-", a[i]})
				i++
			default:
				out = append(out, diffLine{"+", b[j]})
				j++
			}
		}
	}
	for _, line := range a[i:] {
		out = append(out, diffLine{"-", line})
	}
	for _, line := range b[j:] {
		out = append(out, diffLine{"+", line})
	}
	return out
}

func lines(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, line)
	}
	return out
}

// writeDiff writes each line escaped and behind its mark, and says how many go and
// come. A line that only lacks its line break says so: it would look the same.
func writeDiff(a *app, w io.Writer, name string, list []diffLine) {
	gone, come := 0, 0
	for _, l := range list {
		switch l.Mark {
		case "-":
			gone++
		case "+":
			come++
		}
	}
	if gone+come == 0 {
		fmt.Fprintf(w, "%s: as it is\n", name)
	} else {
		fmt.Fprintf(w, "%s: lines that go (-) %d, that come (+) %d\n", name, gone, come)
	}
	for _, l := range list {
		text, whole := strings.CutSuffix(l.Text, "\n")
		line := fmt.Sprintf("  %s | %s", l.Mark, escaped(text))
		if !whole && l.Mark != " " {
			line += "   (without a line break)"
		}
		if l.Mark == "-" {
			line = a.loud(line)
		}
		fmt.Fprintln(w, line)
	}
}
