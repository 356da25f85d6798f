package ceremony

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/node/internal/trial"
	"warifu.dev/sharing/group"
)

// grow gives the ledger n more keys, and every holder its shares of them.
func (s *stage) grow(n int) {
	s.t.Helper()
	s.bear("first")
	like := s.State().KeyNamed("first")
	for _, id := range s.Grow(n, like) {
		for _, node := range all {
			s.shares[node][held{like.Session, id}] = s.shares[node][held{like.Session, like.ID}].Add(group.SmallScalar(0))
		}
	}
}

// R43: a refresh of many keys goes in runs of a bounded size. Holders post one after the
// other, each after it has seen the post of the one before, and sign the records of a run
// with one statement each; after a run there is a rest.
func TestManyKeysGoInTurn(t *testing.T) {
	s := newStage(t)
	s.grow(2*ledger.MaxRenewed - 1)
	total := 2 * ledger.MaxRenewed // the key that they are copies of, too
	s.posts = nil
	runs, most := map[string]int{}, 0
	var opened []time.Time
	s.fault = func(node, kind string, body any) fault {
		switch b := body.(type) {
		case authority.Open:
			opened = append(opened, s.now)
		case authority.Post:
			ses := s.State().Session(b.Session)
			runs[b.Session.String()] = len(ses.Keys)
			for i := range ses.PlaceOf(node) - 1 {
				if ses.Board.Awaits(i + 1) {
					t.Errorf("%s posts in the %v phase before holder %d", node, ses.Board.Phase(), i+1)
				}
			}
		case authority.RecordSignatures:
			most = max(most, len(b.List))
		}
		return none
	}
	s.order(authority.KindRefresh, authority.Renewal{})
	s.until("all are refreshed and signed", func() bool {
		return len(s.State().Renewals()) == 0 && !slices.ContainsFunc(s.State().Keys(), func(k *ledger.Key) bool {
			return k.Purpose != authority.PurposeRoot && len(k.Signed) < 3
		})
	}, all...)
	if len(runs) != 2 {
		t.Errorf("%d keys went in the runs %v", total, runs)
	}
	for _, n := range runs {
		if n != ledger.MaxRenewed {
			t.Errorf("a run of %d keys", n)
		}
	}
	if most != authority.MaxRecordSignatures {
		t.Errorf("at most %d records are signed with one statement", most)
	}
	records := 0
	for _, p := range s.posts {
		if strings.HasSuffix(p, " "+authority.KindRecord) {
			records++
		}
	}
	if want := 3 * total / authority.MaxRecordSignatures; records < want || records > want+3 {
		t.Errorf("%d statements sign %d records of three holders", records, total)
	}
	if len(opened) != 2 || opened[1].Sub(opened[0]) < share*time.Second {
		t.Errorf("runs are opened at %v", opened)
	}
	for _, k := range s.State().Keys() {
		if k.Purpose != authority.PurposeRoot {
			s.checkShares(k, all...)
		}
	}
}

// Who is silent holds up those after it for a moment in each phase, and no more.
func TestASilentHolderHoldsUpTheOthersForAMoment(t *testing.T) {
	s := newStage(t)
	s.grow(small)
	s.order(authority.KindRefresh, authority.Renewal{PhaseSeconds: 60})
	s.tick("n2", "n3") // another one opens the run, in its turn
	began := s.now
	joined := func() bool {
		for _, ses := range s.State().RunningSessions() {
			if len(ses.Keys) > small && !ses.Board.Awaits(2) && !ses.Board.Awaits(3) {
				return true
			}
		}
		return false
	}
	s.until("the others have joined", joined, "n2", "n3")
	if took := s.now.Sub(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// The rest after a run is as long as runs may take, and bounded; few keys need none.
func TestTheRestAfterARun(t *testing.T) {
	for _, c := range []struct {
		keys int
		took time.Duration
		rest time.Duration
	}{
		{small + 1, time.Second, (share - 1) * time.Second},
		{small + 1, time.Hour, longestRest},
		{small, time.Second, 0},
	} {
		t.Run(fmt.Sprint(c.keys, " keys in ", c.took), func(t *testing.T) {
			now := time.Unix(1000, 0)
			var r rest
			if !r.rested(now, 0) {
				t.Error("the first run waits")
			}
			if r.rested(now, c.keys) {
				t.Error("a run is opened beside another")
			}
			now = now.Add(c.took)
			if got := r.rested(now, 0); got != (c.rest == 0) {
				t.Errorf("right after the run: %v", got)
			}
			if now = now.Add(c.rest - 1); c.rest > 0 && r.rested(now, 0) {
				t.Error("the rest is shorter")
			}
			if now = now.Add(1); !r.rested(now, 0) {
				t.Error("the rest is longer")
			}
		})
	}
}

// bornNames says whether all keys of these names are born.
func (s *stage) bornNames(format string, n int) bool {
	for i := range n {
		if s.State().KeyNamed(fmt.Sprintf(format, i)) == nil {
			return false
		}
	}
	return true
}

func (s *stage) orderKeys(format string, n int) {
	s.t.Helper()
	for i := range n {
		if r := s.Apply(s.Order(fmt.Sprintf(format, i))); r.Err != nil {
			s.t.Fatal(r.Err)
		}
	}
}

// R43: of many keys that are ordered at once, few are under way at a time, so that a token
// holds few keys of sessions; all are born.
func TestFewOfManyBirthsAreUnderWay(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	const many = 2*maxBirths + 1
	s.orderKeys("many-%d", many)
	most := 0
	s.until("all are born", func() bool {
		labels, err := s.devices["n1"].Labels()
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(labels))
		return s.bornNames("many-%d", many)
	}, all...)
	if most > maxBirths || most < 2 {
		t.Errorf("%d births were under way at a time, at most %d may be", most, maxBirths)
	}
	s.until("all records are signed", func() bool { return len(s.State().Unsigned("n3")) == 0 }, all...)
	s.checkGone(all...)
}

// Births that wait for a holder who is silent, as many as may be under way, keep no other
// key from being born before their deadline passes.
func TestBirthsThatWaitHoldUpNoOthers(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	stuck := map[string]bool{}
	s.fault = func(node, kind string, body any) fault {
		p, is := body.(authority.Post)
		if !is || node != "n3" {
			return none
		}
		if ses := s.State().Session(p.Session); stuck[ses.Order.String()] {
			return failed
		}
		return none
	}
	s.orderKeys("stuck-%d", maxBirths)
	for _, o := range s.State().OrdersOf("n1") {
		stuck[o.Hash.String()] = true
	}
	underWay := func() bool {
		return !slices.ContainsFunc(s.State().OrdersOf("n1"), func(o *ledger.Ordered) bool { return o.Live.IsZero() })
	}
	s.until("all that are stuck are under way", underWay, all...)
	began := s.now
	s.orderKeys("other-%d", 2)
	s.until("the others are born", func() bool { return s.bornNames("other-%d", 2) }, all...)
	if took := s.now.Sub(began); took >= trial.PhaseSeconds*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Of orders that wait, those go first that were tried the least: births that are abandoned
// again and again, more than may be under way, starve no other.
func TestTheOrderThatWasTriedLeastGoesFirst(t *testing.T) {
	s := newStage(t)
	s.until("the root key is born", s.rootBorn, all...)
	hopeless := map[string]bool{}
	s.orderKeys("hopeless-%d", 4*maxBirths)
	for _, o := range s.State().OrdersOf("n1") {
		hopeless[o.Hash.String()] = true
	}
	s.orderKeys("hopeful-%d", maxBirths)
	s.until("those that can be are born", func() bool {
		for _, o := range s.State().OrdersOf("n1") {
			if o.Live.IsZero() || !hopeless[o.Hash.String()] {
				continue
			}
			for _, n := range []string{"n1", "n2"} {
				if err := s.Say(n, authority.KindAbandon, authority.Abandon{Session: o.Live}); err != nil {
					t.Fatal(err)
				}
			}
		}
		return s.bornNames("hopeful-%d", maxBirths)
	}, all...)
}
