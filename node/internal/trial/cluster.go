package trial

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// PhaseSeconds is that of every order here.
const PhaseSeconds = 60

// Created is ledger time at the start.
const Created = 1_700_000_000_000

// Cluster is a cluster with a log that commits at once. It is safe for
// concurrent use, but for what fails the test.
type Cluster struct {
	TB            testing.TB
	Genesis       *authority.VerifiedGenesis
	Custodians    []*authority.Signer // three, of whom two must sign
	CustodianKeys []*ecdsa.PrivateKey
	Keys          map[string]*ecdsa.PrivateKey // of the nodes n1, n2, ...

	mu    sync.Mutex
	state *ledger.State
	log   [][]byte
	nonce uint64
}

// New makes a cluster of h nodes with the threshold t, f = 1.
func New(tb testing.TB, t, h int) *Cluster {
	tb.Helper()
	return NewOf(tb, t, h, func(*authority.Genesis) {})
}

// NewOf is [New] with a genesis document that alter has changed.
func NewOf(tb testing.TB, t, h int, alter func(*authority.Genesis)) *Cluster {
	tb.Helper()
	c := &Cluster{TB: tb, Keys: map[string]*ecdsa.PrivateKey{}}
	g := authority.Genesis{Format: authority.GenesisFormat, Created: Created, Unseal: authority.UnsealHSM}
	rand.Read(g.Cluster[:])
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 2})
	}
	for i := range 3 {
		key := c.NewKey()
		s := c.signer(key)
		c.Custodians, c.CustodianKeys = append(c.Custodians, s), append(c.CustodianKeys, key)
		g.Custodians = append(g.Custodians, authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: uint32(t), F: 1, PhaseSeconds: PhaseSeconds}
	for i := range h {
		id := fmt.Sprintf("n%d", i+1)
		c.Keys[id] = c.NewKey()
		claim, err := authority.SignClaim(rand.Reader, c.Node(id), authority.AddressClaim{Node: id, Counter: 1, Client: "127.0.0.1:1", Peer: "127.0.0.1:2"})
		c.must(err)
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "jp-east", Key: c.Node(id).PublicKey(), Claim: claim})
		g.Root.Holders = append(g.Root.Holders, id)
	}
	alter(&g)
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, s := range c.Custodians[:2] {
		c.must(doc.Sign(rand.Reader, s))
	}
	verified, err := doc.Verify()
	c.must(err)
	c.Genesis = verified
	c.state = ledger.New(verified)
	return c
}

func (c *Cluster) must(err error) {
	c.TB.Helper()
	if err != nil {
		c.TB.Fatal(err)
	}
}

// NewKey makes a P-256 key.
func (c *Cluster) NewKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	return k
}

func (c *Cluster) signer(k *ecdsa.PrivateKey) *authority.Signer {
	s, err := authority.NewSigner(k)
	c.must(err)
	return s
}

// Node is a node's signer.
func (c *Cluster) Node(id string) *authority.Signer { return c.signer(c.Keys[id]) }

// State is the ledger after every entry.
func (c *Cluster) State() *ledger.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Log lists every entry.
func (c *Cluster) Log() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.log...)
}

// Apply appends an entry.
func (c *Cluster) Apply(entry []byte) ledger.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, entry)
	var r ledger.Result
	c.state, r = c.state.Apply(uint64(len(c.log)), entry)
	return r
}

// Say appends what a node states.
func (c *Cluster) Say(node, kind string, body any) error {
	e, err := authority.SignStatement(rand.Reader, c.Node(node), c.Genesis.Cluster, node, kind, body)
	if err != nil {
		return err
	}
	return c.Apply(e.Encode()).Err
}

// Change is an entry that two custodians have signed, against base.
func (c *Cluster) Change(kind string, body []byte, base api.Digest) []byte {
	c.mu.Lock()
	c.nonce++
	nonce := c.nonce
	c.mu.Unlock()
	e := authority.NewChange(authority.Change{
		Cluster: c.Genesis.Cluster, Kind: kind, Body: body, Base: base,
		Nonce: [16]byte{byte(nonce), byte(nonce >> 8)}, NotAfter: c.State().Time() + 1_000_000,
	})
	for _, s := range c.Custodians[:2] {
		c.must(authority.SignChange(rand.Reader, e, s))
	}
	return e.Encode()
}

// Revoke is the change that revokes a subject.
func (c *Cluster) Revoke(sub authority.Subject) []byte {
	return c.Change(authority.KindRevoke, wire.Encode(authority.Revoke{Subject: sub}), api.Digest{})
}

// Seal is the change that seals a node or the cluster.
func (c *Cluster) Seal(sub authority.Subject) []byte {
	return c.Change(authority.KindSeal, wire.Encode(authority.Seal{Subject: sub}), api.Digest{})
}

// Lift is the change that lifts what another denies.
func (c *Cluster) Lift(id api.Digest) []byte {
	return c.Change(authority.KindLift, wire.Encode(authority.Lift{Lifts: id}), api.Digest{})
}

// Order is the change that orders a key held by every node, with the cluster's t.
func (c *Cluster) Order(name string) []byte {
	o := c.Genesis.Root
	o.Purpose, o.Name = authority.PurposeUnwrap, name
	return c.Change(authority.KindKey, wire.Encode(o), api.Digest{})
}

// OrderSymmetric is [Cluster.Order] of a symmetric key.
func (c *Cluster) OrderSymmetric(name string) []byte {
	o := c.Genesis.Root
	o.Purpose, o.Name = authority.PurposeEncrypt, name
	return c.Change(authority.KindKey, wire.Encode(o), api.Digest{})
}

// Renewal is the change that orders a refresh or a reshare.
func (c *Cluster) Renewal(kind string, r authority.Renewal) []byte {
	r.PhaseSeconds = PhaseSeconds
	return c.Change(kind, wire.Encode(r), api.Digest{})
}

// Pass lets ledger time go on by these milliseconds: every node anchors.
func (c *Cluster) Pass(milliseconds int64) {
	c.TB.Helper()
	now := c.State().Time() + milliseconds
	for _, m := range c.Genesis.Roster {
		counter := uint64(1)
		if a := c.State().Anchor(m.ID); a != nil {
			counter = a.Anchor.Counter + 1
		}
		c.must(c.Say(m.ID, authority.KindAnchor, authority.Anchor{Counter: counter, Time: now}))
	}
}

// Born is a key with the share of every holder.
type Born struct {
	Key    *ledger.Key
	Shares []*group.Scalar // by index-1
	Sets   []*tprf.Share   // of a symmetric key, by index-1
}

// Bear runs the ceremony of an order with honest holders to its end.
func (c *Cluster) Bear(o *ledger.Ordered) *Born {
	c.TB.Helper()
	first := o.Order.Holders[0]
	c.must(c.Say(first, authority.KindOpen, authority.Open{Order: o.Hash, Attempt: o.Attempt + 1}))
	id := c.State().OrderByHash(o.Hash).Live
	shares, sets := c.run(id, o.Order.Holders, nil)
	born, _ := o.Order.Bears(id)
	return &Born{Key: c.State().Key(born), Shares: firsts(shares), Sets: sets}
}

// Fill runs the ceremony of a pool with honest holders to its end, and returns the run
// with each holder's shares of its keys.
func (c *Cluster) Fill(pool string) (session api.Digest, shares [][]*group.Scalar) {
	c.TB.Helper()
	p := c.State().Pool(pool)
	c.must(c.Say(p.Body.Holders[0], authority.KindOpen, authority.Open{Order: p.Order, Attempt: p.Attempt + 1}))
	session = c.State().Pool(pool).Live
	shares, _ = c.run(session, p.Body.Holders, nil)
	return session, shares
}

// firsts are the shares of a run's first key, by holder.
func firsts(shares [][]*group.Scalar) (out []*group.Scalar) {
	for _, list := range shares {
		var first *group.Scalar // none of a symmetric key
		if len(list) > 0 {
			first = list[0]
		}
		out = append(out, first)
	}
	return out
}

// run takes a session to its end with honest participants, who may have an old share of
// the one key that it is about. It returns the shares of each.
func (c *Cluster) run(id api.Digest, nodes []string, old []*group.Scalar) ([][]*group.Scalar, []*tprf.Share) {
	c.TB.Helper()
	participants := make([]*dkg.Participant, len(nodes))
	shares, sets := make([][]*group.Scalar, len(nodes)), make([]*tprf.Share, len(nodes))
	for i := range participants {
		var before []*group.Scalar
		if old != nil {
			before = []*group.Scalar{old[i].Add(group.SmallScalar(0))}
		}
		var err error
		participants[i], err = dkg.NewParticipant(c.State().Session(id).Board.Session(), sharing.Index(i+1), before, rand.Reader)
		c.must(err)
	}
	for !c.State().Session(id).Board.ReadyToActivate() {
		view := c.State().Session(id).Board.View()
		for i, p := range participants {
			ready, err := p.Step(view, rand.Reader)
			c.must(err)
			if ready.Shares != nil {
				shares[i] = ready.Shares
			}
			sets[i] = ready.Sets
			c.must(c.Say(nodes[i], authority.KindPost, authority.Post{Session: id, Kind: uint32(ready.Post.Kind), Body: ready.Post.Body}))
		}
	}
	c.must(c.Say(nodes[0], authority.KindActivate, authority.Activate{Session: id}))
	return shares, sets
}

// Refresh gives every holder of a key a new share of it; the epoch before overlaps.
func (c *Cluster) Refresh(b *Born) *Born {
	c.TB.Helper()
	c.must(c.Apply(c.Renewal(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{b.Key.ID}})).Err)
	r := c.State().Renewals()[0]
	c.must(c.Say(b.Key.Holders[0], authority.KindOpen, authority.Open{Order: r.Order, Attempt: 1}))
	shares, _ := c.run(c.State().Renewal(r.Order).Live, b.Key.Holders, b.Shares)
	return &Born{Key: c.State().Key(b.Key.ID), Shares: firsts(shares)}
}

// BearRoot bears the root key.
func (c *Cluster) BearRoot() *Born { return c.Bear(c.State().Orders()[0]) }

// BearKey orders and bears a named key; the root key is born.
func (c *Cluster) BearKey(name string) *Born {
	c.TB.Helper()
	c.must(c.Apply(c.Order(name)).Err)
	return c.Bear(c.State().OrderNamed(name))
}

// ChangeOf has custodians sign a change of this body, applies it, and returns its id.
func (c *Cluster) ChangeOf(kind string, body any) api.Digest {
	c.TB.Helper()
	r := c.Apply(c.Change(kind, wire.Encode(body), api.Digest{}))
	c.must(r.Err)
	return r.ID
}

// SetsOf is a share of no symmetric key that was born, of the holder with this index.
func (c *Cluster) SetsOf(i sharing.Index) *tprf.Share {
	c.TB.Helper()
	p := sharing.Params{T: int(c.Genesis.Root.T), H: len(c.Genesis.Root.Holders)}
	b := make([]byte, len(tprf.Held(p, i))*tprf.SetKeySize)
	_, err := rand.Read(b)
	c.must(err)
	s, err := tprf.NewShare(p, i, secret.New(b))
	c.must(err)
	return s
}

// BearSymmetric is [Cluster.BearKey] of a symmetric key.
func (c *Cluster) BearSymmetric(name string) *Born {
	c.TB.Helper()
	c.must(c.Apply(c.OrderSymmetric(name)).Err)
	return c.Bear(c.State().OrderNamed(name))
}
