package ceremony

import (
	"maps"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// pool puts a pool of a size among the holders of the root key; of none, it ends it.
func (s *stage) pool(size uint32) {
	s.t.Helper()
	g := &s.Genesis.Root
	p, base := authority.Pool{Name: "web"}, api.Digest{}
	if size > 0 {
		p = authority.Pool{Name: "web", Size: size, T: g.T, F: g.F, Holders: g.Holders, PhaseSeconds: trial.PhaseSeconds, LifeSeconds: authority.MaxPoolLife}
	}
	if before := s.State().Pool("web"); before != nil {
		base = before.Order
	}
	if r := s.Apply(s.Change(authority.KindPool, wire.Encode(p), base)); r.Err != nil {
		s.t.Fatal(r.Err)
	}
}

func (s *stage) waiting() []*ledger.Pooled {
	if p := s.State().Pool("web"); p != nil {
		return s.State().Pooled(p)
	}
	return nil
}

// checkPooled holds the shares of a key that waits against its verification keys.
func (s *stage) checkPooled(k *ledger.Pooled) {
	s.t.Helper()
	for i, node := range all {
		yi, err := group.DecodePoint(k.Record.YI[i])
		if err != nil {
			s.t.Fatal(err)
		}
		if share := s.shares[node][held{k.Session, k.ID}]; share == nil || !group.BaseMul(share).Equal(yi) {
			s.t.Errorf("%s has no share that fits", node)
		}
	}
}

// Nodes fill a pool by themselves, and again when more than half of it is taken. Of a key
// that is taken the record is all that is left to sign.
func TestNodesFillAPool(t *testing.T) {
	s := newStage(t)
	s.pool(3)
	s.until("the pool is full", func() bool { return len(s.waiting()) == 3 }, all...)
	for _, k := range s.waiting() {
		s.checkPooled(k)
	}
	s.checkGone(all...)
	before := len(s.posts)
	first := s.waiting()[0]
	if r := s.Apply(s.Order("a")); r.Err != nil {
		t.Fatal(r.Err)
	}
	if k := s.State().KeyNamed("a"); k == nil || k.ID != first.ID {
		t.Fatal("the order's own entry gives it no key")
	}
	s.until("its record is signed", func() bool { return len(s.State().KeyNamed("a").Signed) == 3 }, all...)
	if rest := s.posts[before:]; len(rest) != 3 || slices.ContainsFunc(rest, func(p string) bool { return p[3:] != authority.KindRecord }) {
		t.Errorf("beside the order it took %v", rest)
	}
	s.checkShares(s.State().KeyNamed("a"), all...)
	for range 20 {
		s.tick(all...)
	}
	if len(s.waiting()) != 2 {
		t.Fatal("it was filled when more than half was there")
	}
	if r := s.Apply(s.Order("b")); r.Err != nil {
		t.Fatal(r.Err)
	}
	s.until("it is full again", func() bool { return len(s.waiting()) == 3 }, all...)
	s.checkGone(all...)
	if len(s.refused) > 0 {
		t.Errorf("refused: %v", s.refused)
	}
}

// R9: as at a birth, a driver that is killed at each of its submissions goes on from what
// it stored; and what ends in the middle leaves no secret behind.
func TestAKillWhileAPoolIsFilled(t *testing.T) {
	for _, f := range []fault{failed, unanswered} {
		t.Run([]string{failed: "failed", unanswered: "failed, but persisted"}[f], func(t *testing.T) {
			s := newStage(t)
			s.until("the root key is born", s.rootBorn, all...)
			s.checkGone(all...)
			s.pool(2)
			killed := map[string]bool{}
			s.fault = func(node, kind string, body any) fault {
				name := node + " " + kind
				if p, ok := body.(authority.Post); ok {
					name += " " + dkg.Kind(p.Kind).String()
				}
				if killed[name] {
					return none
				}
				killed[name] = true
				return f
			}
			s.until("the pool is full", func() bool {
				for _, node := range all {
					s.killed = false
					s.tick(node)
					if s.killed {
						s.start(node, quiet)
					}
				}
				return len(s.waiting()) == 2
			})
			if n := len(killed); n < 17 {
				t.Errorf("%d kills: %v", n, slices.Sorted(maps.Keys(killed)))
			}
			s.fault = func(string, string, any) fault { return none }
			for _, k := range s.waiting() {
				s.checkPooled(k)
			}
			s.checkGone(all...)
			if p := s.State().Pool("web"); p.Attempt != 1 {
				t.Errorf("attempt %d", p.Attempt)
			}
		})
	}
}

func TestARunThatEndsWithItsPoolLeavesNothing(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	s.pool(2)
	s.until("shares are dealt", func() bool {
		p := s.State().Pool("web")
		return !p.Live.IsZero() && s.State().Session(p.Live).Board.Phase() >= dkg.PhaseVerdict
	}, all...)
	s.start("n2", quiet) // it looks again which keys in its token are of a run
	s.tick("n2")
	if labels, err := s.devices["n2"].Labels(); err != nil || len(labels) != 1 {
		t.Fatalf("n2 has %v, %v", labels, err)
	}
	s.pool(0)
	s.checkGone(all...)
	if s.State().Running() || len(s.State().Pools()) != 0 {
		t.Error("it goes on")
	}
}

// R43: pools are filled one after the other, and one whose runs come to nothing does not
// keep the others waiting.
func TestAPoolThatCannotBeFilledLeavesRoomForOthers(t *testing.T) {
	s := newStageOf(t, 2, 4)
	three := []string{"n1", "n2", "n3"}
	put := func(name string, holders ...string) {
		p := authority.Pool{Name: name, Size: 1, T: 2, F: 1, Holders: holders, PhaseSeconds: trial.PhaseSeconds, LifeSeconds: authority.MaxPoolLife}
		if r := s.Apply(s.Change(authority.KindPool, wire.Encode(p), api.Digest{})); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	s.until("the root key is born", s.rootBorn, "n1", "n2", "n3", "n4")
	put("a", "n1", "n2", "n4") // for 2-of-3 with f = 1 it takes all three
	put("b", three...)
	put("c", three...)
	most := 0
	full := func(pool string) bool {
		running := 0
		for _, p := range s.State().Pools() {
			if !p.Live.IsZero() {
				running++
			}
		}
		most = max(most, running)
		return len(s.State().Pooled(s.State().Pool(pool))) == 1
	}
	s.until("the one comes to nothing", func() bool { return !s.State().Pool("a").Live.IsZero() }, three...)
	for range 5 {
		s.tick(three...)
	}
	if full("b") || full("c") {
		t.Error("another is filled beside it")
	}
	s.Pass(3600_000)
	s.until("the others are full", func() bool { return full("b") && full("c") }, three...)
	if full("a") || most != 1 {
		t.Errorf("%d runs at once", most)
	}
	s.until("the one is full once its holders are back", func() bool { s.Pass(10_000); return full("a") }, "n1", "n2", "n3", "n4")
	if most != 1 {
		t.Errorf("%d runs at once", most)
	}
}

// A holder that is away does not keep a pool empty for ever, and one run follows another
// that came to nothing.
func TestAPoolIsFilledOnceItsHoldersAreBack(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	s.pool(1)
	// For 2-of-3 with f = 1 it takes all three receipts: without n3 the run's time is over.
	two := []string{"n1", "n2"}
	s.until("a run is open", func() bool { return !s.State().Pool("web").Live.IsZero() }, two...)
	for range 5 {
		s.tick(two...)
	}
	s.Pass(3600_000)
	s.until("it is full", func() bool { return len(s.waiting()) == 1 }, all...)
	if p := s.State().Pool("web"); p.Attempt < 2 {
		t.Errorf("attempt %d", p.Attempt)
	}
	s.checkGone(all...)
}
