package ledger_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

const day = 24 * 3600 * 1000

// twins are two ledgers that read the same log. One takes out what is past, the
// other one nothing. The ids of sessions hang on the chain, and differ.
type twins struct {
	*world
	kept     *ledger.State
	key      api.KeyID
	order    api.Digest // that nothing is born of
	changes  []authority.Change
	entries  []*authority.Entry
	sessions [][2]api.Digest
}

// both hands an entry to each of them, made for each, and compares the answers.
func (w *twins) both(t *rapid.T, what string, of func(s *ledger.State, twin int) *authority.Entry) {
	a, b := of(w.s, 0), of(w.kept, 1)
	got := w.apply(a.Encode())
	var want ledger.Result
	w.kept, want = w.kept.ApplyUnpruned(w.index, b.Encode())
	if fmt.Sprint(got.Err) != fmt.Sprint(want.Err) || got.Kind != want.Kind || got.Index != want.Index || got.Time != want.Time || !bytes.Equal(got.Passed, want.Passed) {
		t.Fatalf("%s, at %d: %+v, and of the one that keeps everything %+v", what, w.index, got, want)
	}
}

func (w *twins) same(t *rapid.T, what string, e *authority.Entry) {
	w.entries = append(w.entries, e)
	w.both(t, what, func(*ledger.State, int) *authority.Entry { return e })
}

// looks compares what can be asked of them.
func (w *twins) looks(t *rapid.T) {
	for _, c := range w.changes {
		id := authority.NewChange(c).ID()
		for what, of := range map[string]func(*ledger.State) any{
			"taken":    func(s *ledger.State) any { return s.Taken(id) },
			"proposal": func(s *ledger.State) any { return s.Proposal(id) },
			"denial":   func(s *ledger.State) any { return s.DenialBy(id) },
			"lift":     func(s *ledger.State) any { return s.LiftOf(id) },
		} {
			if got, want := fmt.Sprintf("%+v", of(w.s)), fmt.Sprintf("%+v", of(w.kept)); got != want && (got == "<nil>" || want == "<nil>") {
				t.Fatalf("%s of %s: %s, and of the one that keeps everything %s", what, id, got, want)
			}
		}
	}
	for _, ids := range w.sessions {
		if got, want := w.s.Session(ids[0]) != nil, w.kept.Session(ids[1]) != nil; got != want {
			t.Fatalf("a session is there: %v, and of the one that keeps everything %v", got, want)
		}
	}
	for what, of := range map[string]func(*ledger.State) int{
		"proposals": func(s *ledger.State) int { return len(s.Proposals()) },
		"grants":    func(s *ledger.State) int { return len(s.Grants()) },
	} {
		if got, want := of(w.s), of(w.kept); got != want {
			t.Fatalf("%d %s, and of the one that keeps everything %d", got, what, want)
		}
	}
}

func (w *twins) anchors(t *rapid.T, time int64) {
	for _, n := range []string{"n1", "n2", "n3"} {
		counter := uint64(1)
		if a := w.s.Anchor(n); a != nil {
			counter = a.Anchor.Counter + 1
		}
		e := w.anchor(n, counter, time)
		w.both(t, "an anchor", func(*ledger.State, int) *authority.Entry { return e })
	}
}

// A ledger that takes out what is past answers every later entry, and everybody who
// looks, as one does that keeps it all.
func TestWhatIsTakenOutIsNotMissed(t *testing.T) {
	base, key := keyed(t)
	unborn := base.sign(base.orderChange(base.order("never")), 0, 1)
	base.accept(unborn)
	rapid.Check(t, func(t *rapid.T) {
		w := &twins{world: base.fork(), key: key.ID, order: unborn.ID()}
		w.kept = w.s
		change := func() authority.Change {
			c := w.change()
			switch rapid.IntRange(0, 3).Draw(t, "of the kind") {
			case 0:
				sub := authority.Subject{Kind: authority.SubjectPrincipal, Name: fmt.Sprintf("spiffe://demo/%d", w.nonce%3)}
				c = w.changeOf(authority.KindRevoke, authority.Revoke{Subject: sub})
			case 1:
				if len(w.changes) > 0 {
					c = w.changeOf(authority.KindLift, authority.Lift{Lifts: authority.NewChange(rapid.SampledFrom(w.changes).Draw(t, "lifted")).ID()})
				}
			}
			c.NotAfter = w.s.Time() + rapid.Int64Range(-day, 4*day).Draw(t, "not after")
			w.changes = append(w.changes, c)
			return c
		}
		before := func() authority.Change {
			if len(w.changes) == 0 {
				return change()
			}
			return rapid.SampledFrom(w.changes).Draw(t, "change")
		}
		who := rapid.IntRange(0, 2)
		t.Repeat(map[string]func(*rapid.T){
			"":         w.looks,
			"a change": func(t *rapid.T) { w.same(t, "a change", w.sign(change(), 0, 1)) },
			"a proposal": func(t *rapid.T) {
				w.same(t, "a proposal", w.propose(change(), who.Draw(t, "by"), rapid.Bool().Draw(t, "approves")))
			},
			"an approval":   func(t *rapid.T) { w.same(t, "an approval", w.approve(before(), who.Draw(t, "by"))) },
			"a cancel":      func(t *rapid.T) { w.same(t, "a cancel", w.cancel(before(), who.Draw(t, "by"))) },
			"handed in now": func(t *rapid.T) { w.same(t, "a change, whole", w.sign(before(), 0, 1)) },
			"a grant": func(t *rapid.T) {
				g := w.grant(w.key)
				g.NotBefore = w.s.Time()
				g.NotAfter = w.s.Time() + rapid.Int64Range(1, 3*day).Draw(t, "until")
				e, _ := w.granting(rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"), g, w.custodians[0])
				w.same(t, "a grant", e)
			},
			"the same again": func(t *rapid.T) {
				if len(w.entries) > 0 {
					w.same(t, "a replay", rapid.SampledFrom(w.entries).Draw(t, "entry"))
				}
			},
			"a run": func(t *rapid.T) {
				o := w.s.OrderByHash(w.order)
				e := w.say("n1", authority.KindOpen, authority.Open{Order: w.order, Attempt: o.Attempt + 1})
				w.both(t, "an open", func(*ledger.State, int) *authority.Entry { return e })
				ids := [2]api.Digest{w.s.OrderByHash(w.order).Live, w.kept.OrderByHash(w.order).Live}
				if n := len(w.sessions); !ids[0].IsZero() && (n == 0 || w.sessions[n-1] != ids) {
					w.sessions = append(w.sessions, ids)
				}
			},
			"a run is left": func(t *rapid.T) {
				if len(w.sessions) == 0 {
					return
				}
				ids := rapid.SampledFrom(w.sessions).Draw(t, "session")
				for _, n := range []string{"n1", "n2", "n3"} {
					w.both(t, "an abandon", func(_ *ledger.State, twin int) *authority.Entry {
						return w.say(n, authority.KindAbandon, authority.Abandon{Session: ids[twin]})
					})
				}
			},
			"a while": func(t *rapid.T) { w.anchors(t, w.s.Time()+rapid.Int64Range(1, day/2).Draw(t, "ms")) },
		})
		// When everything is past, nothing is left that was not there before.
		w.anchors(t, w.s.Time()+200*day)
		for range 5 {
			w.anchors(t, w.s.Time()+1)
		}
		w.looks(t)
		for _, c := range w.changes {
			if w.s.Taken(authority.NewChange(c).ID()) != nil {
				t.Fatal("an id is kept past its time")
			}
		}
		d, err := ledger.Decode(w.genesis, bytes.NewReader(encode(base, w.s)))
		if err != nil || d.Position() != w.s.Position() {
			t.Fatalf("the state does not come back: %v", err)
		}
	})
}

// What an entry takes out is bounded, and it goes on with the next one; a state that
// was decoded goes on as the one that it was.
func TestPruningIsBounded(t *testing.T) {
	w := newWorld(t)
	w.past(1)
	const many = 2*ledger.MaxPruned + ledger.MaxPruned/2
	for range many {
		c := w.change()
		w.accept(w.sign(c, 0, 1))
	}
	full := w.s.Size()
	first := w.log[len(w.log)-many]
	w.refuse(first, ledger.ErrTaken)
	w.past(2000)
	if got := w.s.Size(); got != full {
		t.Errorf("%d values of %d are left before an entry saw that they are past", got, full)
	}
	w.refuse(first, ledger.ErrExpired)
	decoded, err := ledger.Decode(w.genesis, bytes.NewReader(encode(t, w.s)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{full - ledger.MaxPruned, full - 2*ledger.MaxPruned, full - many, full - many} {
		e := w.anchor("n1", uint64(i+100), created+2000)
		w.accept(e)
		if got := w.s.Size(); got != want {
			t.Errorf("entry %d leaves %d values, want %d", i, got, want)
		}
		if decoded, _ = decoded.Apply(w.index, e.Encode()); decoded.Position() != w.s.Position() {
			t.Fatalf("entry %d: a state that was decoded went another way", i)
		}
	}
	w.refuse(first, ledger.ErrExpired)
}

// A run that is over leaves the state, and one that is not stays, however old.
func TestARunThatIsOverIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.past(1)
	ended := w.open(w.rootOrder())
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.say(n, authority.KindAbandon, authority.Abandon{Session: ended.ID}))
	}
	live := w.open(w.rootOrder())
	w.past(day)
	if w.s.Session(ended.ID) == nil {
		t.Error("a run that ended today is forgotten")
	}
	size := w.s.Size()
	w.past(day + 2)
	w.past(day + 3)
	if w.s.Session(ended.ID) != nil || w.s.Size() != size-1 {
		t.Errorf("a run that ended yesterday is still there: %d values of %d", w.s.Size(), size)
	}
	if w.s.Session(live.ID) == nil {
		t.Error("a run that is open is forgotten")
	}
}
