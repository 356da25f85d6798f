package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/certificate"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

const created = 1_700_000_000_000

var theKey = api.KeyID{7, 7, 7}

// world is a cluster whose custodians and roster have changed, and a key in it that was
// refreshed, rotated and then destroyed: version 1 had two epochs, of which n5, who has
// left, held the first. It may be altered before a certificate is made of it.
type world struct {
	testing.TB
	genesis    *authority.VerifiedGenesis
	custodians []*authority.Signer
	nodes      map[string]*authority.Signer
	chain      *authority.Succession
	order      *authority.Entry // to destroy the key

	values map[string]any
	index  uint64
}

func newSigner(tb testing.TB) *authority.Signer {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := authority.NewSigner(k)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{TB: tb, nodes: map[string]*authority.Signer{}, values: map[string]any{}, index: 100}
	g := authority.Genesis{
		Format: authority.GenesisFormat, Created: created, Unseal: authority.UnsealHSM, Cluster: api.ClusterID{1, 2, 3},
		Required: []authority.RequiredCount{
			{Kind: authority.KindCA, Count: 1},
			{Kind: authority.KindGenesis, Count: 2},
			{Kind: authority.KindKey, Count: 2},
			{Kind: authority.KindLift, Count: 2},
			{Kind: authority.KindPolicy, Count: 2},
			{Kind: authority.KindRefresh, Count: 2},
			{Kind: authority.KindReshare, Count: 2},
			{Kind: authority.KindRevoke, Count: 2},
			{Kind: authority.KindSeal, Count: 1},
		},
	}
	for i := range 3 {
		w.custodians = append(w.custodians, newSigner(tb))
		g.Custodians = append(g.Custodians, w.custodian(i))
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 3, F: 1, PhaseSeconds: 60, Holders: []string{"n1", "n2", "n3", "n4", "n5"}}
	for _, id := range g.Root.Holders {
		g.Roster = append(g.Roster, w.node(id))
	}
	signed := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, c := range w.custodians {
		if err := signed.Sign(rand.Reader, c); err != nil {
			tb.Fatal(err)
		}
	}
	var err error
	if w.genesis, err = signed.Verify(); err != nil {
		tb.Fatal(err)
	}
	w.chain = authority.Begin(w.genesis)
	w.custodians = append(w.custodians, newSigner(tb)) // takes the place of the third
	w.succeed(authority.KindCustodians, authority.Custody{Custodians: []authority.Custodian{w.custodian(0), w.custodian(1), w.custodian(3)}, Required: g.Required})
	n6, n7 := w.node("n6"), w.node("n7")
	w.succeed(authority.KindNodeReplace, authority.Membership{Newcomer: &n6, Leaver: "n5"})
	w.succeed(authority.KindNodeAdd, authority.Membership{Newcomer: &n7})
	w.destroyed()
	return w
}

func (w *world) custodian(i int) authority.Custodian {
	return authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: w.custodians[i].PublicKey(), Open: "age1test"}
}

func (w *world) node(id string) authority.Node {
	s := newSigner(w)
	w.nodes[id] = s
	c, err := authority.SignClaim(rand.Reader, s, authority.AddressClaim{Node: id, Counter: 1, Client: "a.example:7101", Peer: "a.example:7102"})
	if err != nil {
		w.Fatal(err)
	}
	return authority.Node{ID: id, Region: "jp-east", Key: s.PublicKey(), Claim: c}
}

// signed is a change that these custodians have signed.
func (w *world) signed(kind string, base api.Digest, body any, by ...int) *authority.Entry {
	w.Helper()
	e := authority.NewChange(authority.Change{Cluster: w.genesis.Cluster, Kind: kind, Base: base, Body: wire.Encode(body), Nonce: [16]byte{byte(w.chain.Len())}, NotAfter: created + 1000})
	for _, i := range by {
		if err := authority.SignChange(rand.Reader, e, w.custodians[i]); err != nil {
			w.Fatal(err)
		}
	}
	return e
}

func (w *world) succeed(kind string, body any) {
	w.Helper()
	base := w.chain.Last
	if authority.IsMembershipKind(kind) {
		base = w.chain.Roll.Change
	}
	next, err := w.chain.Next(w.signed(kind, base, body, 0, 1).Encode())
	if err != nil {
		w.Fatal(err)
	}
	w.chain = next
}

// Paths of the ledger, as its documentation has them.
func datasetPath() string           { return "dataset/" + theKey.String() }
func lifePath() string              { return "life/" + theKey.String() }
func keyPath(version uint32) string { return fmt.Sprintf("key/%s/%010d", theKey, version) }
func erasedPath(v uint32) string    { return fmt.Sprintf("erased/%s/%010d/%020d", theKey, v, 1) }

// destroyed fills the ledger with a key that every holder of every epoch has erased.
func (w *world) destroyed() {
	birth := authority.Order{Cluster: w.genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: "payroll", T: 3, F: 1, PhaseSeconds: 60, Holders: []string{"n1", "n2", "n3", "n4", "n5"}}
	w.order = w.signed(authority.KindKeyDestroy, api.Digest{}, authority.KeyDestroy{Key: theKey, Wait: 1000}, 0, 1, 3)
	w.values[lifePath()] = &ledger.Life{Key: theKey, Put: authority.Destroyed, Destroy: &ledger.Destruction{
		By: ledger.Signed{Change: w.order.ID(), Entry: w.order.Encode(), Custody: 2}, Index: 90, Ordered: created + 5000, After: created + 6000, Begun: 95, At: created + 6500, Epochs: []uint64{2, 1},
	}}
	for v := range uint32(2) {
		hash := api.Digest{8, byte(v)}
		w.values[keyPath(v+1)] = &ledger.Key{ID: theKey, Version: v + 1, Order: hash, Purpose: authority.PurposeUnwrap, Name: "payroll", BornT: 3, BornH: 5}
		w.values["order/"+hash.String()] = &ledger.Ordered{Hash: hash, Order: birth, Key: theKey}
	}
	later := []string{"n1", "n2", "n3", "n4", "n6"}
	w.over(1, 3, birth.Holders)
	w.over(1, 3, later)
	w.over(2, 3, later)
	w.registers("spiffe://hospital.example/archive", "spiffe://hospital.example/archive", theKey)
	w.erases("n5", w.epoch(1, 1))
	for _, n := range later {
		w.erases(n, w.epoch(1, 2), w.epoch(2, 1))
	}
}

func (w *world) epoch(version uint32, number uint64) authority.LiveEpoch {
	return authority.LiveEpoch{Key: theKey, Version: version, Epoch: number}
}

// over puts one epoch more of a version among those that are over.
func (w *world) over(version uint32, t uint32, holders []string, struck ...string) {
	p, is := w.values[erasedPath(version)].(*ledger.Past)
	if !is {
		p = &ledger.Past{Key: theKey, Version: version, First: 1, Retired: created + 6500}
		w.values[erasedPath(version)] = p
	}
	last := uint64(0)
	if n := len(p.Runs); n > 0 {
		last = p.Runs[n-1].Last
	}
	p.Shapes = append(p.Shapes, ledger.Shape{T: t, Holders: holders, Struck: struck})
	p.Runs = append(p.Runs, ledger.Run{Last: last + 1, Shape: uint32(len(p.Shapes) - 1)})
}

// past is the epochs of a version.
func (w *world) past(version uint32) *ledger.Past {
	return w.values[erasedPath(version)].(*ledger.Past)
}

// erases has a node sign that it has erased its shares through some epochs.
func (w *world) erases(node string, epochs ...authority.LiveEpoch) api.Digest {
	w.Helper()
	id := w.receipt(node, node, authority.KindErased, authority.ErasureReceipt{Through: epochs, Generation: 3, Label: "warifu-3", Serial: "00aa" + node, Time: created + 7000})
	for _, e := range epochs {
		p := w.past(e.Version)
		p.By = slices.DeleteFunc(p.By, func(b ledger.ErasedBy) bool { return b.Node == node })
		p.By = append(p.By, ledger.ErasedBy{Node: node, Receipt: id, Through: e.Epoch})
	}
	return id
}

// receipt puts what signer signs in the name of node where a receipt stands.
func (w *world) receipt(signer, node, kind string, body any) api.Digest {
	w.Helper()
	e, err := authority.SignStatement(rand.Reader, w.nodes[signer], w.genesis.Cluster, node, kind, body)
	if err != nil {
		w.Fatal(err)
	}
	w.index++
	w.values["receipt/"+e.ID().String()] = &ledger.Receipt{Entry: e.Encode(), Index: w.index}
	return e.ID()
}

// registers puts what an owner states, with a certificate that names somebody, where the
// data sets of the key stand.
func (w *world) registers(owner, named string, key api.KeyID) {
	w.Helper()
	held, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	u, err := url.Parse(named)
	if err != nil {
		w.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{u}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, held.Public(), held)
	if err != nil {
		w.Fatal(err)
	}
	s, err := authority.NewSigner(held)
	if err != nil {
		w.Fatal(err)
	}
	e, err := authority.SignDataset(rand.Reader, s, authority.Dataset{
		Cluster: w.genesis.Cluster, Key: key, Name: "xrays", Owner: owner, Note: "<b>ward 3</b>", Manifest: api.Digest{5}, Size: 77, Time: created + 1, Certificate: der,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.values[datasetPath()] = &ledger.Datasets{List: []ledger.Registered{{Entry: e.Encode(), Node: "n2", Index: 50, Time: created + 2}}}
	w.values[lifePath()].(*ledger.Life).Datasets = 1
}

func escrowPath() string {
	order := api.Digest{6}
	return "escrow/" + theKey.String() + "/" + order.String()
}

// escrows puts an order of escrow of the first epoch of version 1 where it stands, by which
// these holders have sealed their shares.
func (w *world) escrows(sealed ...string) {
	e := &ledger.Escrow{
		By: ledger.Signed{Change: api.Digest{6}, Custody: 3}, Key: theKey, Version: 1, Epoch: 1, T: 3, Open: 2, Holders: []string{"n1", "n2", "n3", "n4", "n5"}, Index: 60, Time: created + 3,
	}
	for i, n := range sealed {
		e.Sealed = append(e.Sealed, ledger.SealedBy{Node: n, Index: uint32(i + 1), Time: created + 4})
	}
	w.values[escrowPath()] = e
	w.values[lifePath()].(*ledger.Life).Escrows = 1
}

type item struct {
	Path  string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

type head struct {
	Index    uint64     `cbor:"1,keyasint"`
	Previous api.Digest `cbor:"2,keyasint"`
	Entry    api.Digest `cbor:"3,keyasint"`
	Root     api.Digest `cbor:"4,keyasint"`
}

func piece(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// state is a ledger with what the world says of the key, among other things.
func (w *world) state() *ledger.State {
	w.Helper()
	var fresh bytes.Buffer
	if err := ledger.New(w.genesis).Encode(&fresh); err != nil {
		w.Fatal(err)
	}
	items := map[string][]byte{}
	for b := fresh.Bytes()[1:]; ; {
		n := binary.BigEndian.Uint32(b)
		if n == 0 {
			break
		}
		var it item
		if err := wire.Decode(b[4:4+n], &it); err == nil { // the head is none
			items[it.Path] = it.Value
		}
		b = b[4+n:]
	}
	for path, v := range w.values {
		items[path] = wire.Encode(v)
	}
	h := head{Index: 200, Previous: api.Digest{1}, Entry: api.Digest{2}}
	for {
		b := append([]byte{1}, piece(wire.Encode(h))...)
		for _, path := range slices.Sorted(maps.Keys(items)) {
			b = append(b, piece(wire.Encode(item{path, items[path]}))...)
		}
		s, err := ledger.Decode(w.genesis, bytes.NewReader(append(b, 0, 0, 0, 0)))
		var root *ledger.RootError
		if errors.As(err, &root) {
			h.Root = root.Is
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		return s
	}
}

// evidence is what nodes show of the key, in proofs of so many bytes, vouched for by
// these nodes.
func (w *world) evidence(size int, by ...string) *certificate.Evidence {
	w.Helper()
	s := w.state()
	e := &certificate.Evidence{Genesis: w.genesis.Signed().Encode(), Succession: w.chain.Entries(), Key: theKey}
	for after := ""; ; {
		p, next := s.ProveDestroyed(theKey, after, size)
		if p == nil {
			w.Fatal("nothing is proven")
		}
		e.Shown = append(e.Shown, w.shown(p, by...))
		if next == "" {
			return e
		}
		after = next
	}
}

func (w *world) shown(p *ledger.Proof, by ...string) certificate.Shown {
	w.Helper()
	out, at := certificate.Shown{Proof: p.Encode()}, p.Position()
	for _, n := range by {
		sig, err := authority.SignLink(rand.Reader, w.nodes[n], w.genesis.Cluster, n, at.Index, at.Link)
		if err != nil {
			w.Fatal(err)
		}
		out.Vouched = append(out.Vouched, certificate.Vouch{Node: n, Signature: sig})
	}
	return out
}

func (w *world) made() *certificate.Certificate {
	w.Helper()
	c, err := certificate.Make(w.evidence(1<<20, "n1", "n2", "n3"))
	if err != nil {
		w.Fatal(err)
	}
	return c
}
