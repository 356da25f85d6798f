package authority

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

func TestOrdersToDestroyAndToKeep(t *testing.T) {
	id, base := api.KeyID{1}, api.Digest{2}
	destroy := func(k KeyDestroy, base api.Digest) *Change {
		return &Change{Kind: KindKeyDestroy, Base: base, Body: wire.Encode(k)}
	}
	for sentence, c := range map[string]*Change{
		"no key":              destroy(KeyDestroy{}, api.Digest{}),
		"a wait before now":   destroy(KeyDestroy{Key: id, Wait: -1}, api.Digest{}),
		"a wait too long":     destroy(KeyDestroy{Key: id, Wait: MaxDestroyWait + 1}, api.Digest{}),
		"it replaces":         destroy(KeyDestroy{Key: id}, base),
		"another kind":        {Kind: KindKeyKeep, Body: wire.Encode(KeyDestroy{Key: id})},
		"no bytes":            {Kind: KindKeyDestroy},
		"bytes after its end": {Kind: KindKeyDestroy, Body: append(wire.Encode(KeyDestroy{Key: id}), 0)},
	} {
		if k, err := ParseKeyDestroy(c); !errors.Is(err, ErrDestroy) {
			t.Errorf("%s: %+v, %v", sentence, k, err)
		}
	}
	for _, wait := range []int64{0, DestroyWait, MaxDestroyWait} {
		if k, err := ParseKeyDestroy(destroy(KeyDestroy{id, wait}, api.Digest{})); err != nil || k.Wait != wait || k.Key != id {
			t.Errorf("%+v %v", k, err)
		}
	}
	for sentence, c := range map[string]*Change{
		"no key":       {Kind: KindKeyKeep, Base: base, Body: wire.Encode(KeyKeep{})},
		"no order":     {Kind: KindKeyKeep, Body: wire.Encode(KeyKeep{id})},
		"another kind": {Kind: KindKeyDestroy, Base: base, Body: wire.Encode(KeyKeep{id})},
		"no bytes":     {Kind: KindKeyKeep, Base: base},
	} {
		if k, err := ParseKeyKeep(c); !errors.Is(err, ErrDestroy) {
			t.Errorf("%s: %+v, %v", sentence, k, err)
		}
	}
	if k, err := ParseKeyKeep(&Change{Kind: KindKeyKeep, Base: base, Body: wire.Encode(KeyKeep{id})}); err != nil || k.Key != id {
		t.Errorf("%+v %v", k, err)
	}
}

func FuzzParseKeyDestroy(f *testing.F) {
	f.Add(wire.Encode(KeyDestroy{Key: api.KeyID{1}, Wait: DestroyWait}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseKeyDestroy(&Change{Kind: KindKeyDestroy, Body: b}); err == nil && !bytes.Equal(wire.Encode(k), b) {
			t.Error("two encodings of one order")
		}
	})
}

func FuzzParseKeyKeep(f *testing.F) {
	f.Add(wire.Encode(KeyKeep{Key: api.KeyID{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParseKeyKeep(&Change{Kind: KindKeyKeep, Base: api.Digest{1}, Body: b}); err == nil && !bytes.Equal(wire.Encode(k), b) {
			t.Error("two encodings of one order")
		}
	})
}
