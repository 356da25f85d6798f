package authority_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

func TestFrames(t *testing.T) {
	w := newWorld(t)
	e := w.sign(w.change(KindKey), w.custodians...)
	b := e.Encode()
	got, err := ParseEntry(b)
	if err != nil || !bytes.Equal(got.Encode(), b) || got.ID() != e.ID() {
		t.Fatal(err)
	}
	for n := range len(b) {
		if _, err := ParseEntry(b[:n]); !errors.Is(err, ErrEntry) {
			t.Fatalf("the first %d bytes of %d: %v", n, len(b), err)
		}
	}
	for name, bad := range map[string][]byte{
		"a byte after its end": append(slices.Clone(b), 0),
		"another magic":        append([]byte("WE2"), b[3:]...),
		"no kind":              {'W', 'E', '1', 0, 0, 0, 0, 0, 0, 0},
		"a kind too long":      append(append([]byte{'W', 'E', '1', 0, 33}, bytes.Repeat([]byte{'a'}, 33)...), 0, 0, 0, 0, 0),
		"an author too long":   append(append([]byte{'W', 'E', '1', 64}, bytes.Repeat([]byte{'a'}, 64)...), 1, 'k', 0, 0, 0, 0, 0),
		"17 signatures":        append(append([]byte{'W', 'E', '1', 0, 1, 'k', 17}, make([]byte, 17*33)...), 0, 0, 0, 0),
		"a body of 4 GiB":      {'W', 'E', '1', 0, 1, 'k', 0, 255, 255, 255, 255},
		"257 KiB":              append(slices.Clone(b), make([]byte, MaxEntrySize)...),
	} {
		if _, err := ParseEntry(bad); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signature is never part of an identifier.
func TestTheSameChangeSignedByOthersIsTheSameChange(t *testing.T) {
	w := newWorld(t)
	a, b := w.sign(w.change(KindKey), w.custodians[0]), w.sign(w.change(KindKey), w.custodians[1:]...)
	if a.ID() != b.ID() {
		t.Error("two ids for one change")
	}
	if s := w.sign(w.change(KindKey), w.custodians[0], w.custodians[0]); len(s.Signatures) != 1 {
		t.Errorf("one custodian stands there %d times", len(s.Signatures))
	}
}

// R11: every field of a change is signed, and is in its id.
func TestEachFieldOfAChangeCounts(t *testing.T) {
	w := newWorld(t)
	e := w.sign(w.change(KindKey), w.custodians[:2]...)
	for name, alter := range map[string]func(*Change){
		"cluster":   func(c *Change) { c.Cluster[0] ^= 1 },
		"kind":      func(c *Change) { c.Kind = KindCA },
		"body":      func(c *Change) { c.Body = append(slices.Clone(c.Body), 0) },
		"base":      func(c *Change) { c.Base[0] ^= 1 },
		"nonce":     func(c *Change) { c.Nonce[0] ^= 1 },
		"not-after": func(c *Change) { c.NotAfter++ },
	} {
		c := w.change(KindKey)
		alter(&c)
		other := NewChange(c)
		if other.ID() == e.ID() {
			t.Errorf("%s is not in the id", name)
		}
		other.Signatures = e.Signatures
		g := w.copied()
		g.Cluster = c.Cluster // so that the cluster, too, is a matter of the signature
		if _, err := VerifyChange(g, other); !errors.Is(err, ErrSignature) {
			t.Errorf("%s is not signed: %v", name, err)
		}
	}
}

func TestCounts(t *testing.T) {
	w := newWorld(t) // ca 1, key 2, policy 3
	c := w.custodians
	other := newWorld(t)
	alter := func(e *Entry, f func(*Entry)) *Entry { f(e); return e }
	foreign := w.change(KindKey)
	foreign.Cluster = other.doc.Cluster
	genesis := w.change(KindGenesis)
	unknown := w.change("zeal")
	statement, err := SignStatement(rand.Reader, w.nodes[0], w.doc.Cluster, "n1", KindOpen, Open{})
	if err != nil {
		t.Fatal(err)
	}
	// Signed by custodians, but under the tag of another kind of object.
	tagged := NewChange(w.change(KindKey))
	for _, s := range c {
		sig, err := s.Sign(rand.Reader, tag.GenesisSignature, tagged.Body)
		if err != nil {
			t.Fatal(err)
		}
		tagged.Signatures = append(tagged.Signatures, sig)
	}
	for _, row := range []struct {
		name  string
		entry *Entry
		want  error
	}{
		{"a key by two", w.sign(w.change(KindKey), c[2], c[0]), nil},
		{"a key by three", w.sign(w.change(KindKey), c...), nil},
		{"a key by one", w.sign(w.change(KindKey), c[0]), ErrTooFewSignatures},
		{"a key by nobody", w.sign(w.change(KindKey)), ErrTooFewSignatures},
		{"a CA by one", w.sign(w.change(KindCA), c[1]), nil},
		{"a CA by nobody", w.sign(w.change(KindCA)), ErrTooFewSignatures},
		{"a policy by three", w.sign(w.change(KindPolicy), c...), nil},
		{"a policy by two", w.sign(w.change(KindPolicy), c[:2]...), ErrTooFewSignatures},
		{"one custodian twice", alter(w.sign(w.change(KindKey), c[0]), func(e *Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), ErrSignature},
		{"one custodian with two signatures", func() *Entry {
			e := w.sign(w.change(KindKey), c[0])
			e.Signatures = append(e.Signatures, w.sign(w.change(KindKey), c[0]).Signatures...)
			return e
		}(), ErrSignature},
		{"two and a stranger", w.sign(w.change(KindKey), c[0], c[1], newSigner(t)), ErrSignature},
		{"one and a stranger", w.sign(w.change(KindKey), c[0], newSigner(t)), ErrSignature},
		{"two nodes", w.sign(w.change(KindKey), w.nodes[0], w.nodes[1]), ErrSignature},
		{"another cluster's custodians", w.sign(w.change(KindKey), other.custodians...), ErrSignature},
		{"another cluster's change", w.sign(foreign, c...), ErrChange},
		{"one in another's name", alter(w.sign(w.change(KindKey), c[0], c[1]), func(e *Entry) { e.Signatures[0].Signer = FingerprintOf(c[2].PublicKey()) }), ErrSignature},
		{"a signature of no bytes", alter(w.sign(w.change(KindKey), c[0], c[1]), func(e *Entry) { e.Signatures[0].ASN1 = nil }), ErrSignature},
		{"a signature too long", alter(w.sign(w.change(KindKey), c[0], c[1]), func(e *Entry) {
			e.Signatures[0].ASN1 = append(slices.Clone(e.Signatures[0].ASN1), make([]byte, 10)...)
		}), ErrSignature},
		{"signatures under another tag", tagged, ErrSignature},
		{"a body altered after signing", alter(w.sign(w.change(KindKey), c...), func(e *Entry) {
			o := w.change(KindKey)
			o.NotAfter = 1 << 60
			e.Body = NewChange(o).Body
		}), ErrSignature},
		{"a frame that says another kind", alter(w.sign(w.change(KindPolicy), c[:2]...), func(e *Entry) { e.Kind = KindCA }), ErrChange},
		{"a frame that says a node wrote it", alter(w.sign(w.change(KindKey), c...), func(e *Entry) { e.Author = "n1" }), ErrChange},
		{"a genesis", &Entry{Kind: KindGenesis, Body: wire.Encode(genesis)}, ErrChange},
		{"an unknown kind", &Entry{Kind: "zeal", Body: wire.Encode(unknown)}, ErrChange},
		{"a node's statement", statement, ErrChange},
		{"a node's statement without its author", &Entry{Kind: KindKey, Body: statement.Body}, ErrChange},
		{"no body", &Entry{Kind: KindKey}, ErrChange},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := VerifyChange(&w.doc, row.entry)
			if !errors.Is(err, row.want) || (got == nil) != (row.want != nil) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
		})
	}
}

func TestOrdersInChanges(t *testing.T) {
	w := newWorld(t)
	read := func(f func(*Change, *Order)) error {
		c, o := w.change(KindKey), w.order()
		f(&c, &o)
		if c.Body != nil {
			c.Body = wire.Encode(o)
		}
		_, err := ParseOrder(&c)
		return err
	}
	if err := read(func(*Change, *Order) {}); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(*Change, *Order){
		"in a change of another kind":  func(c *Change, _ *Order) { c.Kind = KindPolicy },
		"for another cluster":          func(_ *Change, o *Order) { o.Cluster[0] ^= 1 },
		"for a root key":               func(_ *Change, o *Order) { o.Purpose, o.Name = PurposeRoot, "" },
		"with a threshold above its h": func(_ *Change, o *Order) { o.T = 6 },
		"that is not there":            func(c *Change, _ *Order) { c.Body = nil },
	} {
		if err := read(f); !errors.Is(err, ErrOrder) {
			t.Errorf("an order %s: %v", name, err)
		}
	}
}

func TestStatements(t *testing.T) {
	w := newWorld(t)
	sign := func(by int, node, kind string) *Entry {
		e, err := SignStatement(rand.Reader, w.nodes[by], w.doc.Cluster, node, kind, Open{Order: api.Digest{1}, Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := sign(0, "n1", KindOpen)
	s, err := VerifyStatement(&w.doc, good)
	if err != nil || s.Node != "n1" || s.Kind != KindOpen {
		t.Fatal(err)
	}
	alter := func(f func(*Entry)) *Entry { e := sign(0, "n1", KindOpen); f(e); return e }
	body := func(f func(*Statement)) *Entry {
		return alter(func(e *Entry) {
			var s Statement
			if err := wire.Decode(e.Body, &s); err != nil {
				t.Fatal(err)
			}
			f(&s)
			e.Body, e.Author, e.Kind = wire.Encode(s), s.Node, s.Kind
		})
	}
	for _, row := range []struct {
		name  string
		entry *Entry
		want  error
	}{
		{"signed by another node", sign(1, "n1", KindOpen), ErrSignature},
		{"of a node that is not on the roster", sign(0, "n9", KindOpen), ErrStatement},
		{"of a kind that custodians sign", sign(0, "n1", KindKey), ErrStatement},
		{"of an unknown kind", sign(0, "n1", "zeal"), ErrStatement},
		{"in a frame of another author", alter(func(e *Entry) { e.Author = "n2" }), ErrStatement},
		{"in a frame of another kind", alter(func(e *Entry) { e.Kind = KindPost }), ErrStatement},
		{"with another cluster", body(func(s *Statement) { s.Cluster[0] ^= 1 }), ErrStatement},
		{"with another node after signing", body(func(s *Statement) { s.Node = "n2" }), ErrSignature},
		{"with another kind after signing", body(func(s *Statement) { s.Kind = KindPost }), ErrSignature},
		{"with another body after signing", body(func(s *Statement) { s.Body = wire.Encode(Open{Attempt: 2}) }), ErrSignature},
		{"without a signature", alter(func(e *Entry) { e.Signatures = nil }), ErrSignature},
		{"signed twice", alter(func(e *Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), ErrSignature},
		{"signed by a custodian", alter(func(e *Entry) {
			e.Signatures[0], err = w.custodians[0].Sign(rand.Reader, tag.NodeSignature, e.Body)
		}), ErrSignature},
		{"a change", w.sign(w.change(KindKey), w.custodians...), ErrStatement},
		{"no body", &Entry{Author: "n1", Kind: KindOpen}, ErrStatement},
	} {
		if got, err := VerifyStatement(&w.doc, row.entry); !errors.Is(err, row.want) || got != nil {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

func TestKeysAndSigners(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSigner(k); !errors.Is(err, ErrPublicKey) {
		t.Errorf("a key on P-384: %v", err)
	}
	s := newSigner(t)
	if got, err := ParsePublicKey(s.PublicKey()); err != nil || !bytes.Equal(EncodePublicKey(got), s.PublicKey()) {
		t.Errorf("it does not read back: %v", err)
	}
	// R4: one form, on the curve, never the identity.
	compressed := append([]byte{2 + s.PublicKey()[64]&1}, s.PublicKey()[1:33]...)
	hybrid := append([]byte{6}, s.PublicKey()[1:]...)
	for name, b := range map[string][]byte{
		"nothing": nil, "the identity": {0}, "65 zeros": make([]byte, 65), "4 and 64 zeros": append([]byte{4}, make([]byte, 64)...),
		"compressed": compressed, "hybrid": hybrid, "a byte more": append(slices.Clone(s.PublicKey()), 0),
	} {
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooManyRecordSignaturesAreNotCounted(t *testing.T) { // R24
	w := newWorld(t)
	g := w.verified()
	o := w.order()
	e := w.sign(Change{Cluster: o.Cluster, Kind: KindKey, Body: wire.Encode(o)}, w.custodians[:2]...)
	r := KeyRecord{
		Cluster: o.Cluster, Version: 1, Epoch: 1, Order: e.Encode(), Attempt: 1, RosterVersion: 1, RecordVersion: 1,
		YI: make([][]byte, 5),
	}
	r.Key = KeyIDOf(SessionID(r.Cluster, 1, e.ID(), 1, r.LinkBefore))
	s := &SignedRecord{Record: r}
	for _, n := range w.nodes[:3] {
		sig, err := SignRecord(rand.Reader, n, &r)
		if err != nil {
			t.Fatal(err)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	if got, err := s.Verify(g); err != nil || got.Order().Name != "payroll" {
		t.Fatal(err)
	}
	for range MaxSignatures - 3 {
		s.Signatures = append(s.Signatures, s.Signatures[0])
	}
	if _, err := s.Verify(g); err != nil {
		t.Fatalf("as many as there may be: %v", err)
	}
	s.Signatures = append(s.Signatures, s.Signatures[0])
	if _, err := s.Verify(g); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), "17 signatures") {
		t.Errorf("got %v", err)
	}
}

// R3: the record of a symmetric key lists as many set keys as its order's shape has sets,
// and that of another key none.
func TestTheRecordOfASymmetricKey(t *testing.T) {
	w := newWorld(t)
	g := w.verified()
	verifyOf := func(threshold, h, sets int, purpose string, alter func(*KeyRecord)) error {
		t.Helper()
		o := w.order()
		o.Purpose, o.T, o.Holders = purpose, uint32(threshold), o.Holders[:h]
		o.F = uint32(min(1, h-threshold))
		e := w.sign(Change{Cluster: o.Cluster, Kind: KindKey, Body: wire.Encode(o)}, w.custodians[:2]...)
		r := KeyRecord{
			Cluster: o.Cluster, Version: 1, Epoch: 1, Order: e.Encode(), Attempt: 1, RosterVersion: 1, RecordVersion: 1,
		}
		for range sets {
			r.Sets = append(r.Sets, make([]byte, 32))
		}
		r.Key = KeyIDOf(SessionID(r.Cluster, 1, e.ID(), 1, r.LinkBefore))
		alter(&r)
		s := &SignedRecord{Record: r}
		for _, n := range w.nodes[:3] {
			sig, err := SignRecord(rand.Reader, n, &r)
			if err != nil {
				t.Fatal(err)
			}
			s.Signatures = append(s.Signatures, sig)
		}
		_, err := s.Verify(g)
		return err
	}
	for _, shape := range []struct{ t, h, sets int }{{3, 5, 10}, {3, 4, 6}, {3, 3, 3}} {
		if err := verifyOf(shape.t, shape.h, shape.sets, PurposeEncrypt, func(*KeyRecord) {}); err != nil {
			t.Errorf("%d-of-%d: %v", shape.t, shape.h, err)
		}
	}
	verify := func(purpose string, alter func(*KeyRecord)) error {
		t.Helper()
		return verifyOf(3, 5, 10, purpose, alter)
	}
	if err := verify(PurposeEncrypt, func(*KeyRecord) {}); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		purpose string
		alter   func(*KeyRecord)
	}{
		"a set too few":              {PurposeEncrypt, func(r *KeyRecord) { r.Sets = r.Sets[:9] }},
		"a set too many":             {PurposeEncrypt, func(r *KeyRecord) { r.Sets = append(r.Sets, make([]byte, 32)) }},
		"no sets":                    {PurposeEncrypt, func(r *KeyRecord) { r.Sets = nil }},
		"a hash of 31 bytes":         {PurposeEncrypt, func(r *KeyRecord) { r.Sets[3] = make([]byte, 31) }},
		"a public key":               {PurposeEncrypt, func(r *KeyRecord) { r.Y = make([]byte, 65) }},
		"verification keys":          {PurposeEncrypt, func(r *KeyRecord) { r.YI = make([][]byte, 5) }},
		"a second epoch":             {PurposeEncrypt, func(r *KeyRecord) { r.Epoch, r.RecordVersion, r.BornRoster = 2, 2, 1 }},
		"sets of a key that unwraps": {PurposeUnwrap, func(r *KeyRecord) { r.YI = make([][]byte, 5) }},
	} {
		if err := verify(row.purpose, row.alter); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	w := newWorld(f)
	f.Add(w.sign(w.change(KindKey), w.custodians...).Encode())
	e, err := SignStatement(rand.Reader, w.nodes[0], w.doc.Cluster, "n1", KindAddress, w.doc.Roster[0].Claim)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Add([]byte("WE1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), b) {
			t.Fatal("decode then encode is not the identity")
		}
		if c, err := VerifyChange(&w.doc, e); err == nil && c.Cluster != w.doc.Cluster {
			t.Fatal("another cluster's change")
		}
		_, _ = VerifyStatement(&w.doc, e)
	})
}

func FuzzParseSignedRecord(f *testing.F) {
	f.Add((&SignedRecord{Record: KeyRecord{Version: 1}}).Encode())
	w := newWorld(f)
	g := w.verified()
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignedRecord(b)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatal("a second encoding was read")
		}
		if _, err := s.Verify(g); err == nil {
			t.Fatal("a record without signatures is believed")
		}
	})
}
