package agefile_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/agefile"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// holders opens envelopes with t of the shares in hand: what a quorum does.
type holders struct {
	key    *dealt.Key
	asked  int
	reason string
}

func (h *holders) Unwrap(_ context.Context, envelope []byte, context api.Context, reason string) (secret.Bytes, error) {
	h.asked++
	h.reason = reason
	e, err := tdh2.Parse(envelope)
	if err != nil {
		return secret.Bytes{}, err
	}
	v, err := h.key.Public.Verify(e, context.Canonical())
	if err != nil {
		return secret.Bytes{}, errors.Join(client.ErrEnvelope, err)
	}
	partials := map[sharing.Index]*group.Point{}
	for _, n := range []string{"n1", "n3"} {
		partials[h.key.Places[n]] = v.Partial(h.key.Shares[n])
	}
	return h.key.Public.Open(v, partials)
}

func fixture(t testing.TB) (*client.Key, *holders) {
	t.Helper()
	c := dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	dealtKey := c.Deal("payroll", 2, "n1", "n2", "n3")
	k, err := client.ParseKey(c.Genesis, c.Sign(dealtKey.Record, "n1", "n2"))
	if err != nil {
		t.Fatal(err)
	}
	return k, &holders{key: dealtKey}
}

func encrypt(t testing.TB, plain string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decrypt(file []byte, with ...age.Identity) (string, error) {
	r, err := age.Decrypt(bytes.NewReader(file), with...)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

func recipient(t testing.TB, k *client.Key, c api.Context) *agefile.Recipient {
	t.Helper()
	r, err := agefile.NewRecipient(k, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAFileForAThresholdKey(t *testing.T) {
	k, quorum := fixture(t)
	for _, c := range []api.Context{nil, {}, {"app": "payroll", "": "x"}, {"app": "payroll", "行": "四十二"}} {
		if c[""] != "" {
			if _, err := agefile.NewRecipient(k, c); !errors.Is(err, api.ErrContext) {
				t.Errorf("an unusable context: %v", err)
			}
			continue
		}
		file := encrypt(t, "hello", recipient(t, k, c))
		got, err := decrypt(file, agefile.NewIdentity(t.Context(), quorum, "because"))
		if err != nil || got != "hello" {
			t.Fatalf("%q, %v", got, err)
		}
		if quorum.reason != "because" {
			t.Errorf("the reason is %q", quorum.reason)
		}
	}
}

func TestAFileForOthersToo(t *testing.T) {
	k, quorum := fixture(t)
	elsewhere, _ := fixture(t)
	friend, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	both := encrypt(t, "hello", friend.Recipient(), recipient(t, elsewhere, nil), recipient(t, k, nil))
	for _, id := range []age.Identity{friend, agefile.NewIdentity(t.Context(), quorum, "")} {
		if got, err := decrypt(both, id); err != nil || got != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
	quorum.asked = 0
	_, err = decrypt(encrypt(t, "hello", friend.Recipient()), agefile.NewIdentity(t.Context(), quorum, ""))
	var none *age.NoIdentityMatchError
	if !errors.As(err, &none) || quorum.asked != 0 {
		t.Errorf("a file for others: %v", err)
	}
	_, err = decrypt(encrypt(t, "hello", recipient(t, elsewhere, nil)), agefile.NewIdentity(t.Context(), quorum, ""))
	if !errors.Is(err, tdh2.ErrWrongCluster) {
		t.Errorf("another cluster's file: %v", err)
	}
	var many []age.Recipient
	for range 9 {
		many = append(many, recipient(t, elsewhere, nil))
	}
	if _, err = decrypt(encrypt(t, "hello", many...), agefile.NewIdentity(t.Context(), quorum, "")); !errors.Is(err, agefile.ErrStanza) {
		t.Errorf("more stanzas than are read: %v", err)
	}
}

func TestTheContextIsAuthenticated(t *testing.T) {
	k, quorum := fixture(t)
	stanzas, err := recipient(t, k, api.Context{"app": "payroll"}).Wrap(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	s, err := agefile.Parse(stanzas[0])
	if err != nil || !maps.Equal(s.Context, api.Context{"app": "payroll"}) {
		t.Fatalf("%v, %v", s.Context, err)
	}
	s.Context = api.Context{"app": "ledger"}
	_, err = agefile.NewIdentity(t.Context(), quorum, "").Unwrap([]*age.Stanza{s.Age()})
	if !errors.Is(err, client.ErrEnvelope) || !errors.Is(err, tdh2.ErrEnvelopeProof) {
		t.Error(err)
	}
}

func TestStanzasThatAreRefused(t *testing.T) {
	k, quorum := fixture(t)
	stanzas, err := recipient(t, k, api.Context{"app": "payroll"}).Wrap(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	good := stanzas[0]
	b64 := base64.RawStdEncoding.EncodeToString
	for name, args := range map[string][]string{
		"no argument":                {},
		"two arguments":              {good.Args[0], good.Args[0]},
		"padded base64":              {good.Args[0] + "="},
		"base64 of the other kind":   {"-_8"},
		"base64 with bits left over": {"oB"},
		"a line end in the base64":   {good.Args[0][:4] + "\n" + good.Args[0][4:]},
		"an empty argument":          {""},
		"no map":                     {b64([]byte{0x80})},
		"a byte after the map":       {b64([]byte{0xa0, 0})},
		"a map of indefinite length": {b64([]byte{0xbf, 0xff})},
		"the same key twice":         {b64([]byte{0xa2, 0x61, 'a', 0x61, 'x', 0x61, 'a', 0x61, 'y'})},
		"keys out of order":          {b64([]byte{0xa2, 0x61, 'b', 0x61, 'x', 0x61, 'a', 0x61, 'y'})},
		"an empty key":               {b64([]byte{0xa1, 0x60, 0x61, 'x'})},
		"a number as value":          {b64([]byte{0xa1, 0x61, 'a', 0x01})},
		"far too long":               {strings.Repeat("A", 1<<20)},
	} {
		if _, err := agefile.Parse(&age.Stanza{Type: good.Type, Args: args, Body: good.Body}); !errors.Is(err, agefile.ErrStanza) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]*age.Stanza{
		"no body":            {Type: good.Type, Args: good.Args},
		"a truncated body":   {Type: good.Type, Args: good.Args, Body: good.Body[:len(good.Body)/2]},
		"a body of zeros":    {Type: good.Type, Args: good.Args, Body: make([]byte, len(good.Body))},
		"another type's":     {Type: "X25519", Args: good.Args, Body: good.Body},
		"no stanza whatever": {},
	} {
		if _, err := agefile.Parse(s); !errors.Is(err, agefile.ErrStanza) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One bad stanza of ours is told, even beside a good one, and nobody is asked.
	_, err = agefile.NewIdentity(t.Context(), quorum, "").Unwrap([]*age.Stanza{good, {Type: good.Type}})
	if !errors.Is(err, agefile.ErrStanza) || quorum.asked != 0 {
		t.Errorf("asked %d times, %v", quorum.asked, err)
	}
}

func TestOnlyFileKeys(t *testing.T) {
	k, quorum := fixture(t)
	if _, err := recipient(t, k, nil).Wrap(make([]byte, 32)); err == nil {
		t.Error("32 bytes are no file key")
	}
	e, err := k.Wrap(bytes.NewReader(make([]byte, 1024)), nil, secret.New(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = agefile.NewIdentity(t.Context(), quorum, "").Unwrap([]*age.Stanza{agefile.Stanza{Envelope: e}.Age()})
	if !errors.Is(err, agefile.ErrFileKey) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	k, _ := fixture(f)
	stanzas, err := recipient(f, k, api.Context{"app": "payroll"}).Wrap(make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stanzas[0].Args[0], stanzas[0].Body)
	f.Add("oA", stanzas[0].Body)
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, arg string, body []byte) {
		s, err := agefile.Parse(&age.Stanza{Type: agefile.StanzaType, Args: []string{arg}, Body: body})
		if err != nil {
			if !errors.Is(err, agefile.ErrStanza) {
				t.Fatal(err)
			}
			return
		}
		if a := s.Age(); a.Args[0] != arg || !bytes.Equal(a.Body, body) {
			t.Fatal("a second spelling was read")
		}
	})
}
