package ceremony

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/consensus/ledger"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
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

// Custodians may have old shares answer for a shorter or a longer time than the minute.
func TestAnOverlapIsAsLongAsIsOrdered(t *testing.T) {
	s := newStage(t)
	s.bear("one")
	s.order(authority.KindRefresh, authority.Renewal{OverlapSeconds: authority.MinOverlapSecond})
	s.until("it is refreshed, and its record signed", func() bool { k := s.State().KeyNamed("one"); return k.Number == 2 && k.Vouched() }, all...)
	s.tick(all...)
	if n := len(s.State().Overlapping()); n != 1 {
		t.Fatalf("%d overlap before the window is over", n)
	}
	s.Pass(authority.MinOverlapSecond * 1000)
	s.until("the old epoch is retired", func() bool { return len(s.State().Overlapping()) == 0 }, all...)
	s.order(authority.KindRefresh, authority.Renewal{OverlapSeconds: authority.MaxOverlapSecond})
	s.until("it is refreshed again, and its record signed", func() bool { k := s.State().KeyNamed("one"); return k.Number == 3 && k.Vouched() }, all...)
	s.Pass(ledger.Overlap)
	s.tick(all...)
	if n := len(s.State().Overlapping()); n != 1 {
		t.Errorf("an hour was ordered, and %d overlap after a minute", n)
	}
}

// A reshare gives a key to other holders and another threshold; who left has nothing (R10).
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

// A holder that is down when its key is refreshed holds nothing. When it is back it asks
// for a repair, which gives it a share again.
func TestAStruckHolderIsRepaired(t *testing.T) {
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
	if err := s.Say("n1", authority.KindRepair, authority.Repair{}); !errors.Is(err, ledger.ErrNoRepair) {
		t.Errorf("a node that was not struck asks for a repair: %v", err)
	}
	s.until("it is repaired", func() bool { return s.State().KeyNamed("demo").Number == 3 }, four...)
	if k = s.State().KeyNamed("demo"); k.Struck != nil {
		t.Fatalf("struck: %v", k.Struck)
	}
	s.checkShares(k, four...)
	// Another node does not wait for its hour.
	without := []string{"n1", "n2", "n4"}
	s.Pass(ledger.Overlap)
	s.until("the old epoch is retired", func() bool { return len(s.State().Overlapping()) == 0 && s.State().KeyNamed("demo").Vouched() }, four...)
	s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{k.ID}})
	s.until("it is refreshed without n3", func() bool { return s.State().KeyNamed("demo").Number == 4 }, without...)
	s.until("the record is signed", func() bool { return s.State().KeyNamed("demo").Vouched() }, without...)
	s.Pass(ledger.Overlap)
	s.until("the old epoch is retired", func() bool { return len(s.State().Overlapping()) == 0 }, without...)
	if err := s.State().MayRepair("n3"); err != nil {
		t.Fatalf("n4 has used up the repair of n3: %v", err)
	}
	s.until("n3 is repaired", func() bool { return s.State().KeyNamed("demo").Number == 5 }, four...)
	// Once an hour is enough for a node that comes and goes.
	s.Pass(ledger.Overlap)
	s.until("the old epoch is retired", func() bool { return len(s.State().Overlapping()) == 0 && s.State().KeyNamed("demo").Vouched() }, four...)
	s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{k.ID}})
	s.until("it is refreshed without n4 again", func() bool { return s.State().KeyNamed("demo").Number == 6 }, four[:3]...)
	if err := s.Say("n4", authority.KindRepair, authority.Repair{Seen: api.Digest{1}}); !errors.Is(err, ledger.ErrNoRepair) {
		t.Errorf("another repair within the hour: %v", err)
	}
	s.Pass(ledger.RepairPause)
	s.until("the record is signed", func() bool { return s.State().KeyNamed("demo").Vouched() }, four...)
	s.until("it is repaired again", func() bool { return s.State().KeyNamed("demo").Number == 7 }, four...)
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

// An order whose keys another one has given new shares meanwhile comes to its end.
func TestAnOrderThatOthersHaveDoneEnds(t *testing.T) {
	s := newStage(t)
	s.bear("one")
	s.order(authority.KindRefresh, authority.Renewal{})
	s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{s.State().KeyNamed("one").ID}})
	s.until("both are done", func() bool { return len(s.State().Renewals()) == 0 }, all...)
	if n := s.State().KeyNamed("one").Number; n != 2 {
		t.Errorf("its epoch is %d: one refresh does for both", n)
	}
}

// What orders of new shares, and what nodes say of old epochs, is refused by name: old
// shares go only by an entry after Activate, when enough have the new (R9).
func TestWhatRefreshesAndResharesAreRefused(t *testing.T) {
	s := newStage(t)
	s.bear("one", "two")
	one, two := s.State().KeyNamed("one"), s.State().KeyNamed("two")
	order := func(kind string, r authority.Renewal) error { return s.Apply(s.Renewal(kind, r)).Err }
	say := func(node, kind string, body any) error { return s.Say(node, kind, body) }
	refused := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	refused("a refresh that names holders", order(authority.KindRefresh, authority.Renewal{T: 2, F: 1, Holders: all}), authority.ErrOrder)
	refused("a refresh of a key that is not there", order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{{9}}}), ledger.ErrNoKey)
	refused("a refresh of one key twice", order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{one.ID, one.ID}}), authority.ErrOrder)
	refused("an overlap that is too short", order(authority.KindRefresh, authority.Renewal{OverlapSeconds: authority.MinOverlapSecond - 1}), authority.ErrOrder)
	refused("an overlap that is too long", order(authority.KindRefresh, authority.Renewal{OverlapSeconds: authority.MaxOverlapSecond + 1}), authority.ErrOrder)
	refused("a reshare without holders", order(authority.KindReshare, authority.Renewal{}), authority.ErrOrder)
	refused("a reshare below the cluster's threshold", order(authority.KindReshare, authority.Renewal{T: 1, F: 1, Holders: all}), authority.ErrOrder)
	refused("a reshare to a stranger", order(authority.KindReshare, authority.Renewal{T: 2, F: 1, Holders: []string{"n1", "n2", "stranger"}}), authority.ErrOrder)
	refused("a reshare with one holder twice", order(authority.KindReshare, authority.Renewal{T: 2, F: 1, Holders: []string{"n1", "n2", "n2"}}), authority.ErrOrder)
	if len(s.State().Renewals()) != 0 {
		t.Fatal("one of them was taken")
	}

	first := s.order(authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{one.ID}})
	second := s.order(authority.KindReshare, authority.Renewal{T: 2, Holders: []string{"n1", "n2"}, Keys: []api.KeyID{two.ID}})
	open := func(order api.Digest, attempt uint64) authority.Open {
		return authority.Open{Order: order, Attempt: attempt}
	}
	refused("the second attempt before the first", say("n1", authority.KindOpen, open(first, 2)), ledger.ErrOutOfTurn)
	refused("the first attempt", say("n1", authority.KindOpen, open(first, 1)), nil)
	refused("another run beside it", say("n1", authority.KindOpen, open(second, 1)), ledger.ErrAnotherRun)
	refused("the same again", say("n1", authority.KindOpen, open(first, 2)), ledger.ErrAnotherRun)
	live := s.State().Renewal(first).Live
	refused("an end before anything was dealt", say("n1", authority.KindActivate, authority.Activate{Session: live}), board.ErrPhase)
	old := authority.LiveEpoch{Key: one.ID, Version: 1, Epoch: 1}
	refused("to retire an epoch that is the only one", say("n1", authority.KindRetire, authority.Retire{Epochs: []authority.LiveEpoch{old}}), ledger.ErrNoKey)
	s.until("it is refreshed", func() bool { return s.State().KeyNamed("one").Number == 2 }, all...)

	retire := authority.Retire{Epochs: []authority.LiveEpoch{old}}
	erased := authority.ErasureReceipt{Through: []authority.LiveEpoch{old}, Generation: 7}
	refused("to retire an epoch in its overlap", say("n1", authority.KindRetire, retire), ledger.ErrOverlap)
	refused("an erasure of shares that release", say("n1", authority.KindErased, erased), ledger.ErrNoKey)
	s.Pass(ledger.Overlap)
	fresh := s.State().KeyNamed("one")
	if len(fresh.Signed) < 2 {
		refused("to retire an epoch before the next one's record is signed", say("n1", authority.KindRetire, retire), ledger.ErrOverlap)
	}
	s.until("the record is signed", func() bool { return s.State().KeyNamed("one").Vouched() }, all...)
	refused("to retire nothing", say("n1", authority.KindRetire, authority.Retire{}), authority.ErrStatement)
	refused("to retire one epoch twice over", say("n1", authority.KindRetire, authority.Retire{Epochs: []authority.LiveEpoch{old, old}}), authority.ErrStatement)
	if s.State().Older(one.ID, 1) != nil {
		refused("to retire it", say("n1", authority.KindRetire, retire), nil)
	}
	refused("to retire it again", say("n2", authority.KindRetire, retire), ledger.ErrNoKey)
	refused("an erasure of nothing", say("n1", authority.KindErased, authority.ErasureReceipt{}), authority.ErrStatement)
	refused("an erasure of the current epoch", say("n1", authority.KindErased, authority.ErasureReceipt{
		Through: []authority.LiveEpoch{{Key: one.ID, Version: 1, Epoch: 2}},
	}), ledger.ErrNoKey)
	refused("an erasure in too many words", say("n1", authority.KindErased, authority.ErasureReceipt{
		Through: []authority.LiveEpoch{old}, Label: strings.Repeat("x", authority.MaxErasureWord+1),
	}), authority.ErrStatement)
	gone := func() *ledger.Erased { return s.State().Erased(old) }
	for i, node := range all {
		if got := gone().Gone(); got != (i >= 2) {
			t.Errorf("with %d receipts of a 2-of-3 epoch it is gone: %v", i, got)
		}
		refused("the erasure of "+node, say(node, authority.KindErased, erased), nil)
		refused("it again", say(node, authority.KindErased, erased), ledger.ErrOutOfTurn)
	}
	if len(gone().Awaiting()) != 0 || len(s.State().Unerased("n1", 9)) != 0 || s.State().ErasureReceipt(gone().By[0].Receipt) == nil {
		t.Errorf("it is %+v", gone())
	}

	var b bytes.Buffer
	if err := s.State().Encode(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ledger.Decode(s.Genesis, &b)
	if err != nil || again.Root() != s.State().Root() || len(again.Renewals()) != len(s.State().Renewals()) {
		t.Fatalf("it does not come back: %v", err)
	}
}

// R9, R15: an attempt that came to nothing is never used again: the next one makes other shares
// of the same epoch.
func TestARefreshThatFailsIsTriedAgain(t *testing.T) {
	s := newStage(t)
	s.bear("demo")
	order := s.order(authority.KindRefresh, authority.Renewal{})
	s.until("a run is open", func() bool { return !s.State().Renewal(order).Live.IsZero() }, all...)
	first := s.State().Renewal(order).Live
	s.fault = func(node, _ string, body any) fault { // n2 and n3 never deal
		if p, ok := body.(authority.Post); ok && dkg.Kind(p.Kind) == dkg.KindDeal && node != "n1" {
			return failed
		}
		return none
	}
	s.until("it is abandoned", func() bool { return s.State().Renewal(order).Live != first }, all...)
	s.fault = func(string, string, any) fault { return none }
	s.until("it is refreshed", func() bool { return s.State().KeyNamed("demo").Number == 2 }, all...)
	k := s.State().KeyNamed("demo")
	if k.Session == first {
		t.Fatal("the failed run was used")
	}
	s.checkShares(k, all...)
	s.checkGone(all...)
}

// Right after an Activate clients are served the record before: the new one is signed by
// nobody yet.
func TestAnEarlyRecordIsNotServed(t *testing.T) {
	s := newStage(t)
	s.bear("demo")
	s.order(authority.KindRefresh, authority.Renewal{})
	s.fault = func(_, kind string, _ any) fault {
		if kind == authority.KindRecord {
			return failed
		}
		return none
	}
	served := func() uint64 {
		t.Helper()
		k := s.State().KeyNamed("demo")
		r, err := s.State().SignedRecord(k, s.State().Believable(k)).Verify(s.Genesis)
		if err != nil {
			t.Fatalf("the record that is served is not believed: %v", err)
		}
		return r.Epoch
	}
	s.until("it is refreshed", func() bool { return s.State().KeyNamed("demo").Number == 2 }, all...)
	if e := served(); e != 1 {
		t.Errorf("epoch %d is served", e)
	}
	s.fault = func(string, string, any) fault { return none }
	s.until("the record is signed", func() bool { return s.State().KeyNamed("demo").Vouched() }, all...)
	if e := served(); e != 2 {
		t.Errorf("epoch %d is served", e)
	}
}

// The signed policy's standing order: when its period is over by ledger time, all named
// keys turn over, and not before.
func TestSharesTurnOverByThePolicysPeriod(t *testing.T) {
	s := newStage(t)
	s.bear("one", "two")
	put := func(d policy.Document) {
		t.Helper()
		base := api.Digest{}
		if p := s.State().Policy(); p != nil {
			base = p.Change
		}
		if r := s.Apply(s.Change(authority.KindPolicy, d.Encode(), base)); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	late := func(due int64) error { return s.Say("n2", authority.KindStanding, authority.Standing{Due: due}) }
	if n := reflect.TypeFor[policy.Document]().NumField(); n != 7 {
		t.Fatalf("a policy document has %d fields, and the ledger reads 7 of them", n)
	}
	put(policy.Document{})
	if due := s.State().RotationDue(); due != 0 {
		t.Fatalf("a policy without a period has a rotation due at %d", due)
	}
	put(policy.Document{Rotate: 3600, Text: "//", Zone: "Asia/Tokyo", Limits: "#", Schema: "#", Entities: "[]"})
	due := s.State().RotationDue()
	if due != s.State().Time()+3600_000 {
		t.Fatalf("it is due at %d, ledger time is %d", due, s.State().Time())
	}
	if err := late(due); !errors.Is(err, ledger.ErrNotDue) {
		t.Errorf("before its time: %v", err)
	}
	s.Pass(3600_000 - 1)
	s.tick(all...)
	if n := len(s.State().Renewals()); n != 0 {
		t.Fatalf("%d renewals before the time", n)
	}
	s.Pass(1)
	if err := late(due + 1); !errors.Is(err, ledger.ErrNotDue) {
		t.Errorf("for another time: %v", err)
	}
	s.until("all are refreshed", func() bool {
		return s.State().KeyNamed("one").Number == 2 && s.State().KeyNamed("two").Number == 2
	}, all...)
	if err := late(due); !errors.Is(err, ledger.ErrNotDue) {
		t.Errorf("once more: %v", err)
	}
	if next := s.State().RotationDue(); next < due+3600_000 {
		t.Errorf("the next is due at %d, the last was at %d", next, due)
	}
	if s.State().RootKey().Number != 1 {
		t.Error("the root key has turned over, too")
	}
	put(policy.Document{})
	if due := s.State().RotationDue(); due != 0 {
		t.Errorf("without a period one is due at %d", due)
	}
}
