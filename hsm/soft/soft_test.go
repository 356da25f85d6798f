package soft

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"warifu.dev/hsm"
	"warifu.dev/hsm/hsmtest"
)

// quiet discards the warning where it is not what is tested.
var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, dir string) *Device {
	t.Helper()
	d, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	dirs := map[string]string{} // one directory for each subtest
	hsmtest.Run(t, func(t *testing.T) hsm.Device {
		if dirs[t.Name()] == "" {
			dirs[t.Name()] = filepath.Join(t.TempDir(), "soft")
		}
		return open(t, dirs[t.Name()])
	})
}

func FuzzOpen(f *testing.F) {
	d, err := Open(Config{Dir: f.TempDir(), Log: quiet})
	if err != nil {
		f.Fatal(err)
	}
	hsmtest.FuzzOpen(f, d, d.Open)
}

func TestItSaysThatItProtectsNothing(t *testing.T) {
	var log bytes.Buffer
	d, err := Open(Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "protects nothing") || d.Kind() != hsm.KindSoft || !strings.HasPrefix(d.Serial(), "soft-") {
		t.Fatalf("kind %q, serial %q, log %q", d.Kind(), d.Serial(), log.String())
	}
}

func TestADirectoryOfAnotherSerialIsRefused(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	serial := open(t, a).Serial()
	if _, err := Open(Config{Dir: a, Serial: serial, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: b, Serial: serial, Log: quiet}); !errors.Is(err, hsm.ErrWrongToken) {
		t.Fatalf("got %v", err)
	}
}

func TestCheckNamesAKeyThatIsNotKeptWell(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"readable by others": func(path string) error { return os.Chmod(path, 0o644) },
		"cut short":          func(path string) error { return os.Truncate(path, 31) },
		"a link": func(path string) error {
			if err := os.Rename(path, path+".away"); err != nil {
				return err
			}
			return os.Symlink(path+".away", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, filepath.Join(t.TempDir(), "soft"))
			if err := errors.Join(d.CreateKey("bad"), d.CreateKey("good"), d.Check()); err != nil {
				t.Fatal(err)
			}
			if err := spoil(d.path("bad")); err != nil {
				t.Fatal(err)
			}
			if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) || !strings.Contains(err.Error(), `"bad"`) {
				t.Fatalf("got %v", err)
			}
		})
	}
	d := open(t, filepath.Join(t.TempDir(), "soft"))
	if err := os.Chmod(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); !errors.Is(err, hsm.ErrTemplate) {
		t.Fatalf("an open directory: got %v", err)
	}
}

func TestADestroyedKeyIsOverwritten(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "soft"))
	if err := d.CreateKey("k"); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "second name")
	if err := os.Link(d.path("k"), second); err != nil {
		t.Fatal(err)
	}
	if err := d.DestroyKey("k"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadFile(second); err != nil || !bytes.Equal(left, make([]byte, keySize)) {
		t.Fatalf("left behind: %x, %v", left, err)
	}
}
