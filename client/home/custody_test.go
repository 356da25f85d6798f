package home_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"warifu.dev/authority"
	"warifu.dev/client/home"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/internal/wire"
)

// Later custodians are believed for what those before them signed, whoever put the
// file there.
func TestLaterCustodiansAreFollowed(t *testing.T) {
	c := dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	dir := t.TempDir()
	settings, err := json.Marshal(home.Settings{GenesisHash: c.Genesis.Hash().String()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, home.SettingsFile), settings)
	write(t, filepath.Join(dir, home.GenesisFile), c.Genesis.Signed().Encode())
	if h, err := home.Open(dir); err != nil || h.Custody.Len() != 0 || len(h.Custody.Genesis.Custodians) != 3 {
		t.Fatalf("as genesis has them: %v", err)
	}
	by := authority.Custody{Custodians: c.Genesis.Custodians[:2], Required: c.Genesis.Required}
	e := authority.NewChange(authority.Change{Cluster: c.Genesis.Cluster, Kind: authority.KindCustodians, Body: wire.Encode(by), NotAfter: 1})
	name := filepath.Join(dir, home.CustodyFile)
	for signed, s := range c.Custodians[:2] {
		write(t, name, authority.EncodeSuccession([][]byte{e.Encode()}))
		if _, err := home.Open(dir); !errors.Is(err, authority.ErrTooFewSignatures) {
			t.Errorf("signed by %d: %v", signed, err)
		}
		if err := authority.SignChange(rand.Reader, e, s); err != nil {
			t.Fatal(err)
		}
	}
	write(t, name, authority.EncodeSuccession([][]byte{e.Encode()}))
	h, err := home.Open(dir)
	if err != nil || h.Custody.Last != e.ID() || len(h.Custody.Genesis.Custodians) != 2 || len(h.Genesis.Custodians) != 3 {
		t.Fatalf("%+v, %v", h, err)
	}
	write(t, name, []byte("junk"))
	if _, err := home.Open(dir); !errors.Is(err, authority.ErrCustody) {
		t.Errorf("junk: %v", err)
	}
}
