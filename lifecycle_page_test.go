package warifu_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"warifu.dev/authority"
)

const (
	lifecyclePage = "docs/lifecycle.md"
	tableBegins   = "<!-- the table of moves: go test -run LifecyclePage -update . -->\n"
	tableEnds     = "<!-- the end of the table -->\n"
)

// The page of a key's life has the states and the moves that the program has, all of
// them, in its order.
func TestLifecyclePageHasTheTable(t *testing.T) {
	var b strings.Builder
	mark := func(yes bool) string {
		if yes {
			return "yes"
		}
		return "no"
	}
	b.WriteString("\n| State | Wraps | Unwraps |\n| --- | --- | --- |\n")
	for _, s := range authority.KeyStates() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s, mark(s.Wraps()), mark(s.Unwraps()))
	}
	b.WriteString("\n| Transition | From | To | Made by | When |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range authority.Moves() {
		var by []string
		for _, who := range []struct {
			mover authority.Mover
			words string
		}{{authority.ByCustodians, "custodians"}, {authority.ByTime, "time"}, {authority.ByDestruction, "destruction"}} {
			if m.By&who.mover != 0 {
				by = append(by, who.words)
			}
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", m.Number, m.From, m.To, strings.Join(by, ", "), m.Means)
	}
	b.WriteString("\n")
	page, err := os.ReadFile(lifecyclePage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegins)
	has, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", lifecyclePage)
	}
	if has == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has another table than authority; run: go test -run LifecyclePage -update .", lifecyclePage)
	}
	if err := os.WriteFile(lifecyclePage, []byte(before+tableBegins+b.String()+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
