package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"warifu.dev/api"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/group"
)

func testShare(key byte, v uint64) Share {
	return Share{Key: api.KeyID{key}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(v)}
}

// full is a keyring with one share, and its configuration.
func full(t *testing.T) (Config, *Keyring) {
	t.Helper()
	cfg := testConfig(t)
	k := created(t, cfg, testRoot(1))
	if err := k.Put(testShare(9, 11)); err != nil {
		t.Fatal(err)
	}
	return cfg, k
}

func TestAFileAlteredAtAnyByteIsRefused(t *testing.T) {
	cfg, _ := full(t)
	for _, name := range []string{rootName(1), sharesName(1)} {
		path := filepath.Join(cfg.Dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(sentence string, content []byte) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
				t.Errorf("%s %s: %v", name, sentence, err)
			}
		}
		for i := range whole {
			altered := bytes.Clone(whole)
			altered[i] ^= 0x40
			refused(fmt.Sprintf("altered at byte %d", i), altered)
		}
		refused("empty", nil)
		refused("cut short", whole[:len(whole)-1])
		refused("with a byte more", append(bytes.Clone(whole), 0))
		refused("with other content", []byte("junk"))
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(cfg); err != nil {
		t.Fatalf("restored: %v", err)
	}
}

// The shares of one generation are not those of another.
func TestTheFileOfAnotherGenerationIsRefused(t *testing.T) {
	cfg, _ := full(t)
	old, err := os.ReadFile(filepath.Join(cfg.Dir, sharesName(1)))
	if err != nil {
		t.Fatal(err)
	}
	oldRoot, err := os.ReadFile(filepath.Join(cfg.Dir, rootName(1)))
	if err != nil {
		t.Fatal(err)
	}
	created(t, cfg, testRoot(1)) // the same root share, another salt
	for name, content := range map[string][]byte{sharesName(2): old, rootName(2): oldRoot} {
		good, err := os.ReadFile(filepath.Join(cfg.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(nil, cfg.Dir, name, content); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
			t.Errorf("%s of generation 1: %v", name, err)
		}
		if err := WriteFile(nil, cfg.Dir, name, good); err != nil {
			t.Fatal(err)
		}
	}
}

// P8, R10: backups of the old files, with today's token, open nothing; nor do
// today's files with another token, nor today's token without its files.
func TestDiskOrTokenAloneGivesNothing(t *testing.T) {
	cfg, _ := full(t)
	backup := map[string][]byte{}
	for _, name := range []string{rootName(1), sharesName(1)} {
		b, err := os.ReadFile(filepath.Join(cfg.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		backup[name] = b
	}
	restored := cfg
	restored.Dir = t.TempDir()
	for name, b := range backup {
		if err := WriteFile(nil, restored.Dir, name, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(restored); err != nil {
		t.Fatalf("before the new generation the backup opens: %v", err)
	}
	stranger := testConfig(t)
	stranger.Dir = cfg.Dir
	if _, err := Open(stranger); !errors.Is(err, ErrOpen) {
		t.Errorf("the disk with another token: %v", err)
	}
	created(t, cfg, testRoot(2))
	if _, err := Open(restored); !errors.Is(err, ErrOpen) {
		t.Errorf("an old backup with today's token: %v", err)
	}
	for name := range backup {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// t root shares rebuild every root share, so the root share must not be enough:
// without s_g it does not open the keyring.
func TestTheRootShareAloneDoesNotOpenTheKeyring(t *testing.T) {
	cfg, k := full(t)
	guess := func(salt []byte) error {
		thief := &Keyring{cfg: cfg, generation: 1, root: testRoot(1)}
		var err error
		if thief.key, err = deriveKey(cfg, group.SmallScalar(7), salt, 1); err != nil {
			t.Fatal(err)
		}
		_, err = thief.readShares()
		return err
	}
	for sentence, salt := range map[string][]byte{"none": nil, "zeros": make([]byte, SaltSize)} {
		if err := guess(salt); !errors.Is(err, ErrOpen) {
			t.Errorf("salt %s: %v", sentence, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(cfg.Dir, rootName(1)))
	if err != nil {
		t.Fatal(err)
	}
	var f rootFile
	if err := wire.Decode(raw, &f); err != nil {
		t.Fatal(err)
	}
	plain, err := cfg.Device.Open(hsmLabel(1), f.Blob, rootAAD(cfg, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	var s rootSecret
	if err := wire.Decode(plain.Reveal(), &s); err != nil {
		t.Fatal(err)
	}
	if err := guess(s.Salt); err != nil {
		t.Errorf("with the salt it opens, or this test proves nothing: %v", err)
	}
	if !k.key.Equal(secret.New(mustKey(t, cfg, s.Salt))) {
		t.Error("another key")
	}
}

func mustKey(t *testing.T, cfg Config, salt []byte) []byte {
	t.Helper()
	key, err := deriveKey(cfg, group.SmallScalar(7), salt, 1)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

var errDisk = errors.New("the disk failed")

// failsAt fails its nth write, before or after it took place.
func failsAt(nth int, persisted bool) func(dir, name string, content []byte) error {
	return func(dir, name string, content []byte) error {
		nth--
		if nth != 0 {
			return WriteFile(nil, dir, name, content)
		}
		if persisted {
			return errors.Join(errDisk, WriteFile(nil, dir, name, content))
		}
		return errDisk
	}
}

// Each write broken as "failed" and as "failed but persisted": afterwards the
// keyring opens with what was there or with what was to be, and the same call
// again succeeds.
func TestEachBrokenWriteLeavesAUsableKeyring(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		for nth := 1; nth <= 2; nth++ {
			t.Run(fmt.Sprintf("create, write %d, persisted %v", nth, persisted), func(t *testing.T) {
				cfg := testConfig(t)
				broken := cfg
				broken.write = failsAt(nth, persisted)
				if _, err := Create(broken, testRoot(1)); !errors.Is(err, errDisk) {
					t.Fatal(err)
				}
				_, err := Open(cfg)
				if stands := nth == 2 && persisted; stands && err != nil || !stands && !errors.Is(err, ErrNone) {
					t.Fatalf("after the fault: %v", err)
				}
				created(t, cfg, testRoot(2))
				k, err := Open(cfg)
				if err != nil || k.Root().Session != (api.Digest{2}) {
					t.Fatalf("after another try: %v", err)
				}
				if labels, err := cfg.Device.Labels(); err != nil || len(labels) != 1 {
					t.Fatalf("keys on the token: %v, %v", labels, err)
				}
			})
		}
		t.Run(fmt.Sprintf("put, persisted %v", persisted), func(t *testing.T) {
			cfg, k := full(t)
			k.cfg.write = failsAt(1, persisted)
			if err := k.Put(testShare(10, 12)); !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			if _, ok := k.Share(api.KeyID{10}, 1, 1); ok {
				t.Fatal("a share is given out that may not be durable")
			}
			after, err := Open(cfg)
			if err != nil || after.Count() != map[bool]int{false: 1, true: 2}[persisted] {
				t.Fatalf("after the fault: %v", err)
			}
			if err := k.Put(testShare(10, 12)); err != nil {
				t.Fatal(err)
			}
			if again, err := Open(cfg); err != nil || again.Count() != 2 {
				t.Fatalf("after another try: %v", err)
			}
		})
	}
}

// What was written is read back before it is relied on.
func TestAWriteThatLiesIsFound(t *testing.T) {
	cfg := testConfig(t)
	cfg.write = func(dir, name string, content []byte) error {
		content = bytes.Clone(content)
		content[len(content)-1] ^= 1
		return WriteFile(nil, dir, name, content)
	}
	if _, err := Create(cfg, testRoot(1)); !errors.Is(err, ErrReadBack) {
		t.Fatal(err)
	}
	_, k := full(t)
	k.cfg.write = cfg.write
	if err := k.Put(testShare(10, 12)); !errors.Is(err, ErrReadBack) {
		t.Fatal(err)
	}
}

func TestAKeyringThatCouldNotBeReadBackIsNotWritten(t *testing.T) {
	_, k := full(t)
	for i := range maxFile / 100 {
		s := testShare(0, 1)
		s.Key = api.KeyID{1, byte(i), byte(i >> 8), byte(i >> 16)}
		s.Endorsement = secret.New(make([]byte, SaltSize))
		k.shares[shareID{s.Key, 1, 1}] = &s
	}
	if err := k.Put(testShare(10, 12)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if again, err := Open(k.cfg); err != nil || again.Count() != 1 {
		t.Fatalf("what was there is lost: %v", err)
	}
}

// R27: 0600, also over a file that was left with another mode.
func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	cfg := testConfig(t)
	if err := os.WriteFile(filepath.Join(cfg.Dir, rootName(1)+Unfinished), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	created(t, cfg, testRoot(1))
	for _, name := range []string{rootName(1), sharesName(1)} {
		if info, err := os.Stat(filepath.Join(cfg.Dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// R25
func TestNothingPrintsAShare(t *testing.T) {
	cfg := testConfig(t)
	canary := group.ScalarFromHash(bytes.Repeat([]byte{0xc5}, 32))
	k := created(t, cfg, Root{Session: api.Digest{1}, Epoch: 1, Index: 1, Share: canary})
	if err := k.Put(Share{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 1, Scalar: canary.Add(group.SmallScalar(0))}); err != nil {
		t.Fatal(err)
	}
	s, _ := k.Share(api.KeyID{9}, 1, 1)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{s, *s, k.Root(), k.all()} {
		log.Info("canary", "v", v)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	raw, err := os.ReadFile(filepath.Join(cfg.Dir, sharesName(1)))
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	for _, form := range [][]byte{canary.Bytes(), fmt.Appendf(nil, "%x", canary.Bytes()), s.Endorsement.Reveal(), fmt.Appendf(nil, "%x", s.Endorsement.Reveal())} {
		if bytes.Contains(out.Bytes(), form) {
			t.Errorf("a secret is printed, or rests in the clear: %x", form)
		}
	}
}

func TestWipeLeavesNothing(t *testing.T) {
	_, k := full(t)
	s, _ := k.Share(api.KeyID{9}, 1, 1)
	root := k.Root()
	k.Wipe()
	if !s.Scalar.IsZero() || !root.Share.IsZero() || !k.key.Equal(secret.New(make([]byte, 32))) || k.Count() != 0 {
		t.Fatal("something is left")
	}
}

// R4: what a token or a keyring's key sealed is read as strictly as anything else.
func TestWhatWasSealedWrongIsRefused(t *testing.T) {
	cfg, k := full(t)
	good := shareSecret{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11).Bytes(), Endorsement: make([]byte, SaltSize)}
	zero, short, other := good, good, good
	zero.Scalar, short.Endorsement, other.Epoch = make([]byte, group.ScalarSize), make([]byte, SaltSize-1), 2
	for sentence, tt := range map[string]struct {
		f    sharesFile
		want error
	}{
		"two epochs of a key are taken":       {sharesFile{format, []shareSecret{good, other}}, nil},
		"one share twice is refused":          {sharesFile{format, []shareSecret{good, good}}, ErrOpen},
		"a share that is zero is refused":     {sharesFile{format, []shareSecret{zero}}, ErrOpen},
		"a short endorsement key is refused":  {sharesFile{format, []shareSecret{short}}, ErrOpen},
		"a file of another format is refused": {sharesFile{format + 1, nil}, ErrOpen},
	} {
		aead, err := k.aead()
		if err != nil {
			t.Fatal(err)
		}
		if err := k.cfg.writeFile(sharesName(1), aead.Seal(nil, nil, wire.Encode(tt.f), k.aad())); err != nil {
			t.Fatal(err)
		}
		if _, err := k.readShares(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if err := sealRoot(cfg, Root{Epoch: 1, Index: 2, Share: group.SmallScalar(0)}, make([]byte, SaltSize), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
		t.Errorf("a root share that is zero: %v", err)
	}
}

// Readers go on while a share is written.
func TestSharesAreReadWhileOneIsWritten(t *testing.T) {
	_, k := full(t)
	writing, write := make(chan struct{}), make(chan struct{})
	k.cfg.write = func(dir, name string, content []byte) error {
		close(writing)
		<-write
		return WriteFile(nil, dir, name, content)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := k.Put(testShare(10, 12)); err != nil {
			t.Error(err)
		}
	})
	<-writing
	if _, ok := k.Share(api.KeyID{9}, 1, 1); !ok {
		t.Error("the share is gone")
	}
	close(write)
	wg.Wait()
}

func TestOnARealToken(t *testing.T) {
	dir := t.TempDir()
	if _, err := softhsm.NewToken(dir, "n1", "123456", "654321"); err != nil {
		t.Fatal(err)
	}
	module, err := softhsm.Module()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(softhsm.ConfVariable, softhsm.Conf(dir))
	dev, err := pkcs11.Open(pkcs11.Config{Module: module, TokenLabel: "n1", PIN: secret.New([]byte("123456"))})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	cfg := Config{Dir: t.TempDir(), Cluster: api.ClusterID{1}, Node: "n1", Device: dev, Rand: rand.Reader}
	k := created(t, cfg, testRoot(1))
	if err := k.Put(testShare(9, 11)); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(cfg.Dir, rootName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Open(cfg); err != nil || again.Count() != 1 {
		t.Fatal(err)
	}
	created(t, cfg, testRoot(2))
	if err := dev.Check(); err != nil { // R33
		t.Fatal(err)
	}
	if labels, err := dev.Labels(); err != nil || len(labels) != 1 || labels[0] != hsmLabel(2) {
		t.Fatalf("keys on the token: %v, %v", labels, err)
	}
	cfg.Dir = t.TempDir()
	if err := WriteFile(nil, cfg.Dir, rootName(1), old); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
		t.Fatalf("a backup of generation 1: %v", err)
	}
}
