package node

import (
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// backedUp is a node of a cluster with a share of a key, what a backup of it has, and the
// key's record as its holders sign it.
type backedUp struct {
	*cluster
	t      *testing.T
	store  keyring.Config
	files  map[string][]byte
	order  []byte
	record authority.KeyRecord
}

// deal is a polynomial of degree 1, and a record of the key that it makes.
func (b *backedUp) deal() *sharing.Polynomial {
	b.t.Helper()
	poly, err := sharing.NewPolynomial(rand.Reader, 2)
	must(b.t, err)
	e, err := authority.ParseEntry(b.order)
	must(b.t, err)
	y := poly.Commit().Constant()
	b.record = authority.KeyRecord{
		Cluster: b.store.Cluster, Version: 1, Epoch: 1, Order: b.order, Attempt: 1, RosterVersion: 1, RecordVersion: 1, Y: y.Bytes(),
	}
	b.record.Key = authority.KeyIDOf(authority.SessionID(b.store.Cluster, 1, e.ID(), 1, api.Digest{}))
	pk, err := tdh2.NewPublicKey(b.store.Cluster, b.record.Key, 1, 2, 3, y)
	must(b.t, err)
	b.record.W = pk.W.Bytes()
	for i := range 3 {
		b.record.YI = append(b.record.YI, group.BaseMul(poly.Eval(sharing.Index(i+1))).Bytes())
	}
	return poly
}

// signed is the record with the signatures of two holders.
func (b *backedUp) signed() [][]byte {
	b.t.Helper()
	s := &authority.SignedRecord{Record: b.record}
	for i, dir := range b.dirs[:2] {
		key, err := openIdentity(dir, []string{"n1", "n2"}[i], openSoft(b.t, dir))
		must(b.t, err)
		signer, err := authority.NewSigner(key)
		must(b.t, err)
		sig, err := authority.SignRecord(rand.Reader, signer, &b.record)
		must(b.t, err)
		s.Signatures = append(s.Signatures, sig)
	}
	return [][]byte{s.Encode()}
}

func newBackedUp(t *testing.T, unseal secret.Bytes) *backedUp {
	t.Helper()
	b := &backedUp{cluster: newCluster(t), t: t, files: map[string][]byte{}}
	dir := b.dirs[0]
	g, err := loadGenesis(dir)
	must(t, err)
	b.store = keyring.Config{Dir: filepath.Join(dir, sealDir), Cluster: g.Cluster, Node: "n1", Device: openSoft(t, dir), Rand: rand.Reader, Unseal: unseal}
	e := authority.NewChange(authority.Change{Cluster: g.Cluster, Kind: authority.KindKey, NotAfter: 1 << 50, Body: wire.Encode(authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeUnwrap, Name: "photos", T: 2, F: 1, Holders: []string{"n1", "n2", "n3"}, PhaseSeconds: 60,
	})})
	must(t, authority.SignChange(rand.Reader, e, b.custodian))
	b.order = e.Encode()
	poly := b.deal()
	ring, err := keyring.Create(b.store, keyring.Root{Session: api.Digest{1}, Epoch: 1, Index: 1, Share: group.SmallScalar(7)})
	must(t, err)
	must(t, ring.Put(keyring.Share{Key: b.record.Key, Version: 1, Epoch: 1, Index: 1, Scalar: poly.Eval(1)}))
	for _, name := range []string{configName, genesisName, lineName, identityName} {
		b.files[name], err = os.ReadFile(filepath.Join(dir, name))
		must(t, err)
	}
	sealed, err := os.ReadDir(b.store.Dir)
	must(t, err)
	for _, f := range sealed {
		b.files[sealDir+"/"+f.Name()], err = os.ReadFile(filepath.Join(b.store.Dir, f.Name()))
		must(t, err)
	}
	return b
}

// try tries the backup with the token of one of the nodes, and sees to it that nothing is
// left of what opened, and that the token has what it had.
func (b *backedUp) try(of int, records [][]byte) (*Tried, error) {
	b.t.Helper()
	scratch := b.t.TempDir()
	dev := openSoft(b.t, b.dirs[of])
	before, err := dev.Labels()
	must(b.t, err)
	tried, err := Try(b.files, scratch, records, func(HSMConfig) (hsm.Device, error) { return openSoft(b.t, b.dirs[of]), nil })
	if left, _ := os.ReadDir(scratch); len(left) > 0 {
		b.t.Errorf("%d files of the sealed store are left", len(left))
	}
	after, lerr := dev.Labels()
	must(b.t, lerr)
	if !slices.Equal(before, after) {
		b.t.Errorf("the token had the keys %v, and has %v", before, after)
	}
	return tried, err
}

// A backup is tried beside a node that lives: nothing of the node's is destroyed, also
// not what it is just making.
func TestATokenOpensTheBackupOfItsNode(t *testing.T) {
	b := newBackedUp(t, secret.Bytes{})
	must(t, b.store.Device.CreateKey("root.2"))
	tried, err := b.try(0, b.signed())
	must(t, err)
	if tried.Node != "n1" || tried.Generation != 1 || tried.Locked || len(tried.Shares) != 1 {
		t.Fatalf("%+v", tried)
	}
	if s := tried.Shares[0]; s.Key != b.record.Key || s.Epoch != 1 || s.Record != 1 || !s.Fits || s.Name != "photos" {
		t.Errorf("%+v", s)
	}
	tried, err = b.try(0, nil)
	must(t, err)
	if s := tried.Shares[0]; s.Fits || s.Record != 0 {
		t.Errorf("without a record: %+v", s)
	}
}

// What erases a share makes every backup from before worthless (R10), and the trial says so.
func TestABackupFromBeforeAnErasureIsDead(t *testing.T) {
	b := newBackedUp(t, secret.Bytes{})
	ring, err := keyring.Open(b.store)
	must(t, err)
	_, err = ring.Erase(t.Context(), nil, func(keyring.Held) bool { return false })
	must(t, err)
	if _, err := b.try(0, b.signed()); !errors.Is(err, ErrDead) {
		t.Errorf("a backup of a generation that was destroyed: %v", err)
	}
	again, err := keyring.Open(b.store)
	must(t, err)
	if again.Generation() != 2 || again.Count() != 1 {
		t.Errorf("what lives has generation %d with %d shares", again.Generation(), again.Count())
	}
}

// With t tokens alone nobody gets past custodians, and the trial does not try.
func TestABackupUnderCustodiansIsNotOpened(t *testing.T) {
	b := newBackedUp(t, secret.New([]byte("32 bytes that custodians keep---")))
	tried, err := b.try(0, b.signed())
	must(t, err)
	if !tried.Locked || len(tried.Shares) > 0 {
		t.Errorf("%+v", tried)
	}
}

func TestWhatABackupIsRefusedFor(t *testing.T) {
	for _, c := range []struct {
		is    string
		token int
		spoil func(*backedUp) [][]byte
		want  error
	}{
		{"the token of another node", 1, func(b *backedUp) [][]byte { return nil }, ErrWrongToken},
		{"an identity that was altered", 0, func(b *backedUp) [][]byte {
			b.files[identityName] = slices.Concat(b.files[identityName][:20], []byte{0}, b.files[identityName][20:])
			return nil
		}, ErrIdentity},
		{"a sealed store that was altered", 0, func(b *backedUp) [][]byte {
			name := sealDir + "/keyring-1.sealed"
			b.files[name] = slices.Clone(b.files[name])
			b.files[name][20]++
			return nil
		}, ErrKeyring},
		{"a configuration that does not parse", 0, func(b *backedUp) [][]byte {
			b.files[configName] = []byte("node = 1")
			return nil
		}, ErrConfig},
		{"no genesis document", 0, func(b *backedUp) [][]byte {
			delete(b.files, genesisName)
			return nil
		}, ErrGenesis},
		{"the record of another cluster's key", 0, func(b *backedUp) [][]byte { return newBackedUp(b.t, secret.Bytes{}).signed() }, authority.ErrRecord},
		{"a record that too few signed", 0, func(b *backedUp) [][]byte {
			s := authority.SignedRecord{Record: b.record}
			return [][]byte{s.Encode()}
		}, authority.ErrRecord},
		{"another share than the record names", 0, func(b *backedUp) [][]byte {
			b.deal()
			return b.signed()
		}, ErrMisfit},
	} {
		t.Run(c.is, func(t *testing.T) {
			b := newBackedUp(t, secret.Bytes{})
			b.files = maps.Clone(b.files)
			if _, err := b.try(c.token, c.spoil(b)); !errors.Is(err, c.want) {
				t.Errorf("tried all the same: %v", err)
			}
		})
	}
	b := newBackedUp(t, secret.Bytes{})
	b.record.Epoch, b.record.RecordVersion, b.record.BornRoster = 2, 2, 1
	tried, err := b.try(0, b.signed())
	must(t, err)
	if s := tried.Shares[0]; s.Fits || s.Record != 2 || s.Epoch != 1 {
		t.Errorf("a share of the epoch before the record's: %+v", s)
	}
}
