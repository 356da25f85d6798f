package ceremony

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// Holders take part in an import, which its owner opens; the key that they have shares of
// is the owner's, and is refreshed as one that was born.
func TestHoldersTakePartInAnImport(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dealer, err := authority.NewSigner(s.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	o := authority.Order{
		Cluster: s.Genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: "whole", T: 2, F: 1, Holders: all, PhaseSeconds: 60,
		Import: &authority.Import{Y: group.BaseMul(x).Bytes(), Dealer: dealer.PublicKey()},
	}
	ordered := s.Apply(s.Change(authority.KindKey, wire.Encode(o), api.Digest{}))
	if ordered.Err != nil {
		t.Fatal(ordered.Err)
	}
	before := len(s.posts)
	for range 20 {
		s.tick(all...)
	}
	if after := slices.DeleteFunc(slices.Clone(s.posts[before:]), func(p string) bool { return strings.HasSuffix(p, authority.KindRecord) }); len(after) > 0 {
		t.Fatalf("without the owner: %v", after)
	}
	say := func(kind string, body any) {
		t.Helper()
		e, err := authority.SignImport(rand.Reader, dealer, s.Genesis.Cluster, ordered.ID, kind, body)
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Apply(e.Encode()); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	say(authority.KindImportOpen, authority.Open{Order: ordered.ID, Attempt: 1})
	run := s.State().OrderByHash(ordered.ID).Live
	owner, err := dkg.NewParticipant(s.State().Session(run).Board.Session(), 4, []*group.Scalar{x}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.until("it is imported", func() bool {
		ready, err := owner.Step(s.State().Session(run).Board.View(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if ready.Post != nil {
			say(authority.KindImportPost, authority.Post{Session: run, Kind: uint32(ready.Post.Kind), Body: ready.Post.Body})
		}
		return s.State().KeyNamed("whole") != nil
	}, all...)
	k := s.State().KeyNamed("whole")
	if !s.State().Imported(k.ID) || k.Struck != nil {
		t.Fatalf("%+v", k)
	}
	s.checkShares(k, all...)
	of := func(e *ledger.Epoch, node string) *group.Scalar { return s.shares[node][held{e.Session, k.ID}] }
	if !opens(t, group.BaseMul(x).Bytes(), map[sharing.Index]*group.Scalar{1: of(&k.Epoch, "n1"), 3: of(&k.Epoch, "n3")}) {
		t.Error("two shares do not make the key that was whole")
	}
	s.checkGone(all...)
	s.until("its record is signed", func() bool { return s.State().Key(k.ID).Vouched() }, all...)
	s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{k.ID}})
	s.until("it is refreshed", func() bool { return s.State().Key(k.ID).Number == 2 }, all...)
	next := s.State().Key(k.ID)
	if !opens(t, group.BaseMul(x).Bytes(), map[sharing.Index]*group.Scalar{2: of(&next.Epoch, "n2"), 3: of(&next.Epoch, "n3")}) {
		t.Error("the new shares do not make the key that was whole")
	}
}
