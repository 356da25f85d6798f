package warifu_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"warifu.dev/internal/wycheproof"
)

const (
	envelopePage   = "docs/envelope.md"
	envelopeScript = "docs/envelope.py"
	vectorFile     = "sharing/tdh2/testdata/vectors.json"
	itemFile       = "sharing/tprf/testdata/vectors.json"
	branchFile     = "sharing/tprf/testdata/branches.json"
)

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The page holds the vectors that the program is tested with, and no others.
func TestEnvelopePageHoldsTheVectors(t *testing.T) {
	page := readText(t, envelopePage)
	for block, file := range map[string]string{"vectors": vectorFile, "symmetric": itemFile, "branches": branchFile} {
		if !strings.Contains(page, "\n```json "+block+"\n"+readText(t, file)+"```\n") {
			t.Errorf("the %s of %s are not those of %s", block, envelopePage, file)
		}
	}
	table := readText(t, "internal/tag/table.go")
	begin := strings.Index(table, "// Envelopes and keys")
	end := begin + strings.Index(table[begin:], "\n)")
	tags := regexp.MustCompile(`"warifu/v1/[^"]+"`).FindAllString(table[begin:end], -1)
	if len(tags) < 10 {
		t.Fatalf("only %d tags of envelopes found", len(tags))
	}
	for _, tag := range tags {
		if !strings.Contains(page, "| `"+strings.Trim(tag, `"`)+"` |") {
			t.Errorf("%s does not list the tag %s", envelopePage, tag)
		}
	}
}

// openPage runs the script on a page, without the packages that somebody may
// have installed.
func openPage(t *testing.T, page string) (string, error) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("python3 is missing. Run: apt-get install python3 (or script/deps --test)")
	}
	out, err := exec.CommandContext(t.Context(), python, "-I", "-S", envelopeScript, page).CombinedOutput()
	return string(out), err
}

// Python's standard library, the page and t shares are enough.
func TestTheEnvelopePageIsEnough(t *testing.T) {
	out, err := openPage(t, envelopePage)
	if err != nil || !strings.HasSuffix(out, "\n9 envelopes opened, 5 of them of symmetric keys\n") {
		t.Fatalf("%v: %s", err, out)
	}
	script := readText(t, envelopeScript)
	for _, line := range regexp.MustCompile(`(?m)^(import|from) .*`).FindAllString(script, -1) {
		if !regexp.MustCompile(`^import (functools|hashlib|hmac|itertools|json|math|os|re|sys)$`).MatchString(line) {
			t.Errorf("the script needs more than the standard library: %s", line)
		}
	}
}

// The script is able to fail: one digit that differs in a vector is noticed.
func TestTheEnvelopeScriptNotices(t *testing.T) {
	page := readText(t, envelopePage)
	for _, field := range []string{
		"SecondGenerator", "Canonical", "Delta", "Y", "W", "Shares", "Context", "DEK", "R", "Nonce", "Envelope", "EnvelopeHash", "Partials", "ShareProofs", "Endorsement",
		"SetKeys", "SetKeyHashes", "Session", "Principal", "Secret", "Rho", "Alpha", "Values", "Value", "Item", "ItemHash",
		"BranchKey", "BranchHash",
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			// A digit of the field's first value.
			at := regexp.MustCompile(`"` + field + `":[^0-9a-f]*`).FindStringIndex(page[strings.Index(page, "json constants"):])
			if at == nil {
				t.Fatal("the page has no such field")
			}
			altered := []byte(page)
			digit := at[1] + strings.Index(page, "json constants")
			if field != "Delta" {
				digit += 9
			}
			if altered[digit] == '1' {
				altered[digit] = '3'
			} else {
				altered[digit] = '1'
			}
			if bytes.Equal(altered, []byte(page)) {
				t.Fatal("nothing was altered")
			}
			name := filepath.Join(t.TempDir(), "page.md")
			if err := os.WriteFile(name, altered, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := openPage(t, name); err == nil {
				t.Errorf("taken: %s", out)
			}
		})
	}
}

// What the script writes out is held against Wycheproof too: AES-256-GCM, and
// points with their products.
func TestTheEnvelopeScriptPassesWycheproof(t *testing.T) {
	type gcm struct {
		Result                     string
		Key, Iv, Aad, Msg, Ct, Tag string
	}
	type point struct {
		Result                  string
		Public, Private, Shared string
	}
	const gcmFile, pointFile = "aes_gcm_test.json", "ecdh_secp256r1_ecpoint_test.json"
	var input struct {
		GCM    []gcm
		Points []point
	}
	sealed, all := wycheproof.Load[struct{ IvSize, KeySize int }, gcm](t, gcmFile)
	for _, g := range sealed {
		if g.Of.KeySize == 256 && g.Of.IvSize == 96 { // the only ones that an envelope has
			input.GCM = append(input.GCM, g.Tests...)
		}
	}
	wycheproof.Ran(t, gcmFile, all, map[string]int{"ran": len(input.GCM), "of another size": all - len(input.GCM)})
	points, all := wycheproof.Load[struct{ Curve string }, point](t, pointFile)
	for _, g := range points {
		input.Points = append(input.Points, g.Tests...)
	}
	wycheproof.Ran(t, pointFile, all, map[string]int{"ran": len(input.Points)})
	stdin, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	const program = `
import json, runpy, sys
s = runpy.run_path(sys.argv[1])
given, refused, h = json.load(sys.stdin), 0, bytes.fromhex
for v in given["GCM"]:
    try:
        ok = s["unseal"](h(v["Key"]), h(v["Iv"] + v["Ct"] + v["Tag"]), h(v["Aad"])) == h(v["Msg"])
        if ok: ok = s["seal"](h(v["Key"]), h(v["Iv"]), h(v["Msg"]), h(v["Aad"])) == h(v["Iv"] + v["Ct"] + v["Tag"])
    except s["Refused"]:
        ok, refused = False, refused + 1
    if ok != (v["Result"] == "valid"): sys.exit("AES-GCM: %s" % v)
for v in given["Points"]:
    try:
        ok = s["mul"](int(v["Private"], 16), s["point"](h(v["Public"])))[0] == int(v["Shared"], 16)
    except s["Refused"]:
        ok, refused = False, refused + 1
    if ok != (v["Result"] == "valid"): sys.exit("P-256: %s" % v)
print("%d and %d vectors, %d refused" % (len(given["GCM"]), len(given["Points"]), refused))
`
	cmd := exec.CommandContext(t.Context(), "python3", "-I", "-S", "-c", program, envelopeScript)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "66 and 355 vectors, ") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
