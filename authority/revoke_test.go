package authority_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

const someHash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func (w *world) denial(kind string, sub Subject) Change {
	body := wire.Encode(Revoke{Subject: sub})
	if kind == KindSeal {
		body = wire.Encode(Seal{Subject: sub})
	}
	return Change{Cluster: w.doc.Cluster, Kind: kind, Body: body, Nonce: [16]byte{2}, NotAfter: 3}
}

func TestWhatARevokeAndASealMayName(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		sentence string
		kind     string
		sub      Subject
		good     bool
	}{
		{"a principal", KindRevoke, Subject{SubjectPrincipal, "spiffe://demo/app"}, true},
		{"a principal that is no SPIFFE ID", KindRevoke, Subject{SubjectPrincipal, "app"}, false},
		{"a principal without a path", KindRevoke, Subject{SubjectPrincipal, "spiffe://demo"}, false},
		{"a principal with a zero byte", KindRevoke, Subject{SubjectPrincipal, "spiffe://demo/a\x00b"}, false},
		{"a principal of 2,049 bytes", KindRevoke, Subject{SubjectPrincipal, "spiffe://demo/" + strings.Repeat("a", 2049-14)}, false},
		{"a certificate's key", KindRevoke, Subject{SubjectCertificate, someHash}, true},
		{"a certificate's key in upper case", KindRevoke, Subject{SubjectCertificate, strings.ToUpper(someHash)}, false},
		{"a key", KindRevoke, Subject{SubjectKey, someHash}, true},
		{"a key by its name", KindRevoke, Subject{SubjectKey, "payroll"}, false},
		{"an authority", KindRevoke, Subject{SubjectCA, "apps"}, true},
		{"an authority whose name is a path", KindRevoke, Subject{SubjectCA, "../apps"}, false},
		{"nothing", KindRevoke, Subject{}, false},
		{"a kind that is not there", KindRevoke, Subject{"policy", "x"}, false},
		{"a node, to revoke", KindRevoke, Subject{SubjectNode, "n1"}, false},
		{"the cluster, to revoke", KindRevoke, Subject{SubjectCluster, ""}, false},
		{"a node, to seal", KindSeal, Subject{SubjectNode, "n1"}, true},
		{"the cluster, to seal", KindSeal, Subject{SubjectCluster, ""}, true},
		{"a cluster of a name, to seal", KindSeal, Subject{SubjectCluster, "n1"}, false},
		{"a principal, to seal", KindSeal, Subject{SubjectPrincipal, "spiffe://demo/app"}, false},
	} {
		c := w.denial(tt.kind, tt.sub)
		sub, err := ParseDenial(&c)
		if tt.good && (err != nil || sub != tt.sub) || !tt.good && !errors.Is(err, ErrRevoke) {
			t.Errorf("%s: %v, %v", tt.sentence, sub, err)
		}
	}
	good := w.denial(KindRevoke, Subject{SubjectCA, "apps"})
	for sentence, alter := range map[string]func(*Change){
		"over a base":     func(c *Change) { c.Base = api.Digest{1} },
		"of another kind": func(c *Change) { c.Kind = KindPolicy },
		"of no body":      func(c *Change) { c.Body = nil },
		"with more":       func(c *Change) { c.Body = append(bytes.Clone(c.Body), 0) },
	} {
		c := good
		alter(&c)
		if _, err := ParseDenial(&c); !errors.Is(err, ErrRevoke) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func TestALiftNamesOneID(t *testing.T) {
	w := newWorld(t)
	lift := func(id api.Digest) Change {
		return Change{Cluster: w.doc.Cluster, Kind: KindLift, Body: wire.Encode(Lift{Lifts: id}), NotAfter: 3}
	}
	c := lift(api.Digest{7})
	if id, err := ParseLift(&c); err != nil || id != (api.Digest{7}) {
		t.Fatal(id, err)
	}
	none, based, other, garbled := lift(api.Digest{}), lift(api.Digest{7}), lift(api.Digest{7}), lift(api.Digest{7})
	based.Base, other.Kind, garbled.Body = api.Digest{1}, KindRevoke, []byte("junk")
	for sentence, c := range map[string]Change{"no id": none, "over a base": based, "of another kind": other, "junk": garbled} {
		if _, err := ParseLift(&c); !errors.Is(err, ErrRevoke) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// The counts are those of genesis: one may seal where more must lift.
func TestSealingLiftingAndRevokingHaveCountsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	c := w.custodians
	lift := Change{Cluster: w.doc.Cluster, Kind: KindLift, Body: wire.Encode(Lift{Lifts: api.Digest{7}}), NotAfter: 3}
	seal, revoke := w.denial(KindSeal, Subject{SubjectNode, "n1"}), w.denial(KindRevoke, Subject{SubjectCA, "apps"})
	for _, tt := range []struct {
		sentence string
		entry    *Entry
		want     error
	}{
		{"a seal by one", w.sign(seal, c[0]), nil},
		{"a seal by nobody", w.sign(seal), ErrTooFewSignatures},
		{"a revoke by one", w.sign(revoke, c[0]), ErrTooFewSignatures},
		{"a revoke by two", w.sign(revoke, c[0], c[1]), nil},
		{"a lift by two", w.sign(lift, c[0], c[1]), ErrTooFewSignatures},
		{"a lift by three", w.sign(lift, c...), nil},
	} {
		if _, err := VerifyChange(&w.doc, tt.entry); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v", tt.sentence, err)
		}
	}
}

func FuzzParseDenial(f *testing.F) {
	f.Add(KindRevoke, wire.Encode(Revoke{Subject: Subject{SubjectCA, "apps"}}))
	f.Add(KindSeal, wire.Encode(Seal{Subject: Subject{SubjectCluster, ""}}))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		sub, err := ParseDenial(&Change{Kind: kind, Body: body})
		if err != nil {
			if !errors.Is(err, ErrRevoke) {
				t.Fatal(err)
			}
			return
		}
		if sub.Check() != nil || !bytes.Equal(wire.Encode(Revoke{Subject: sub}), body) {
			t.Fatalf("%v has a second encoding", sub)
		}
	})
}

func FuzzParseLift(f *testing.F) {
	f.Add(wire.Encode(Lift{Lifts: api.Digest{7}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := ParseLift(&Change{Kind: KindLift, Body: body})
		if err != nil {
			if !errors.Is(err, ErrRevoke) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(wire.Encode(Lift{Lifts: id}), body) {
			t.Fatal("a second encoding")
		}
	})
}

// R11: each field of a receipt counts, and it is its node's.
func TestAReceiptIsItsNodesAndAboutOneChange(t *testing.T) {
	w := newWorld(t)
	r := RevokeReceipt{
		Cluster: w.doc.Cluster, Node: "n1", Revoke: api.Digest{7}, Subject: Subject{SubjectCA, "apps"}, Index: 9, Keys: api.Digest{8}, Roster: 1,
	}
	good, err := SignReceipt(nil, w.nodes[0], r)
	if err != nil {
		t.Fatal(err)
	}
	known := Begin(w.verified())
	if err := good.Verify(known, api.Digest{7}); err != nil {
		t.Fatal(err)
	}
	for sentence, alter := range map[string]func(*SignedReceipt){
		"another node":    func(s *SignedReceipt) { s.Receipt.Node = "n2" },
		"a stranger":      func(s *SignedReceipt) { s.Receipt.Node = "stranger" },
		"another cluster": func(s *SignedReceipt) { s.Receipt.Cluster[0] ^= 1 },
		"another change":  func(s *SignedReceipt) { s.Receipt.Revoke = api.Digest{8} },
		"another subject": func(s *SignedReceipt) { s.Receipt.Subject.Name = "more" },
		"no subject":      func(s *SignedReceipt) { s.Receipt.Subject = Subject{} },
		"another index":   func(s *SignedReceipt) { s.Receipt.Index++ },
		"another roster":  func(s *SignedReceipt) { s.Receipt.Roster = 2 },
		"no roster":       func(s *SignedReceipt) { s.Receipt.Roster = 0 },
		"made otherwise":  func(s *SignedReceipt) { s.Receipt.Roll = api.Digest{1} },
		"other keys":      func(s *SignedReceipt) { s.Receipt.Keys[0] ^= 1 },
		"unsigned":        func(s *SignedReceipt) { s.Signature = Signature{} },
	} {
		s := *good
		alter(&s)
		if err := s.Verify(known, api.Digest{7}); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if err := good.Verify(known, api.Digest{8}); !errors.Is(err, ErrReceipt) {
		t.Errorf("asked about another change: %v", err)
	}
}

// FuzzParseSignedReceipt reaches SignedReceipt.Verify.
func FuzzParseSignedReceipt(f *testing.F) {
	w := newWorld(f)
	good, err := SignReceipt(nil, w.nodes[0], RevokeReceipt{Cluster: w.doc.Cluster, Node: "n1", Revoke: api.Digest{7}, Subject: Subject{SubjectCA, "apps"}, Roster: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Encode())
	known := Begin(w.verified())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignedReceipt(b)
		if err != nil {
			if !errors.Is(err, ErrReceipt) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatal("a second encoding was read")
		}
		if s.Verify(known, api.Digest{7}) == nil && s.Receipt != good.Receipt {
			t.Fatal("a receipt that nobody signed")
		}
	})
}
