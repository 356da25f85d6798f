package authority_test

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

func FuzzParsePublicKey(f *testing.F) {
	w := newWorld(f)
	f.Add(w.nodes[0].PublicKey())
	f.Add(make([]byte, PublicKeySize))
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParsePublicKey(b)
		if err != nil {
			if !errors.Is(err, ErrPublicKey) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if !bytes.Equal(EncodePublicKey(k), b) {
			t.Fatal("a second encoding was read")
		}
	})
}

// FuzzSignature reaches Signature.Verify: nothing verifies but what was signed,
// by whom it was signed.
func FuzzSignature(f *testing.F) {
	w := newWorld(f)
	key, other := w.nodes[0].PublicKey(), w.nodes[1].PublicKey()
	body := []byte("what is signed")
	good, err := w.nodes[0].Sign(nil, tag.NodeSignature, body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, good.Signer[:], good.ASN1, body)
	f.Add(other, good.Signer[:], good.ASN1, body)
	f.Add([]byte{}, []byte{}, []byte{0x30, 0x06, 2, 1, 0, 2, 1, 0}, []byte{})
	f.Fuzz(func(t *testing.T, key, signer, asn1, signed []byte) {
		var s Signature
		copy(s.Signer[:], signer)
		s.ASN1 = asn1
		err := s.Verify(key, tag.NodeSignature, signed)
		if err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrPublicKey) {
			t.Fatalf("unnamed error %v", err)
		}
		if err == nil && s.Signer != FingerprintOf(key) {
			t.Fatal("another signer's")
		}
		if s.Signer == good.Signer && bytes.Equal(asn1, good.ASN1) && (err == nil) != (bytes.Equal(signed, body) && FingerprintOf(key) == good.Signer) {
			t.Fatalf("over %q: %v", signed, err)
		}
		if s.Verify(key, tag.ChangeSignature, signed) == nil && err == nil {
			t.Fatal("one signature for two purposes")
		}
	})
}

// A node vouches for the very point of the chain that it signed, and for no other.
func FuzzVerifyLink(f *testing.F) {
	w := newWorld(f)
	g, link := w.copied(), api.Digest{5}
	good, err := SignLink(nil, w.nodes[1], g.Cluster, "n2", 7, link)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("n2", good, uint64(7), link[:])
	f.Add("n1", good, uint64(7), link[:])
	f.Add("n9", []byte{}, uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, node string, asn1 []byte, index uint64, b []byte) {
		var at api.Digest
		copy(at[:], b)
		err := VerifyLink(g, node, asn1, index, at)
		if err != nil && !errors.Is(err, ErrSignature) {
			t.Fatalf("unnamed error %v", err)
		}
		if bytes.Equal(asn1, good) && (err == nil) != (node == "n2" && index == 7 && at == link) {
			t.Fatalf("%q at %d: %v", node, index, err)
		}
	})
}

// FuzzAddressClaim reaches AddressClaim.Verify.
func FuzzAddressClaim(f *testing.F) {
	w := newWorld(f)
	key, claim := w.nodes[0].PublicKey(), w.doc.Roster[0].Claim
	f.Add(wire.Encode(claim))
	f.Add(wire.Encode(w.doc.Roster[1].Claim))
	f.Add(wire.Encode(AddressClaim{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c AddressClaim
		if wire.Decode(b, &c) != nil {
			return
		}
		err := c.Verify(key)
		if err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrGenesis) {
			t.Fatalf("unnamed error %v", err)
		}
		signed := c
		signed.Signature = claim.Signature
		if err == nil && !bytes.Equal(wire.Encode(signed), wire.Encode(claim)) {
			t.Fatalf("%+v was never claimed", c)
		}
	})
}

func FuzzParseChange(f *testing.F) {
	w := newWorld(f)
	f.Add(KindKey, w.sign(w.change(KindKey)).Body)
	f.Add(KindCA, w.sign(w.change(KindCA)).Body)
	for _, kind := range []string{KindRefresh, KindReshare} {
		c := w.change(kind)
		c.Body = wire.Encode(Renewal{Keys: []api.KeyID{{1}, {2}}, PhaseSeconds: 1, T: 2, F: 1, Holders: []string{"n1", "n2", "n3"}})
		f.Add(kind, w.sign(c).Body)
	}
	adopts := w.change(KindAdopt)
	adopts.Body = wire.Encode(Adopt{Lost: w.signed(w.copied(), w.custodians...).Encode(), Record: (&SignedRecord{}).Encode(), Takers: []string{"n1", "n2", ""}})
	f.Add(KindAdopt, w.sign(adopts).Body)
	escrows := w.change(KindEscrow)
	escrows.Body = wire.Encode(Escrow{Record: (&SignedRecord{}).Encode(), Open: 2})
	f.Add(KindEscrow, w.sign(escrows).Body)
	bad := w.change(KindKey)
	bad.Body = wire.Encode(Order{Purpose: PurposeRoot})
	f.Add(KindKey, w.sign(bad).Body)
	g := w.verified()
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		c, err := ParseChange(&Entry{Kind: kind, Body: body})
		if err != nil {
			if !errors.Is(err, ErrChange) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if c.Kind != kind || !bytes.Equal(wire.Encode(c), body) {
			t.Fatal("a second encoding was read")
		}
		if _, err := VerifyChange(&w.doc, &Entry{Kind: kind, Body: body}); err == nil {
			t.Fatal("a change without signatures has authority")
		}
		if r, err := ParseRenewal(c); err == nil {
			if err := r.Check(c.Kind); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, ErrOrder) {
			t.Fatalf("unnamed error %v", err)
		}
		if _, err := ParseAdopt(c); !errors.Is(err, ErrAdopt) { // nobody has signed a record
			t.Fatalf("adopted, or an unnamed error: %v", err)
		}
		if o, err := ParseEscrow(c); (o == nil) == (err == nil) || err != nil && !errors.Is(err, ErrEscrow) {
			t.Fatalf("neither an order of escrow nor a named error: %v", err)
		}
		if v, err := VerifyEscrow(g, nil, body); v != nil || err == nil { // nobody has signed one
			t.Fatalf("believed as an order of escrow: %v", err)
		}
		o, err := ParseOrder(c)
		if err != nil {
			if !errors.Is(err, ErrOrder) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if o.Check() != nil || o.Cluster != c.Cluster || o.Purpose == PurposeRoot || !bytes.Equal(wire.Encode(o), c.Body) {
			t.Fatalf("%+v was taken for an order", o)
		}
	})
}

func FuzzVerifyRecordSignature(f *testing.F) {
	w := newWorld(f)
	record := &KeyRecord{Cluster: w.doc.Cluster, Version: 1, Epoch: 1, YI: [][]byte{{4}}}
	good, err := SignRecord(nil, w.nodes[0], record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire.Encode(record), good.ASN1)
	f.Add(wire.Encode(KeyRecord{}), good.ASN1)
	f.Add(wire.Encode(record), []byte{})
	f.Fuzz(func(t *testing.T, encoded, asn1 []byte) {
		var r KeyRecord
		if wire.Decode(encoded, &r) != nil {
			return
		}
		err := VerifyRecordSignature(&r, Signature{Signer: good.Signer, ASN1: asn1}, w.nodes[0].PublicKey())
		if err == nil && !bytes.Equal(encoded, wire.Encode(record)) {
			t.Fatalf("%+v was never signed", r)
		}
		if err != nil && !errors.Is(err, ErrSignature) {
			t.Fatalf("unnamed error %v", err)
		}
	})
}
