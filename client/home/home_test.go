package home_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client/home"
	"warifu.dev/client/internal/dealt"
)

// setUp writes a home directory on a cluster that was dealt.
func setUp(t *testing.T) (dir string, g *authority.VerifiedGenesis, record []byte, id api.KeyID) {
	t.Helper()
	c := dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	k := c.Deal("payroll", 2, "n1", "n2", "n3")
	dir = t.TempDir()
	settings, err := json.Marshal(home.Settings{GenesisHash: c.Genesis.Hash().String(), Region: "a", Source: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, home.SettingsFile), settings)
	write(t, filepath.Join(dir, home.GenesisFile), c.Genesis.Signed().Encode())
	return dir, c.Genesis, c.Sign(k.Record, "n1", "n2"), k.Record.Key
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	t.Setenv(home.Variable, "/somewhere")
	if dir, err := home.Dir(); err != nil || dir != "/somewhere" {
		t.Errorf("%s, %v", dir, err)
	}
	if _, err := home.Open(t.TempDir()); !errors.Is(err, home.ErrNone) {
		t.Errorf("an empty directory: %v", err)
	}
	dir, g, _, _ := setUp(t)
	h, err := home.Open(dir)
	if err != nil || h.Genesis.Hash() != g.Hash() || h.Region != "a" || h.Source.String() != "192.0.2.7" {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := h.Identity(); !errors.Is(err, home.ErrNoIdentity) {
		t.Errorf("no certificate: %v", err)
	}
	write(t, filepath.Join(dir, home.CertificateFile), []byte("x"))
	write(t, filepath.Join(dir, home.KeyFile), []byte("x"))
	if _, err := h.Identity(); !errors.Is(err, home.ErrIdentity) {
		t.Errorf("no certificate in the file: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, home.KeyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Identity(); !errors.Is(err, home.ErrExposed) {
		t.Errorf("a key that others may read: %v", err)
	}

	other, _, _, _ := setUp(t)
	b, err := os.ReadFile(filepath.Join(other, home.GenesisFile))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, home.GenesisFile), b)
	if _, err := home.Open(dir); !errors.Is(err, home.ErrOtherGenesis) {
		t.Errorf("an exchanged document: %v", err)
	}
	write(t, filepath.Join(dir, home.GenesisFile), make([]byte, home.MaxFile+1))
	if _, err := home.Open(dir); !errors.Is(err, home.ErrTooLarge) {
		t.Errorf("a document too large: %v", err)
	}
	write(t, filepath.Join(dir, home.SettingsFile), []byte(`{"genesis_hash": "", "more": 1}`))
	if _, err := home.Open(dir); !errors.Is(err, home.ErrSettings) {
		t.Errorf("settings of another program: %v", err)
	}
	write(t, filepath.Join(dir, home.SettingsFile), []byte(`{"genesis_hash": "", "source": "192.0.2"}`))
	if _, err := home.Open(dir); !errors.Is(err, home.ErrSettings) {
		t.Errorf("no address to call from: %v", err)
	}
	if _, err := home.Read(dir); !errors.Is(err, home.ErrNoFile) {
		t.Errorf("a directory: %v", err)
	}
}

func TestRecords(t *testing.T) {
	dir, _, record, id := setUp(t)
	h, err := home.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, none := range []string{"payroll", id.String()} {
		if _, err := h.RecordOf(none); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("none kept of %s: %v", none, err)
		}
	}
	write(t, h.RecordPath(id), record)
	write(t, filepath.Join(h.Dir, home.RecordsDir, ".half-written"), record)
	if k, err := h.Record(id); err != nil || k.ID() != id {
		t.Errorf("%v", err)
	}
	for _, by := range []string{"payroll", id.String()} {
		if k, err := h.RecordOf(by); err != nil || k.ID() != id {
			t.Errorf("by %s: %v", by, err)
		}
	}
	for _, by := range []string{"pay", "payroll2"} {
		if _, err := h.RecordOf(by); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("by %s: %v", by, err)
		}
	}
	if _, err := h.RecordOf("Payroll"); !errors.Is(err, api.ErrName) {
		t.Errorf("no name: %v", err)
	}
	other := id
	other[0] ^= 1
	write(t, h.RecordPath(other), record)
	if _, err := h.Record(other); !errors.Is(err, home.ErrOtherKey) {
		t.Errorf("the record of another key: %v", err)
	}
	write(t, h.RecordPath(id), record[:len(record)/2])
	if _, err := h.Record(id); !errors.Is(err, authority.ErrRecord) {
		t.Errorf("a record cut short: %v", err)
	}

	// A record of another cluster, under its own name and id, is not taken.
	_, _, foreign, foreignID := setUp(t)
	write(t, h.RecordPath(foreignID), foreign)
	if _, err := h.RecordOf("payroll"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none that is believed: %v", err)
	}
	write(t, h.RecordPath(id), record)
	if k, err := h.RecordOf("payroll"); err != nil || k.ID() != id {
		t.Errorf("beside one of another cluster: %v", err)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(`{"genesis_hash": "00", "region": "a"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := home.ParseSettings(b); err != nil && !errors.Is(err, home.ErrSettings) {
			t.Fatal(err)
		}
	})
}

// What custodians said of a key is kept beside its record, and believed as it is there.
func TestTheStateOfAKeyIsKeptBesideItsRecord(t *testing.T) {
	c := dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")
	k := c.Deal("payroll", 2, "n1", "n2", "n3")
	h := &home.Home{Dir: t.TempDir(), Genesis: c.Genesis}
	write(t, h.RecordPath(k.Record.Key), c.Sign(k.Record, "n1", "n2"))
	state := func() authority.KeyState {
		t.Helper()
		k, err := h.RecordOf("payroll")
		if err != nil {
			t.Fatal(err)
		}
		return k.State(time.Now())
	}
	if got := state(); got != authority.Active {
		t.Errorf("without a word it is %s", got)
	}
	write(t, h.LifePath(k.Record.Key), c.Life(k.Record.Key, authority.Deactivated, nil))
	if got := state(); got != authority.Deactivated {
		t.Errorf("it is %s", got)
	}
	write(t, h.LifePath(k.Record.Key), []byte("junk"))
	if _, err := h.Record(k.Record.Key); !errors.Is(err, authority.ErrKeyLife) {
		t.Errorf("what is damaged counts for nothing said: %v", err)
	}
}
