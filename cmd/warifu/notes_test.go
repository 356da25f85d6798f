package main

import (
	"bytes"
	"testing"
)

// What the library has to say is one line as any other of ours, whatever a node put in it.
func TestNotesAreLinesOfThisProgram(t *testing.T) {
	var errs bytes.Buffer
	a := &app{errs: &errs}
	a.notes().Info("nobody has to know")
	a.notes().With("request", "6b1f").Warn("fewer than a majority of the nodes show the policy", "shown", 2, "node", "n1\n\x1b[2J")
	if got, want := errs.String(), "warifu: fewer than a majority of the nodes show the policy (request 6b1f, shown 2, node n1\\n\\u{1b}[2J)\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
