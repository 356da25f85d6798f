package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"warifu.dev/api"
	"warifu.dev/internal/spoken"
)

// Formats of the output.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// show prints v as JSON when that was asked for, and otherwise what words writes.
func (a *app) show(v any, words func(w io.Writer)) error {
	if a.format != formatJSON {
		words(a.out)
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// table writes rows in aligned columns under a heading.
func table(w io.Writer, heading string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(heading, " ", "\t"))
	for _, r := range rows {
		for i, cell := range r {
			r[i] = oneLine(cell)
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}

// facts writes "name  value" lines, aligned. An empty name continues the one above.
func facts(w io.Writer, pairs ...string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(t, "%s\t%s\n", pairs[i], oneLine(pairs[i+1]))
	}
	t.Flush()
}

// readOut are the facts of a digest in words: rows of six, under the name that
// they are given first.
func readOut(digest api.Digest) []string {
	var pairs []string
	name := "to read out"
	for row := range slices.Chunk(spoken.Say(digest), 6) {
		pairs = append(pairs, name, strings.Join(row, " "))
		name = ""
	}
	return pairs
}

// saidWords are the same words, for JSON.
func saidWords(digest api.Digest) string { return strings.Join(spoken.Say(digest), " ") }

// escaped makes text of others harmless: every rune that does not print, line
// breaks and tabs apart, is written as \u{hex} or \x{hex}, so that a policy cannot
// repaint what a custodian reads before signing it; and so is, by [marked], what
// looks like another letter or like nothing.
func escaped(s string) string {
	var b strings.Builder
	var word []rune
	flush := func() {
		hidden := marked(word)
		for i, r := range word {
			if hidden[i] {
				fmt.Fprintf(&b, `\u{%x}`, r)
			} else {
				b.WriteRune(r)
			}
		}
		word = word[:0]
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		broken := r == utf8.RuneError && n == 1
		if !broken && inWord(r) {
			word = append(word, r)
			i += n
			continue
		}
		flush()
		switch {
		case broken:
			fmt.Fprintf(&b, `\x{%02x}`, s[i])
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		i += n
	}
	flush()
	return b.String()
}

// oneLine is [escaped] on one line.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(escaped(s))
}

// indented puts escaped text under a heading, so that none of its lines can be
// taken for ours.
func indented(s string) string {
	return "  | " + strings.ReplaceAll(strings.TrimRight(escaped(s), "\n"), "\n", "\n  | ")
}

// loud marks what must not be overlooked: red where colours are wanted, and in
// words everywhere.
func (a *app) loud(s string) string {
	if !a.colour {
		return s
	}
	return "\x1b[1;31m" + s + "\x1b[0m"
}

// wantsColour follows https://no-color.org.
func wantsColour(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) && takesColours(f)
}

// instant says a time in Unix milliseconds.
func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC") }

// plural says "1 node", "2 nodes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
