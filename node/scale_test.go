package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/node/ceremony"
	"warifu.dev/node/gate"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// manyKeys is a node's part of a cluster of five with so many keys, its files aside.
type manyKeys struct {
	*trial.Cluster
	ids  []api.KeyID
	born *trial.Born
}

func newManyKeys(b *testing.B, keys int) *manyKeys {
	b.Helper()
	c := trial.New(b, 3, 5)
	c.BearRoot()
	e := &manyKeys{Cluster: c, born: c.BearKey("first")}
	e.ids = c.Grow(keys, e.born.Key)
	text := `@id("all") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource);`
	if r := c.Apply(c.Change(authority.KindPolicy, policy.Document{Text: text, Entities: `[{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/app"},"parents":[],"attrs":{}}]`}.Encode(), api.Digest{})); r.Err != nil {
		b.Fatal(r.Err)
	}
	return e
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (e *manyKeys) share(id api.KeyID) keyring.Share {
	return keyring.Share{
		Key: id, Version: 1, Epoch: 1, Session: e.born.Key.Session, Index: 1,
		Scalar: e.born.Shares[0].Add(group.SmallScalar(0)), Endorsement: secret.New(bytes.Repeat([]byte{7}, keyring.SaltSize)),
	}
}

// BenchmarkKeys is what a node with few keys and one with many costs: the page about
// performance has its numbers. What a request, an entry or a tick costs does not grow
// with the keys; what a start costs does.
func BenchmarkKeys(b *testing.B) {
	for _, keys := range []int{10, 10_000} {
		e := newManyKeys(b, keys)
		b.Run(fmt.Sprintf("entry/%d", keys), e.benchmarkEntry)
		b.Run(fmt.Sprintf("tick/%d", keys), e.benchmarkTick)
		b.Run(fmt.Sprintf("receipt/%d", keys), e.benchmarkReceipt)
		b.Run(fmt.Sprintf("unwrap/%d", keys), e.benchmarkUnwrap)
		b.Run(fmt.Sprintf("encode/%d", keys), e.benchmarkEncode)
		b.Run(fmt.Sprintf("decode/%d", keys), e.benchmarkDecode)
		b.Run(fmt.Sprintf("keyring/%d", keys), e.benchmarkKeyring)
	}
}

// p50 reports the median of what do takes: the mean of a machine that has other
// things to do says little.
func p50(b *testing.B, do func(i int)) {
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		do(i)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
}

// benchmarkEntry applies one entry, as each node does with each.
func (e *manyKeys) benchmarkEntry(b *testing.B) {
	s := e.State()
	entry, err := authority.SignStatement(rand.Reader, e.Node("n1"), e.Genesis.Cluster, "n1", authority.KindAnchor, authority.Anchor{Counter: 1 << 40, Time: trial.Created})
	if err != nil {
		b.Fatal(err)
	}
	raw := entry.Encode()
	p50(b, func(int) {
		if _, r := s.Apply(s.Position().Index+1, raw); r.Err != nil {
			b.Fatal(r.Err)
		}
	})
}

// benchmarkTick is a look at the ledger for something to do, at each entry and each
// second.
func (e *manyKeys) benchmarkTick(b *testing.B) {
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(b.TempDir(), "hsm"), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	d := ceremony.New(ceremony.Config{
		Cluster: e.Genesis.Cluster, Node: "n1", Dir: b.TempDir(), Device: dev, Rand: rand.Reader, Now: time.Now, Log: quiet,
		Submit: func(context.Context, string, any) error { return nil },
		SignRecord: func(r *authority.KeyRecord) (authority.Signature, error) {
			return authority.SignRecord(rand.Reader, e.Node("n1"), r)
		},
	})
	s := e.State()
	d.Step(b.Context(), s)
	p50(b, func(int) {
		d.Step(b.Context(), s)
		_, _ = s.Bearing(), s.Running()
	})
}

// benchmarkReceipt is what a receipt of a revoke says of the keys.
func (e *manyKeys) benchmarkReceipt(b *testing.B) {
	s := e.State()
	p50(b, func(int) { _ = s.LiveKeys() })
}

type noAudit struct{}

func (noAudit) Append(context.Context, ...audit.Record) (uint64, error) { return 0, nil }

// benchmarkUnwrap is one unwrap in the gate, audit and network left out, of another key
// each time.
func (e *manyKeys) benchmarkUnwrap(b *testing.B) {
	slots, err := gate.OpenSlots(nil, b.TempDir(), true)
	if err != nil {
		b.Fatal(err)
	}
	defer slots.Close()
	shares := map[api.KeyID]*keyring.Share{}
	for _, id := range e.ids {
		s := e.share(id)
		shares[id] = &s
	}
	var rules policies
	g := gate.New(gate.Config{
		Node: "n1", Region: "jp-east", HSM: "soft",
		States:   func() (*ledger.State, *ledger.State) { return e.State(), e.State() },
		Unsealed: func() *api.Error { return nil }, Fresh: func() *api.Error { return nil },
		Share: func(id api.KeyID, _ uint32, _ uint64) (*keyring.Share, func(), bool) {
			return shares[id], func() {}, true
		},
		Policy: rules.of, Audit: noAudit{}, Now: time.Now, Rand: rand.Reader, Cap: gate.NewRefusalCap(),
		Slots: slots, Rates: gate.NewRates(BootTime),
	})
	y, err := group.DecodePoint(e.born.Key.Record.Y)
	if err != nil {
		b.Fatal(err)
	}
	context := api.Context{"file": "a"}
	var envelopes [][]byte
	for i := range 256 {
		pk, err := tdh2.NewPublicKey(e.Genesis.Cluster, e.ids[i*len(e.ids)/256], 1, 3, 5, y)
		if err != nil {
			b.Fatal(err)
		}
		envelope, err := tdh2.Wrap(rand.Reader, pk, context.Canonical(), secret.New([]byte("sixteen byte key")))
		if err != nil {
			b.Fatal(err)
		}
		envelopes = append(envelopes, envelope)
	}
	caller := &gate.Caller{
		Principal: "spiffe://demo/app", Source: netip.MustParseAddr("10.1.2.3"),
		Standing: func(*ledger.State, time.Time) error { return nil },
	}
	unwrap := func(i int) {
		a, err := g.Unwrap(b.Context(), caller, &api.UnwrapRequest{
			RequestID: api.RequestID{9}, Reason: "a test",
			Items: []api.UnwrapItem{{Envelope: envelopes[i%len(envelopes)], Context: context}},
		})
		if err != nil || a.Items[0].Refusal != nil {
			b.Fatalf("%v, %+v", err, a)
		}
	}
	for i := range envelopes { // what is worked out once for each key
		unwrap(i)
	}
	p50(b, unwrap)
}

func (e *manyKeys) benchmarkEncode(b *testing.B) {
	s := e.State()
	size := &counter{}
	if err := s.Encode(size); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Encode(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size.n)/float64(len(e.ids)), "bytes/key")
}

type counter struct{ n int }

func (c *counter) Write(b []byte) (int, error) { c.n += len(b); return len(b), nil }

// benchmarkDecode reads a state, as a start does, and a snapshot does to check itself.
func (e *manyKeys) benchmarkDecode(b *testing.B) {
	var encoded bytes.Buffer
	if err := e.State().Encode(&encoded); err != nil {
		b.Fatal(err)
	}
	var s *ledger.State
	var err error
	before := heap()
	for b.Loop() {
		if s, err = ledger.Decode(e.Genesis, bytes.NewReader(encoded.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(int64(heap())-int64(before))/float64(len(e.ids)), "heap-bytes/key")
	runtime.KeepAlive(s)
	runtime.KeepAlive(encoded.Bytes())
}

// benchmarkKeyring opens a keyring, as a start does. To put one more share into it, as a
// birth does, is the other number: the file is written anew and read back.
func (e *manyKeys) benchmarkKeyring(b *testing.B) {
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(b.TempDir(), "hsm"), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	cfg := keyring.Config{Dir: b.TempDir(), Cluster: e.Genesis.Cluster, Node: "n1", Device: dev, Rand: rand.Reader}
	ring, err := keyring.Create(cfg, keyring.Root{Session: api.Digest{1}, Epoch: 1, Index: 1, Share: e.born.Shares[0].Add(group.SmallScalar(0))})
	if err != nil {
		b.Fatal(err)
	}
	var all []keyring.Share
	for _, id := range e.ids {
		all = append(all, e.share(id))
	}
	if err := ring.PutAll(all); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := ring.Put(e.share(api.KeyID{9})); err != nil {
		b.Fatal(err)
	}
	put := time.Since(began)
	for b.Loop() {
		ring.Wipe()
		if ring, err = keyring.Open(cfg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(put.Microseconds()), "put-µs")
	ring.Wipe()
}
