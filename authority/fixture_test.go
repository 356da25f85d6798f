package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// world is a cluster of five nodes and three custodians, with all their keys.
type world struct {
	tb         testing.TB
	doc        Genesis
	custodians []*Signer
	nodes      []*Signer
}

func newSigner(tb testing.TB) *Signer {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := NewSigner(k)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb}
	g := Genesis{
		Format: GenesisFormat, Created: 1_700_000_000_000, Unseal: UnsealHSM,
		Required: []RequiredCount{{KindCA, 1}, {KindGenesis, 2}, {KindKey, 2}, {KindLift, 3}, {KindPolicy, 3}, {KindRefresh, 2}, {KindReshare, 2}, {KindRevoke, 2}, {KindSeal, 1}},
	}
	rand.Read(g.Cluster[:])
	for i := range 3 {
		s := newSigner(tb)
		w.custodians = append(w.custodians, s)
		g.Custodians = append(g.Custodians, Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
	}
	g.Root = Order{Cluster: g.Cluster, Purpose: PurposeRoot, T: 3, F: 1, PhaseSeconds: 60}
	for i := range 5 {
		s := newSigner(tb)
		w.nodes = append(w.nodes, s)
		id := fmt.Sprintf("n%d", i+1)
		g.Roster = append(g.Roster, Node{ID: id, Region: "jp-east", Key: s.PublicKey(), Claim: w.claim(s, id, 1)})
		g.Root.Holders = append(g.Root.Holders, id)
	}
	w.doc = g
	return w
}

func (w *world) claim(s *Signer, node string, counter uint64) AddressClaim {
	w.tb.Helper()
	c, err := SignClaim(rand.Reader, s, AddressClaim{Node: node, Counter: counter, Client: "a.example:7101", Peer: "a.example:7102"})
	if err != nil {
		w.tb.Fatal(err)
	}
	return c
}

// copied is a genesis document that may be altered.
func (w *world) copied() *Genesis {
	var g Genesis
	if err := wire.Decode(wire.Encode(w.doc), &g); err != nil {
		w.tb.Fatal(err)
	}
	return &g
}

func (w *world) signed(g *Genesis, custodians ...*Signer) *SignedGenesis {
	w.tb.Helper()
	s := &SignedGenesis{Body: wire.Encode(g)}
	for _, c := range custodians {
		if err := s.Sign(rand.Reader, c); err != nil {
			w.tb.Fatal(err)
		}
	}
	return s
}

func (w *world) verified() *VerifiedGenesis {
	w.tb.Helper()
	g, err := w.signed(&w.doc, w.custodians...).Verify()
	if err != nil {
		w.tb.Fatal(err)
	}
	return g
}

func (w *world) order() Order {
	return Order{
		Cluster: w.doc.Cluster, Purpose: PurposeUnwrap, Name: "payroll", T: 3, F: 1,
		Holders: []string{"n1", "n2", "n3", "n4", "n5"}, PhaseSeconds: 60,
	}
}

func (w *world) change(kind string) Change {
	return Change{Cluster: w.doc.Cluster, Kind: kind, Body: wire.Encode(w.order()), Base: api.Digest{1}, Nonce: [16]byte{2}, NotAfter: 3}
}

func (w *world) sign(c Change, signers ...*Signer) *Entry {
	w.tb.Helper()
	e := NewChange(c)
	for _, s := range signers {
		if err := SignChange(rand.Reader, e, s); err != nil {
			w.tb.Fatal(err)
		}
	}
	return e
}
