// Package dealt makes what the tests of client need: a signed genesis document,
// and keys whose shares one dealer has dealt. A dealt key was whole in one place,
// which is what warifu exists to avoid; only tests import this package.
package dealt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"

	"filippo.io/age"

	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// Cluster is a genesis with every private key behind it.
type Cluster struct {
	tb         testing.TB
	Genesis    *authority.VerifiedGenesis
	Keys       map[string]*ecdsa.PrivateKey // of the nodes
	Custodians []*authority.Signer          // three; two must sign
	Opens      []age.Identity               // of the custodians
}

// New makes a cluster of one node for each address, "n1", "n2", ..., with t as
// the cluster's threshold.
func New(tb testing.TB, t int, addresses ...string) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, Keys: map[string]*ecdsa.PrivateKey{}}
	g := authority.Genesis{Format: authority.GenesisFormat, Created: 1, Unseal: authority.UnsealHSM}
	rand.Read(g.Cluster[:])
	for i := range 3 {
		s := c.signer(NewKey(tb))
		open, err := age.GenerateX25519Identity()
		must(tb, err)
		c.Custodians, c.Opens = append(c.Custodians, s), append(c.Opens, open)
		g.Custodians = append(g.Custodians, authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: s.PublicKey(), Open: open.Recipient().String()})
	}
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 2})
	}
	for i, addr := range addresses {
		id := fmt.Sprintf("n%d", i+1)
		c.Keys[id] = NewKey(tb)
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "somewhere", Key: c.Node(id).PublicKey(), Claim: c.Claim(id, 1, addr)})
		g.Root.Holders = append(g.Root.Holders, id)
	}
	h := len(addresses)
	g.Root.Cluster, g.Root.Purpose, g.Root.PhaseSeconds = g.Cluster, authority.PurposeRoot, 60
	g.Root.T, g.Root.F = uint32(t), f(t, h)
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, s := range c.Custodians {
		must(tb, doc.Sign(rand.Reader, s))
	}
	verified, err := doc.Verify()
	must(tb, err)
	c.Genesis = verified
	return c
}

func f(t, h int) uint32 {
	if h == t {
		return 0
	}
	return 1
}

// NewKey makes a P-256 key.
func NewKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return k
}

func (c *Cluster) signer(k *ecdsa.PrivateKey) *authority.Signer {
	s, err := authority.NewSigner(k)
	must(c.tb, err)
	return s
}

// Node returns a node's signer.
func (c *Cluster) Node(id string) *authority.Signer { return c.signer(c.Keys[id]) }

// Claim is a node's signed address.
func (c *Cluster) Claim(id string, counter uint64, addr string) authority.AddressClaim {
	claim, err := authority.SignClaim(rand.Reader, c.Node(id), authority.AddressClaim{Node: id, Counter: counter, Client: addr, Peer: "127.0.0.1:1"})
	must(c.tb, err)
	return claim
}

// Order is an order for a key of this cluster, unsigned.
func (c *Cluster) Order(name string, t int, holders ...string) authority.Order {
	return authority.Order{
		Cluster: c.Genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: name,
		T: uint32(t), F: f(t, len(holders)), Holders: holders, PhaseSeconds: 60,
	}
}

// SignOrder makes the entry of an order with the signatures of these custodians.
func (c *Cluster) SignOrder(o authority.Order, custodians ...*authority.Signer) []byte {
	e := authority.NewChange(authority.Change{Cluster: o.Cluster, Kind: authority.KindKey, Body: wire.Encode(o), NotAfter: 1 << 50})
	for _, s := range custodians {
		must(c.tb, authority.SignChange(rand.Reader, e, s))
	}
	return e.Encode()
}

// Key is a key with all of its shares.
type Key struct {
	Record authority.KeyRecord
	Order  authority.Order
	Public *tdh2.PublicKey
	Shares map[string]*group.Scalar // by node
	Sets   map[string]*tprf.Share   // by node, of a symmetric key
	Places map[string]sharing.Index // by node
}

// Deal makes a key for an order that two custodians have signed.
func (c *Cluster) Deal(name string, t int, holders ...string) *Key {
	o := c.Order(name, t, holders...)
	return c.DealOrder(o, c.SignOrder(o, c.Custodians[:2]...))
}

// DealOrder makes a key for a given order, and the entry that the record embeds.
func (c *Cluster) DealOrder(o authority.Order, entry []byte) *Key {
	poly, err := sharing.NewPolynomial(rand.Reader, int(o.T))
	must(c.tb, err)
	y := poly.Commit().Constant()
	e, err := authority.ParseEntry(entry)
	must(c.tb, err)
	r := authority.KeyRecord{
		Cluster: c.Genesis.Cluster, Version: 1, Epoch: 1, Order: entry, Attempt: 1,
		LinkBefore: c.Genesis.Hash(), RosterVersion: 1, RecordVersion: 1, Y: y.Bytes(),
	}
	r.Key = authority.KeyIDOf(authority.SessionID(r.Cluster, 1, e.ID(), 1, r.LinkBefore))
	k := &Key{Order: o, Shares: map[string]*group.Scalar{}, Places: map[string]sharing.Index{}}
	for i, h := range o.Holders {
		x := poly.Eval(sharing.Index(i + 1))
		k.Shares[h], k.Places[h] = x, sharing.Index(i+1)
		r.YI = append(r.YI, group.BaseMul(x).Bytes())
	}
	k.Public, err = tdh2.NewPublicKey(r.Cluster, r.Key, 1, int(o.T), len(o.Holders), y)
	must(c.tb, err)
	r.W = k.Public.W.Bytes()
	k.Record = r
	return k
}

// DealSymmetric makes a symmetric key for an order that two custodians have signed.
func (c *Cluster) DealSymmetric(name string, t int, holders ...string) *Key {
	o := c.Order(name, t, holders...)
	o.Purpose = authority.PurposeEncrypt
	entry := c.SignOrder(o, c.Custodians[:2]...)
	e, err := authority.ParseEntry(entry)
	must(c.tb, err)
	r := authority.KeyRecord{
		Cluster: c.Genesis.Cluster, Version: 1, Epoch: 1, Order: entry, Attempt: 1,
		LinkBefore: c.Genesis.Hash(), RosterVersion: 1, RecordVersion: 1,
	}
	session := authority.SessionID(r.Cluster, 1, e.ID(), 1, r.LinkBefore)
	r.Key = authority.KeyIDOf(session)
	p := sharing.Params{T: t, H: len(holders)}
	keys := map[tprf.Set][]byte{}
	for _, s := range tprf.Sets(p) {
		keys[s] = make([]byte, tprf.SetKeySize)
		rand.Read(keys[s])
		hash := tprf.SetKeyHash(session, s, secret.Clone(keys[s]))
		r.Sets = append(r.Sets, hash[:])
	}
	k := &Key{Order: o, Record: r, Sets: map[string]*tprf.Share{}, Places: map[string]sharing.Index{}}
	for i, h := range holders {
		k.Places[h] = sharing.Index(i + 1)
		var b []byte
		for _, s := range tprf.Held(p, k.Places[h]) {
			b = append(b, keys[s]...)
		}
		k.Sets[h], err = tprf.NewShare(p, k.Places[h], secret.New(b))
		must(c.tb, err)
	}
	return k
}

// Sign encodes the record with the signatures of these nodes.
func (c *Cluster) Sign(r authority.KeyRecord, nodes ...string) []byte {
	s := &authority.SignedRecord{Record: r}
	for _, n := range nodes {
		sig, err := authority.SignRecord(rand.Reader, c.Node(n), &r)
		must(c.tb, err)
		s.Signatures = append(s.Signatures, sig)
	}
	return s.Encode()
}

// SignVersion encodes the record of a key's next version: its W is that version's.
func (c *Cluster) SignVersion(k *Key, nodes ...string) []byte {
	y, err := group.DecodePoint(k.Record.Y)
	must(c.tb, err)
	k.Public, err = tdh2.NewPublicKey(k.Record.Cluster, k.Record.Key, k.Record.Version, int(k.Order.T), len(k.Order.Holders), y)
	must(c.tb, err)
	k.Record.W = k.Public.W.Bytes()
	return c.Sign(k.Record, nodes...)
}

// Life is where a key stands, as two custodians have signed it; said may be nil.
func (c *Cluster) Life(key [32]byte, to authority.KeyState, said *authority.KeyLabels) []byte {
	sign := func(kind string, body any) []byte {
		e := authority.NewChange(authority.Change{Cluster: c.Genesis.Cluster, Kind: kind, Body: wire.Encode(body), NotAfter: 1 << 50})
		for _, s := range c.Custodians[:2] {
			must(c.tb, authority.SignChange(rand.Reader, e, s))
		}
		return e.Encode()
	}
	var l authority.SignedLife
	if to != "" {
		l.State = sign(authority.KindKeyState, authority.KeyStateChange{Key: key, To: to})
	}
	if said != nil {
		l.Said = sign(authority.KindKeyLabels, said)
	}
	return l.Encode()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
