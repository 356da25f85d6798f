package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/hsm/pkcs11"
	"warifu.dev/hsm/pkcs11/softhsm"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing/group"
)

// two is a keyring with the shares 9, which is to stay, and 10, which is to go.
func two(t *testing.T, cfg Config) *Keyring {
	t.Helper()
	k := created(t, cfg, testRoot(1))
	for _, s := range []Share{testShare(9, 11), testShare(10, 12)} {
		if err := k.Put(s); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func ten(h Held) bool { return h.Key == api.KeyID{10} }

func nothing(Held) bool { return false }

func held(k *Keyring, key byte) bool {
	_, ok := k.Share(api.KeyID{key}, 1, 1)
	return ok
}

// copied is a copy of a node's sealed files, as a backup has them.
func copied(t *testing.T, cfg Config) Config {
	t.Helper()
	cfg.Disk, cfg.write, cfg.Dir = nil, nil, copyOf(t, cfg.Dir)
	return cfg
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestWhatIsErasedIsGoneAndTheRestStays(t *testing.T) {
	cfg := testConfig(t)
	k := two(t, cfg)
	session := testShare(8, 13)
	session.Session, session.Opened = api.Digest{8}, 17
	if err := k.Put(session); err != nil {
		t.Fatal(err)
	}
	before, _ := k.Share(api.KeyID{9}, 1, 1)
	going, _ := k.Share(api.KeyID{10}, 1, 1)
	var asked []Held
	what, err := k.Erase(t.Context(), nil, func(h Held) bool {
		asked = append(asked, h)
		return ten(h)
	})
	if err != nil || what != (Erasure{Generation: 1, Label: "root.1", Serial: cfg.Device.Serial()}) {
		t.Fatalf("%+v, %v", what, err)
	}
	if !slices.Contains(asked, Held{api.KeyID{8}, 1, 1, api.Digest{8}, 17}) || len(asked) != 3 {
		t.Errorf("asked about %+v", asked)
	}
	if !going.Scalar.IsZero() {
		t.Error("an erased share stays in memory")
	}
	if labels, err := cfg.Device.Labels(); err != nil || !slices.Equal(labels, []string{"root.2"}) {
		t.Errorf("the token holds %v, %v", labels, err)
	}
	if err := k.Put(testShare(7, 14)); err != nil { // into the new generation
		t.Fatal(err)
	}
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*Keyring{"in use": k, "after a restart": again} {
		s, ok := k.Share(api.KeyID{9}, 1, 1)
		if !ok || !s.Scalar.Equal(group.SmallScalar(11)) || !s.Endorsement.Equal(before.Endorsement) || held(k, 10) || !held(k, 8) || !held(k, 7) {
			t.Errorf("%s: another keyring", name)
		}
		if k.Generation() != 2 || k.Root().Session != (api.Digest{1}) || !k.Root().Share.Equal(group.SmallScalar(7)) {
			t.Errorf("%s: generation %d, root share of %v", name, k.Generation(), k.Root().Session)
		}
	}
	// The next one counts on.
	if what, err := k.Erase(t.Context(), nil, nothing); err != nil || what.Generation != 2 || !held(k, 9) {
		t.Errorf("%+v, %v", what, err)
	}
}

// The key that a node endorses with is its own in each epoch, whatever comes with the share,
// and goes when the share does.
func TestAnEndorsementKeyIsOfOneEpoch(t *testing.T) {
	cfg := testConfig(t)
	k := created(t, cfg, testRoot(1))
	for _, epoch := range []uint64{1, 2} {
		s := testShare(9, 11)
		s.Epoch, s.Endorsement = epoch, secret.New(make([]byte, SaltSize))
		if err := k.Put(s); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := k.Share(api.KeyID{9}, 1, 1)
	second, _ := k.Share(api.KeyID{9}, 1, 2)
	zero := secret.New(make([]byte, SaltSize))
	if first.Endorsement.Equal(second.Endorsement) || first.Endorsement.Equal(zero) || second.Endorsement.Equal(zero) {
		t.Error("two epochs have one endorsement key, or what came with the share")
	}
	if _, err := k.Erase(t.Context(), nil, func(h Held) bool { return h.Epoch == 1 }); err != nil {
		t.Fatal(err)
	}
	if !first.Endorsement.Equal(zero) {
		t.Error("the endorsement key of an erased epoch stays in memory")
	}
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, has := again.Share(api.KeyID{9}, 1, 1); has {
		t.Error("the erased epoch is there after a restart")
	}
	if s, has := again.Share(api.KeyID{9}, 1, 2); !has || !s.Endorsement.Equal(second.Endorsement) {
		t.Error("the next epoch has another endorsement key")
	}
}

// R10, P5: on a real token. A backup of the old files opens before the erasure and
// never after it, with the same token; nor do old files beside today's.
func TestNoBackupOfAnErasedGenerationOpens(t *testing.T) {
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
	k := two(t, cfg)
	backup := copied(t, cfg)
	if k, err := openNewest(backup); err != nil || !held(k, 10) {
		t.Fatalf("before the erasure the backup opens: %v", err)
	}
	what, err := k.Erase(t.Context(), nil, ten)
	if err != nil || what.Label != "root.1" || what.Serial != dev.Serial() || what.Serial == "" {
		t.Fatalf("%+v, %v", what, err)
	}
	if _, err := Open(backup); !errors.Is(err, ErrOpen) {
		t.Errorf("the backup, with today's token: %v", err)
	}
	// The live root share is the same in both generations, and opens the old keyring no
	// more: its salt is gone.
	thief := newKeyring(backup, 1, k.Root())
	if thief.key, err = deriveKey(backup, k.Root().Share, nil, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.readShares(); !errors.Is(err, ErrOpen) {
		t.Errorf("the old keyring with the live root share: %v", err)
	}
	// The old shares' file in today's place.
	old, err := os.ReadFile(filepath.Join(backup.Dir, sharesName(1)))
	if err != nil {
		t.Fatal(err)
	}
	swapped := copied(t, cfg)
	if err := WriteFile(nil, swapped.Dir, sharesName(2), old); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(swapped); !errors.Is(err, ErrOpen) {
		t.Errorf("the old shares in the new generation: %v", err)
	}
	if err := dev.Check(); err != nil { // R33
		t.Error(err)
	}
	if labels, err := dev.Labels(); err != nil || !slices.Equal(labels, []string{"root.2"}) {
		t.Errorf("the token holds %v, %v", labels, err)
	}
	if again, err := Open(cfg); err != nil || again.Count() != 1 || !held(again, 9) {
		t.Errorf("today's files: %v", err)
	}
}

// broken is a node whose nth change of disk or token fails: it takes no place, or it does
// and nobody hears of it. Everything after it fails too when the process is to die.
type broken struct {
	hsm.Device
	left      int
	persisted bool
	dies      bool
	dead      bool
	at        string
}

var errBroken = errors.New("it broke")

func (b *broken) change(what string, do func() error) error {
	if b.dead {
		return errBroken
	}
	if b.left--; b.left != 0 {
		return do()
	}
	b.at, b.dead = what, b.dies
	if b.persisted {
		return errors.Join(errBroken, do())
	}
	return errBroken
}

func (b *broken) CreateKey(label string) error {
	return b.change("create "+label, func() error { return b.Device.CreateKey(label) })
}

func (b *broken) DestroyKey(label string) error {
	return b.change("destroy "+label, func() error { return b.Device.DestroyKey(label) })
}

func (b *broken) Seal(label string, p secret.Bytes, aad []byte) (blob []byte, err error) {
	err = b.change("seal with "+label, func() (err error) { blob, err = b.Device.Seal(label, p, aad); return err })
	return blob, err
}

func (b *broken) Open(label string, blob, aad []byte) (p secret.Bytes, err error) {
	err = b.change("open with "+label, func() (err error) { p, err = b.Device.Open(label, blob, aad); return err })
	return p, err
}

// disk is asked before each change: what persists takes place here.
func (b *broken) disk(op disk.Op, path string) error {
	last := b.left == 1 && !b.dead
	return b.change(string(op)+" "+filepath.Base(path), func() error {
		switch {
		case !last:
		case op == disk.Rename:
			return os.Rename(path+Unfinished, path)
		case op == disk.Remove:
			return os.Remove(path)
		}
		return nil
	})
}

// R9: an erasure that dies at any step, before it or after it, leaves one generation,
// which has what is to stay; the erased share is in it only while it is the old one. One
// that fails at any step goes on, loses nothing that is put into it, and is made good by
// the same call.
func TestAnErasureThatBreaksAtAnyStep(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		for _, dies := range []bool{false, true} {
			steps := 0
			for nth := 1; ; nth++ {
				cfg := testConfig(t)
				sound := cfg
				b := &broken{Device: cfg.Device, persisted: persisted, dies: dies}
				cfg.Device, cfg.Disk = b, b.disk
				k := two(t, cfg)
				backup := copied(t, sound)
				b.at, b.left = "", nth
				_, err := k.Erase(t.Context(), nil, ten)
				if b.at == "" {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				steps++
				t.Run(fmt.Sprintf("%s, persisted %v, dies %v", b.at, persisted, dies), func(t *testing.T) {
					if !errors.Is(err, errBroken) {
						t.Fatalf("it is said to be done: %v", err)
					}
					if !dies {
						goesOn(t, k)
					}
					again, err := Open(sound)
					if err != nil {
						t.Fatalf("after a restart: %v", err)
					}
					if old := again.Generation() == 1; !held(again, 9) || held(again, 10) != old || !dies && old {
						t.Errorf("generation %d holds 9: %v, 10: %v", again.Generation(), held(again, 9), held(again, 10))
					}
					if !dies && (!held(again, 7) || again.Count() != 2) {
						t.Error("what was put after the fault is lost")
					}
					labels, err := sound.Device.Labels()
					if err != nil || !slices.Equal(labels, []string{hsmLabel(again.Generation())}) {
						t.Errorf("the token holds %v, %v", labels, err)
					}
					if _, err := openNewest(backup); (err == nil) != (again.Generation() == 1) {
						t.Errorf("generation %d lives, and the backup of 1: %v", again.Generation(), err)
					}
					// What died is done again, and ends.
					if _, err := again.Erase(t.Context(), nil, ten); err != nil || held(again, 10) || !held(again, 9) {
						t.Errorf("again: %v", err)
					}
					if _, err := openNewest(backup); !errors.Is(err, ErrOpen) {
						t.Errorf("the backup of generation 1: %v", err)
					}
				})
			}
			if steps < 15 { // a key, two files, a reading, a key, two removals
				t.Errorf("%d steps", steps)
			}
		}
	}
}

// goesOn puts a share into a keyring whose erasure failed, and erases again.
func goesOn(t *testing.T, k *Keyring) {
	t.Helper()
	if !held(k, 9) {
		t.Error("what is to stay is gone")
	}
	if err := k.Put(testShare(7, 14)); err != nil {
		t.Errorf("put: %v", err)
	}
	// A crash now finds it.
	if again, err := openNewest(Config{Dir: k.cfg.Dir, Cluster: k.cfg.Cluster, Node: k.cfg.Node, Device: k.cfg.Device, Rand: rand.Reader}); err != nil || !held(again, 7) {
		t.Errorf("what was put is not what a restart finds: %v", err)
	}
	if _, err := k.Erase(t.Context(), nil, ten); err != nil || held(k, 10) || !held(k, 9) || !held(k, 7) {
		t.Errorf("erase again: %v", err)
	}
}

// R26: on a full or a dead disk nothing is erased, and nothing is lost; nothing is put
// where a restart may not find it.
func TestAFullOrDeadDiskErasesNothing(t *testing.T) {
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO} {
		cfg := testConfig(t)
		var full error
		cfg.Disk = func(_ disk.Op, path string) error { return full }
		k := two(t, cfg)
		full = failure
		if _, err := k.Erase(t.Context(), nil, ten); !errors.Is(err, failure) {
			t.Fatalf("erase: %v", err)
		}
		if !held(k, 9) || !held(k, 10) || k.Generation() != 1 {
			t.Error("something has changed")
		}
		if err := k.Put(testShare(7, 14)); !errors.Is(err, failure) {
			t.Errorf("put: %v", err)
		}
		if again, err := openNewest(cfg); err != nil || again.Count() != 2 || again.Generation() != 1 {
			t.Errorf("after a restart: %v", err)
		}
		full = nil
		if what, err := k.Erase(t.Context(), nil, ten); err != nil || what.Generation != 1 {
			t.Errorf("with room again: %+v, %v", what, err)
		}
	}
}

// While nothing tells whether the next generation stands, nothing is put into this one.
func TestNothingIsPutBesideAGenerationThatMayStand(t *testing.T) {
	cfg := testConfig(t)
	var left int
	cfg.Disk = func(op disk.Op, path string) error {
		if filepath.Base(path) == rootName(2) && left > 0 {
			if left--; op == disk.Rename {
				return errors.Join(errDisk, os.Rename(path+Unfinished, path))
			}
			return errDisk
		}
		return nil
	}
	k := two(t, cfg)
	left = 3 // the renaming, and taking it back twice
	if _, err := k.Erase(t.Context(), nil, ten); !errors.Is(err, errDisk) || !errors.Is(err, ErrTorn) {
		t.Fatalf("erase: %v", err)
	}
	if err := k.Put(testShare(7, 14)); !errors.Is(err, ErrTorn) {
		t.Errorf("put: %v", err)
	}
	locks := 0
	left = 1
	_, err := k.Erase(t.Context(), func() (Lock, error) { locks++; return Lock{Generation: 2, Unseal: unsealSecret(7)}, nil }, ten)
	if !errors.Is(err, ErrTorn) || locks != 0 {
		t.Errorf("erase: %v, %d locks were made for a generation that is not next", err, locks)
	}
	if err := k.Put(testShare(7, 14)); err != nil {
		t.Errorf("put, taken back: %v", err)
	}
	if again, err := Open(cfg); err != nil || again.Generation() != 1 || again.Count() != 3 {
		t.Errorf("after a restart: %v", err)
	}
}

// Unwraps go on: a share is borrowed while the next generation is written. One that goes
// stays whole until it is back, and the erasure is not done before.
func TestSharesAreBorrowedWhileAGenerationIsMade(t *testing.T) {
	cfg := testConfig(t)
	k := two(t, cfg)
	writing, write := make(chan struct{}), make(chan struct{})
	k.cfg.write = func(dir, name string, content []byte) error {
		if name == rootName(2) {
			close(writing)
			<-write
		}
		return WriteFile(nil, dir, name, content)
	}
	done := make(chan error, 1)
	go func() {
		_, err := k.Erase(context.Background(), nil, ten)
		done <- err
	}()
	<-writing
	_, back, ok := k.Borrow(api.KeyID{9}, 1, 1)
	if !ok {
		t.Fatal("the share that stays is not given out")
	}
	back()
	going, back, ok := k.Borrow(api.KeyID{10}, 1, 1)
	if !ok {
		t.Fatal("the share that goes is not given out, and it still stands")
	}
	close(write)
	for k.Generation() != 2 {
		time.Sleep(time.Millisecond)
	}
	if _, _, ok := k.Borrow(api.KeyID{10}, 1, 1); ok {
		t.Error("an erased share is given out")
	}
	select {
	case err := <-done:
		t.Fatalf("it is done while the share is in use: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if !going.Scalar.Equal(group.SmallScalar(12)) {
		t.Error("a share is overwritten while it is in use")
	}
	back()
	if err := <-done; err != nil || !going.Scalar.IsZero() {
		t.Errorf("afterwards: %v", err)
	}

	// Who does not wait for ever is told that it is not done.
	_, back, _ = k.Borrow(api.KeyID{9}, 1, 1)
	defer back()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := k.Erase(ctx, nil, func(Held) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a share is out: %v", err)
	}
}

// Erasures that are asked for at once become one generation.
func TestErasuresAtOnceBecomeOneGeneration(t *testing.T) {
	cfg := testConfig(t)
	k := created(t, cfg, testRoot(1))
	for key := range byte(9) {
		if err := k.Put(testShare(key, 20)); err != nil {
			t.Fatal(err)
		}
	}
	writing, write := make(chan struct{}), make(chan struct{})
	k.cfg.write = func(dir, name string, content []byte) error {
		if name == rootName(2) {
			close(writing)
			<-write
		}
		return WriteFile(nil, dir, name, content)
	}
	var wg sync.WaitGroup
	erase := func(key byte, generation uint64) {
		wg.Go(func() {
			what, err := k.Erase(t.Context(), nil, func(h Held) bool { return h.Key == api.KeyID{key} })
			if err != nil || what.Generation != generation || held(k, key) {
				t.Errorf("key %d: %+v, %v", key, what, err)
			}
		})
	}
	erase(0, 1)
	<-writing
	for key := range byte(7) {
		erase(key+1, 2)
	}
	for {
		k.mu.RLock()
		n := len(k.asked)
		k.mu.RUnlock()
		if n == 7 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(write)
	wg.Wait()
	if again, err := Open(cfg); err != nil || again.Generation() != 3 || again.Count() != 1 || !held(again, 8) {
		t.Errorf("after a restart: %v", err)
	}
}

// Where custodians open seals, each generation is under a secret of its own.
func TestEachGenerationHasALockOfItsOwn(t *testing.T) {
	cfg := testConfig(t)
	locked := cfg
	locked.Unseal = unsealSecret(7)
	k := two(t, locked)
	noLock := errors.New("no lock")
	if _, err := k.Erase(t.Context(), func() (Lock, error) { return Lock{}, noLock }, ten); !errors.Is(err, noLock) || !held(k, 10) || k.Generation() != 1 {
		t.Fatalf("without a lock: %v", err)
	}
	fresh := unsealSecret(8)
	// The lock of generation 2 was given up: 3 is next, and nothing of 2 is left.
	if err := cfg.Device.CreateKey("root.2"); err != nil {
		t.Fatal(err)
	}
	if what, err := k.Erase(t.Context(), func() (Lock, error) { return Lock{3, fresh, []byte("public")}, nil }, ten); err != nil || what.Generation != 1 || k.Generation() != 3 {
		t.Fatalf("%+v, %v, generation %d", what, err, k.Generation())
	}
	if labels, err := cfg.Device.Labels(); err != nil || !slices.Equal(labels, []string{"root.3"}) {
		t.Errorf("the token holds %v, %v", labels, err)
	}
	// What is public of it stands beside it, for who has to restore it.
	if g, is, public, err := LockOf(cfg.Dir); g != 3 || !is || string(public) != "public" || err != nil {
		t.Errorf("generation %d, %v, lock %q, %v", g, is, public, err)
	}
	for _, g := range []uint64{1, 3} {
		if _, err := k.Erase(t.Context(), func() (Lock, error) { return Lock{Generation: g, Unseal: unsealSecret(9)}, nil }, ten); !errors.Is(err, ErrOpen) || k.Generation() != 3 {
			t.Errorf("a lock for generation %d: %v", g, err)
		}
	}
	if !fresh.Equal(secret.New(make([]byte, 32))) {
		t.Error("the unseal secret stays in memory")
	}
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("directory and token: %v", err)
	}
	if _, err := Open(locked); !errors.Is(err, ErrOpen) {
		t.Errorf("with the secret of generation 1: %v", err)
	}
	locked.Unseal = unsealSecret(8)
	if again, err := Open(locked); err != nil || again.Count() != 1 || held(again, 10) {
		t.Errorf("with its own: %v", err)
	}
}

func TestAWipedKeyringErasesNothing(t *testing.T) {
	cfg := testConfig(t)
	k := two(t, cfg)
	k.Wipe()
	if _, err := k.Erase(t.Context(), nil, ten); !errors.Is(err, ErrWiped) {
		t.Fatal(err)
	}
	if again, err := Open(cfg); err != nil || again.Count() != 2 {
		t.Errorf("after a restart: %v", err)
	}
}

// A token that lies about the root share it was given is found while the old one
// stands.
func TestAGenerationThatDoesNotReadBackIsTakenBack(t *testing.T) {
	cfg := testConfig(t)
	k := two(t, cfg)
	k.cfg.write = func(dir, name string, content []byte) error {
		if strings.HasPrefix(name, "keyring-") {
			content = slices.Clone(content)
			content[len(content)-1] ^= 1
		}
		return WriteFile(nil, dir, name, content)
	}
	if _, err := k.Erase(t.Context(), nil, ten); !errors.Is(err, ErrReadBack) {
		t.Fatal(err)
	}
	if again, err := Open(cfg); err != nil || again.Generation() != 1 || again.Count() != 2 {
		t.Errorf("after a restart: %v", err)
	}
}
