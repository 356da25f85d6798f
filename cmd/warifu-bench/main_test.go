package main

import (
	"io"
	"strings"
	"testing"
)

func TestFlagsThatAreWrongAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Setenv("WARIFU_HOME", "")
	for args, says := range map[string]string{
		"":                                   "which cluster?",
		"--start -o yaml":                    "table or json",
		"--start -n 0":                       "unwraps",
		"--start -c 100000":                  "in flight",
		"--home /nonexistent":                "no cluster is known",
		"--home /nonexistent --pid 4711":     "NAME=PID",
		"--home /nonexistent --pid node-1=x": "NAME=PID",
		"more":                               "unknown command",
	} {
		c := decryptCommand()
		c.SetArgs(strings.Fields(args))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", args, err, says)
		}
	}
}
