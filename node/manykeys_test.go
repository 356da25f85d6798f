package node

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
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
	"warifu.dev/sharing/group"
)

var startKeys = flag.Int("keys", 100, "with how many keys TestANodeStartsWithManyKeys starts its nodes")

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

// Three nodes that stopped with no key but the root key start with many: the first
// one's log and a snapshot of a ledger that was grown, with three signatures, take the
// place of every node's, and its shares stand in every keyring. How long it takes until
// a node is unsealed is said; with 10,000 keys it is to be less than 15 seconds.
func TestANodeStartsWithManyKeys(t *testing.T) {
	c := newCluster(t)
	c.run(func() {
		c.logged(3, "state=unsealed")
		c.logged(3, "the log is compacted")
	})
	g, err := loadGenesis(c.dirs[0])
	if err != nil {
		t.Fatal(err)
	}
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
	custodian, err := authority.NewSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	after, ids, err := trial.Grown(before, *startKeys, before.RootKey(), func(name string) []byte {
		o := g.Root
		o.Purpose, o.Name = authority.PurposeUnwrap, name
		e := authority.NewChange(authority.Change{Cluster: g.Cluster, Kind: authority.KindKey, Body: wire.Encode(o), NotAfter: g.Created + 1_000_000_000})
		if err := authority.SignChange(rand.Reader, e, custodian); err != nil {
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
		for _, id := range ids {
			shares = append(shares, keyring.Share{
				Key: id, Version: 1, Epoch: 1, Session: before.RootKey().Session, Index: uint32(i + 1),
				Scalar: group.SmallScalar(7), Endorsement: secret.New(make([]byte, keyring.SaltSize)),
			})
		}
		if err := ring.PutAll(shares); err != nil {
			t.Fatal(err)
		}
		ring.Wipe()
	}
	began := time.Now()
	c.run(func() {
		c.logged(6, "state=unsealed")
		t.Logf("three nodes with %d keys each, in one process, are unsealed after %v; a snapshot has %d bytes", *startKeys, time.Since(began), whole.Len())
	})
}
