package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

const theOwner = "spiffe://hospital.example/archive"

// owned is what an owner states of a data set, and the owner's key.
func owned(tb testing.TB, uris ...string) (*Signer, Dataset) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			tb.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, Dataset{
		Cluster: api.ClusterID{1}, Key: api.KeyID{2}, Name: "xrays", Owner: theOwner, Note: "ward 3", Manifest: api.Digest{3}, Size: 9, Time: 5, Certificate: der,
	}
}

// A statement about a data set is its owner's: every field of it is signed, by the key of
// the certificate in it (R11).
func TestADatasetIsItsOwnersWord(t *testing.T) {
	s, d := owned(t, theOwner)
	e, err := SignDataset(rand.Reader, s, d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyDataset(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.VerifyOwner(); err != nil || got.Name != "xrays" || got.Manifest != d.Manifest {
		t.Errorf("%+v: %v", got, err)
	}
	for i := range e.Body {
		altered := *e
		altered.Body = slices.Clone(e.Body)
		altered.Body[i] ^= 1
		if _, err := VerifyDataset(&altered); !errors.Is(err, ErrDataset) {
			t.Fatalf("byte %d may be another: %v", i, err)
		}
	}
	other, _ := owned(t, theOwner)
	stolen, err := SignDataset(rand.Reader, other, d) // with the owner's certificate
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := VerifyDataset(stolen); err != nil || !errors.Is(theirs.VerifyOwner(), ErrDataset) {
		t.Errorf("another's certificate: %v", err)
	}
	for sentence, uris := range map[string][]string{"another's name": {"spiffe://hospital.example/other"}, "no name": nil, "two names": {theOwner, "spiffe://hospital.example/other"}} {
		s, d := owned(t, uris...)
		d.Owner = theOwner
		e, err := SignDataset(rand.Reader, s, d)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := VerifyDataset(e); err != nil || !errors.Is(d.VerifyOwner(), ErrDataset) {
			t.Errorf("a certificate of %s: %v", sentence, err)
		}
	}
}

// What breaks a bound or a frame is no statement.
func TestADatasetHasItsForm(t *testing.T) {
	for sentence, alter := range map[string]func(d *Dataset){
		"no key":                 func(d *Dataset) { d.Key = api.KeyID{} },
		"no name":                func(d *Dataset) { d.Name = "" },
		"no owner":               func(d *Dataset) { d.Owner = "archive" },
		"a long note":            func(d *Dataset) { d.Note = strings.Repeat("x", MaxDatasetNote+1) },
		"a length without hash":  func(d *Dataset) { d.Manifest = api.Digest{} },
		"no certificate":         func(d *Dataset) { d.Certificate = nil },
		"too long a certificate": func(d *Dataset) { d.Certificate = make([]byte, MaxOwnerCertificate+1) },
	} {
		s, d := owned(t, theOwner)
		alter(&d)
		if _, err := SignDataset(rand.Reader, s, d); !errors.Is(err, ErrDataset) {
			t.Errorf("%s is signed: %v", sentence, err)
		}
		d.Public = s.PublicKey()
		if _, err := VerifyDataset(&Entry{Kind: KindDataset, Signatures: make([]Signature, 1), Body: wire.Encode(d)}); !errors.Is(err, ErrDataset) {
			t.Errorf("%s is read: %v", sentence, err)
		}
	}
	s, d := owned(t, theOwner)
	e, err := SignDataset(rand.Reader, s, d)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, alter := range map[string]func(e *Entry){
		"a node's frame":   func(e *Entry) { e.Author = "n1" },
		"of another kind":  func(e *Entry) { e.Kind = KindGrant },
		"without a signer": func(e *Entry) { e.Signatures = nil },
		"with two signers": func(e *Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) },
	} {
		altered := *e
		altered.Signatures = slices.Clone(e.Signatures)
		alter(&altered)
		if _, err := VerifyDataset(&altered); !errors.Is(err, ErrDataset) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// Whatever an entry holds, there is no panic, and nothing is believed that nobody signed.
func FuzzVerifyDataset(f *testing.F) {
	s, d := owned(f, theOwner)
	e, err := SignDataset(rand.Reader, s, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		d, err := VerifyDataset(e)
		if err != nil {
			if !errors.Is(err, ErrDataset) {
				t.Fatal(err)
			}
			return
		}
		if err := d.VerifyOwner(); err != nil && !errors.Is(err, ErrDataset) {
			t.Fatal(err)
		}
	})
}
