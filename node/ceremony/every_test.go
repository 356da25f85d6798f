package ceremony

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// Nodes order the next version when the period of the key's order is over, and bear it.
// For other holders than those of the order they order none.
func TestNodesOrderTheVersionThatIsDue(t *testing.T) {
	const day = authority.MinEvery * 1000
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	for _, name := range []string{"demo", "moved"} {
		o := s.Genesis.Root
		o.Purpose, o.Name, o.RotateEvery = authority.PurposeUnwrap, name, authority.MinEvery
		if r := s.Apply(s.Change(authority.KindKey, wire.Encode(o), api.Digest{})); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	key := func() *ledger.Key { return s.State().KeyNamed("demo") }
	moved := func() *ledger.Key { return s.State().KeyNamed("moved") }
	s.until("they are born and signed", func() bool {
		return key() != nil && len(key().Signed) == 3 && moved() != nil && len(moved().Signed) == 3
	}, all...)
	s.order(authority.KindReshare, authority.Renewal{T: 2, Holders: []string{"n3", "n1"}, Keys: []api.KeyID{moved().ID}})
	s.until("one is reshared", func() bool { return len(s.State().Renewals()) == 0 && len(moved().Signed) == 2 }, all...)
	s.Pass(day - 1_000)
	s.tick(all...)
	if len(s.State().OrdersOf("n1")) != 0 {
		t.Fatal("a next version is ordered before its time")
	}
	s.Pass(1_000)
	s.until("version 2 is born and signed", func() bool { return key().Version == 2 && len(key().Signed) == 3 }, all...)
	s.checkShares(key(), all...)
	if r, err := s.State().SignedRecord(key(), &key().Epoch).Verify(s.Genesis); err != nil || r.Version != 2 {
		t.Fatal(err)
	}

	if err := s.Say("n1", authority.KindNextVersion, authority.NextVersion{Key: moved().ID, Version: 2}); !errors.Is(err, ledger.ErrOtherHolders) {
		t.Errorf("among holders that its order does not name: %v", err)
	}
	if due := s.State().VersionsDue(9); len(due) != 0 {
		t.Errorf("due are %v", due)
	}
	if late := s.State().VersionsLate(3600_000, 9); len(late) != 0 {
		t.Errorf("late at once: %v", late)
	}
	s.Pass(3600_001)
	if late := s.State().VersionsLate(3600_000, 9); len(late) != 1 || late[0] != moved().ID {
		t.Errorf("late is what no node orders: %v", late)
	}
}
