package ledger_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

var alice = authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/alice"}

func (w *world) changeOf(kind string, body any) authority.Change {
	c := w.change()
	c.Kind, c.Base, c.Body = kind, api.Digest{}, wire.Encode(body)
	return c
}

func (w *world) revoke(sub authority.Subject) *authority.Entry {
	return w.sign(w.changeOf(authority.KindRevoke, authority.Revoke{Subject: sub}), 0, 1)
}

func (w *world) seal(sub authority.Subject) *authority.Entry {
	return w.sign(w.changeOf(authority.KindSeal, authority.Seal{Subject: sub}), 2)
}

func (w *world) lift(id api.Digest) *authority.Entry {
	return w.sign(w.changeOf(authority.KindLift, authority.Lift{Lifts: id}), 0, 1)
}

func (w *world) denied(want bool, sub ...authority.Subject) {
	w.Helper()
	if _, is := w.s.Revoked(sub...); is != want {
		w.Errorf("%v: revoked is %v", sub, is)
	}
}

func TestARevokeDeniesItsSubjectUntilALiftNamesIt(t *testing.T) {
	w := newWorld(t)
	bob := authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/bob"}
	below := authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/alice/more"}
	w.denied(false, alice)
	first, second := w.revoke(alice), w.revoke(alice)
	at := w.accept(first).Index
	w.denied(true, alice)
	w.denied(true, bob, alice)
	w.denied(false, bob, below)
	if d := w.s.DenialBy(first.ID()); d == nil || d.Subject != alice || d.Index != at || d.Change != first.ID() {
		t.Errorf("it is kept as %+v", d)
	}
	w.accept(second)
	w.accept(w.lift(first.ID()))
	w.denied(true, alice) // by the second
	w.accept(w.lift(second.ID()))
	w.denied(false, alice)
	w.accept(w.revoke(alice)) // again, under another id
	w.denied(true, alice)
	w.accept(w.revoke(authority.Subject{Kind: authority.SubjectCA, Name: "apps"}))
	w.accept(w.seal(authority.Subject{Kind: authority.SubjectCluster}))
	decodedAnywhere(t, w, 3)
}

func TestAnIdThatWasLiftedIsNeverTakenAgain(t *testing.T) {
	w := newWorld(t)
	e := w.revoke(alice)
	w.accept(e)
	w.accept(w.lift(e.ID()))
	w.refuse(e.Encode(), ledger.ErrTaken)
	w.refuse(w.lift(e.ID()).Encode(), ledger.ErrLifted)
	w.denied(false, alice)

	// A node may hold one that was never ordered: it can be lifted all the same.
	kept := w.revoke(alice)
	w.accept(w.lift(kept.ID()))
	w.refuse(kept.Encode(), ledger.ErrLifted)
	w.denied(false, alice)
	if l := w.s.LiftOf(kept.ID()); l == nil || l.Index != w.index-1 {
		t.Errorf("the lift is kept as %+v", l)
	}
	policy := w.sign(w.change(), 0, 1)
	w.accept(policy)
	w.refuse(w.lift(policy.ID()).Encode(), ledger.ErrNoDenial)
}

func TestASealNeedsOneCustodianAndALiftAsManyAsGenesisSays(t *testing.T) {
	w := newWorld(t)
	n1 := authority.Subject{Kind: authority.SubjectNode, Name: "n1"}
	all := authority.Subject{Kind: authority.SubjectCluster}
	e := w.seal(n1)
	w.accept(e)
	w.denied(true, n1)
	w.denied(false, all)
	alone := w.sign(w.changeOf(authority.KindLift, authority.Lift{Lifts: e.ID()}), 2)
	w.refuse(alone.Encode(), authority.ErrTooFewSignatures)
	w.denied(true, n1)
	w.accept(w.lift(e.ID()))
	w.denied(false, n1)
	w.accept(w.seal(all))
	w.denied(true, all)
	w.refuse(w.seal(authority.Subject{Kind: authority.SubjectNode, Name: "stranger"}).Encode(), authority.ErrRevoke)
	w.refuse(w.sign(w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice}), 0).Encode(), authority.ErrTooFewSignatures)
	w.denied(false, alice)
}

func TestTheDenialsOfOneSubjectAreBounded(t *testing.T) {
	w := newWorld(t)
	for range ledger.MaxDenialsOfOne {
		w.accept(w.revoke(alice))
	}
	w.refuse(w.revoke(alice).Encode(), ledger.ErrTooMany)
	w.denied(true, alice)
}

func TestDeniesSaysWhichEntriesDeny(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.anchor(n, 1, created+500))
	}
	good := w.revoke(alice)
	forged := *good
	forged.Signatures = append([]authority.Signature(nil), good.Signatures...)
	forged.Signatures[0].ASN1 = good.Signatures[1].ASN1
	late := w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice})
	late.NotAfter = created + 499
	foreign := w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice})
	foreign.Cluster = api.ClusterID{9}
	for _, tt := range []struct {
		sentence string
		entry    *authority.Entry
		want     error
	}{
		{"a revoke", good, nil},
		{"a seal", w.seal(authority.Subject{Kind: authority.SubjectCluster}), nil},
		{"a lift", w.lift(good.ID()), authority.ErrRevoke},
		{"a policy", w.sign(w.change(), 0, 1), authority.ErrRevoke},
		{"a revoke that one signed", w.sign(w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice}), 0), authority.ErrTooFewSignatures},
		{"a revoke with a forged signature", &forged, authority.ErrSignature},
		{"a revoke that has expired", w.sign(late, 0, 1), ledger.ErrExpired},
		{"a revoke for another cluster", w.sign(foreign, 0, 1), authority.ErrChange},
		{"a revoke of nothing", w.revoke(authority.Subject{}), authority.ErrRevoke},
		{"a seal of a stranger", w.seal(authority.Subject{Kind: authority.SubjectNode, Name: "stranger"}), authority.ErrRevoke},
	} {
		id, sub, err := w.s.Denies(tt.entry.Encode())
		if tt.want == nil && (err != nil || id != tt.entry.ID() || sub.Kind == "") || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v, %v", tt.sentence, id, sub, err)
		}
	}
	if _, _, err := w.s.Denies([]byte("junk")); !errors.Is(err, authority.ErrEntry) {
		t.Errorf("junk: %v", err)
	}
}

// What a node keeps beside the ledger denies, is no part of the state, and ends
// with the lift.
func TestWhatIsKeptBesideTheStateDenies(t *testing.T) {
	w := newWorld(t)
	e := w.revoke(alice)
	kept := map[api.Digest]authority.Subject{e.ID(): alice}
	before := w.s
	s := w.s.Denying(kept)
	if _, is := s.Revoked(alice); !is || s.Root() != before.Root() || s.Position() != before.Position() || s.CAsAt() != before.CAsAt() {
		t.Error("it does not deny, or is part of the state")
	}
	w.denied(false, alice)
	if w.s.Denying(nil) != w.s {
		t.Error("nothing kept makes another state")
	}
	w.accept(w.lift(e.ID()))
	if _, is := w.s.Denying(kept).Revoked(alice); !is {
		t.Error("it does not deny what is kept, which a lift that is not committed does not end")
	}
	ca := authority.Subject{Kind: authority.SubjectCA, Name: "apps"}
	one := before.Denying(map[api.Digest]authority.Subject{{1}: ca}).CAsAt()
	two := before.Denying(map[api.Digest]authority.Subject{{1}: ca, {2}: ca}).CAsAt()
	if one == before.CAsAt() || one == two {
		t.Error("the set of CAs has another name only when it is another set")
	}
}

func newCA(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(created/1000, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestARevokedAuthorityIsNotTrusted(t *testing.T) {
	w := newWorld(t)
	apps, more := newCA(t), newCA(t)
	for name, cert := range map[string]*x509.Certificate{"apps": apps, "more": more} {
		w.accept(w.sign(w.changeOf(authority.KindCA, authority.CA{Name: name, Certificate: cert.Raw}), 0, 1))
	}
	trusted := func(want ...*x509.Certificate) {
		t.Helper()
		got := w.s.TrustedCAs()
		if len(got) != len(want) {
			t.Fatalf("%d are trusted", len(got))
		}
		for i := range want {
			if !got[i].Equal(want[i]) {
				t.Errorf("the certificate %d is another one", i)
			}
		}
	}
	trusted(apps, more)
	byName := w.revoke(authority.Subject{Kind: authority.SubjectCA, Name: "apps"})
	for _, e := range []*authority.Entry{byName, w.revoke(ledger.CertificateSubject(more)), w.lift(byName.ID())} {
		at := w.s.CAsAt()
		w.accept(e)
		if w.s.CAsAt() == at {
			t.Errorf("after a %s the set has the same name", e.Kind)
		}
	}
	trusted(apps)
	at := w.s.CAsAt()
	w.accept(w.revoke(alice))
	if w.s.CAsAt() != at {
		t.Error("a principal's revoke makes every chain be verified again")
	}
}
