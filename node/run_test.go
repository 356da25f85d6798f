package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
)

// buffer is a log that several nodes write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// cluster is three real nodes in this process: real sockets, Raft, audit, disk.
type cluster struct {
	t    *testing.T
	dirs []string
	log  buffer
	disk disk.Hook // of all nodes

	custodian *authority.Signer // one, who suffices
	key       *ecdsa.PrivateKey // the custodian's

	snapshots consensus.Policy
}

func openSoft(t *testing.T, dir string) *soft.Device {
	t.Helper()
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(dir, "soft-hsm"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return newClusterUnder(t, newKey(t))
}

// newClusterUnder is a cluster of the custodian who has this key.
func newClusterUnder(t *testing.T, key *ecdsa.PrivateKey) *cluster {
	t.Helper()
	c := &cluster{t: t}
	g := authority.Genesis{Format: authority.GenesisFormat, Created: time.Now().UnixMilli(), Unseal: authority.UnsealHSM}
	rand.Read(g.Cluster[:])
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 1})
	}
	custodian, err := authority.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	c.custodian, c.key = custodian, key
	g.Custodians = []authority.Custodian{{Name: "alice", Sign: custodian.PublicKey(), Open: "age1test"}}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 2, F: 1, PhaseSeconds: 60}
	for i := range 3 {
		dir := filepath.Join(t.TempDir(), "node")
		cfg := Config{
			Node: fmt.Sprintf("n%d", i+1), Region: "jp-east", Client: "127.0.0.1:0", Peer: "127.0.0.1:0",
			HSM: HSMConfig{Kind: "soft"}, AuditReserve: 4096,
		}
		line, err := Init(rand.Reader, dir, cfg, openSoft(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		g.Roster = append(g.Roster, line)
		g.Root.Holders = append(g.Root.Holders, line.ID)
		c.dirs = append(c.dirs, dir)
	}
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	if err := doc.Sign(rand.Reader, custodian); err != nil {
		t.Fatal(err)
	}
	for _, dir := range c.dirs {
		if _, err := Join(dir, doc.Encode(), nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// options are those of a daemon.
func options(dir string, dev *soft.Device, log *slog.Logger) Options {
	return Options{
		Dir: dir, Device: dev, Log: log, Now: time.Now, Boot: BootTime,
		Listen: func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) },
	}
}

// run runs all three until check is done, and stops them.
func (c *cluster) run(check func()) {
	c.t.Helper()
	c.runSome(c.dirs, check)
}

func (c *cluster) runSome(dirs []string, check func()) {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var nodes sync.WaitGroup
	for _, dir := range dirs {
		nodes.Go(func() {
			o := options(dir, openSoft(c.t, dir), slog.New(slog.NewTextHandler(&c.log, nil)))
			o.Disk, o.Snapshots = c.disk, c.snapshots
			err := Run(ctx, o)
			if err != nil {
				c.t.Errorf("%s: %v", dir, err)
			}
		})
	}
	defer nodes.Wait()
	defer stop()
	check()
}

func (c *cluster) logged(n int, text string) {
	c.t.Helper()
	for range 1800 { // three minutes, on a busy machine
		if strings.Count(c.log.String(), text) >= n {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatalf("%q was not logged %d times: %s", text, n, c.log.String())
}

func (c *cluster) audited(dir string) (kinds []audit.Kind) {
	c.t.Helper()
	for _, r := range c.records(dir) {
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

func (c *cluster) records(dir string) []audit.Indexed {
	c.t.Helper()
	if _, err := openIdentity(dir, "another", openSoft(c.t, dir)); !errors.Is(err, ErrIdentity) {
		c.t.Errorf("the identity opens under another name: %v", err)
	}
	cfg, err := LoadConfig(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := openIdentity(dir, cfg.Node, openSoft(c.t, dir))
	if err != nil {
		c.t.Fatal(err)
	}
	g, err := loadGenesis(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	n := &Node{cfg: cfg, genesis: g, log: quiet}
	if err := n.openAudit(dir, key); err != nil {
		c.t.Fatal(err)
	}
	defer n.audit.Close()
	records, err := n.audit.Tail(1000)
	if err != nil {
		c.t.Fatal(err)
	}
	return records
}

// Three nodes bear the root key, stop, and start again: unsealed both times, each
// ledger entry once in the audit, no goroutine left, no secret logged.
func TestThreeNodesBearTheRootKeyAndStartAgain(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newCluster(t)
	c.run(func() {
		c.logged(3, "state=unsealed")
		// A second daemon on the same directory.
		err := Run(context.Background(), options(c.dirs[0], openSoft(t, c.dirs[0]), quiet))
		if !errors.Is(err, ErrInUse) {
			t.Errorf("a second daemon: %v", err)
		}
	})
	c.run(func() { c.logged(6, "state=unsealed") })
	for _, dir := range c.dirs {
		counts := map[audit.Kind]int{}
		kinds := c.audited(dir)
		for _, k := range kinds {
			counts[k]++
		}
		delete(counts, audit.Snapshot) // if it had the time to compact
		want := map[audit.Kind]int{audit.Start: 2, audit.Ceremony: 1, audit.Activate: 1, audit.Unseal: 2, audit.Sealed: 2, audit.Stop: 2}
		if fmt.Sprint(counts) != fmt.Sprint(want) {
			t.Errorf("audited %v", kinds)
		}
		if kinds[0] != audit.Start || kinds[len(kinds)-1] != audit.Stop {
			t.Errorf("audited %v", kinds)
		}
		// R25: the root share is in no log and, in the clear, in no file.
		cfg, _ := LoadConfig(dir)
		g, err := loadGenesis(dir)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Open(keyring.Config{Dir: filepath.Join(dir, sealDir), Cluster: g.Cluster, Node: cfg.Node, Device: openSoft(t, dir), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		secretBytes := ring.Root().Share.Bytes()
		forms := [][]byte{secretBytes, fmt.Appendf(nil, "%x", secretBytes), fmt.Appendf(nil, "%X", secretBytes)}
		see := func(where string, content []byte) {
			for _, form := range forms {
				if bytes.Contains(content, form) {
					t.Errorf("%s holds the root share of %s", where, cfg.Node)
				}
			}
		}
		see("the log", []byte(c.log.String()))
		for _, other := range c.dirs {
			_ = filepath.Walk(other, func(path string, info os.FileInfo, err error) error {
				if err == nil && info.Mode().IsRegular() && info.Size() < 32<<20 {
					b, _ := os.ReadFile(path)
					see(path, b)
				}
				return err
			})
		}
		if left, _ := os.ReadDir(filepath.Join(dir, ceremonyDir)); len(left) > 0 {
			t.Errorf("sessions are left: %v", left)
		}
	}
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
}

// What keeps a node from starting has a name, and leaves nothing running.
func TestWhatKeepsANodeFromStarting(t *testing.T) {
	c := newCluster(t)
	dir := c.dirs[0]
	start := func() error {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		return Run(ctx, options(dir, openSoft(t, dir), quiet))
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := runtime.NumGoroutine()
	for _, tt := range []struct {
		sentence string
		spoil    func() (undo func())
		err      error
	}{
		{"no genesis", func() func() {
			b := read(file(genesisName))
			_ = os.Remove(file(genesisName))
			return func() { write(file(genesisName), b) }
		}, ErrNoGenesis},
		{"an altered genesis", func() func() {
			b := read(file(genesisName))
			altered := bytes.Clone(b)
			altered[len(altered)/2] ^= 1
			write(file(genesisName), altered)
			return func() { write(file(genesisName), b) }
		}, errAny},
		{"a node that is not on the roster", func() func() {
			b := read(file(configName))
			write(file(configName), bytes.Replace(b, []byte("'n1'"), []byte("'n9'"), 1))
			return func() { write(file(configName), b) }
		}, ErrGenesis},
		{"another region than the roster's", func() func() {
			b := read(file(configName))
			write(file(configName), bytes.Replace(b, []byte("'jp-east'"), []byte("'sg'"), 1))
			return func() { write(file(configName), b) }
		}, ErrGenesis},
		{"an unknown field", func() func() {
			b := read(file(configName))
			write(file(configName), append([]byte("audit_path = '/etc'\n"), b...)) // R22
			return func() { write(file(configName), b) }
		}, ErrConfig},
		{"no node.toml", func() func() {
			b := read(file(configName))
			_ = os.Remove(file(configName))
			return func() { write(file(configName), b) }
		}, ErrConfig},
		{"a file that others may read (R27)", func() func() {
			_ = os.Chmod(file(identityName), 0o640)
			return func() { _ = os.Chmod(file(identityName), 0o600) }
		}, ErrLooseMode},
		{"a directory that others may enter (R27)", func() func() {
			_ = os.Chmod(file(sealDir), 0o701)
			return func() { _ = os.Chmod(file(sealDir), 0o700) }
		}, ErrLooseMode},
		{"another node's token", func() func() {
			_ = os.Rename(file("soft-hsm"), file("mine"))
			_ = os.CopyFS(file("soft-hsm"), os.DirFS(filepath.Join(c.dirs[1], "soft-hsm")))
			_ = filepath.Walk(file("soft-hsm"), func(p string, i os.FileInfo, _ error) error {
				if i.IsDir() {
					return os.Chmod(p, 0o700)
				}
				return os.Chmod(p, 0o600)
			})
			return func() { _ = os.RemoveAll(file("soft-hsm")); _ = os.Rename(file("mine"), file("soft-hsm")) }
		}, ErrWrongToken},
		{"another node's identity", func() func() {
			b := read(file(identityName))
			write(file(identityName), read(filepath.Join(c.dirs[1], identityName)))
			return func() { write(file(identityName), b) }
		}, ErrIdentity},
		{"an altered identity", func() func() {
			b := read(file(identityName))
			altered := bytes.Clone(b)
			altered[len(b)-1] ^= 1
			write(file(identityName), altered)
			return func() { write(file(identityName), b) }
		}, ErrIdentity},
		{"a root share that was altered", func() func() {
			write(file(filepath.Join(sealDir, "root-1.sealed")), []byte("altered"))
			return func() { _ = os.Remove(file(filepath.Join(sealDir, "root-1.sealed"))) }
		}, ErrKeyring},
		{"a port that is taken, for clients", func() func() {
			b := read(file(configName))
			cfg, err := LoadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			write(file(configName), bytes.ReplaceAll(b, []byte(cfg.Client), []byte(cfg.Peer)))
			return func() { write(file(configName), b) }
		}, errAny},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			undo := tt.spoil()
			defer undo()
			err := start()
			if err == nil || tt.err != errAny && !errors.Is(err, tt.err) {
				t.Fatalf("got %v", err)
			}
		})
	}
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
	if err := start(); err != nil {
		t.Fatalf("with nothing wrong: %v", err)
	}
}

var errAny = errors.New("any")

func TestInitAndJoinHappenOnce(t *testing.T) {
	c := newCluster(t)
	dir := c.dirs[0]
	cfg, err := LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(rand.Reader, dir, cfg, openSoft(t, dir)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("init again: %v", err)
	}
	if _, err := Init(rand.Reader, t.TempDir(), cfg, openSoft(t, dir)); !errors.Is(err, ErrTokenTaken) {
		t.Errorf("another node on the same token: %v", err)
	}
	doc, err := os.ReadFile(filepath.Join(dir, genesisName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(dir, doc, nil); err != nil {
		t.Errorf("the same genesis again: %v", err)
	}
	elsewhere := newCluster(t)
	other, err := os.ReadFile(filepath.Join(elsewhere.dirs[0], genesisName))
	if err != nil {
		t.Fatal(err)
	}
	// A node of the same name, with another key, is not the one on the roster.
	if err := os.Remove(filepath.Join(elsewhere.dirs[0], genesisName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(elsewhere.dirs[0], doc, nil); !errors.Is(err, ErrGenesis) {
		t.Errorf("the genesis of a cluster that has another key for this node: %v", err)
	}
	if _, err := Join(elsewhere.dirs[0], other, nil); err != nil {
		t.Errorf("its own genesis after that: %v", err)
	}
	if _, err := Join(dir, other, nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("another genesis: %v", err)
	}
	if _, err := Join(t.TempDir(), []byte("junk"), nil); !errors.Is(err, ErrGenesis) {
		t.Errorf("junk: %v", err)
	}
}

// R26: status says what is wrong with the audit.
func TestStatusNamesABrokenAudit(t *testing.T) {
	n, r := fakeNode(t)
	log, err := audit.Open(audit.Config{Dir: t.TempDir(), Origin: "warifu/test/n1", Public: &journalKey().PublicKey, Signer: signMessage(journalKey()), ReserveBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	n.audit, n.device = log, openSoft(t, t.TempDir())
	born := r.BearRoot()
	n.secrets.cfg = keyring.Config{Dir: t.TempDir(), Cluster: r.Genesis.Cluster, Node: "n1", Device: n.device, Rand: rand.Reader}
	ses := r.State().Session(born.Key.Session)
	if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, born.Shares[:1]); err != nil {
		t.Fatal(err)
	}
	n.secrets.look(r.State(), "n1")
	if s := n.status(); s.State != serving || s.Audit != "ok" {
		t.Fatalf("%s, %s", s.State, s.Audit)
	}
	_ = log.Close()
	if s := n.status(); s.State != "audit closed" || s.Audit != "audit closed" {
		t.Fatalf("%s, %s", s.State, s.Audit)
	}
	n.fresh = freshness{}
	if e := n.freshEnough(); e == nil || e.Code != api.CodeStale {
		t.Fatal(e)
	}
}
