package keyring

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"warifu.dev/api"
	"warifu.dev/hsm"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing/group"
)

func testConfig(t *testing.T) Config {
	t.Helper()
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(t.TempDir(), "token"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	return Config{Dir: t.TempDir(), Cluster: api.ClusterID{1}, Node: "n1", Device: dev, Rand: rand.Reader}
}

func testRoot(session byte) Root {
	return Root{Session: api.Digest{session}, Epoch: 1, Index: 2, Share: group.SmallScalar(7)}
}

func created(t *testing.T, cfg Config, root Root) *Keyring {
	t.Helper()
	k, err := Create(cfg, root)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsPutIsThereAfterARestart(t *testing.T) {
	cfg := testConfig(t)
	k := created(t, cfg, testRoot(1))
	if err := k.Put(Share{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11)}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r := again.Root(); r.Session != (api.Digest{1}) || r.Epoch != 1 || r.Index != 2 || !r.Share.Equal(group.SmallScalar(7)) {
		t.Errorf("the root share is another: %+v", r)
	}
	before, _ := k.Share(api.KeyID{9}, 1, 1)
	s, ok := again.Share(api.KeyID{9}, 1, 1)
	if !ok || s.Index != 2 || !s.Scalar.Equal(group.SmallScalar(11)) || s.Endorsement.Len() != SaltSize || !s.Endorsement.Equal(before.Endorsement) {
		t.Error("the share is another")
	}
	if _, ok := again.Share(api.KeyID{9}, 1, 2); ok { // R10
		t.Error("a share of one epoch was given out for another")
	}
	if err := again.Put(Share{Key: api.KeyID{9}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(12)}); !errors.Is(err, ErrAnother) {
		t.Errorf("another share of one key and epoch: %v", err)
	}
}

// A node is sealed while it releases: a share that is in use stays whole until it is
// given back, and nothing else does.
func TestWhatIsBorrowedIsWipedWhenItIsBack(t *testing.T) {
	k := created(t, testConfig(t), testRoot(1))
	for key := range byte(2) {
		if err := k.Put(Share{Key: api.KeyID{key}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11)}); err != nil {
			t.Fatal(err)
		}
	}
	empty := func(s *Share) bool {
		return s.Scalar.IsZero() && s.Endorsement.Equal(secret.New(make([]byte, SaltSize)))
	}
	first, back, ok := k.Borrow(api.KeyID{0}, 1, 1)
	if !ok {
		t.Fatal("no share to borrow")
	}
	second, backToo, _ := k.Borrow(api.KeyID{1}, 1, 1)
	root := k.Root().Share
	k.Wipe()
	k.Wipe() // changes nothing
	if !root.IsZero() || empty(first) || empty(second) {
		t.Fatalf("root share wiped: %v; shares that are in use: %v, %v", root.IsZero(), empty(first), empty(second))
	}
	back()
	if !empty(first) || empty(second) {
		t.Fatal("what is given back stays in memory, or what is in use does not")
	}
	if _, _, ok := k.Borrow(api.KeyID{1}, 1, 1); ok || k.Count() != 0 {
		t.Error("a wiped keyring gives out shares")
	}
	if err := k.Put(Share{Key: api.KeyID{3}, Version: 1, Epoch: 1, Index: 2, Scalar: group.SmallScalar(11)}); !errors.Is(err, ErrWiped) {
		t.Errorf("a wiped keyring takes a share: %v", err)
	}
	backToo()
	if !empty(second) {
		t.Error("what was borrowed is given back, and stays in memory")
	}
}

func TestASealedFileOpensOnlyWhereItBelongs(t *testing.T) {
	cfg := testConfig(t)
	created(t, cfg, testRoot(1))
	node, cluster, dir := cfg, cfg, cfg
	node.Node, cluster.Cluster, dir.Dir = "n2", api.ClusterID{2}, t.TempDir()
	for name, c := range map[string]Config{"node": node, "cluster": cluster} {
		if _, err := Open(c); !errors.Is(err, ErrOpen) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := Open(dir); !errors.Is(err, ErrNone) {
		t.Errorf("an empty directory: %v", err)
	}
}

// What a blob is for is bound to it: cluster, node, epoch and generation.
func TestEachFieldOfTheAADCounts(t *testing.T) {
	ring := func(cluster byte, node string, epoch, generation uint64) *Keyring {
		return &Keyring{cfg: Config{Cluster: api.ClusterID{cluster}, Node: node}, generation: generation, root: Root{Epoch: epoch}}
	}
	base := ring(1, "n1", 1, 1)
	for name, k := range map[string]*Keyring{
		"cluster": ring(2, "n1", 1, 1), "node": ring(1, "n2", 1, 1), "epoch": ring(1, "n1", 2, 1), "generation": ring(1, "n1", 1, 2),
	} {
		if bytes.Equal(k.aad(), base.aad()) {
			t.Errorf("the keyring's file is not bound to its %s", name)
		}
		if bytes.Equal(rootAAD(k.cfg, k.root.Epoch, k.generation), rootAAD(base.cfg, 1, 1)) {
			t.Errorf("the root share is not bound to its %s", name)
		}
	}
}

// failing is a token that destroys no key for now.
type failing struct {
	hsm.Device
	broken bool
}

func (f *failing) DestroyKey(label string) error {
	if f.broken {
		return errors.New("the token is away")
	}
	return f.Device.DestroyKey(label)
}

// R9, R10: a crash after the new generation stands leaves the old one; the next
// start destroys it, so that no backup of it opens.
func TestACrashLeavesNoOldGeneration(t *testing.T) {
	cfg := testConfig(t)
	dev := &failing{Device: cfg.Device}
	cfg.Device = dev
	created(t, cfg, testRoot(1))
	backup, err := os.ReadFile(filepath.Join(cfg.Dir, rootName(1)))
	if err != nil {
		t.Fatal(err)
	}
	dev.broken = true
	if _, err := Create(cfg, testRoot(2)); err == nil {
		t.Fatal("the old generation is there, and nobody was told")
	}
	dev.broken = false
	k, err := Open(cfg)
	if err != nil || k.Generation() != 2 || k.Root().Session != (api.Digest{2}) {
		t.Fatalf("generation 2 does not open: %v", err)
	}
	if has, err := dev.HasKey(hsmLabel(1)); has || err != nil {
		t.Errorf("the sealing key of generation 1 is still there: %v", err)
	}
	cfg.Dir = t.TempDir()
	if err := WriteFile(nil, cfg.Dir, rootName(1), backup); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrOpen) {
		t.Errorf("a backup of generation 1 opens: %v", err)
	}
}
