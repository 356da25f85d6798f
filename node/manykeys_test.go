package node

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/transport"
)

var (
	startKeys   = flag.Int("keys", 100, "with how many keys TestANodeStartsWithManyKeys starts its nodes")
	startRounds = flag.Int("rounds", 0, "how often it then asks nodes with ten keys, and those with many, a hundred times each")
)

// snapshotState is what a snapshot file holds: what is before the state, and the state.
func snapshotState(t *testing.T, g *authority.VerifiedGenesis, b []byte) (meta, certificate []byte, s *ledger.State) {
	t.Helper()
	n := 12 + int(binary.BigEndian.Uint32(b[8:]))
	rest := b[n : len(b)-sha256.Size]
	m := 5 + int(binary.BigEndian.Uint32(rest[1:]))
	s, err := ledger.Decode(g, bytes.NewReader(rest[m:]))
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], rest[5:m], s
}

type signedPoint struct {
	Index      uint64                `cbor:"1,keyasint"`
	Link       api.Digest            `cbor:"2,keyasint"`
	Signatures []consensus.Signature `cbor:"3,keyasint"`
}

// manyKeysCluster is three nodes, 2 of 3, whose log and snapshot, with three signatures,
// are of a ledger that was grown, see [trial.Grown]. All its keys have the shares of the
// root key.
type manyKeysCluster struct {
	*cluster
	genesis  *authority.VerifiedGenesis
	ids      []api.KeyID
	root     *ledger.Key
	snapshot int // bytes
	app      tls.Certificate
}

// newManyKeysCluster is one with so many keys. It runs nowhere.
func newManyKeysCluster(t *testing.T, keys int) *manyKeysCluster {
	t.Helper()
	c := newCluster(t)
	g, err := loadGenesis(c.dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	many := &manyKeysCluster{cluster: c, genesis: g}
	c.run(func() {
		c.logged(3, "state=unsealed")
		c.logged(3, "the log is compacted")
		many.furnish() // above the snapshot
	})
	signers := map[string]*authority.Signer{}
	for _, dir := range c.dirs {
		cfg, err := LoadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		key, err := openIdentity(dir, cfg.Node, openSoft(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if signers[cfg.Node], err = authority.NewSigner(key); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(c.dirs[0], "raft", "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	meta, certificate, before := snapshotState(t, g, b)
	after, ids, err := trial.Grown(before, keys, before.RootKey(), func(name string) []byte {
		o := g.Root
		o.Purpose, o.Name = authority.PurposeUnwrap, name
		e := authority.NewChange(authority.Change{Cluster: g.Cluster, Kind: authority.KindKey, Body: wire.Encode(o), NotAfter: g.Created + 1_000_000_000})
		if err := authority.SignChange(rand.Reader, e, c.custodian); err != nil {
			t.Fatal(err)
		}
		return e.Encode()
	}, func(holder string, r *authority.KeyRecord) (authority.Signature, error) {
		return authority.SignRecord(rand.Reader, signers[holder], r)
	})
	if err != nil {
		t.Fatal(err)
	}
	var point signedPoint
	if err := wire.Decode(certificate, &point); err != nil {
		t.Fatal(err)
	}
	point.Link, point.Signatures = after.Position().Link, nil
	for id, s := range signers {
		sig, err := authority.SignLink(rand.Reader, s, g.Cluster, id, point.Index, point.Link)
		if err != nil {
			t.Fatal(err)
		}
		point.Signatures = append(point.Signatures, consensus.Signature{Node: id, Bytes: sig})
	}
	var whole bytes.Buffer
	whole.Write(meta)
	cert := wire.Encode(point)
	whole.Write(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(cert))))
	whole.Write(cert)
	if err := after.Encode(&whole); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(whole.Bytes())
	whole.Write(sum[:])

	first := filepath.Join(c.dirs[0], "raft")
	for _, name := range []string{"floor", "denies"} { // of another chain; both are made anew
		if err := os.Remove(filepath.Join(first, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(first, "snapshot"), whole.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, dir := range c.dirs {
		if i > 0 {
			raft := filepath.Join(dir, "raft")
			if err := os.RemoveAll(raft); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(raft, os.DirFS(first)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(raft, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := LoadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Open(keyring.Config{Dir: filepath.Join(dir, sealDir), Cluster: g.Cluster, Node: cfg.Node, Device: openSoft(t, dir), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		var shares []keyring.Share
		ring.UseRoot(func(r keyring.Root) {
			for _, id := range ids {
				shares = append(shares, keyring.Share{
					Key: id, Version: 1, Epoch: 1, Session: r.Session, Index: r.Index,
					Scalar: r.Share.Add(group.SmallScalar(0)), Endorsement: secret.New(make([]byte, keyring.SaltSize)),
				})
			}
		})
		if err := ring.PutAll(shares); err != nil {
			t.Fatal(err)
		}
		ring.Wipe()
	}
	many.ids, many.root, many.snapshot = ids, before.RootKey(), whole.Len()
	return many
}

// dial opens a connection to a node.
func (c *manyKeysCluster) dial(node string, who tls.Certificate) *transport.Conn {
	c.t.Helper()
	m := c.genesis.NodeByID(node)
	pub, err := authority.ParsePublicKey(m.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	spki, err := transport.SPKIOf(pub)
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := transport.Dial(c.t.Context(), transport.DialConfig{Certificate: who, ServerKey: spki, ALPN: api.ClientProtocol, Addr: m.Claim.Client})
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

const manyPermit = `@id("apps") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource);`

// furnish has an authority for applications and a policy taken, and read by n1.
func (c *manyKeysCluster) furnish() {
	c.t.Helper()
	ca, key := newPKI(c.t), newKey(c.t)
	leaf := ca.leafFor(c.t, siegeApp, time.Now().Add(time.Hour), &key.PublicKey)
	c.app = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	for kind, body := range map[string][]byte{
		authority.KindCA:     wire.Encode(authority.CA{Name: "apps", Certificate: ca.cert.Raw}),
		authority.KindPolicy: policy.Document{Text: manyPermit, Entities: siegeEntities}.Encode(),
	} {
		e := authority.NewChange(authority.Change{Cluster: c.genesis.Cluster, Kind: kind, Body: body, NotAfter: time.Now().Add(time.Hour).UnixMilli()})
		if err := authority.SignChange(rand.Reader, e, c.custodian); err != nil {
			c.t.Fatal(err)
		}
		c.submit(e)
	}
}

// submit has an entry taken, and waits until n1 has read it.
func (c *manyKeysCluster) submit(e *authority.Entry) {
	c.t.Helper()
	cert, err := transport.SelfSigned(c.key, "custodian", time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	conn := c.dial("n1", cert)
	defer conn.Close()
	taken := uint64(0)
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		if taken == 0 {
			if b, err := conn.Call(c.t.Context(), api.MethodSubmit, wire.Encode(api.SubmitRequest{Entry: e.Encode()})); err == nil {
				var a api.SubmitAnswer
				if err := wire.Decode(b, &a); err != nil {
					c.t.Fatal(err)
				}
				taken = a.Index
			}
			continue
		}
		if b, err := conn.Call(c.t.Context(), api.MethodStatus, nil); err == nil {
			var a api.StatusAnswer
			if err := wire.Decode(b, &a); err == nil && a.Index >= taken {
				return
			}
		}
	}
	c.t.Fatal("a change is not taken")
}

// asker has envelopes of the keys of a cluster, and asks two of its nodes for partials.
type asker struct {
	t         *testing.T
	nodes     [2]*transport.Conn
	envelopes [][]byte
	took      []time.Duration
}

// asker wraps one data key under each of the cluster's keys, 256 at most.
func (c *manyKeysCluster) asker() *asker {
	c.t.Helper()
	a := &asker{t: c.t}
	y, err := group.DecodePoint(c.root.Record.Y)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range 256 {
		pk, err := tdh2.NewPublicKey(c.genesis.Cluster, c.ids[i*len(c.ids)/256], 1, 2, 3, y)
		if err != nil {
			c.t.Fatal(err)
		}
		e, err := tdh2.Wrap(rand.Reader, pk, api.Context{"file": "a"}.Canonical(), secret.New([]byte("sixteen byte key")))
		if err != nil {
			c.t.Fatal(err)
		}
		a.envelopes = append(a.envelopes, e)
	}
	for i, node := range []string{"n1", "n2"} {
		a.nodes[i] = c.dial(node, c.app)
	}
	return a
}

func (a *asker) close() {
	for _, conn := range a.nodes {
		_ = conn.Close()
	}
}

// ask asks both nodes about an envelope, and is done when both have answered.
func (a *asker) ask(i int) error {
	q := api.UnwrapRequest{Reason: "a measurement", Items: []api.UnwrapItem{{Envelope: a.envelopes[i%len(a.envelopes)], Context: api.Context{"file": "a"}}}}
	rand.Read(q.RequestID[:])
	body := wire.Encode(q)
	errs := make(chan error, len(a.nodes))
	for _, conn := range a.nodes {
		go func() {
			b, err := conn.Call(a.t.Context(), api.MethodUnwrap, body)
			var answer api.UnwrapAnswer
			if err == nil {
				err = wire.Decode(b, &answer)
			}
			if err == nil && (len(answer.Items) != 1 || answer.Items[0].Refusal != nil) {
				err = fmt.Errorf("the answer is %+v", answer)
			}
			errs <- err
		}()
	}
	return errors.Join(<-errs, <-errs)
}

// begin asks about every envelope once: what is worked out once for each key is not what
// is measured.
func (a *asker) begin() {
	a.t.Helper()
	began := time.Now()
	for i := range a.envelopes {
		for err := a.ask(i); err != nil; err = a.ask(i) { // until both are fresh
			if time.Since(began) > patience {
				a.t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// measure asks n times, and keeps how long each took.
func (a *asker) measure(n int) {
	a.t.Helper()
	for i := range n {
		began := time.Now()
		if err := a.ask(i); err != nil {
			a.t.Fatal(err)
		}
		a.took = append(a.took, time.Since(began))
	}
}

func (a *asker) median() time.Duration {
	return slices.Sorted(slices.Values(a.took))[len(a.took)/2]
}

// Three nodes that stopped with no key but the root key start with many, and two of them are
// asked for partials over the network, through gate and audit. How long it takes until a
// node is unsealed is said; with 10,000 keys it is to be less than 15 seconds. With -rounds
// they are asked in turn with nodes that have ten keys; with 10,000 the median is to be
// within 10 % of theirs.
func TestANodeStartsWithManyKeys(t *testing.T) {
	many := newManyKeysCluster(t, *startKeys)
	began := time.Now()
	many.run(func() {
		many.logged(6, "state=unsealed")
		t.Logf("three nodes with %d keys each, in one process, are unsealed after %v; a snapshot has %d bytes", *startKeys, time.Since(began), many.snapshot)
		asked := many.asker()
		defer asked.close()
		asked.begin()
		if *startRounds == 0 {
			return
		}
		few := newManyKeysCluster(t, 10)
		few.run(func() {
			few.logged(6, "state=unsealed")
			other := few.asker()
			defer other.close()
			other.begin()
			for range *startRounds {
				other.measure(100)
				asked.measure(100)
			}
			with10, with := other.median(), asked.median()
			t.Logf("one unwrap by two nodes, median of %d, in turn: %v with 10 keys, %v with %d: %+.1f %%", len(asked.took), with10, with, *startKeys, 100*(float64(with)/float64(with10)-1))
		})
	})
}
