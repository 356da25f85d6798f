package ledger_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

const created = 1_700_000_000_000

// world is a cluster of nodes and three custodians with all their keys, and the
// state that one honest node holds.
type world struct {
	testing.TB
	genesis    *authority.VerifiedGenesis
	custodians []*authority.Signer
	nodes      map[string]*authority.Signer
	parts      map[api.Digest]map[string]*dkg.Participant
	s          *ledger.State
	index      uint64
	log        [][]byte // every entry, taken or not; log[i] has Raft index i+1
	nonce      byte
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

func newWorld(tb testing.TB) *world { return newWorldOf(tb, 5, 5, 3) }

// newWorldOf makes a cluster of so many nodes, whose root key the first of them
// hold with threshold t and f = 1.
func newWorldOf(tb testing.TB, nodes, holders, t int, alter ...func(*authority.Genesis)) *world {
	tb.Helper()
	w := &world{TB: tb, nodes: map[string]*authority.Signer{}, parts: map[api.Digest]map[string]*dkg.Participant{}}
	g := authority.Genesis{
		Format: authority.GenesisFormat, Created: created, Unseal: authority.UnsealHSM,
		Required: []authority.RequiredCount{
			{Kind: authority.KindCA, Count: 2},
			{Kind: authority.KindGenesis, Count: 2},
			{Kind: authority.KindKey, Count: 2},
			{Kind: authority.KindLift, Count: 2},
			{Kind: authority.KindPolicy, Count: 2},
			{Kind: authority.KindRefresh, Count: 2},
			{Kind: authority.KindReshare, Count: 2},
			{Kind: authority.KindRevoke, Count: 2},
			{Kind: authority.KindSeal, Count: 1},
		},
		Cluster: api.ClusterID{1, 2, 3},
	}
	for i := range 3 {
		s := newSigner(tb)
		w.custodians = append(w.custodians, s)
		g.Custodians = append(g.Custodians, authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: uint32(t), F: 1, PhaseSeconds: 60}
	for i := range nodes {
		s, id := newSigner(tb), fmt.Sprintf("n%d", i+1)
		w.nodes[id] = s
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "jp-east", Key: s.PublicKey(), Claim: w.claim(id, id, 1)})
		if i < holders {
			g.Root.Holders = append(g.Root.Holders, id)
		}
	}
	for _, a := range alter {
		a(&g)
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
	w.s = ledger.New(w.genesis)
	return w
}

// fork is another node with the same past, which goes its own way from here.
func (w *world) fork() *world {
	f := *w
	f.log = append([][]byte(nil), w.log...)
	return &f
}

func (w *world) claim(signer, node string, counter uint64) authority.AddressClaim {
	w.Helper()
	c, err := authority.SignClaim(rand.Reader, w.nodes[signer],
		authority.AddressClaim{Node: node, Counter: counter, Client: "a.example:7101", Peer: "a.example:7102"})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// change is a policy over what is in force, to be altered by the caller.
func (w *world) change() authority.Change {
	w.nonce++
	c := authority.Change{
		Cluster: w.genesis.Cluster, Kind: authority.KindPolicy, Body: []byte(fmt.Sprintf("policy %d", w.nonce)),
		Nonce: [16]byte{w.nonce}, NotAfter: created + 1000,
	}
	if p := w.s.Policy(); p != nil {
		c.Base = p.Change
	}
	return c
}

func (w *world) order(name string) authority.Order {
	return authority.Order{
		Cluster: w.genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: 3, F: 1,
		Holders: []string{"n1", "n2", "n3", "n4", "n5"}, PhaseSeconds: 60,
	}
}

func (w *world) orderChange(o authority.Order) authority.Change {
	c := w.change()
	c.Kind, c.Body, c.Base = authority.KindKey, wire.Encode(o), api.Digest{}
	return c
}

// sign makes the entry of a change that these custodians have signed.
func (w *world) sign(c authority.Change, custodians ...int) *authority.Entry {
	w.Helper()
	e := authority.NewChange(c)
	for _, i := range custodians {
		if err := authority.SignChange(rand.Reader, e, w.custodians[i]); err != nil {
			w.Fatal(err)
		}
	}
	return e
}

func (w *world) say(node, kind string, body any) *authority.Entry {
	w.Helper()
	return w.sayFor(w.genesis.Cluster, w.nodes[node], node, kind, body)
}

func (w *world) sayFor(cluster api.ClusterID, s *authority.Signer, node, kind string, body any) *authority.Entry {
	w.Helper()
	e, err := authority.SignStatement(rand.Reader, s, cluster, node, kind, body)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// apply appends an entry, whatever it is.
func (w *world) apply(entry []byte) ledger.Result {
	w.index++
	next, r := w.s.Apply(w.index, entry)
	w.s, w.log = next, append(w.log, entry)
	return r
}

// accept appends an entry that has to be taken.
func (w *world) accept(e *authority.Entry) ledger.Result {
	w.Helper()
	before := w.s.Root()
	r := w.apply(e.Encode())
	if r.Err != nil {
		w.Fatalf("%s of %q: %v", e.Kind, e.Author, r.Err)
	}
	if r.ID != e.ID() || r.Kind != e.Kind || r.Index != w.index {
		w.Errorf("%s of %q: the result speaks of another entry: %+v", e.Kind, e.Author, r)
	}
	if w.s.Root() == before {
		w.Errorf("%s of %q was taken and the root is the same", e.Kind, e.Author)
	}
	return r
}

// refuse appends an entry that must change nothing but the chain.
func (w *world) refuse(entry []byte, want ...error) ledger.Result {
	w.Helper()
	root, link := w.s.Root(), w.s.Position().Link
	r := w.apply(entry)
	for _, e := range want {
		if !errors.Is(r.Err, e) {
			w.Errorf("got %v, want %v", r.Err, e)
		}
	}
	if r.Err == nil {
		w.Error("it was taken")
	}
	if w.s.Root() != root {
		w.Error("it was refused and changed the root")
	}
	if w.s.Position().Link == link || w.s.Position().Index != w.index {
		w.Error("it was not chained")
	}
	return r
}

// open begins a run of an order and returns it.
func (w *world) open(order api.Digest) *ledger.Session {
	w.Helper()
	o := w.s.OrderByHash(order)
	before := w.s.Position().Link
	w.accept(w.say(o.Order.Holders[0], authority.KindOpen, authority.Open{Order: order, Attempt: o.Attempt + 1}))
	ses := w.s.Session(w.s.OrderByHash(order).Live)
	if ses == nil || ses.LinkBefore != before || ses.Opened != w.index || ses.Attempt != o.Attempt+1 {
		w.Fatalf("the session is %+v", ses)
	}
	parts := map[string]*dkg.Participant{}
	for i, h := range o.Order.Holders {
		p, err := dkg.NewParticipant(ses.Board.Session(), sharing.Index(i+1), nil, rand.Reader)
		if err != nil {
			w.Fatal(err)
		}
		parts[h] = p
	}
	w.parts[ses.ID] = parts
	return ses
}

// post is what a holder would put on the board now, or nil.
func (w *world) post(session api.Digest, node string) *authority.Entry {
	w.Helper()
	ready, err := w.parts[session][node].Step(w.s.Session(session).Board.View(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	if ready.Post == nil {
		return nil
	}
	return w.say(node, authority.KindPost, authority.Post{Session: session, Kind: uint32(ready.Post.Kind), Body: ready.Post.Body})
}

func (w *world) phase(session api.Digest) dkg.Phase { return w.s.Session(session).Board.Phase() }

// run lets all but the silent post until a phase is open; three of them say that
// the others are late.
func (w *world) run(session api.Digest, until dkg.Phase, silent ...string) {
	w.Helper()
	for phase := w.phase(session); phase < until; phase = w.phase(session) {
		w.postAll(session, silent...)
		if w.phase(session) == phase {
			w.late(session, phase, silent...)
		}
		if w.phase(session) == phase {
			w.Fatalf("the %v phase does not end", phase)
		}
	}
}

func (w *world) holders(session api.Digest, silent ...string) []string {
	all := w.s.Session(session).Participants
	if o := w.s.OrderByHash(w.s.Session(session).Order); o != nil {
		all = o.Order.Holders
	}
	var out []string
next:
	for _, h := range all {
		for _, s := range silent {
			if s == h {
				continue next
			}
		}
		out = append(out, h)
	}
	return out
}

func (w *world) postAll(session api.Digest, silent ...string) {
	w.Helper()
	phase := w.phase(session)
	for _, n := range w.holders(session, silent...) {
		if e := w.post(session, n); e != nil && w.phase(session) == phase {
			w.accept(e)
		}
	}
}

func (w *world) late(session api.Digest, phase dkg.Phase, silent ...string) {
	w.Helper()
	for _, n := range w.holders(session, silent...)[:3] {
		w.accept(w.say(n, authority.KindDeadline, authority.Deadline{Session: session, Phase: uint32(phase)}))
	}
}

// birth runs an order to its end and returns the key.
func (w *world) birth(order api.Digest, silent ...string) *ledger.Key {
	w.Helper()
	ses := w.open(order)
	w.run(ses.ID, dkg.PhaseConfirm, silent...)
	w.postAll(ses.ID, silent...)
	if len(silent) > 0 {
		w.late(ses.ID, dkg.PhaseConfirm, silent...)
	}
	w.accept(w.say(w.holders(ses.ID, silent...)[0], authority.KindActivate, authority.Activate{Session: ses.ID}))
	return w.s.Key(w.s.OrderByHash(order).Key)
}

func (w *world) rootOrder() api.Digest {
	return authority.RootOrderHash(w.genesis.Hash(), &w.genesis.Root)
}

// signedBy is the statement of these signatures of records.
func signedBy(list ...authority.RecordSignature) authority.RecordSignatures {
	return authority.RecordSignatures{List: list}
}

func (w *world) recordSignature(node string, k *ledger.Key) authority.RecordSignature {
	w.Helper()
	sig, err := authority.SignRecord(rand.Reader, w.nodes[node], &k.Record)
	if err != nil {
		w.Fatal(err)
	}
	return authority.RecordSignature{Key: k.ID, Version: k.Version, Epoch: k.Number, Signature: sig}
}
