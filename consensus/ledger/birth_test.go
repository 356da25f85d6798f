package ledger_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tdh2"
)

// A root key and a named one are born through Apply alone, with real
// participants; then every node that reads the same log holds the same state.
func TestAKeyIsBornAndItsRecordIsBelieved(t *testing.T) {
	w := newWorld(t)
	var roots []api.Digest
	var olds []*ledger.State
	keep := func() {
		olds = append(olds, w.s)
		roots = append(roots, w.s.Root())
	}
	keep()
	if w.s.RootKey() != nil || len(w.s.Keys()) != 0 || len(w.s.Orders()) != 1 {
		t.Error("something is born at genesis")
	}
	order := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(order)
	keep()
	if o := w.s.OrderNamed("payroll"); o == nil || o.Hash != order.ID() || w.s.KeyNamed("payroll") != nil {
		t.Errorf("the order of payroll is %+v", o)
	}
	w.refuse(w.say("n1", authority.KindOpen, authority.Open{Order: order.ID(), Attempt: 1}).Encode(), ledger.ErrOutOfTurn) // before the root key

	root := w.birth(w.rootOrder())
	keep()
	if w.s.RootKey() != root || root.Purpose != authority.PurposeRoot || root.Name != "" || root.Struck != nil {
		t.Errorf("the root key is %+v", root)
	}
	key := w.birth(order.ID())
	keep()
	ses := w.s.Session(key.Session)
	if w.s.KeyNamed("payroll") != key || key.ID != authority.KeyIDOf(ses.ID) || key.Order != order.ID() || key.T != 3 || len(w.s.Keys()) != 2 {
		t.Errorf("the key is %+v", key)
	}
	if want := authority.SessionID(w.genesis.Cluster, 1, order.ID(), 1, ses.LinkBefore); ses.ID != want {
		t.Errorf("the session is %s, want %s", ses.ID, want) // R17
	}
	out, _ := ses.Board.Outcome()
	pk, err := tdh2.NewPublicKey(w.genesis.Cluster, key.ID, 1, 3, 5, out.Keys[0].Y)
	if err != nil {
		t.Fatal(err)
	}
	if r := key.Record; string(r.Y) != string(pk.Y.Bytes()) || string(r.W) != string(pk.W.Bytes()) || len(r.YI) != 5 {
		t.Error("the record is not that of the outcome")
	}

	// The record is believed when t of its holders have signed it, no sooner.
	for i, n := range []string{"n4", "n2", "n5", "n1", "n3"} {
		_, err := signedRecord(w.s.Key(key.ID)).Verify(w.genesis)
		if want := i >= 3; (err == nil) != want {
			t.Errorf("with %d signatures: %v", i, err)
		} else if !want && !errors.Is(err, authority.ErrTooFewSignatures) {
			t.Errorf("with %d signatures: %v", i, err)
		}
		w.accept(w.say(n, authority.KindRecord, signedBy(w.recordSignature(n, key))))
	}
	if got := w.s.Key(key.ID).Signed; !slices.Equal(got, []string{"n4", "n2", "n5", "n1", "n3"}) || key.Signed != nil {
		t.Errorf("signed by %v; the old state says %v", got, key.Signed)
	}

	// R7: the log alone decides.
	again := ledger.New(w.genesis)
	for i, e := range w.log {
		again, _ = again.Apply(uint64(i+1), e)
	}
	if again.Root() != w.s.Root() || again.Position() != w.s.Position() || again.LastMilestone() != w.s.LastMilestone() {
		t.Error("the same log gave another state")
	}
	for i, s := range olds {
		if s.Root() != roots[i] {
			t.Errorf("old state %d has changed", i)
		}
	}
	if olds[1].KeyNamed("payroll") != nil || olds[2].RootKey() != root || len(olds[0].Orders()) != 1 {
		t.Error("an old state shows what came later")
	}
}

func signedRecord(k *ledger.Key) *authority.SignedRecord {
	return &authority.SignedRecord{Record: k.Record, Signatures: k.Signatures}
}

func TestAHolderWithoutAReceiptIsStruck(t *testing.T) {
	w := newWorld(t)
	root := w.birth(w.rootOrder(), "n3")
	if !slices.Equal(root.Struck, []string{"n3"}) || root.IndexOf("n3") != 0 || root.IndexOf("n4") != 4 || root.IndexOf("stranger") != 0 {
		t.Errorf("struck: %v", root.Struck)
	}
	w.refuse(w.say("n3", authority.KindRecord, signedBy(w.recordSignature("n3", root))).Encode(), ledger.ErrNotHolder)
	w.accept(w.say("n4", authority.KindRecord, signedBy(w.recordSignature("n4", root))))
	// It cannot come back to a board that is closed.
	w.refuse(w.say("n3", authority.KindPost, authority.Post{Session: root.Session, Kind: uint32(dkg.KindReceipt)}).Encode(), ledger.ErrNoSession)
}

// R15, R17: an attempt that failed leaves nothing behind but its number.
func TestAnAbandonedSessionIsNeverUsedAgain(t *testing.T) {
	w := newWorld(t)
	first := w.open(w.rootOrder())
	w.run(first.ID, dkg.PhaseCommit)
	// Two commit, three are silent and then say that it is late: too few dealers.
	stale := w.post(first.ID, "n3")
	w.accept(w.post(first.ID, "n1"))
	w.accept(w.post(first.ID, "n2"))
	w.late(first.ID, dkg.PhaseCommit)
	if _, abandoned := w.s.Session(first.ID).Board.Abandoned(); !abandoned {
		t.Fatalf("the session is in its %v phase", w.phase(first.ID))
	}
	o := w.s.OrderByHash(w.rootOrder())
	if !o.Live.IsZero() || o.Key != (api.KeyID{}) || o.Attempt != 1 {
		t.Errorf("the order is %+v", o)
	}
	w.refuse(stale.Encode(), ledger.ErrNoSession)
	w.refuse(w.say("n1", authority.KindDeadline, authority.Deadline{Session: first.ID, Phase: uint32(dkg.PhaseCommit)}).Encode(), ledger.ErrNoSession)
	w.refuse(w.say("n1", authority.KindActivate, authority.Activate{Session: first.ID}).Encode(), ledger.ErrNoSession)
	w.refuse(w.say("n1", authority.KindOpen, authority.Open{Order: w.rootOrder(), Attempt: 1}).Encode(), ledger.ErrOutOfTurn)
	w.refuse(w.say("n1", authority.KindOpen, authority.Open{Order: w.rootOrder(), Attempt: 3}).Encode(), ledger.ErrOutOfTurn)
	second := w.open(w.rootOrder())
	if second.ID == first.ID || second.Attempt != 2 {
		t.Errorf("the second attempt is %d, %s", second.Attempt, second.ID)
	}
	join := w.post(second.ID, "n1")
	w.accept(join)
	w.refuse(join.Encode(), board.ErrTwice)
	w.refuse(stale.Encode(), ledger.ErrNoSession)
}

// Two worlds that differ in one link have no session in common, so no post can
// be carried from one to the other.
func TestASessionHangsOnTheLinkBeforeIt(t *testing.T) {
	w := newWorld(t)
	other := w.fork()
	other.refuse([]byte("noise"))
	a, b := w.open(w.rootOrder()), other.open(w.rootOrder())
	if a.ID == b.ID {
		t.Error("two chains, one session id")
	}
	other.refuse(w.post(a.ID, "n1").Encode(), ledger.ErrNoSession)
}

// R1: whatever order custodians sign, the board can be opened for it.
func TestEveryOrderThatIsTakenCanBeOpened(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	nodes := []string{"n1", "n2", "n3", "n4", "n5"}
	for h := range 6 {
		for threshold := range uint32(7) {
			for f := range uint32(4) {
				try := w.fork()
				o := w.order("any")
				o.Holders, o.T, o.F = nodes[:h], threshold, f
				e := w.sign(w.orderChange(o), 0, 2)
				r := try.apply(e.Encode())
				if r.Err == nil {
					try.open(e.ID())
					if threshold < w.genesis.Root.T {
						t.Errorf("%d-of-%d, f = %d was taken", threshold, h, f)
					}
				} else if !errors.Is(r.Err, authority.ErrOrder) {
					t.Errorf("%d-of-%d, f = %d: %v", threshold, h, f, r.Err)
				}
			}
		}
	}
}

func (w *world) anchor(node string, counter uint64, time int64) *authority.Entry {
	return w.say(node, authority.KindAnchor, authority.Anchor{Counter: counter, Time: time})
}

// Ledger time is the t-th largest of the latest anchors: t-1 liars cannot push
// it ahead, and it never falls.
func TestLedgerTime(t *testing.T) {
	w := newWorld(t)
	const far = int64(1) << 62
	want := func(ms int64) {
		t.Helper()
		if got := w.s.Time(); got != ms {
			t.Errorf("ledger time is genesis plus %d, want plus %d", got-created, ms-created)
		}
	}
	want(created)
	w.accept(w.anchor("n1", 1, far))
	w.accept(w.anchor("n2", 1, far))
	want(created) // two liars and nobody else
	w.accept(w.anchor("n3", 1, created+10))
	want(created + 10)
	w.accept(w.anchor("n4", 1, created+30))
	want(created + 30)
	w.accept(w.anchor("n5", 1, created+20))
	want(created + 30)
	w.accept(w.anchor("n1", 2, -far)) // one liar turns round
	want(created + 30)
	w.accept(w.anchor("n4", 2, created+1))
	want(created + 30) // it never falls
	w.accept(w.anchor("n3", 2, created+50))
	w.accept(w.anchor("n5", 2, created+40))
	want(created + 40)
	w.refuse(w.anchor("n5", 2, created+60).Encode(), ledger.ErrOutOfTurn)
	w.refuse(w.anchor("n5", 1, created+60).Encode(), ledger.ErrOutOfTurn)
	want(created + 40)
	if a := w.s.Anchor("n5"); a.Anchor.Counter != 2 || a.Anchor.Time != created+40 || w.s.Anchor("stranger") != nil {
		t.Errorf("the anchor of n5 is %+v", a)
	}
	if v, err := authority.VerifyAnchor(&w.genesis.Genesis, w.s.Anchor("n5").Entry); err != nil || v.Node() != "n5" || v.Anchor() != w.s.Anchor("n5").Anchor {
		t.Errorf("its entry is %+v, %v", v, err)
	}
}

// A milestone is the link after the last command at or below it; Raft has
// indices that are no command.
func TestMilestones(t *testing.T) {
	w := newWorld(t)
	s := w.s
	if m := s.LastMilestone(); m.Index != 0 || m.Link != w.genesis.Hash() || s.Position() != m {
		t.Errorf("before the first entry: %+v", m)
	}
	links := map[uint64]api.Digest{}
	step := func(index uint64) {
		s, _ = s.Apply(index, []byte("noise"))
		links[index] = s.Position().Link
	}
	for _, tt := range []struct{ index, milestone, after uint64 }{
		{5, 0, 0},
		{999, 0, 0},
		{1000, 1000, 1000},
		{1001, 1000, 1000},
		{1999, 1000, 1000},
		{2003, 2000, 1999},
		{2999, 2000, 1999},
		{5500, 5000, 2999},
		{6000, 6000, 6000},
		{7000, 7000, 7000},
	} {
		step(tt.index)
		want := ledger.Position{Index: tt.milestone, Link: links[tt.after]}
		if tt.after == 0 {
			want.Link = w.genesis.Hash()
		}
		if got := s.LastMilestone(); got != want {
			t.Errorf("at %d the milestone is %+v, want %+v", tt.index, got, want)
		}
		if got := s.Position(); got.Index != tt.index {
			t.Errorf("at %d the position is %+v", tt.index, got)
		}
	}
}

// The link holds index, entry and all before it.
func TestEachLinkHoldsIndexEntryAndPast(t *testing.T) {
	w := newWorld(t)
	seen := map[api.Digest]string{}
	for _, path := range [][]string{{"1:a"}, {"2:a"}, {"1:b"}, {"1:"}, {"1:a", "2:a"}, {"1:b", "2:a"}, {"1:a", "3:a"}} {
		s := w.s
		for _, p := range path {
			var index uint64
			var entry string
			_, _ = fmt.Sscanf(p, "%d:%s", &index, &entry)
			s, _ = s.Apply(index, []byte(entry))
		}
		if at, ok := seen[s.Position().Link]; ok {
			t.Errorf("%v and %s have one link", path, at)
		}
		seen[s.Position().Link] = fmt.Sprint(path)
	}
}

// Each value stands where it is looked for, and replaces what it names.
func TestPoliciesAndAuthoritiesReplaceWhatTheyName(t *testing.T) {
	w := newWorld(t)
	if w.s.Policy() != nil || len(w.s.CAs()) != 0 || !w.s.CAsAt().IsZero() {
		t.Error("something is in force at genesis")
	}
	first := w.sign(w.change(), 0, 1)
	w.accept(first)
	second := w.sign(w.change(), 1, 2)
	w.accept(second)
	if p := w.s.Policy(); p.Change != second.ID() || string(p.Document) != "policy 2" {
		t.Errorf("the policy is %+v", p)
	}
	ca := func(name string, base api.Digest) *authority.Entry {
		c := w.change()
		c.Kind, c.Base = authority.KindCA, base
		c.Body = wire.Encode(authority.CA{Name: name, Certificate: []byte{w.nonce}})
		return w.sign(c, 0, 1)
	}
	a, b := ca("a", api.Digest{}), ca("b", api.Digest{})
	w.accept(b)
	w.accept(a)
	a2 := ca("a", a.ID())
	w.accept(a2)
	w.refuse(ca("b", a2.ID()).Encode(), ledger.ErrStaleBase)
	cas := w.s.CAs()
	if len(cas) != 2 || cas[0].Change != a2.ID() || cas[1].Change != b.ID() || w.s.CAsAt() != a2.ID() {
		t.Errorf("in force: %+v", cas)
	}
	for _, e := range []*authority.Entry{first, second, a, b, a2} {
		if tk := w.s.Taken(e.ID()); tk == nil || tk.Kind != e.Kind {
			t.Errorf("%s is remembered as %+v", e.ID(), tk)
		}
	}
	w.accept(w.say("n2", authority.KindAddress, w.claim("n2", "n2", 2)))
	if c := w.s.Claim("n2"); c.Counter != 2 || w.s.Claim("n1").Counter != 1 || w.s.Claim("stranger") != nil {
		t.Errorf("n2 claims %+v", c)
	}
}

// R23: a session that cannot end by its holders ends by ledger time: the next open
// of its order expires it. Before that time, a second open is refused.
func TestASessionExpiresByLedgerTime(t *testing.T) {
	w := newWorld(t)
	first := w.open(w.rootOrder())
	w.run(first.ID, dkg.PhaseConfirm)
	again := authority.Open{Order: w.rootOrder(), Attempt: 2}
	lifetime := int64(10 * 60 * 1000)
	for _, step := range []struct {
		time    int64
		expired bool
	}{{created + lifetime, false}, {created + lifetime + 1, true}} {
		for _, n := range []string{"n1", "n2", "n3"} {
			w.accept(w.say(n, authority.KindAnchor, authority.Anchor{Counter: uint64(step.time), Time: step.time}))
		}
		if got := w.s.Expired(w.s.Session(first.ID)); got != step.expired {
			t.Fatalf("at %d after the opening, expired is %v", step.time-created, got)
		}
		if !step.expired {
			w.refuse(w.say("n2", authority.KindOpen, again).Encode(), ledger.ErrOutOfTurn)
		}
	}
	before := w.post(first.ID, "n1")
	w.accept(w.say("n2", authority.KindOpen, again))
	if _, abandoned := w.s.Session(first.ID).Board.Abandoned(); !abandoned {
		t.Error("the expired session is not abandoned")
	}
	o := w.s.OrderByHash(w.rootOrder())
	if o.Attempt != 2 || o.Live == first.ID || w.s.Session(o.Live) == nil {
		t.Errorf("the order is %+v", o)
	}
	w.refuse(before.Encode(), ledger.ErrNoSession)
}

// R23: holders that cannot go on end the session: t of them, each once.
func TestHoldersAbandonASession(t *testing.T) {
	w := newWorld(t)
	first := w.open(w.rootOrder())
	leave := func(n string) *authority.Entry {
		return w.say(n, authority.KindAbandon, authority.Abandon{Session: first.ID})
	}
	w.accept(leave("n1"))
	w.accept(leave("n2"))
	w.refuse(leave("n2").Encode(), board.ErrTwice)
	if w.s.OrderByHash(w.rootOrder()).Live != first.ID {
		t.Fatal("two of three that it takes have ended the session")
	}
	w.accept(leave("n5"))
	if o := w.s.OrderByHash(w.rootOrder()); !o.Live.IsZero() || o.Key != (api.KeyID{}) {
		t.Errorf("the order is %+v", o)
	}
	w.refuse(leave("n3").Encode(), ledger.ErrNoSession)
}

// R23: several ceremonies are open at once, and what happens in one does not touch
// the other; only a holder opens, posts in or ends one.
func TestTwoCeremoniesRunSideBySide(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	one, two := w.sign(w.orderChange(w.order("one")), 0, 1), w.sign(w.orderChange(w.order("two")), 1, 2)
	w.accept(one)
	w.accept(two)
	a, b := w.open(one.ID()), w.open(two.ID())
	w.run(a.ID, dkg.PhaseCommit)
	w.run(b.ID, dkg.PhaseDeal)
	if w.phase(a.ID) != dkg.PhaseCommit {
		t.Errorf("the first moved to its %v phase with the second", w.phase(a.ID))
	}
	// A post of one is none of the other.
	post := authority.Post{Session: b.ID, Kind: uint32(dkg.KindDeal)}
	ready, err := w.parts[a.ID]["n1"].Step(w.s.Session(a.ID).Board.View(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	post.Body = ready.Post.Body
	w.refuse(w.say("n1", authority.KindPost, post).Encode())
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.say(n, authority.KindAbandon, authority.Abandon{Session: a.ID}))
	}
	if _, gone := w.s.Session(a.ID).Board.Abandoned(); !gone || w.phase(b.ID) != dkg.PhaseDeal {
		t.Errorf("the second is in its %v phase after the first was abandoned", w.phase(b.ID))
	}
	w.run(b.ID, dkg.PhaseConfirm)
	w.postAll(b.ID)
	w.accept(w.say("n2", authority.KindActivate, authority.Activate{Session: b.ID}))
	if w.s.KeyNamed("two") == nil || w.s.KeyNamed("one") != nil {
		t.Error("the second is not born, or the first is")
	}
}
