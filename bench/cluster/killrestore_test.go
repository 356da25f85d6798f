package cluster_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/backup"
	"warifu.dev/client"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/wire"
	"warifu.dev/node"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/unseal"

	"filippo.io/age"
)

// moving is what is left of a lost cluster, and a node of another one, of the same
// custodian, that is to take a share of it.
type moving struct {
	*testing.T
	dir   string // old, new: the nodes; backup, adoption: files
	key   api.KeyID
	yi    []byte
	store keyring.Config // of the node that takes the share

	keepers []keeper   // who open the seals of both
	genesis api.Digest // of the cluster that takes the share
	runs    int
}

// keeper is a custodian who opens seals.
type keeper struct {
	name string
	open *age.X25519Identity
}

func (k keeper) key() authority.Fingerprint { return authority.FingerprintOf([]byte(k.name)) }

func (m *moving) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *moving) token(dir string) *soft.Device {
	m.Helper()
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(dir, "soft-hsm"), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	m.must(err)
	return dev
}

func (m *moving) signer() *authority.Signer {
	m.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.must(err)
	s, err := authority.NewSigner(key)
	m.must(err)
	return s
}

// cluster makes one node that is a directory, and others on its roster that are not.
// The signers are those of the others.
func (m *moving) cluster(dir string, custodian *authority.Signer) (*authority.VerifiedGenesis, []*authority.Signer) {
	m.Helper()
	g := authority.Genesis{Format: authority.GenesisFormat, Created: time.Now().UnixMilli(), Unseal: authority.UnsealHSM}
	_, _ = rand.Read(g.Cluster[:])
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 1})
	}
	g.Custodians = []authority.Custodian{{Name: "alice", Sign: custodian.PublicKey(), Open: "age1test"}}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 2, F: 1, PhaseSeconds: 60}
	line, err := node.Init(rand.Reader, dir, node.Config{
		Node: "n1", Region: "jp-east", Client: "127.0.0.1:0", Peer: "127.0.0.1:0", HSM: node.HSMConfig{Kind: "soft"}, AuditReserve: 4096,
	}, m.token(dir))
	m.must(err)
	g.Roster = append(g.Roster, line)
	var others []*authority.Signer
	for i := range 2 {
		s, id := m.signer(), fmt.Sprintf("n%d", i+2)
		claim, err := authority.SignClaim(rand.Reader, s, authority.AddressClaim{Node: id, Counter: 1, Client: "127.0.0.1:1", Peer: "127.0.0.1:2"})
		m.must(err)
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "jp-east", Key: s.PublicKey(), Claim: claim})
		others = append(others, s)
	}
	g.Root.Holders = []string{"n1", "n2", "n3"}
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	m.must(doc.Sign(rand.Reader, custodian))
	_, err = node.Join(dir, doc.Encode(), nil)
	m.must(err)
	verified, err := doc.Verify()
	m.must(err)
	return verified, others
}

// ring is the new keyring of a node, with its root share, which custodians open.
func (m *moving) ring(dir string, g *authority.VerifiedGenesis) (keyring.Config, *keyring.Keyring) {
	m.Helper()
	cfg := keyring.Config{Dir: filepath.Join(dir, "seal"), Cluster: g.Cluster, Node: "n1", Device: m.token(dir), Rand: rand.Reader}
	var known authority.Genesis
	var recipients []string
	for _, k := range m.keepers {
		known.Custodians = append(known.Custodians, authority.Custodian{Name: k.name, Sign: []byte(k.name)})
		recipients = append(recipients, k.open.Recipient().String())
	}
	u, l, err := unseal.Split(rand.Reader, unseal.Seal{Cluster: g.Cluster, Node: "n1", Generation: 1}, recipients, 2)
	m.must(err)
	cfg.Unseal, cfg.Lock = u, authority.KeepLock(&known, wire.Encode(l))
	ring, err := keyring.Create(cfg, keyring.Root{Session: api.Digest{1}, Epoch: 1, Index: 1, Share: group.SmallScalar(7)})
	m.must(err)
	return cfg, ring
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{T: t, dir: t.TempDir()}
	custodian := m.signer()
	for _, name := range []string{"alice", "bob", "carol"} {
		id, err := age.GenerateX25519Identity()
		m.must(err)
		m.keepers = append(m.keepers, keeper{name, id})
	}
	lost, holders := m.cluster(filepath.Join(m.dir, "old"), custodian)
	g, _ := m.cluster(filepath.Join(m.dir, "new"), custodian)
	m.genesis = g.Hash()

	order := authority.NewChange(authority.Change{Cluster: lost.Cluster, Kind: authority.KindKey, NotAfter: 1 << 50, Body: wire.Encode(authority.Order{
		Cluster: lost.Cluster, Purpose: authority.PurposeUnwrap, Name: "photos", T: 2, F: 1, Holders: []string{"n1", "n2", "n3"}, PhaseSeconds: 60,
	})})
	m.must(authority.SignChange(rand.Reader, order, custodian))
	poly, err := sharing.NewPolynomial(rand.Reader, 2)
	m.must(err)
	y := poly.Commit().Constant()
	r := authority.SignedRecord{Record: authority.KeyRecord{
		Cluster: lost.Cluster, Version: 1, Epoch: 1, Order: order.Encode(), Attempt: 1, RosterVersion: 1, RecordVersion: 1, Y: y.Bytes(),
	}}
	r.Record.Key = authority.KeyIDOf(authority.SessionID(lost.Cluster, 1, order.ID(), 1, api.Digest{}))
	pk, err := tdh2.NewPublicKey(lost.Cluster, r.Record.Key, 1, 2, 3, y)
	m.must(err)
	r.Record.W = pk.W.Bytes()
	for i := range 3 {
		r.Record.YI = append(r.Record.YI, group.BaseMul(poly.Eval(sharing.Index(i+1))).Bytes())
	}
	for _, s := range holders {
		sig, err := authority.SignRecord(rand.Reader, s, &r.Record)
		m.must(err)
		r.Signatures = append(r.Signatures, sig)
	}
	m.key, m.yi = r.Record.Key, r.Record.YI[0]

	_, ring := m.ring(filepath.Join(m.dir, "old"), lost)
	m.must(ring.Put(keyring.Share{Key: m.key, Version: 1, Epoch: 1, Index: 1, Scalar: poly.Eval(1)}))
	f, err := os.Create(filepath.Join(m.dir, "backup"))
	m.must(err)
	_, err = backup.Write(f, filepath.Join(m.dir, "old"), time.Now())
	m.must(err)
	m.must(f.Close())
	m.store, ring = m.ring(filepath.Join(m.dir, "new"), g)
	ring.Wipe()

	e := authority.NewChange(authority.Change{Cluster: g.Cluster, Kind: authority.KindAdopt, NotAfter: 1 << 50, Body: wire.Encode(authority.Adopt{
		Lost: lost.Signed().Encode(), Record: r.Encode(), Takers: []string{"n1", "n2", ""},
	})})
	m.must(authority.SignChange(rand.Reader, e, custodian))
	m.must(os.WriteFile(filepath.Join(m.dir, "adoption"), e.Encode(), 0o600))
	return m
}

// handOver does what custodians do when there is an offer: two of them hand over. It ends
// when it has, or when the restore has.
func (m *moving) handOver(pieces string, over <-chan struct{}) error {
	for {
		b, err := os.ReadFile(filepath.Join(pieces, "offer"))
		if err == nil {
			o, err := client.ParseRestoreOffer(b, m.genesis)
			if err != nil {
				return err
			}
			for _, k := range m.keepers[1:] {
				b, err := o.HandOver(k.key(), k.open)
				if err == nil {
					err = os.WriteFile(filepath.Join(pieces, k.name+".piece"), b, 0o600)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		select {
		case <-over:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restore runs the command, armed to die at a step or not.
func (m *moving) restore(armed string) (string, error) {
	m.Helper()
	m.runs++
	old, pieces := filepath.Join(m.dir, "old"), filepath.Join(m.dir, fmt.Sprintf("pieces-%d", m.runs))
	over, handed := make(chan struct{}), make(chan error)
	go func() { handed <- m.handOver(pieces, over) }()
	cmd := exec.Command(filepath.Join(faultyBin(m.T), "warifud"), "restore", filepath.Join(m.dir, "new"), filepath.Join(m.dir, "backup"), filepath.Join(m.dir, "adoption"), "--old", old, "--pieces", pieces)
	file := filepath.Join(m.dir, "armed")
	m.must(os.WriteFile(file, []byte(armed), 0o600))
	cmd.Env = append(os.Environ(), "WARIFU_FAILPOINT="+file)
	out, err := cmd.CombinedOutput()
	close(over)
	m.must(<-handed)
	return string(out), err
}

// is says whether the share is in the new node's keyring, and whether the old token opens
// what it sealed.
func (m *moving) is() (here, there bool) {
	m.Helper()
	ring, err := keyring.Peek(m.store)
	m.must(err)
	defer ring.Wipe()
	s, ok := ring.Share(m.key, 1, 1)
	labels, err := m.token(filepath.Join(m.dir, "old")).Labels()
	m.must(err)
	return ok && string(group.BaseMul(s.Scalar).Bytes()) == string(m.yi), slices.Contains(labels, "root.1")
}

// A restore dies at each of its steps, before it and after. The share is never out of both
// reach: the old token opens it until it is here. The next run ends it. R10
func TestARestoreMayDieAtEachOfItsSteps(t *testing.T) {
	t.Parallel()
	for _, r := range restores {
		for _, mode := range []string{"failed", "persisted"} {
			m := newMoving(t)
			out, err := m.restore(fmt.Sprintf("%s %s %d", r.step, mode, r.hit))
			fired, _ := os.ReadFile(filepath.Join(m.dir, "armed.fired"))
			if err == nil || strings.TrimSpace(string(fired)) != r.step+" "+mode {
				t.Fatalf("it did not die at %s, %s: %v, %s", r.step, mode, err, out)
			}
			here, there := m.is()
			if !here && !there || there != (r.step != "keyring/bury" || mode == "failed") {
				t.Errorf("dead at %s, %s: the share is here: %v, and the old token opens it: %v", r.step, mode, here, there)
			}
			if out, err := m.restore(""); err != nil {
				t.Errorf("the next run after %s, %s: %v, %s", r.step, mode, err, out)
			}
			if here, there := m.is(); !here || there {
				t.Errorf("after %s, %s, and another run: the share is here: %v, and the old token opens it: %v", r.step, mode, here, there)
			}
			t.Logf("%-22s %-9s ended by the next run", r.step, mode)
		}
	}
}
