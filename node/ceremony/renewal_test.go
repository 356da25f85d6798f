package ceremony

import (
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// bear orders a key and lets it be born and signed.
func (s *stage) bear(names ...string) {
	s.t.Helper()
	s.until("the root key is born", s.rootBorn, all...)
	for _, name := range names {
		if r := s.Apply(s.Order(name)); r.Err != nil {
			s.t.Fatal(r.Err)
		}
	}
	s.until("the keys are born and signed", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool {
			k := s.State().KeyNamed(name)
			return k == nil || len(k.Signed) < 3
		})
	}, all...)
}

func (s *stage) order(kind string, r authority.Renewal) api.Digest {
	s.t.Helper()
	result := s.Apply(s.Renewal(kind, r))
	if result.Err != nil {
		s.t.Fatal(result.Err)
	}
	return result.ID
}

// opens says whether these shares, by index, are of this public key.
func opens(t *testing.T, y []byte, shares map[sharing.Index]*group.Scalar) bool {
	t.Helper()
	want, err := group.DecodePoint(y)
	if err != nil {
		t.Fatal(err)
	}
	var quorum []sharing.Index
	var points []*group.Point
	for i, x := range shares {
		quorum, points = append(quorum, i), append(points, group.BaseMul(x))
	}
	got, err := sharing.Interpolate(1, quorum, points)
	if err != nil {
		t.Fatal(err)
	}
	return got.Equal(want)
}

// A refresh gives every holder another share of the same key. Shares of two epochs open
// nothing together (R10). The old one goes on for the overlap, and is retired then.
func TestARefreshChangesSharesAndNotTheKey(t *testing.T) {
	s := newStage(t)
	s.bear("one", "two")
	before := s.State().KeyNamed("one")
	order := s.order(authority.KindRefresh, authority.Renewal{})
	s.until("both are refreshed", func() bool { return len(s.State().Renewals()) == 0 }, all...)
	for _, name := range []string{"one", "two"} {
		k := s.State().KeyNamed(name)
		if k.Number != 2 || k.Record.Epoch != 2 || k.Record.RecordVersion != 2 || k.Struck != nil {
			t.Fatalf("%s is %+v", name, k.Epoch)
		}
		s.checkShares(k, all...)
	}
	if r := s.State().Renewal(order); r == nil || r.Total != 2 || r.Left != 0 || r.Attempt != 1 || r.Ended == 0 {
		t.Errorf("the order is %+v: both keys go in one run", r)
	}
	k := s.State().KeyNamed("one")
	if string(k.Record.Y) != string(before.Record.Y) || string(k.Record.W) != string(before.Record.W) {
		t.Error("the public key has changed")
	}
	of := func(e *ledger.Epoch, node string) *group.Scalar { return s.shares[node][held{e.Session, k.ID}] }
	for i, a := range all {
		if of(&before.Epoch, a).Equal(of(&k.Epoch, a)) {
			t.Errorf("%s has the share it had", a)
		}
		for j, b := range all {
			if i == j {
				continue
			}
			x, y := sharing.Index(i+1), sharing.Index(j+1)
			if !opens(t, k.Record.Y, map[sharing.Index]*group.Scalar{x: of(&k.Epoch, a), y: of(&k.Epoch, b)}) {
				t.Errorf("the new shares of %s and %s do not make the key", a, b)
			}
			if opens(t, k.Record.Y, map[sharing.Index]*group.Scalar{x: of(&before.Epoch, a), y: of(&k.Epoch, b)}) {
				t.Errorf("shares of two epochs make the key")
			}
		}
	}
	signed := func() bool {
		return len(s.State().KeyNamed("one").Signed) == 3 && len(s.State().KeyNamed("two").Signed) == 3
	}
	s.until("the new records are signed", signed, all...)
	if n := len(s.State().LiveEpochs()); n != 4 {
		t.Errorf("%d epochs live", n)
	}
	s.tick(all...)
	if n := len(s.State().Overlapping()); n != 2 {
		t.Fatalf("%d overlap before the window is over", n)
	}
	s.Pass(ledger.Overlap)
	s.until("the old epochs are retired", func() bool { return len(s.State().Overlapping()) == 0 }, all...)
	if n := len(s.State().LiveEpochs()); n != 2 {
		t.Errorf("%d epochs live", n)
	}
	for _, node := range all {
		if n := len(s.State().Unerased(node, 100)); n != 2 {
			t.Errorf("%s is asked to erase %d epochs", node, n)
		}
	}
	s.checkGone(all...)
}

// A reshare gives a key to other holders and another threshold.
func TestAReshareGivesAKeyToOtherHolders(t *testing.T) {
	s := newStage(t)
	s.bear("demo")
	before := s.State().KeyNamed("demo")
	s.order(authority.KindReshare, authority.Renewal{T: 2, F: 0, Holders: []string{"n3", "n1"}})
	s.until("it is reshared", func() bool { return len(s.State().Renewals()) == 0 }, all...)
	k := s.State().KeyNamed("demo")
	if k.Number != 2 || k.T != 2 || !slices.Equal(k.Holders, []string{"n3", "n1"}) || k.IndexOf("n2") != 0 || len(k.Record.YI) != 2 {
		t.Fatalf("it is %+v", k.Epoch)
	}
	s.checkShares(k, "n1", "n3")
	if s.shares["n2"][held{k.Session, k.ID}] != nil {
		t.Error("who left was given a share")
	}
	s.until("the record is signed", func() bool { return len(s.State().KeyNamed("demo").Signed) == 2 }, all...)
	k = s.State().KeyNamed("demo")
	signed := s.State().SignedRecord(k, s.State().Believable(k))
	r, err := signed.Verify(s.Genesis)
	if err != nil || r.Order().T != 2 || r.Epoch != 2 || !slices.Equal(r.Order().Holders, k.Holders) || r.Birth().H() != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if string(k.Record.Y) != string(before.Record.Y) {
		t.Error("the public key has changed")
	}
	s.checkGone(all...)
}

// A holder that is down when its key is refreshed holds nothing, and the next refresh
// gives it a share again.
func TestAStruckHolderIsRepairedByTheNextRefresh(t *testing.T) {
	s := newStageOf(t, 2, 4)
	four := []string{"n1", "n2", "n3", "n4"}
	s.until("the root key is born", s.rootBorn, four...)
	if r := s.Apply(s.Order("demo")); r.Err != nil {
		t.Fatal(r.Err)
	}
	s.until("it is born", func() bool { k := s.State().KeyNamed("demo"); return k != nil && len(k.Signed) == 4 }, four...)
	s.order(authority.KindRefresh, authority.Renewal{})
	s.until("it is refreshed without n4", func() bool { return s.State().KeyNamed("demo").Number == 2 }, four[:3]...)
	k := s.State().KeyNamed("demo")
	if !slices.Equal(k.Struck, []string{"n4"}) {
		t.Fatalf("struck: %v", k.Struck)
	}
	s.until("the record is signed", func() bool { return len(s.State().KeyNamed("demo").Signed) == 3 }, four[:3]...)
	s.Pass(ledger.Overlap)
	s.until("the old epoch is retired", func() bool { return len(s.State().Overlapping()) == 0 }, four...)
	s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{k.ID}})
	s.until("it is refreshed", func() bool { return s.State().KeyNamed("demo").Number == 3 }, four...)
	if k = s.State().KeyNamed("demo"); k.Struck != nil {
		t.Fatalf("struck: %v", k.Struck)
	}
	s.checkShares(k, four...)
}

// R43: one run at a time, whatever it is about.
func TestOneRefreshRunsAtATime(t *testing.T) {
	s := newStage(t)
	s.bear("one", "two")
	for _, name := range []string{"one", "two"} {
		s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{s.State().KeyNamed(name).ID}})
	}
	most := 0
	s.until("both are refreshed", func() bool {
		running := 0
		for _, r := range s.State().Renewals() {
			if !r.Live.IsZero() {
				running++
			}
		}
		most = max(most, running)
		return len(s.State().Renewals()) == 0
	}, all...)
	if most != 1 {
		t.Errorf("%d ran at once", most)
	}
	if n := len(slices.DeleteFunc(slices.Clone(s.posts), func(p string) bool { return !strings.HasSuffix(p, authority.KindOpen) })); n != 5 {
		t.Errorf("%d runs were opened, %v", n, s.posts)
	}
}
