package authority_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// An owner's part is believed for the order and the cluster that it names, from the
// owner whom that order names.
func TestTheOwnersPartInAnImport(t *testing.T) {
	w := newWorld(t)
	dealer, stranger := newSigner(t), newSigner(t)
	order := &Order{Name: "payroll", Import: &Import{Y: stranger.PublicKey(), Dealer: dealer.PublicKey()}}
	verify := func(s *Signer, cluster api.ClusterID, kind string, alter func(*Entry)) error {
		e, err := SignImport(rand.Reader, s, cluster, api.Digest{1}, kind, Open{Order: api.Digest{1}, Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		alter(e)
		p, err := ParseImport(e)
		if err != nil {
			return err
		}
		return VerifyImport(w.doc.Cluster, order, e, p)
	}
	as := func(*Entry) {}
	for name, tt := range map[string]struct{ got, want error }{
		"as it is":          {verify(dealer, w.doc.Cluster, KindImportOpen, as), nil},
		"of another":        {verify(stranger, w.doc.Cluster, KindImportOpen, as), ErrSignature},
		"for another":       {verify(dealer, api.ClusterID{9}, KindImportOpen, as), ErrImport},
		"of another kind":   {verify(dealer, w.doc.Cluster, KindOpen, as), ErrImport},
		"in another frame":  {verify(dealer, w.doc.Cluster, KindImportOpen, func(e *Entry) { e.Kind = KindImportPost }), ErrImport},
		"of a node":         {verify(dealer, w.doc.Cluster, KindImportOpen, func(e *Entry) { e.Author = "n1" }), ErrImport},
		"not signed":        {verify(dealer, w.doc.Cluster, KindImportOpen, func(e *Entry) { e.Signatures = nil }), ErrSignature},
		"of other bytes":    {verify(dealer, w.doc.Cluster, KindImportOpen, func(e *Entry) { e.Body[len(e.Body)-1] ^= 1 }), ErrSignature},
		"of no bytes":       {verify(dealer, w.doc.Cluster, KindImportOpen, func(e *Entry) { e.Body = nil }), ErrImport},
		"of no proper kind": {verify(dealer, w.doc.Cluster, "import", as), ErrImport},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, tt.got, tt.want)
		}
	}
	order.Import = nil
	if err := verify(dealer, w.doc.Cluster, KindImportOpen, as); !errors.Is(err, ErrImport) {
		t.Errorf("for a birth: %v", err)
	}
}

// FuzzParseImport reaches VerifyImport.
func FuzzParseImport(f *testing.F) {
	w := newWorld(f)
	dealer := newSigner(f)
	order := &Order{Import: &Import{Y: newSigner(f).PublicKey(), Dealer: dealer.PublicKey()}}
	good, err := SignImport(rand.Reader, dealer, w.doc.Cluster, api.Digest{1}, KindImportPost, Post{Session: api.Digest{2}, Kind: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Body)
	f.Add(wire.Encode(ImportPart{Kind: KindImportOpen}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &Entry{Kind: KindImportPost, Signatures: good.Signatures, Body: b}
		p, err := ParseImport(e)
		if err != nil {
			if !errors.Is(err, ErrImport) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := VerifyImport(w.doc.Cluster, order, e, p); (err == nil) != (string(b) == string(good.Body)) {
			t.Errorf("%x: %v", b, err)
		}
	})
}

// The next version of a key that was imported is born in shares, and no copy of it is whole.
func TestTheNextVersionOfAnImportIsBorn(t *testing.T) {
	imported := &Order{
		Cluster: api.ClusterID{1}, Purpose: PurposeUnwrap, Name: "legacy", T: 2, F: 1, Holders: []string{"n1", "n2", "n3"}, PhaseSeconds: 60,
		Import: &Import{Y: newSigner(t).PublicKey(), Dealer: newSigner(t).PublicKey()},
	}
	if err := imported.Check(); err != nil {
		t.Fatal(err)
	}
	next := imported.Next(api.KeyID{7}, 2)
	if err := next.Check(); err != nil {
		t.Error(err)
	}
	if next.Import != nil || next.Key == nil || *next.Key != (api.KeyID{7}) || next.Version != 2 || next.Name != imported.Name {
		t.Errorf("it is %+v", next)
	}
}
