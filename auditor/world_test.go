package auditor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// world is five nodes with their audits, and three custodians. It is also what an
// auditor asks.
type world struct {
	t          testing.TB
	genesis    *authority.VerifiedGenesis
	custodians []*authority.Signer
	keys       map[string]*ecdsa.PrivateKey
	logs       map[string]*audit.Log
	down       map[string]bool
	denies     *api.Error // what all nodes say, or nil
	mu         sync.Mutex
	answered   int // pages; guarded by mu
	breaksOff  int // after so many pages nobody answers; 0: never
	index      uint64
	clock      int64 // Unix milliseconds
	dir        string
	segment    int64                 // bytes of a segment of a log that is opened now; 0 is the usual
	chain      *authority.Succession // what an auditor is shown of it; nil: genesis alone
	left       string                // who left by its last change, or ""
}

var errDown = errors.New("no connection")

const born = 1_700_000_000_000

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signerOf(t testing.TB, k *ecdsa.PrivateKey) *authority.Signer {
	t.Helper()
	s, err := authority.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, keys: map[string]*ecdsa.PrivateKey{}, logs: map[string]*audit.Log{}, down: map[string]bool{}, clock: born}
	g := authority.Genesis{Format: authority.GenesisFormat, Created: born, Unseal: authority.UnsealHSM}
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 2})
	}
	rand.Read(g.Cluster[:])
	for i := range 3 {
		s := signerOf(t, newKey(t))
		w.custodians = append(w.custodians, s)
		g.Custodians = append(g.Custodians, authority.Custodian{Name: fmt.Sprintf("custodian%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 3, F: 1, PhaseSeconds: 60}
	for i := range 5 {
		id := fmt.Sprintf("n%d", i+1)
		w.keys[id] = newKey(t)
		s := signerOf(t, w.keys[id])
		claim, err := authority.SignClaim(rand.Reader, s, authority.AddressClaim{Node: id, Counter: 1, Client: "a.example:7101", Peer: "a.example:7102"})
		if err != nil {
			t.Fatal(err)
		}
		g.Roster = append(g.Roster, authority.Node{ID: id, Region: "jp-east", Key: s.PublicKey(), Claim: claim})
		g.Root.Holders = append(g.Root.Holders, id)
	}
	signed := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, c := range w.custodians {
		if err := signed.Sign(rand.Reader, c); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.genesis, err = signed.Verify(); err != nil {
		t.Fatal(err)
	}
	w.dir = t.TempDir()
	for _, n := range g.Roster {
		w.logs[n.ID] = w.openLog(n.ID, filepath.Join(w.dir, n.ID))
	}
	return w
}

func (w *world) openLog(id, dir string) *audit.Log {
	w.t.Helper()
	key := w.keys[id]
	l, err := audit.Open(audit.Config{
		Dir: dir, Origin: Origin(&w.genesis.Genesis, id), Public: &key.PublicKey,
		Signer: func(msg []byte) ([]byte, error) {
			sum := sha256.Sum256(msg)
			return ecdsa.SignASN1(rand.Reader, key, sum[:])
		},
		ReserveBytes: 4 << 10, SegmentBytes: w.segment,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	return l
}

// ids are the nodes, in the roster's order.
func (w *world) ids() []string { return w.genesis.Root.Holders }

// tick moves every clock.
func (w *world) tick(d time.Duration) { w.clock += d.Milliseconds() }

// record appends a record to the logs of these nodes.
func (w *world) record(r audit.Record, nodes ...string) {
	w.t.Helper()
	for i, id := range nodes {
		r.Time, r.Node = w.clock+int64(i), id
		if _, err := w.logs[id].Append(context.Background(), r); err != nil {
			w.t.Fatal(err)
		}
	}
}

// sign makes a change that two custodians signed.
func (w *world) sign(kind string, body []byte, base api.Digest) *authority.Entry {
	w.t.Helper()
	c := authority.Change{Cluster: w.genesis.Cluster, Kind: kind, Body: body, Base: base, NotAfter: born * 2}
	rand.Read(c.Nonce[:])
	e := authority.NewChange(c)
	for _, s := range w.custodians[:2] {
		if err := authority.SignChange(rand.Reader, e, s); err != nil {
			w.t.Fatal(err)
		}
	}
	return e
}

// taken is the record that a node makes of an entry that the ledger took.
func (w *world) taken(e *authority.Entry) audit.Record {
	kind := audit.Change
	switch e.Kind {
	case authority.KindActivate:
		kind = audit.Activate
	case authority.KindGrant:
		kind = audit.Grant
	}
	return audit.Record{Kind: kind, LedgerIndex: w.index, LedgerTime: w.clock, EntryID: e.ID(), Action: e.Kind, Entry: e.Encode()}
}

// take lets the ledger take an entry: all nodes record it.
func (w *world) take(e *authority.Entry) api.Digest {
	w.t.Helper()
	w.index++
	w.record(w.taken(e), w.ids()...)
	return e.ID()
}

// put signs and takes a change.
func (w *world) put(kind string, body any, base api.Digest) api.Digest {
	w.t.Helper()
	b, ok := body.([]byte)
	if !ok {
		b = wire.Encode(body)
	}
	return w.take(w.sign(kind, b, base))
}

const (
	alice = "spiffe://trial/alice"
	bob   = "spiffe://trial/bob"
	carol = "spiffe://trial/carol"
)

const entities = `[
 {"uid":{"type":"Warifu::Principal","id":"spiffe://trial/alice"},"attrs":{},"parents":[{"type":"Warifu::Group","id":"clerks"}]},
 {"uid":{"type":"Warifu::Principal","id":"spiffe://trial/bob"},"attrs":{},"parents":[]},
 {"uid":{"type":"Warifu::Principal","id":"spiffe://trial/carol"},"attrs":{},"parents":[{"type":"Warifu::Group","id":"auditors"}]},
 {"uid":{"type":"Warifu::Group","id":"clerks"},"attrs":{},"parents":[]},
 {"uid":{"type":"Warifu::Group","id":"auditors"},"attrs":{},"parents":[]}
]`

// allOfClerks lets clerks unwrap with every key; byDay lets bob, by day.
const (
	allOfClerks = `@id("clerks") permit (principal in Warifu::Group::"clerks", action == Warifu::Action::"unwrap", resource);` + "\n"
	byDay       = `@id("by-day") permit (principal == Warifu::Principal::"spiffe://trial/bob", action == Warifu::Action::"unwrap", resource == Warifu::Key::"payroll") when { context.time.hour < 18 };` + "\n"
)

func document(text string) []byte {
	return policy.Document{Text: text, Entities: entities}.Encode()
}

// ca is a certificate authority of this name.
func (w *world) ca(name string) authority.CA {
	w.t.Helper()
	key := newKey(w.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.UnixMilli(born), NotAfter: time.UnixMilli(born).AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return authority.CA{Name: name, Certificate: der}
}

// key orders a key and lets it be born, and returns its record.
func (w *world) key(name string, alter ...func(*authority.Order)) *authority.SignedRecord {
	w.t.Helper()
	g := &w.genesis.Genesis
	o := authority.Order{
		Cluster: g.Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: 3, F: 1, Holders: w.ids(), PhaseSeconds: 60,
	}
	for _, a := range alter {
		a(&o)
	}
	order := w.sign(authority.KindKey, wire.Encode(o), api.Digest{})
	w.take(order)
	w.tick(time.Minute)
	link := api.Digest{7}
	session := authority.SessionID(g.Cluster, 1, order.ID(), 1, link)
	activate, err := authority.SignStatement(rand.Reader, signerOf(w.t, w.keys["n1"]), g.Cluster, "n1", authority.KindActivate, authority.Activate{Session: session})
	if err != nil {
		w.t.Fatal(err)
	}
	w.take(activate)
	r := &authority.SignedRecord{Record: authority.KeyRecord{
		Cluster: g.Cluster, Key: authority.KeyIDOf(session), Version: 1, Epoch: 1, Order: order.Encode(), Attempt: 1, LinkBefore: link,
		RosterVersion: 1, RecordVersion: 1, YI: make([][]byte, 5),
	}}
	if o.Symmetric() {
		r.Record.YI = nil
		for range 10 { // sets of 3 of 5
			r.Record.Sets = append(r.Record.Sets, make([]byte, 32))
		}
	}
	for _, id := range w.ids() {
		sig, err := authority.SignRecord(rand.Reader, signerOf(w.t, w.keys[id]), &r.Record)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Signatures = append(r.Signatures, sig)
	}
	return r
}

// anchor is what a node signs into the ledger now.
func (w *world) anchor(id string) *authority.VerifiedAnchor {
	w.t.Helper()
	size, root := w.logs[id].Head()
	e, err := authority.SignStatement(rand.Reader, signerOf(w.t, w.keys[id]), w.genesis.Cluster, id, authority.KindAnchor,
		authority.Anchor{Counter: w.index + 1, Time: w.clock, AuditSize: size, AuditRoot: root})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := authority.VerifyAnchor(&w.genesis.Genesis, e.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// release records that a principal opened an envelope with a key at some nodes, and
// returns the record as it is at each.
func (w *world) release(request byte, principal, key string, id api.KeyID, reason string, nodes ...string) audit.Record {
	r := audit.Record{
		Kind: audit.Release, RequestID: [16]byte{request}, Principal: principal, Source: "10.0.0.1", Action: policy.Unwrap, Key: id, KeyName: key,
		Version: 1, Epoch: 1, Reason: reason, Context: [32]byte{1}, Envelope: [32]byte{request, 2}, Rules: []string{"clerks"}, LedgerIndex: w.index,
	}
	w.record(r, nodes...)
	return r
}

// AuditHead implements [Source].
func (w *world) AuditHead(_ context.Context, node string) (*api.AuditHeadAnswer, error) {
	if w.down[node] {
		return nil, errDown
	}
	if w.denies != nil {
		return nil, w.denies
	}
	signed, err := w.logs[node].Checkpoint()
	return &api.AuditHeadAnswer{Checkpoint: signed, Archived: w.logs[node].Archived()}, err
}

// AuditPage implements [Source].
func (w *world) AuditPage(_ context.Context, node string, q api.AuditPageRequest) (*api.AuditPageAnswer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answered++; w.down[node] || w.breaksOff > 0 && w.answered > w.breaksOff {
		return nil, errDown
	}
	page := w.logs[node].Page
	if q.Entries {
		page = w.logs[node].EntryPage
	}
	records, err := page(q.From, q.Below, int(min(q.Count, 7)), 1<<20)
	a := &api.AuditPageAnswer{}
	for _, r := range records {
		a.Records = append(a.Records, api.AuditRecord(r))
	}
	return a, err
}

// AuditHashes implements [Source].
func (w *world) AuditHashes(_ context.Context, node string, q api.AuditHashesRequest) (*api.AuditHashesAnswer, error) {
	if w.down[node] {
		return nil, errDown
	}
	hashes, err := w.logs[node].Hashes(q.From, int(min(q.Count, 100)))
	a := &api.AuditHashesAnswer{}
	for _, h := range hashes {
		a.Hashes = append(a.Hashes, h[:]...)
	}
	return a, err
}
