package agefile_test

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"filippo.io/age/plugin"

	"warifu.dev/api"
	"warifu.dev/client/agefile"
)

func TestAReferenceIsARecipient(t *testing.T) {
	for _, c := range []api.Context{nil, {"album": "2026", "行": "四十二"}} {
		r := agefile.Reference{Genesis: api.Digest{1, 2}, Key: api.KeyID{3, 4}, Context: c}
		name, data, err := plugin.ParseRecipient(r.String())
		if err != nil || name != agefile.PluginName {
			t.Fatalf("%q, %v", name, err)
		}
		got, err := agefile.ParseReference(data)
		if err != nil || got.Genesis != r.Genesis || got.Key != r.Key || !maps.Equal(got.Context, r.Context) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	name, data, err := plugin.ParseIdentity(agefile.PluginIdentity())
	if err != nil || name != agefile.PluginName || len(data) != 0 {
		t.Errorf("%q, %x, %v", name, data, err)
	}
}

func TestReferencesThatAreRefused(t *testing.T) {
	good := agefile.Reference{Key: api.KeyID{1}}.Data()
	for name, data := range map[string][]byte{
		"nothing":                     {},
		"a byte short":                good[:len(good)-1],
		"another format":              append([]byte{2}, good[1:]...),
		"an empty context written":    append(bytes.Clone(good), 0xa0),
		"a context that is no map":    append(bytes.Clone(good), 0x80),
		"an empty key in the context": append(bytes.Clone(good), 0xa1, 0x60, 0x61, 'x'),
		"keys out of order":           append(bytes.Clone(good), 0xa2, 0x61, 'b', 0x61, 'x', 0x61, 'a', 0x61, 'y'),
		"far too long":                append(bytes.Clone(good), make([]byte, 1<<20)...),
	} {
		if _, err := agefile.ParseReference(data); !errors.Is(err, agefile.ErrReference) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add(agefile.Reference{}.Data())
	f.Add(agefile.Reference{Context: api.Context{"a": "b"}}.Data())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := agefile.ParseReference(data)
		if err != nil {
			if !errors.Is(err, agefile.ErrReference) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(r.Data(), data) {
			t.Fatal("a second spelling was read")
		}
	})
}
