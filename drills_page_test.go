package warifu_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The drills run what docs/operations.md prints: every block of the page is one that
// script/drill runs, and the other way round; each is a shell's text; and CI runs
// them all.
func TestTheDrillsRunWhatThePagePrints(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	page, script := read("docs/operations.md"), read("script/drill")
	var printed, run []string
	for _, m := range regexp.MustCompile("(?s)<!-- drill: ([a-z-]+) -->\n```sh\n(.*?)\n```\n").FindAllStringSubmatch(page, -1) {
		printed = append(printed, m[1])
		check := exec.Command("bash", "-n")
		check.Stdin = strings.NewReader(m[2])
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("the block %s: %v\n%s", m[1], err, out)
		}
	}
	if marks := strings.Count(page, "<!-- drill: "); marks != len(printed) || marks == 0 {
		t.Errorf("%d marks of drills on the page, %d blocks", marks, len(printed))
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*typed ([a-z-]+)`).FindAllStringSubmatch(script, -1) {
		run = append(run, m[1])
	}
	slices.Sort(printed)
	slices.Sort(run)
	if !slices.Equal(printed, run) {
		t.Errorf("the page prints %v, script/drill runs %v", printed, run)
	}
	if out, err := exec.Command("bash", "-n", "script/drill").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	makefile, ci := read("Makefile"), read(".ci/run")
	for _, name := range []string{"hsm-lost", "region-lost", "quorum-lost", "upgrade"} {
		if !strings.Contains(makefile, "\ndrill-"+name+": build\n\t@script/drill "+name) {
			t.Errorf("no make drill-%s", name)
		}
		if !regexp.MustCompile(`(?m)^(make drill-|script/drill (.* )?)` + name + " ").MatchString(ci) {
			t.Errorf("CI does not run the drill %s", name)
		}
	}
}
