package home_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"warifu.dev/client/home"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/wire"
)

// Where nodes were is kept as it was said; it is the client that holds it against their
// signatures.
func TestAddressesAreKept(t *testing.T) {
	c := dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	dir := t.TempDir()
	settings, err := json.Marshal(home.Settings{GenesisHash: c.Genesis.Hash().String()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, home.SettingsFile), settings)
	write(t, filepath.Join(dir, home.GenesisFile), c.Genesis.Signed().Encode())
	if h, err := home.Open(dir); err != nil || h.Claims != nil {
		t.Fatalf("none are kept: %v, %v", h, err)
	}
	claims := [][]byte{wire.Encode(c.Claim("n2", 4, "192.0.2.2:7700"))}
	name := filepath.Join(dir, home.AddressesFile)
	write(t, name, home.EncodeAddresses(claims))
	if h, err := home.Open(dir); err != nil || !slices.EqualFunc(h.Claims, claims, slices.Equal) {
		t.Errorf("%v, %v", h, err)
	}
	write(t, name, []byte("junk"))
	if _, err := home.Open(dir); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("junk: %v", err)
	}
}
