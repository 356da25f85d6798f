package agefile_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client/agefile"
)

func header(t testing.TB, file []byte) (*agefile.Header, []byte, error) {
	t.Helper()
	r := bufio.NewReaderSize(bytes.NewReader(file), 16)
	h, err := agefile.ParseHeader(r)
	if err != nil {
		return nil, nil, err
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return h, rest, nil
}

// A header is written anew for other recipients; age itself opens it, and the payload
// is the same bytes.
func TestAHeaderIsRewrittenAndThePayloadIsNot(t *testing.T) {
	k, quorum := fixture(t)
	other, another := fixture(t)
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	context := api.Context{"album": "2026"}
	file := encrypt(t, strings.Repeat("plain ", 30_000), recipient(t, k, context), x.Recipient())
	h, payload, err := header(t, file)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := h.Ours()
	if err != nil || len(ours) != 1 || len(h.Stanzas) != 2 {
		t.Fatal(ours, err)
	}
	fileKey, err := quorum.Unwrap(t.Context(), ours[0].Envelope, ours[0].Context, "")
	if err != nil {
		t.Fatal(err)
	}
	next, err := recipient(t, other, context).Wrap(fileKey.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	head, err := h.Rewrite(fileKey.Reveal(), []*age.Stanza{next[0], h.Stanzas[1]})
	if err != nil {
		t.Fatal(err)
	}
	moved := append(bytes.Clone(head), payload...)
	for name, by := range map[string]age.Identity{
		"the new key": agefile.NewIdentity(t.Context(), another, ""), "who could open it before": x,
	} {
		r, err := age.Decrypt(bytes.NewReader(moved), by)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if plain, err := io.ReadAll(r); err != nil || string(plain) != strings.Repeat("plain ", 30_000) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := age.Decrypt(bytes.NewReader(moved), agefile.NewIdentity(t.Context(), quorum, "")); err == nil {
		t.Error("the old key opens it still")
	}
	if !bytes.HasSuffix(file, payload) {
		t.Error("the payload is another")
	}
	same, err := h.Rewrite(fileKey.Reveal(), h.Stanzas)
	if err != nil || !bytes.Equal(append(same, payload...), file) {
		t.Error("the same recipients give another file", err)
	}
	again, _, err := header(t, moved)
	if err != nil || len(again.Stanzas) != 2 {
		t.Error(err)
	}

	// What somebody altered is not given a good MAC.
	altered := bytes.Replace(file, []byte("-> X25519 "), []byte("-> X25518 "), 1)
	bad, _, err := header(t, altered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Rewrite(fileKey.Reveal(), bad.Stanzas); !errors.Is(err, agefile.ErrHeaderMAC) {
		t.Errorf("altered: %v", err)
	}
	if _, err := h.Rewrite(make([]byte, 16), h.Stanzas); !errors.Is(err, agefile.ErrHeaderMAC) {
		t.Errorf("another file key: %v", err)
	}
	if _, err := h.Rewrite(nil, h.Stanzas); !errors.Is(err, agefile.ErrFileKey) {
		t.Errorf("no file key: %v", err)
	}
}

// sized is a recipient whose stanza has a body of so many bytes.
type sized int

func (n sized) Wrap([]byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "sized", Args: []string{"a", "b~!"}, Body: make([]byte, n)}}, nil
}

// Bodies that end at every column are read, and written as age writes them.
func TestBodiesOfEverySizeAreWrittenAsAgeDoes(t *testing.T) {
	k, quorum := fixture(t)
	for n := range 150 {
		file := encrypt(t, "plain", recipient(t, k, nil), sized(n))
		h, payload, err := header(t, file)
		if err != nil || len(h.Stanzas) != 2 || len(h.Stanzas[1].Body) != n {
			t.Fatalf("%d bytes: %v", n, err)
		}
		ours, err := h.Ours()
		if err != nil {
			t.Fatal(err)
		}
		fileKey, err := quorum.Unwrap(t.Context(), ours[0].Envelope, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if head, err := h.Rewrite(fileKey.Reveal(), h.Stanzas); err != nil || !bytes.Equal(append(head, payload...), file) {
			t.Fatalf("%d bytes: another spelling, %v", n, err)
		}
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	k, _ := fixture(t)
	good := string(encrypt(t, "plain", recipient(t, k, nil)))
	end := strings.Index(good, "\n---")
	mac := good[end+1 : end+1+len("--- ")+43]
	body := good[:end]
	for name, file := range map[string]string{
		"nothing":                  "",
		"another format":           strings.Replace(good, "v1", "v2", 1),
		"no line":                  "age-encryption.org/v1",
		"no recipients":            "age-encryption.org/v1\n" + mac + "\n",
		"no MAC":                   body + "\n",
		"an empty MAC":             body + "\n--- \n",
		"a short MAC":              body + "\n" + mac[:40] + "\n",
		"a MAC that is padded":     body + "\n" + mac + "=\n",
		"cut in the MAC":           body + "\n" + mac,
		"a line end of two bytes":  strings.ReplaceAll(good, "\n", "\r\n"),
		"a stanza without words":   "age-encryption.org/v1\n-> \n\n" + mac + "\n",
		"two blanks":               strings.Replace(good, "-> warifu ", "-> warifu  ", 1),
		"no arrow":                 strings.Replace(good, "-> warifu", "=> warifu", 1),
		"a long line of a body":    "age-encryption.org/v1\n-> x\n" + strings.Repeat("A", 68) + "\n" + mac + "\n",
		"a body that is no base64": "age-encryption.org/v1\n-> x\n!!\n" + mac + "\n",
		"far too long":             "age-encryption.org/v1\n" + strings.Repeat("-> x y\nAA\n", 1<<17) + mac + "\n",
		"one line, far too long":   "age-encryption.org/v1\n-> " + strings.Repeat("x", 1<<21),
	} {
		if _, _, err := header(t, []byte(file)); !errors.Is(err, agefile.ErrNotAge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, rest, err := header(t, []byte(good)); err != nil || len(rest) == 0 {
		t.Fatal(err)
	}
	broken := errors.New("the disk is gone")
	if _, err := agefile.ParseHeader(bufio.NewReader(io.MultiReader(strings.NewReader(body), failing{broken}))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func FuzzParseHeader(f *testing.F) {
	k, _ := fixture(f)
	f.Add(encrypt(f, "plain", recipient(f, k, api.Context{"a": "b"})))
	f.Add([]byte("age-encryption.org/v1\n-> x\n\n--- " + strings.Repeat("A", 43) + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := header(t, b)
		if err != nil {
			if !errors.Is(err, agefile.ErrNotAge) {
				t.Fatal(err)
			}
			return
		}
		if _, err := h.Ours(); err != nil && !errors.Is(err, agefile.ErrStanza) {
			t.Fatal(err)
		}
		if _, err := h.Rewrite(make([]byte, 16), h.Stanzas); err == nil && len(rest) < len(b) {
			again, err := h.Rewrite(make([]byte, 16), h.Stanzas)
			if err != nil || !bytes.HasPrefix(b, again) {
				t.Fatal("a header has a second spelling")
			}
		}
	})
}
