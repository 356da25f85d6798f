package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age/plugin"

	"warifu.dev/api"
	"warifu.dev/client/agefile"
)

// What one program writes the other opens, from files and through pipes.
func TestAgeAndWarifuOpenEachOthersFiles(t *testing.T) {
	p := newPlace(t, "album=2026")
	t.Log("age", strings.TrimSpace(string(p.must(nil, "age", "--version"))))
	dir := t.TempDir()
	big := make([]byte, 1<<20)
	rand.Read(big)
	for name, plain := range map[string][]byte{"empty": {}, "a line": []byte("hello\n"), "1 MiB": big} {
		t.Run(name, func(t *testing.T) {
			same := func(how string, got []byte) {
				t.Helper()
				if !bytes.Equal(got, plain) {
					t.Errorf("%s: %d bytes came back, %d went in", how, len(got), len(plain))
				}
			}
			in := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			p.write(in, plain)
			p.must(nil, "warifu", "encrypt", "--key", photos, "--context", "album=2026", "-i", in, "--out", in+".w.age")
			// On stdout: with -o, age 1.1.1 makes no file when there is nothing in it.
			same("warifu to age", p.must(nil, "age", "-d", "-i", p.identity, in+".w.age"))
			p.must(nil, "age", "-r", p.recipient, "-o", in+".a.age", in)
			p.must(nil, "warifu", "decrypt", "--context", "album=2026", in+".a.age", "--out", in+".a.out")
			same("age to warifu", p.read(in+".a.out"))

			sealed := p.must(bytes.NewReader(plain), "warifu", "encrypt", "--key", photos)
			same("warifu to age, piped", p.must(bytes.NewReader(sealed), "age", "-d", "-j", "warifu"))
			sealed = p.must(bytes.NewReader(plain), "age", "-r", p.recipient)
			same("age to warifu, piped", p.must(bytes.NewReader(sealed), "warifu", "decrypt"))
			sealed = p.must(bytes.NewReader(plain), "age", "-a", "-r", p.recipient)
			same("age to age, armored", p.must(bytes.NewReader(sealed), "age", "-d", "-i", p.identity))
		})
	}

	t.Run("age wraps while no node runs, and then nothing opens", func(t *testing.T) {
		for _, id := range p.cluster.IDs()[1:] {
			if err := p.cluster.Kill(id); err != nil {
				t.Fatal(err)
			}
		}
		sealed := p.must(strings.NewReader("offline"), "age", "-r", p.recipient)
		_, said, ok := p.run(bytes.NewReader(sealed), "age", "-d", "-j", "warifu")
		if ok || !strings.Contains(said, "quorum unavailable: 1 of 2 partials") {
			t.Errorf("%v, %s", ok, said)
		}
		for _, id := range p.cluster.IDs()[1:] {
			if err := p.cluster.Restart(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.cluster.WaitServing(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.must(bytes.NewReader(sealed), "age", "-d", "-j", "warifu"); string(got) != "offline" {
			t.Errorf("%q", got)
		}
	})
	t.Run("refused by name", func(t *testing.T) { p.refusals(t) })
	t.Run("damaged", func(t *testing.T) { p.damage(t) })
}

func (p *place) read(name string) []byte {
	p.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// refusals are what the plugin itself says no to.
func (p *place) refusals(t *testing.T) {
	name, data, err := plugin.ParseRecipient(p.recipient)
	if err != nil || name != agefile.PluginName {
		t.Fatal(err)
	}
	ref, err := agefile.ParseReference(data)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, unknown := ref, ref
	elsewhere.Genesis[0] ^= 1
	unknown.Key[0] ^= 1
	id := []string{"age", "-d", "-i", filepath.Join(t.TempDir(), "identity")}
	p.write(id[3], []byte(plugin.EncodeIdentity(agefile.PluginName, []byte("other"))))
	sealed := p.must(strings.NewReader("x"), "age", "-r", p.recipient)

	for story, c := range map[string]struct {
		args  []string
		stdin []byte
		words string
	}{
		"a recipient of another cluster": {[]string{"age", "-r", elsewhere.String()}, nil, "of another cluster"},
		"a recipient nobody knows":       {[]string{"age", "-r", unknown.String()}, nil, "unknown-key"},
		"a recipient cut short":          {[]string{"age", "-r", plugin.EncodeRecipient(agefile.PluginName, data[:40])}, nil, "not a warifu recipient"},
		"an identity that says more":     {id, sealed, "not an identity that this plugin knows"},
		"a plain call by hand":           {[]string{"age-plugin-warifu"}, nil, "age runs it"},
	} {
		if _, said, ok := p.run(bytes.NewReader(c.stdin), c.args...); ok || !strings.Contains(said, c.words) {
			t.Errorf("%s: %v, %s", story, ok, said)
		}
	}

	// A record of another key under this key's name is found out, not wrapped under.
	if _, err := p.cluster.CreateKey(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	other := strings.TrimSpace(string(p.must(nil, "warifu", "key", "show", "other", "--recipient")))
	_, data, err = plugin.ParseRecipient(other)
	if err != nil {
		t.Fatal(err)
	}
	otherRef, err := agefile.ParseReference(data)
	if err != nil {
		t.Fatal(err)
	}
	record := func(k api.KeyID) string { return filepath.Join(p.home, "records", k.String()) }
	kept := p.read(record(ref.Key))
	p.write(record(ref.Key), p.read(record(otherRef.Key)))
	if _, said, ok := p.run(nil, "age", "-r", p.recipient); ok || !strings.Contains(said, "the record of another key") {
		t.Errorf("an exchanged record: %v, %s", ok, said)
	}
	kept[len(kept)/3] ^= 1 // in what holders signed; of their signatures two would do
	p.write(record(ref.Key), kept)
	if _, said, ok := p.run(nil, "age", "-r", p.recipient); ok || !strings.Contains(said, "signature") {
		t.Errorf("an altered record: %v, %s", ok, said)
	}
	if err := os.Remove(record(ref.Key)); err != nil {
		t.Fatal(err)
	}
	if got := p.must(bytes.NewReader(p.must(strings.NewReader("asked"), "age", "-r", p.recipient)), "warifu", "decrypt"); string(got) != "asked" {
		t.Errorf("without a kept record the cluster is asked: %q", got)
	}

	t.Setenv("WARIFU_REASON", strings.Repeat("x", api.MaxReason+1))
	if _, said, ok := p.run(bytes.NewReader(sealed), "age", "-d", "-j", "warifu"); ok || !strings.Contains(said, "WARIFU_REASON is too long") {
		t.Errorf("a reason too long: %v, %s", ok, said)
	}
}

// parts of an age file with one stanza, ours.
type parts struct {
	intro, arrow, kind, context string
	envelope                    []byte
	dashes, mac                 string
	payload                     []byte
}

func split(t *testing.T, file []byte) *parts {
	t.Helper()
	head, rest, ok := bytes.Cut(file, []byte("\n--- "))
	lines := strings.Split(string(head), "\n")
	mac, payload, ended := bytes.Cut(rest, []byte("\n"))
	stanza := strings.Fields(lines[1])
	body, err := base64.RawStdEncoding.DecodeString(strings.Join(lines[2:], ""))
	if !ok || !ended || len(stanza) != 3 || err != nil {
		t.Fatalf("not a file with one stanza of ours: %q, %v", head, err)
	}
	return &parts{lines[0], stanza[0], stanza[1], stanza[2], body, "---", string(mac), payload}
}

func (f *parts) join() []byte {
	const column = 64 // age's; a body ends with a shorter line
	body := base64.RawStdEncoding.EncodeToString(f.envelope)
	var b strings.Builder
	b.WriteString(f.intro + "\n" + f.arrow + " " + f.kind + " " + f.context + "\n")
	for len(body) >= column {
		b.WriteString(body[:column] + "\n")
		body = body[column:]
	}
	b.WriteString(body + "\n" + f.dashes + " " + f.mac + "\n")
	return append([]byte(b.String()), f.payload...)
}

// flipped changes one letter of base64 to another.
func flipped(s string, at int) string {
	b := []byte(s)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

// damage changes one byte in each region of a file. Both programs refuse it, and
// say what they found.
func (p *place) damage(t *testing.T) {
	plain := make([]byte, 3<<16) // three chunks
	rand.Read(plain)
	file := p.must(bytes.NewReader(plain), "warifu", "encrypt", "--key", photos, "--context", "album=2026")
	if again := split(t, file).join(); !bytes.Equal(again, file) {
		t.Fatal("the test does not put a file together as it was")
	}
	envelope := func(at int) func(*parts) {
		return func(f *parts) { f.envelope[(at+len(f.envelope))%len(f.envelope)] ^= 1 }
	}
	payload := func(at int) func(*parts) {
		return func(f *parts) { f.payload[(at+len(f.payload))%len(f.payload)] ^= 1 }
	}
	const chunk = 1<<16 + 16
	for _, c := range []struct {
		region string
		alter  func(*parts)
		words  string // of both, or
		byAge  string // of age, if it says it otherwise
	}{
		{"age's first line", func(f *parts) { f.intro = strings.Replace(f.intro, "v1", "v2", 1) }, "v2", ""},
		{"the stanza's arrow", func(f *parts) { f.arrow = "=>" }, "malformed stanza opening line: \"=>", ""},
		{"the stanza's type", func(f *parts) { f.kind = "warifv" }, "not encrypted to a warifu key", "no identity matched"},
		{"the context", func(f *parts) { f.context = flipped(f.context, len(f.context)-4) }, "proof does not hold", ""},
		{"the envelope's format", envelope(0), "format 0", ""},
		{"the envelope's suite", envelope(1), "suite 0", ""},
		{"the cluster", envelope(2), "for another cluster", ""},
		{"the key id", envelope(34), "unknown", ""},
		{"the key version", envelope(69), "key version 0", ""},
		{"the key version, high", envelope(66), "no such key", ""},
		{"u", envelope(80), "u: ", ""},
		{"ū", envelope(150), "ū: ", ""},
		{"the commitment", envelope(200), "proof does not hold", ""},
		{"the nonce of the wrapped key", envelope(232), "proof does not hold", ""},
		{"the wrapped key", envelope(244), "proof does not hold", ""},
		{"its tag", envelope(-65), "proof does not hold", ""},
		{"the challenge", envelope(-33), "proof does not hold", ""},
		{"the response", envelope(-1), "proof does not hold", ""},
		{"the mark of the MAC", func(f *parts) { f.dashes = "--+" }, "malformed stanza opening line: \"--+", ""},
		{"the header's MAC", func(f *parts) { f.mac = flipped(f.mac, 3) }, "bad header MAC", ""},
		{"the payload's nonce", payload(0), "authenticate", ""},
		{"the first chunk", payload(16), "authenticate", ""},
		{"the second chunk", payload(16 + chunk + 1000), "authenticate", ""},
		{"the last chunk", payload(16 + 2*chunk + 1000), "authenticate", ""},
		{"the last byte", payload(-1), "authenticate", ""},
		{"the end, cut", func(f *parts) { f.payload = f.payload[:len(f.payload)-1] }, "authenticate", ""},
		{"the last chunk, cut", func(f *parts) { f.payload = f.payload[:16+2*chunk] }, "unexpected EOF", ""},
	} {
		f := split(t, slices.Clone(file))
		c.alter(f)
		damaged := f.join()
		for _, by := range [][]string{{"age", "-d", "-j", "warifu"}, {"warifu", "decrypt"}} {
			words := c.words
			if by[0] == "age" && c.byAge != "" {
				words = c.byAge
			}
			got, said, ok := p.run(bytes.NewReader(damaged), by...)
			if ok || !strings.Contains(said, words) {
				t.Errorf("%s, by %s: opened %v, said %s", c.region, by[0], ok, said)
			}
			if !bytes.HasPrefix(plain, got) || len(got) == len(plain) {
				t.Errorf("%s, by %s: %d bytes that were never authenticated", c.region, by[0], len(got))
			}
		}
	}
}
