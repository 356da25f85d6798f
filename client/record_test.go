package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/sharing/group"
	"warifu.dev/transport"
)

// offline is a cluster that nobody talks to.
func offline(t *testing.T) *dealt.Cluster {
	a := "127.0.0.1:1"
	return dealt.New(t, 3, a, a, a, a, a)
}

func TestKeyRecords(t *testing.T) {
	c, other := offline(t), offline(t)
	all := []string{"n1", "n2", "n3", "n4", "n5"}
	k := c.Deal("payroll", 3, all...)
	foreign := other.Deal("payroll", 3, all...)
	stranger, err := authority.NewSigner(dealt.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	altered := func(f func(*authority.KeyRecord)) []byte {
		r := k.Record
		r.YI = slices.Clone(r.YI)
		f(&r)
		return c.Sign(r, all...)
	}
	ordered := func(o authority.Order, custodians ...*authority.Signer) []byte {
		return c.Sign(c.DealOrder(o, c.SignOrder(o, custodians...)).Record, all...)
	}
	point := func(n uint64) []byte { return group.BaseMul(group.SmallScalar(n)).Bytes() }
	weak := c.Order("payroll", 2, all...)
	weak.F = 1
	elsewhere := c.Order("payroll", 3, all...)
	elsewhere.Cluster = other.Genesis.Cluster
	root := c.Genesis.Root
	good := c.Sign(k.Record, all...)

	for _, row := range []struct {
		name   string
		record []byte
		want   error // nil: believed
	}{
		{"signed by all holders", good, nil},
		{"signed by t of them", c.Sign(k.Record, "n5", "n1", "n3"), nil},
		{"signed by t and by a stranger to the roster", func() []byte {
			s, err := authority.ParseSignedRecord(c.Sign(k.Record, "n1", "n2", "n3"))
			if err != nil {
				t.Fatal(err)
			}
			sig, err := authority.SignRecord(rand.Reader, stranger, &k.Record)
			if err != nil {
				t.Fatal(err)
			}
			s.Signatures = append(s.Signatures, sig)
			return s.Encode()
		}(), nil},
		{"signed by nobody", c.Sign(k.Record), authority.ErrTooFewSignatures},
		{"signed by t-1", c.Sign(k.Record, "n1", "n2"), authority.ErrTooFewSignatures},
		{"signed by one holder t times", c.Sign(k.Record, "n1", "n1", "n1"), authority.ErrTooFewSignatures},
		{"signed by t-1 and a stranger", func() []byte {
			s, err := authority.ParseSignedRecord(c.Sign(k.Record, "n1", "n2"))
			if err != nil {
				t.Fatal(err)
			}
			sig, err := authority.SignRecord(rand.Reader, stranger, &k.Record)
			if err != nil {
				t.Fatal(err)
			}
			s.Signatures = append(s.Signatures, sig)
			return s.Encode()
		}(), authority.ErrTooFewSignatures},
		{"signed by nodes of the roster that do not hold the key", c.Sign(c.Deal("payroll", 3, "n1", "n2", "n3").Record, "n1", "n4", "n5"), authority.ErrTooFewSignatures},
		{"with signatures over another record", func() []byte {
			s, err := authority.ParseSignedRecord(good)
			if err != nil {
				t.Fatal(err)
			}
			s.Record.Attempt++
			return s.Encode()
		}(), authority.ErrRecord},
		{"of another cluster", other.Sign(foreign.Record, all...), authority.ErrChange},
		{"of another cluster, under this one's signatures", c.Sign(foreign.Record, all...), authority.ErrChange},
		{"with an order for another cluster", ordered(elsewhere, c.Custodians[:2]...), authority.ErrRecord},
		{"with an order that one custodian signed", ordered(c.Order("payroll", 3, all...), c.Custodians[0]), authority.ErrTooFewSignatures},
		{"with an order that nobody signed", ordered(c.Order("payroll", 3, all...)), authority.ErrTooFewSignatures},
		{"with an order that another cluster's custodians signed", ordered(c.Order("payroll", 3, all...), other.Custodians...), authority.ErrSignature},
		{"with the order of a weaker key than the cluster's", ordered(weak, c.Custodians[:2]...), authority.ErrRecord},
		{"with the root key's order", ordered(root, c.Custodians[:2]...), authority.ErrOrder},
		{"with an order that is none", altered(func(r *authority.KeyRecord) { r.Order = []byte("order") }), authority.ErrEntry},
		{"with the order of another key", altered(func(r *authority.KeyRecord) { r.Order = c.Deal("ledger", 3, all...).Record.Order }), authority.ErrRecord},
		{"with another key id", altered(func(r *authority.KeyRecord) { r.Key[0] ^= 1 }), authority.ErrRecord},
		{"with another attempt", altered(func(r *authority.KeyRecord) { r.Attempt = 2 }), authority.ErrRecord},
		{"with another link before its session", altered(func(r *authority.KeyRecord) { r.LinkBefore[0] ^= 1 }), authority.ErrRecord},
		{"with a roster of the future", altered(func(r *authority.KeyRecord) { r.RosterVersion = 2 }), authority.ErrRecord},
		{"of version 2", altered(func(r *authority.KeyRecord) { r.Version = 2 }), authority.ErrRecord},
		{"of epoch 2", altered(func(r *authority.KeyRecord) { r.Epoch = 2 }), authority.ErrRecord},
		{"with a verification key too few", altered(func(r *authority.KeyRecord) { r.YI = r.YI[:4] }), authority.ErrRecord},
		{"with a verification key too many", altered(func(r *authority.KeyRecord) { r.YI = append(r.YI, r.YI[0]) }), authority.ErrRecord},
		// Here the holders lie together; the client computes what it can.
		{"whose W is not Δ·Y", altered(func(r *authority.KeyRecord) { r.W = point(3) }), client.ErrKeyPoints},
		{"whose W is Y", altered(func(r *authority.KeyRecord) { r.W = r.Y }), client.ErrKeyPoints},
		{"whose Y is another", altered(func(r *authority.KeyRecord) { r.Y = point(3) }), client.ErrKeyPoints},
		{"whose first verification key is another", altered(func(r *authority.KeyRecord) { r.YI[0] = point(3) }), client.ErrKeyPoints},
		{"whose last verification key is another", altered(func(r *authority.KeyRecord) { r.YI[4] = point(3) }), client.ErrKeyPoints},
		{"with two verification keys swapped", altered(func(r *authority.KeyRecord) { r.YI[0], r.YI[1] = r.YI[1], r.YI[0] }), client.ErrKeyPoints},
		{"whose Y is compressed", altered(func(r *authority.KeyRecord) { r.Y = k.Public.Y.Compressed() }), client.ErrKeyPoints},
		{"whose Y is the identity", altered(func(r *authority.KeyRecord) { r.Y = []byte{0} }), client.ErrKeyPoints}, // R4
		{"whose W is empty", altered(func(r *authority.KeyRecord) { r.W = nil }), client.ErrKeyPoints},
		{"empty", nil, authority.ErrRecord},
		{"truncated", good[:len(good)-1], authority.ErrRecord},
		{"with a byte after its end", append(slices.Clone(good), 0), authority.ErrRecord},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := client.ParseKey(c.Genesis, row.record)
			if row.want != nil {
				if !errors.Is(err, row.want) {
					t.Fatalf("got %v, want %v", err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.ID() != k.Record.Key || got.Threshold() != 3 || !slices.Equal(got.Holders(), all) || got.Name() != "payroll" {
				t.Errorf("%s %d %v %s", got.ID(), got.Threshold(), got.Holders(), got.Name())
			}
			if !bytes.Equal(got.Encode(), row.record) {
				t.Error("it does not encode to what was read")
			}
		})
	}
}

// A key record has no threshold of its own: t and the holders stand in the order.
func TestARecordThatNamesItsOwnThreshold(t *testing.T) {
	c := offline(t)
	k := c.Deal("payroll", 3, "n1", "n2", "n3", "n4", "n5")
	lowered := k.Order
	lowered.T, lowered.F = 2, 1
	// The order is altered in the entry, under the custodians' signatures of the true one.
	e, err := authority.ParseEntry(k.Record.Order)
	if err != nil {
		t.Fatal(err)
	}
	other, err := authority.ParseEntry(c.SignOrder(lowered, c.Custodians[0]))
	if err != nil {
		t.Fatal(err)
	}
	e.Body = other.Body
	r := k.Record
	r.Order = e.Encode()
	_, err = client.ParseKey(c.Genesis, c.Sign(r, "n1", "n2", "n3", "n4", "n5"))
	if !errors.Is(err, authority.ErrSignature) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	a := "127.0.0.1:1"
	c := dealt.New(f, 2, a, a, a)
	k := c.Deal("payroll", 2, "n1", "n2", "n3")
	f.Add(c.Sign(k.Record, "n1", "n2"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := client.ParseKey(c.Genesis, b)
		if err == nil && got.ID() != k.Record.Key {
			t.Fatal("another key is believed")
		}
	})
}

func TestRecordOverTheWire(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	all := []string{"n1", "n2", "n3", "n4", "n5"}

	if _, err := cl.Record(t.Context(), "nothing"); !errors.Is(err, client.ErrUnknownKey) {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := cl.Record(t.Context(), strings.Repeat("0", 64)); !errors.Is(err, client.ErrUnknownKey) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := cl.Record(t.Context(), "No Name"); !errors.Is(err, api.ErrName) {
		t.Errorf("no name at all: %v", err)
	}

	// One node serves the record with too few signatures, one another key's under
	// this name: the next is asked.
	mixed := c.Deal("ledger", 3, all...)
	for n, record := range map[string][]byte{"n1": c.Sign(c.key.Record, "n1", "n2"), "n2": c.Sign(mixed.Record, all...), "n3": []byte("record"), "n4": nil} {
		c.nodes[n].with(func() { c.nodes[n].record = record })
	}
	k, err := cl.Record(t.Context(), "payroll")
	if err != nil || k.Name() != "payroll" {
		t.Fatal(err)
	}
	if byID, err := cl.Record(t.Context(), k.ID().String()); err != nil || byID != k {
		t.Errorf("it is not kept: %v", err)
	}

	// When nobody serves a record to believe, each one's fault is told.
	c.nodes["n5"].with(func() { c.nodes["n5"].record = c.Sign(c.key.Record, "n5") })
	_, err = c.client(t).Record(t.Context(), "payroll")
	if !errors.Is(err, authority.ErrTooFewSignatures) || !errors.Is(err, client.ErrAnswer) || strings.Count(err.Error(), "\n  n") != 5 {
		t.Error(err)
	}
}

func TestWaitKey(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	for _, n := range c.nodes {
		n.with(func() { n.record = nil })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4250*time.Millisecond) // it asks each half second, and not at the very end
	defer cancel()
	if _, err := cl.WaitKey(ctx, "payroll"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
	time.AfterFunc(200*time.Millisecond, func() {
		c.nodes["n3"].with(func() { c.nodes["n3"].record = c.Sign(c.key.Record, "n1", "n2", "n3") })
	})
	if _, err := cl.WaitKey(t.Context(), "payroll"); err != nil {
		t.Error(err)
	}
}

func TestStatusOfAll(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	c.nodes["n2"].kill()
	list := cl.Status(t.Context())
	for i, n := range []string{"n1", "n2", "n3", "n4", "n5"} {
		switch s := list[i]; {
		case s.Node != n:
			t.Errorf("%s in the place of %s", s.Node, n)
		case n == "n2" && (s.Err == nil || s.Answer != nil):
			t.Error("a dead node has a status")
		case n != "n2" && (s.Err != nil || s.Answer.Node != n):
			t.Errorf("%s: %v", n, s.Err)
		}
	}
	if _, err := cl.AuditTail(t.Context(), "n9", 1); !errors.Is(err, client.ErrUnknownNode) {
		t.Error(err)
	}
}

func TestSubmit(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	entry := c.SignOrder(c.Order("ledger", 3, "n1", "n2", "n3", "n4", "n5"), c.Custodians[:2]...)
	e, err := authority.ParseEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(f func(*api.SubmitRequest) (*api.SubmitAnswer, error)) {
		for _, n := range c.nodes {
			n.with(func() { n.submit = f })
		}
	}

	// Unknown the first times, then taken: it is the same entry.
	var rounds atomic.Int64
	answer(func(*api.SubmitRequest) (*api.SubmitAnswer, error) {
		if rounds.Add(1) <= 6 {
			return nil, &transport.Refusal{Code: string(api.CodeUnknownOutcome), Sentence: "leadership was lost", Retryable: true}
		}
		return &api.SubmitAnswer{ID: e.ID(), Index: 7}, nil
	})
	if a, err := cl.Submit(t.Context(), entry); err != nil || a.Index != 7 || a.Taken {
		t.Errorf("%+v, %v", a, err)
	}

	var calls atomic.Int64
	answer(func(*api.SubmitRequest) (*api.SubmitAnswer, error) {
		calls.Add(1)
		return nil, &transport.Refusal{Code: string(api.CodeRefusedEntry), Sentence: "stale base"}
	})
	if _, err := cl.Submit(t.Context(), entry); !errors.Is(err, client.ErrRefusedEntry) || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}

	answer(func(*api.SubmitRequest) (*api.SubmitAnswer, error) {
		return nil, &transport.Refusal{Code: string(api.CodeUnknownOutcome), Sentence: "leadership was lost", Retryable: true}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := cl.Submit(ctx, entry); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}

	answer(func(*api.SubmitRequest) (*api.SubmitAnswer, error) {
		return &api.SubmitAnswer{Index: 9, Taken: true}, nil
	})
	if _, err := cl.Submit(t.Context(), entry); !errors.Is(err, client.ErrAnswer) {
		t.Errorf("another entry was taken: %v", err)
	}
	if _, err := cl.Submit(t.Context(), []byte("entry")); !errors.Is(err, authority.ErrEntry) {
		t.Error(err)
	}
}

func TestANodeThatMovedIsFound(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	surprised := c.client(t) // it knows all five, and does not hear of the deaths before it asks
	for range 5 {
		opens(t, surprised, envelope)
		time.Sleep(20 * time.Millisecond)
	}
	c.nodes["n1"].kill()
	c.nodes["n2"].kill()
	c.nodes["n3"].kill()
	// n3 comes back elsewhere; n4 knows its claim, and forged ones of n1 and n2.
	moved := c.move(t, "n3")
	forged := c.Claim("n2", 9, moved)
	forged.Node = "n1"
	older := c.Claim("n5", 1, "127.0.0.1:1")
	c.nodes["n4"].with(func() {
		c.nodes["n4"].claims = encodeClaims(forged, older, c.Claim("n3", 2, moved))
	})
	opens(t, surprised, envelope)
	fresh := c.client(t)
	opens(t, fresh, envelope)
	opens(t, cl, envelope)
}

// A node that is asked for itself, as for its seal, is asked where it is, also by a client
// that has called nobody yet.
func TestANodeThatMovedIsAskedWhereItIs(t *testing.T) {
	c := newFakeCluster(t)
	c.nodes["n3"].kill()
	moved := c.move(t, "n3")
	c.nodes["n4"].with(func() { c.nodes["n4"].claims = encodeClaims(c.Claim("n3", 2, moved)) })
	seals := c.client(t).Seals(t.Context(), "n3")
	if len(seals) != 1 || seals[0].Err == nil || strings.Contains(seals[0].Err.Error(), "unreachable") {
		t.Errorf("n3 alone: %+v", seals)
	}
	known := c.client(t)
	known.Status(t.Context())
	claims := known.Claims()
	if len(claims) != 1 {
		t.Fatalf("%d claims are worth keeping", len(claims))
	}
	forged := c.Claim("n1", 9, moved)
	forged.Node = "n2"
	kept := c.client(t, append(encodeClaims(forged), claims...)...)
	for _, s := range kept.Status(t.Context()) {
		if s.Err != nil || (s.Node == "n3") != (s.Address == moved) {
			t.Errorf("with what was kept, %s is asked at %s: %v", s.Node, s.Address, s.Err)
		}
	}
	c.nodes["n5"].kill() // and one that is down is not waited for
	for _, s := range c.client(t).Status(t.Context()) {
		switch {
		case s.Node == "n3" && (s.Err != nil || s.Address != moved), s.Node == "n5" && s.Err == nil, s.Node == "n1" && s.Err != nil:
			t.Errorf("%s is asked at %s: %v", s.Node, s.Address, s.Err)
		}
	}
}

func TestConfigAndClose(t *testing.T) {
	c := newFakeCluster(t)
	if _, err := client.New(client.Config{Genesis: c.Genesis}); !errors.Is(err, client.ErrConfig) {
		t.Error(err)
	}
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	cl.Close()
	if _, err := cl.Unwrap(t.Context(), envelope, testContext, ""); !errors.Is(err, client.ErrQuorum) {
		t.Errorf("after Close: %v", err)
	}
}

// A server that proves another key than the roster's is not talked to.
func TestAnImpostorIsNotTalkedTo(t *testing.T) {
	c := newFakeCluster(t)
	for _, n := range c.nodes {
		n.kill()
		n.cluster = &fakeCluster{Cluster: offline(t), key: c.key}
		n.restart(t)
	}
	_, err := c.client(t).Record(t.Context(), "payroll")
	if !errors.Is(err, transport.ErrPinned) {
		t.Error(err)
	}
}
