package node

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
)

// What a lying member can do to honest nodes: n1 to n4 run as daemons do, n5 is the
// liar. In each test nothing is released that the policy denies, nothing is granted
// that custodians did not sign, and no committed entry is lost.

// find is where the log, as the liar heard of it, has an entry.
func (s *siege) find(e *authority.Entry) *raft.Log {
	s.Helper()
	s.liar.mu.Lock()
	defer s.liar.mu.Unlock()
	for _, l := range s.liar.log {
		if bytes.Equal(l.Data, e.Encode()) {
			return l
		}
	}
	s.Fatal("the liar has not heard of the entry")
	return nil
}

// forks are the fork records in the audit of a node that does not run.
func (s *siege) forks(id string) (out []string) {
	s.Helper()
	cfg, err := LoadConfig(s.dirs[id])
	if err != nil {
		s.Fatal(err)
	}
	key, err := openIdentity(s.dirs[id], id, openSoft(s.T, s.dirs[id]))
	if err != nil {
		s.Fatal(err)
	}
	n := &Node{cfg: cfg, genesis: s.genesis, log: quiet}
	if err := n.openAudit(s.dirs[id], key); err != nil {
		s.Fatal(err)
	}
	defer n.audit.Close()
	records, err := n.audit.Tail(1000)
	if err != nil {
		s.Fatal(err)
	}
	for _, r := range records {
		if r.Kind == audit.Fork {
			out = append(out, r.Action)
		}
	}
	return out
}

// others are the honest nodes but these.
func (s *siege) others(but ...string) []string {
	return slices.DeleteFunc(slices.Clone(s.honest), func(id string) bool { return slices.Contains(but, id) })
}

func (s *siege) warns(id, what string) bool {
	a := s.status(id)
	return a != nil && slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.Contains(w, what) })
}

// R35: a policy is narrowed, and the liar takes the entry back at one node with one
// call of a higher term. The entry stays, also after a restart; the node says fork,
// and the others go on.
func TestALiarCannotTakeADenyBack(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	s.refuses("", s.honest...)
	deny := s.narrowing("nobody")
	s.submit(deny, s.honest...)
	s.agree(s.honest...)
	s.refuses(api.CodeDenied, s.honest...)
	at := s.find(deny)
	s.liar.lead("n1")
	if s.liar.append("n1", s.liar.at(at.Index-1), at.Index, &raft.Log{Type: raft.LogNoop}) {
		t.Error("the entry was taken back")
	}
	s.liar.abdicate()
	s.state("fork", "n1")
	s.refuses(api.CodeFork, "n1")
	s.refuses(api.CodeDenied, s.others("n1")...)

	s.stop("n1")
	if got := s.forks("n1"); !slices.Equal(got, []string{"fork"}) {
		t.Errorf("its audit has %v", got)
	}
	s.start("n1")
	s.serve("n1")
	s.refuses(api.CodeDenied, s.honest...)
	if !s.warns("n1", "the last run stopped serving: fork") {
		t.Errorf("after the restart it warns of %v", s.status("n1").Warnings)
	}
	again := s.change(authority.KindPolicy, policy.Document{Text: siegePermit, Entities: siegeEntities}.Encode(), deny.ID())
	s.submit(again, s.others("n1")...)
	s.agree(s.honest...)
	s.refuses("", s.honest...) // so that it was the policy that denied
}

// R32: a false membership stops each node that hears of it, by name, again after a
// restart, and changes nothing.
func TestALiarCannotChangeTheMembership(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	var roster []raft.Server
	for _, id := range siegeNodes {
		roster = append(roster, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	altered := func(alter func([]raft.Server) []raft.Server) *raft.Log {
		return &raft.Log{Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: alter(slices.Clone(roster))})}
	}
	lies := map[string]*raft.Log{
		"n1": altered(func(r []raft.Server) []raft.Server { return append(r, r[4]) }), // itself twice
		"n2": altered(func(r []raft.Server) []raft.Server { return r[1:] }),           // a member is dropped
		"n3": altered(func(r []raft.Server) []raft.Server { r[0].Suffrage = raft.Nonvoter; return r }),
		"n4": altered(func(r []raft.Server) []raft.Server { r[0].Address = "n5"; return r }),
	}
	before := s.agree(s.honest...)
	tell := func(id string) {
		s.liar.lead(id)
		if s.liar.append(id, s.liar.last(), 0, lies[id]) {
			t.Errorf("%s took it", id)
		}
		s.liar.abdicate()
		s.state("membership", id)
		s.refuses(api.CodeFork, id)
	}
	tell("n1")
	s.serve(s.others("n1")...)
	for _, id := range s.others("n1") {
		tell(id)
	}
	for _, id := range s.honest {
		if a := s.status(id); a.Root != before.Root && a.Index == before.Index {
			t.Errorf("the state of %s has changed", id)
		}
		s.stop(id)
		if got := s.forks(id); !slices.Equal(got, []string{"membership"}) {
			t.Errorf("the audit of %s has %v", id, got)
		}
		s.start(id)
	}
	s.serve(s.honest...)
	for _, id := range s.honest {
		if !s.warns(id, "the last run stopped serving: membership") {
			t.Errorf("%s warns of %v", id, s.status(id).Warnings)
		}
	}
	s.refuses("", s.honest...)
	tell("n2")
}

// A liar who leads appends what nobody signed for, what is old, what is for others,
// what is nothing, and hundreds of them: each is chained and changes nothing, and
// entries of Raft's own that nobody uses are not stored at all.
func TestALiarWhoLeadsGrantsNothing(t *testing.T) {
	s := newSiege(t)
	before := s.agree(s.honest...)
	open := policy.Document{Text: `permit (principal, action, resource);`, Entities: siegeEntities}.Encode()
	c := authority.Change{Cluster: s.genesis.Cluster, Kind: authority.KindPolicy, Body: open, Base: s.policy, NotAfter: time.Now().Add(time.Hour).UnixMilli()}
	foreign, unknown := c, c
	foreign.Cluster[0] ^= 1
	unknown.Nonce[0] = 9
	stranger, err := authority.NewSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	bystander := s.signed(c, s.custodians[0])
	if err := authority.SignChange(zeros{}, bystander, stranger); err != nil {
		t.Fatal(err)
	}
	old := c
	old.Body, old.Base = policy.Document{Text: siegePermit, Entities: siegeEntities}.Encode(), api.Digest{}
	kind := s.signed(unknown, s.custodians[:2]...)
	kind.Kind = "grant"
	forged := [][]byte{
		s.signed(c).Encode(),                              // nobody signed
		s.signed(c, s.custodians[0]).Encode(),             // too few
		bystander.Encode(),                                // a stranger
		s.signed(foreign, s.custodians[:2]...).Encode(),   // another cluster
		s.signed(old, s.custodians[:2]...).Encode(),       // an old base
		kind.Encode(),                                     // an unknown kind
		s.liar.statement(authority.KindPolicy, []byte{1}), // in a member's name
		bytes.Repeat([]byte{0xff}, 100),                   // undecodable
		make([]byte, authority.MaxEntrySize+1),            // oversized
		nil,
	}
	for i := range uint64(before.Index) {
		if l := s.liar.at(i + 1); l != nil && l.Type == raft.LogCommand && len(forged) < 40 {
			if e, err := authority.ParseEntry(l.Data); err == nil && e.Author == "" {
				forged = append(forged, l.Data) // what was taken already
			}
		}
	}
	var entries []*raft.Log
	for len(entries) < 400 {
		for _, f := range forged {
			entries = append(entries, command(f))
		}
	}
	liar := s.liar // which the siege does without at times
	s.liar.says(func(q api.FreshRequest) *api.FreshAnswer { return liar.sign(q, api.FreshAnswer{}) })
	s.liar.lead(s.honest...)
	for _, id := range s.honest {
		last := s.liar.last()
		for _, e := range []*raft.Log{nil, {Type: 99}, {Type: raft.LogBarrier}, {Data: make([]byte, 1<<20)}} {
			if s.liar.append(id, last, 0, e) {
				t.Errorf("%s stored %v", id, e)
			}
		}
		began := time.Now()
		if !s.liar.append(id, last, last.Index+uint64(len(entries)), entries...) {
			t.Errorf("%s did not store what Raft has to store", id)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s took %v for %d entries", id, took, len(entries))
		}
	}
	chained := before.RaftIndex + uint64(len(entries))
	for _, id := range s.honest {
		s.within(patience, id+" has applied all", func() bool { a := s.status(id); return a != nil && a.Index == chained })
		if a := s.status(id); a.Root != before.Root || a.PolicyDigest != before.PolicyDigest || a.State != serving {
			t.Errorf("%s: root %s, was %s; %s", id, a.Root, before.Root, a.State)
		}
	}
	s.refuses("", s.honest...) // what was permitted is, and the liar's leading stops nobody
	s.liar.abdicate()
	s.submit(s.narrowing("after the liar"), s.honest...)
	s.within(patience, "all have the change", func() bool {
		return !slices.ContainsFunc(s.honest, func(id string) bool { code, _ := s.asks(id); return code != api.CodeDenied })
	})
}

// R41: a liar who leads has a narrowing stored and committed by a bare majority, itself
// included, and withholds it from n3 and n4, to whom it says that there is nothing.
// They stop when they are stale, and not on the liar's word fresh.
func TestWhatALiarWithholdsMakesTheOthersStale(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	deny := s.narrowing("withheld")
	last := s.liar.last()
	liar := s.liar // which the siege does without at times
	s.liar.says(func(q api.FreshRequest) *api.FreshAnswer {
		return liar.sign(q, api.FreshAnswer{Index: last.Index}) // as far as n3 and n4 have it
	})
	s.liar.lead(s.honest...)
	began := time.Now()
	for _, id := range []string{"n1", "n2"} {
		if !s.liar.append(id, last, last.Index+1, command(deny.Encode())) {
			t.Fatalf("%s did not store it", id)
		}
	}
	s.within(patience, "n1 and n2 refuse", func() bool {
		one, _ := s.asks("n1")
		two, _ := s.asks("n2")
		return one == api.CodeDenied && two == api.CodeDenied
	})
	for _, id := range []string{"n3", "n4"} {
		s.within(patience, id+" is stale", func() bool { code, _ := s.asks(id); return code == api.CodeStale })
	}
	if took := time.Since(began); took > maxStaleness+freshPeriod+20*time.Second {
		t.Errorf("they went on for %v", took)
	}
	time.Sleep(2 * freshPeriod)
	for _, id := range []string{"n3", "n4"} {
		// The liar's word does not make them fresh again, unless those who know better
		// were too busy for one round.
		s.within(patience, id+" is stale still", func() bool { code, _ := s.asks(id); return code == api.CodeStale })
	}
	s.liar.abdicate()
	s.within(patience, "all refuse by policy", func() bool {
		return !slices.ContainsFunc(s.honest, func(id string) bool { code, _ := s.asks(id); return code != api.CodeDenied })
	})
	s.agreeWithoutLiar()
}

// agreeWithoutLiar is agree while the liar's own log has gone another way.
func (s *siege) agreeWithoutLiar() {
	s.Helper()
	l := s.liar
	s.liar = nil
	defer func() { s.liar = l }()
	s.agree(s.honest...)
}

// A liar who leads commits one signed change at n1, n2 and n3, and another one at
// n4, at the same index. Both are the custodians' own. The two histories show in
// signed links: n4 says fork, also after a restart, and the others name n4 and go on.
func TestTwoHistoriesShow(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	here := s.change(authority.KindPolicy, policy.Document{Text: siegePermit + "// here", Entities: siegeEntities}.Encode(), s.policy)
	there := s.narrowing("there")
	last := s.liar.last()
	s.liar.lead(s.honest...)
	for _, id := range s.honest {
		e := here
		if id == "n4" {
			e = there
		}
		if !s.liar.append(id, last, last.Index+1, command(e.Encode())) {
			t.Fatalf("%s did not store it", id)
		}
	}
	_, one := s.asks("n1")
	_, four := s.asks("n4")
	if one.Index != four.Index || one.Link == four.Link {
		t.Errorf("the headers of n1 and n4 show no fork: %v, %v", one, four)
	}
	s.state("fork", "n4")
	for _, id := range s.others("n4") {
		s.within(patience, id+" names n4", func() bool { return s.warns(id, "fork: n4 signs another history: at ") })
	}
	s.liar.abdicate()
	s.refuses(api.CodeFork, "n4")
	s.serve(s.others("n4")...)
	s.refuses("", s.others("n4")...)
	s.submit(s.change(authority.KindPolicy, policy.Document{Text: "// after", Entities: siegeEntities}.Encode(), here.ID()), s.others("n4")...)
	s.refuses(api.CodeFork, "n4")
	s.stop("n4")
	s.start("n4")
	s.state("fork", "n4") // a fork that is real is found again
	if got := s.status("n4").PolicyDigest; got != api.Digest(policy.Document{Text: "// there", Entities: siegeEntities}.Digest()) {
		t.Errorf("what n4 has applied was replaced: %s", got)
	}
}

// R41: what a liar answers about its log makes nobody stale, nobody fresh, and stops
// nobody; a false link is named.
func TestLiesAboutALogStopNobody(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	var kept *api.FreshAnswer
	for _, lie := range []struct {
		sentence string
		answer   func(api.FreshRequest) *api.FreshAnswer
		lasts    time.Duration
	}{
		{"nothing", func(q api.FreshRequest) *api.FreshAnswer {
			return s.liar.sign(q, api.FreshAnswer{CommittedLink: s.genesis.Hash()})
		}, 2 * freshPeriod},
		{"an end that nobody reaches", func(q api.FreshRequest) *api.FreshAnswer {
			return s.liar.sign(q, api.FreshAnswer{Index: math.MaxUint64, Committed: math.MaxUint64})
		}, maxStaleness + freshPeriod},
		{"an answer to another question", func(q api.FreshRequest) *api.FreshAnswer {
			if kept == nil {
				kept = s.liar.sign(q, api.FreshAnswer{Index: math.MaxUint64, CommittedLink: s.genesis.Hash()})
			}
			return kept
		}, 2 * freshPeriod},
		{"no signature", func(api.FreshRequest) *api.FreshAnswer { return &api.FreshAnswer{Index: math.MaxUint64} }, 2 * freshPeriod},
	} {
		s.liar.says(lie.answer)
		began, heard := time.Now(), s.liar.asked()
		for time.Since(began) < lie.lasts {
			for _, id := range s.honest {
				if code, _ := s.asks(id); code != "" && code != api.CodeUnreachable { // on a busy machine
					t.Fatalf("%s: %s answers %q", lie.sentence, id, code)
				}
			}
			time.Sleep(500 * time.Millisecond)
		}
		if s.liar.asked() < heard+len(s.honest) {
			t.Errorf("%s: nobody heard it", lie.sentence)
		}
		for _, id := range s.honest {
			if s.warns(id, "fork") {
				t.Errorf("%s: %s warns of %v", lie.sentence, id, s.status(id).Warnings)
			}
		}
	}
	at := s.status("n1")
	liar := s.liar // which the siege does without at times
	s.liar.says(func(q api.FreshRequest) *api.FreshAnswer {
		return liar.sign(q, api.FreshAnswer{Index: at.RaftIndex, Committed: at.Index, CommittedLink: api.Digest{1}})
	})
	for _, id := range s.honest {
		s.within(patience, id+" names the liar", func() bool { return s.warns(id, "fork: n5 signs another history: at ") })
	}
	s.refuses("", s.honest...)
	s.submit(s.narrowing("goes on"), s.honest...)
	s.agreeWithoutLiar()
	s.refuses(api.CodeDenied, s.honest...)
}

func (l *liar) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

// A member that does nothing but submit, its own valid statements and junk of the
// largest size, is turned away, and changes are taken meanwhile.
func TestAMemberThatSubmitsWithoutEndStallsNobody(t *testing.T) {
	s := newSiege(t)
	var leader atomic.Value // whom it submits to
	leader.Store(s.agree(s.honest...).Leader)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	junk := wire.Encode(api.SubmitRequest{Entry: make([]byte, authority.MaxEntrySize)})
	var taken, turned atomic.Int64
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := uint64(1); ctx.Err() == nil; i++ {
				body := junk
				if w%2 == 0 {
					body = wire.Encode(api.SubmitRequest{Entry: s.liar.statement(authority.KindAnchor, authority.Anchor{
						Counter: uint64(time.Now().UnixNano()), Time: time.Now().UnixMilli(),
					})})
				}
				if _, err := s.liar.peers.Call(ctx, leader.Load().(string), api.MethodPeerSubmit, body); err == nil {
					taken.Add(1)
				} else if strings.Contains(err.Error(), "units a second") {
					turned.Add(1)
				}
			}
		})
	}
	began := time.Now()
	s.submit(s.narrowing("in the flood"), s.honest...)
	s.within(patience, "all refuse", func() bool {
		return !slices.ContainsFunc(s.honest, func(id string) bool { code, _ := s.asks(id); return code != api.CodeDenied })
	})
	time.Sleep(3 * time.Second)
	for turned.Load() == 0 && time.Since(began) < patience { // a busy machine is slow to ask so much
		if a := s.status("n1"); a != nil && a.Leader != "" && a.Leader != "n5" { // who leads may have changed
			leader.Store(a.Leader)
		}
		time.Sleep(100 * time.Millisecond)
	}
	cancel()
	seconds := time.Since(began).Seconds() + 1
	all.Wait()
	ok, no := taken.Load(), turned.Load()
	if no == 0 || float64(ok) > seconds*peerUnitsPerSecond {
		t.Errorf("in %.0f s %d submissions were taken, %d turned away", seconds, ok, no)
	}
	t.Logf("in %.0f s %d submissions were taken, %d turned away", seconds, ok, no)
}

// R31: a liar who inflates terms deposes every leader for as long as it goes on.
// Nobody stops serving meanwhile, and when it ends the honest elect one.
func TestInflatedTermsDeposeOnlyWhileTheyLast(t *testing.T) {
	s := newSiege(t)
	s.agree(s.honest...)
	began := time.Now()
	for time.Since(began) < maxStaleness+2*freshPeriod {
		s.liar.lead(s.honest...)
		s.liar.abdicate()
		for _, id := range s.honest {
			if code, _ := s.asks(id); code != "" && code != api.CodeUnreachable { // on a busy machine
				t.Fatalf("%s answers %q", id, code)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := s.within(patience, "the honest have elected one", func() bool {
		a := s.status("n1")
		return a != nil && a.Leader != "" && a.Leader != "n5"
	})
	t.Logf("a leader %v after the last call", took)
	s.submit(s.narrowing("after all"), s.honest...)
	s.agree(s.honest...)
	s.refuses(api.CodeDenied, s.honest...)
}
