package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/group"
)

func unsealSecret(b byte) secret.Bytes { return secret.New(bytes.Repeat([]byte{b}, 32)) }

// A whole stolen node, with its token and its PIN, stays shut without the
// custodians' secret.
func TestALockedSealTakesTheCustodiansSecretToo(t *testing.T) {
	cfg := testConfig(t)
	locked := cfg
	locked.Unseal = unsealSecret(7)
	k := created(t, locked, testRoot(1))
	if k.cfg.Unseal.Len() != 0 {
		t.Error("the keyring keeps the unseal secret")
	}
	if err := k.Put(Share{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Fatalf("directory and token: %v", err)
	}
	wrong := cfg
	wrong.Unseal = unsealSecret(8)
	if _, err := Open(wrong); !errors.Is(err, ErrOpen) {
		t.Errorf("with another secret: %v", err)
	}
	again, err := Open(locked)
	if err != nil || again.Count() != 1 || !again.Root().Share.Equal(group.SmallScalar(7)) {
		t.Fatalf("with the secret: %v", err)
	}
	if again.cfg.Unseal.Len() != 0 {
		t.Error("the keyring keeps the unseal secret")
	}
	if newest, err := Newest(cfg); newest != 1 || err != nil {
		t.Errorf("generation %d, %v", newest, err)
	}

	// What the token gives out holds no root share: it is under the secret.
	raw, err := os.ReadFile(filepath.Join(cfg.Dir, rootName(1)))
	if err != nil {
		t.Fatal(err)
	}
	var f rootFile
	if err := wire.Decode(raw, &f); err != nil || !f.Locked {
		t.Fatalf("%+v, %v", f, err)
	}
	inside, err := cfg.Device.Open(hsmLabel(1), f.Blob, rootAAD(cfg, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(inside.Reveal(), group.SmallScalar(7).Bytes()) {
		t.Error("the token's blob holds the root share")
	}
	var s rootSecret
	if wire.Decode(inside.Reveal(), &s) == nil {
		t.Error("the token's blob decodes without the secret")
	}

	// To say that it is not locked does not open it.
	f.Locked = false
	if err := WriteFile(nil, cfg.Dir, rootName(1), wire.Encode(f)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
		t.Errorf("said to be open: %v", err)
	}
}

// The secret of one node, or of one generation, opens no other.
func TestAnUnsealSecretIsOfOneSeal(t *testing.T) {
	cfg := testConfig(t)
	cfg.Unseal = unsealSecret(7)
	blob, err := lock(cfg, []byte("root share"), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, alter := range map[string]func(*Config) (epoch, g uint64){
		"another cluster":    func(c *Config) (uint64, uint64) { c.Cluster[0] ^= 1; return 1, 1 },
		"another node":       func(c *Config) (uint64, uint64) { c.Node = "n2"; return 1, 1 },
		"another epoch":      func(*Config) (uint64, uint64) { return 2, 1 },
		"another generation": func(*Config) (uint64, uint64) { return 1, 2 },
		"another secret":     func(c *Config) (uint64, uint64) { c.Unseal = unsealSecret(8); return 1, 1 },
	} {
		other := cfg
		epoch, g := alter(&other)
		if _, err := unlock(other, blob, epoch, g); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if plain, err := unlock(cfg, blob, 1, 1); err != nil || string(plain) != "root share" {
		t.Errorf("%q, %v", plain, err)
	}
}
