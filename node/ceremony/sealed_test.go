package ceremony

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
)

// A batch's state is larger than what a token seals at once. It rests under the token
// all the same, whole and for its own session.
func TestALargeStateRestsUnderTheToken(t *testing.T) {
	d := newStage(t).drivers["n1"]
	id, other := api.Digest{1}, api.Digest{2}
	for _, id := range []api.Digest{id, other} {
		if err := d.createKey(id); err != nil {
			t.Fatal(err)
		}
	}
	state := bytes.Repeat([]byte("polynomial"), 30_000)
	if len(state) <= 4*hsm.MaxPlaintext {
		t.Fatal("this is no large state")
	}
	file, err := d.sealState(id, secret.Clone(state))
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.sealState(id, secret.Clone(state))
	if err != nil || bytes.Equal(file, again) {
		t.Errorf("sealed twice alike (%v)", err)
	}
	if bytes.Contains(file, []byte("polynomial")) {
		t.Error("the state is not sealed")
	}
	back, err := d.openState(id, file)
	if err != nil || !bytes.Equal(back.Reveal(), state) {
		t.Fatalf("it does not come back: %v", err)
	}

	spoiled := func(spoil func(s *sealed)) []byte {
		var s sealed
		if err := wire.Decode(file, &s); err != nil {
			t.Fatal(err)
		}
		spoil(&s)
		return wire.Encode(s)
	}
	var second sealed
	if err := wire.Decode(again, &second); err != nil {
		t.Fatal(err)
	}
	foreign, err := d.cfg.Device.Seal(hsmLabel(id), secret.Clone(make([]byte, 16)), d.aad(id))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"a byte more":             append(bytes.Clone(file), 0),
		"a flipped bit":           spoiled(func(s *sealed) { s.State[len(s.State)/2] ^= 1 }),
		"a state cut short":       spoiled(func(s *sealed) { s.State = s.State[:len(s.State)-1] }),
		"no state":                spoiled(func(s *sealed) { s.State = nil }),
		"the key of another file": spoiled(func(s *sealed) { s.Key = second.Key }),
		"no key":                  spoiled(func(s *sealed) { s.Key = nil }),
		"a shorter key":           spoiled(func(s *sealed) { s.Key = foreign }),
	} {
		if _, err := d.openState(id, b); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: got %v, want %v", name, err, ErrSealed)
		}
	}
	if _, err := d.openState(other, file); err == nil {
		t.Error("another session opens it")
	}
	if err := d.destroyKey(hsmLabel(id)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.openState(id, file); !errors.Is(err, hsm.ErrNoKey) { // R42
		t.Errorf("without the session's key: got %v, want %v", err, hsm.ErrNoKey)
	}
}
