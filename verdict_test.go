package warifu_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A test that failed counts as passed when it was run again in one case alone: it runs
// processes in real time, tries no promise, and there was no race and no panic.
func TestWhoseSecondTryCounts(t *testing.T) {
	const first = "fail cmd/warifu TestOnline/together/files; fail cmd/warifu TestOnline/together; fail cmd/warifu TestOnline; fail cmd/warifu; "
	const second = "pass cmd/warifu TestOnline/together/files; pass cmd/warifu TestOnline/together; pass cmd/warifu TestOnline; pass cmd/warifu"
	for name, run := range map[string]struct {
		events string
		passes bool
		says   []string // the last lines
	}{
		"everything passes": {
			"pass node TestA; pass node TestB/one; pass node TestB; pass node; skip api", true,
			[]string{"3 passed, 0 failed, 0 skipped"},
		},
		"nothing was run":          {"", false, []string{"0 passed, 0 failed, 0 skipped"}},
		"a skipped test is no run": {"pass node TestA; skip node TestB; pass node", false, []string{"Skipped, which counts as failed:", "  warifu.dev/node TestB", "1 passed, 0 failed, 1 skipped"}},
		"it fails":                 {"pass node TestA; fail node TestB; fail node", false, []string{"Failed:", "  warifu.dev/node TestB", "1 passed, 1 failed, 0 skipped"}},
		"it fails twice": {
			first + "fail cmd/warifu TestOnline; fail cmd/warifu; pass node TestA", false,
			[]string{"Failed:", "  warifu.dev/cmd/warifu TestOnline/together/files", "  warifu.dev/cmd/warifu TestOnline/together", "  warifu.dev/cmd/warifu TestOnline", "1 passed, 3 failed, 0 skipped"},
		},
		"by chance, with processes in real time": {first + second, true, []string{
			"=== NOT EVERYTHING PASSED AT ONCE ===",
			"flaky: warifu.dev/cmd/warifu TestOnline failed once and passed when run again",
			"3 passed, 0 failed, 0 skipped, 1 flaky",
		}},
		"by chance, on a real network": {"fail transport TestA; fail transport; pass transport TestA; pass transport", true, []string{
			"=== NOT EVERYTHING PASSED AT ONCE ===",
			"flaky: warifu.dev/transport TestA failed once and passed when run again",
			"1 passed, 0 failed, 0 skipped, 1 flaky",
		}},
		"where nothing fails by chance": {"fail node/gate TestA; fail node/gate; pass node/gate TestA; pass node/gate; pass node TestA", false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/node/gate TestA (its package gets no second try)",
			"1 passed, 1 failed, 0 skipped",
		}},
		"a package whose name begins alike": {"fail benches TestA; fail benches; pass benches TestA; pass benches", false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/benches TestA (its package gets no second try)",
			"0 passed, 1 failed, 0 skipped",
		}},
		"a promise": {"fail bench/cluster TestSecretsStayApart; fail bench/cluster; pass bench/cluster TestSecretsStayApart; pass bench/cluster", false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/bench/cluster TestSecretsStayApart (it tries a promise)",
			"0 passed, 1 failed, 0 skipped",
		}},
		"a race": {"says cmd/warifu TestOnline/together/files \t[stderr] WARNING: DATA RACE; " + first + second, false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/cmd/warifu TestOnline (with a race or a panic)",
			"2 passed, 1 failed, 0 skipped",
		}},
		"a panic that no test is told of": {"says bench  panic: no; fail bench TestA; fail bench; pass bench TestA; pass bench", false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/bench TestA (with a race or a panic)",
			"0 passed, 1 failed, 0 skipped",
		}},
		"a race somewhere else": {"says cmd/warifu TestOther WARNING: DATA RACE; pass cmd/warifu TestOther; " + first + second, true, []string{
			"=== NOT EVERYTHING PASSED AT ONCE ===",
			"flaky: warifu.dev/cmd/warifu TestOnline failed once and passed when run again",
			"4 passed, 0 failed, 0 skipped, 1 flaky",
		}},
		"a package fails, and none of its tests": {"pass bench TestA; fail bench; pass bench", false, []string{
			"Failed outside its tests: warifu.dev/bench", "1 passed, 0 failed, 0 skipped",
		}},
		"of two that failed one by chance": {first + "fail node TestA; fail node; " + second + "; pass node TestA; pass node", false, []string{
			"Failed, and passed when run again, which does not count:",
			"  warifu.dev/node TestA (its package gets no second try)",
			"=== NOT EVERYTHING PASSED AT ONCE ===",
			"flaky: warifu.dev/cmd/warifu TestOnline failed once and passed when run again",
			"3 passed, 1 failed, 0 skipped, 1 flaky",
		}},
	} {
		report := filepath.Join(t.TempDir(), "report")
		if err := os.WriteFile(report, events(t, run.events), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("script/verdict", report).CombinedOutput()
		if passes := err == nil; passes != run.passes {
			t.Errorf("%s: passed is %v, %v", name, passes, err)
		}
		if got, want := string(out), strings.Join(run.says, "\n")+"\n"; got != want {
			t.Errorf("%s: it says\n%swant\n%s", name, got, want)
		}
	}
}

// events are what go test -json writes of "WHAT PACKAGE [TEST [TEXT]]; ...".
func events(t *testing.T, list string) []byte {
	t.Helper()
	var out []byte
	for e := range strings.SplitSeq(list, "; ") {
		part := strings.SplitN(e, " ", 4)
		if len(part) < 2 {
			continue
		}
		event := struct {
			Time, Action, Package string
			Test                  string  `json:",omitempty"`
			Output                string  `json:",omitempty"`
			Elapsed               float64 `json:",omitempty"`
		}{Time: "2026-04-01T00:00:00Z", Action: part[0], Package: "warifu.dev/" + part[1], Elapsed: 1.5}
		if len(part) > 2 {
			event.Test = part[2]
		}
		if len(part) > 3 {
			event.Action, event.Elapsed, event.Output = "output", 0, part[3]+"\n"
		}
		b, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, b...), '\n')
	}
	return out
}
