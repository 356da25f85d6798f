package warifutest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

var subjectA = authority.Subject{Kind: authority.SubjectPrincipal, Name: warifutest.AppA}

// signed is a change that enough custodians have signed.
func (s *stage) signed(kind string, body any) *authority.Entry {
	s.Helper()
	e, err := s.Desk().Sign(kind, wire.Encode(body), api.Digest{})
	s.must(err)
	return e
}

func (s *stage) revoke(sub authority.Subject) *authority.Entry {
	s.Helper()
	return s.signed(authority.KindRevoke, authority.Revoke{Subject: sub})
}

// receipt is what a node signed about a revoke, or nil: handed over now if entry is
// there, asked for else.
func (s *stage) receipt(node string, id api.Digest, entry []byte) *authority.SignedReceipt {
	s.Helper()
	method, body := uint16(api.MethodReceipt), wire.Encode(api.ReceiptRequest{ID: id})
	if entry != nil {
		method, body = api.MethodDeny, wire.Encode(api.SubmitRequest{Entry: entry})
	}
	b, err := s.carrier.Call(s.Context(), node, method, body)
	if errors.Is(err, transport.ErrClosed) { // the node was started anew since
		b, err = s.carrier.Call(s.Context(), node, method, body)
	}
	if err != nil {
		return nil
	}
	var a api.ReceiptAnswer
	s.must(wire.Decode(b, &a))
	if len(a.Receipt) == 0 {
		return nil
	}
	r, err := authority.ParseSignedReceipt(a.Receipt)
	s.must(err)
	s.must(r.Verify(authority.Begin(s.Genesis()), id))
	return r
}

// receipts are those of all nodes.
func (s *stage) receipts(id api.Digest, entry []byte) (list []*authority.SignedReceipt) {
	s.Helper()
	for _, node := range s.IDs() {
		if r := s.receipt(node, id, entry); r != nil {
			list = append(list, r)
		}
	}
	return list
}

// count is P4's, of the receipts of all nodes.
func (s *stage) count(id api.Digest) *authority.RevokeCount {
	s.Helper()
	c, err := authority.CountReceipts(authority.Begin(s.Genesis()), id, 0, s.receipts(id, nil))
	s.must(err)
	return c
}

// restarted crashes nodes, all at a time, and waits until they serve again.
func (s *stage) restarted(ids ...string) {
	s.Helper()
	for _, id := range ids {
		s.must(s.Crash(id))
	}
	for _, id := range ids {
		s.must(s.Start(id))
	}
	s.serving()
}

func (s *stage) serving() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), warifutest.Patience)
	defer cancel()
	s.must(s.WaitServing(ctx))
}

// keeps holds nodes to their receipts: they serve, and release nothing to A.
func (s *stage) keeps(when string, ids ...string) {
	s.Helper()
	for _, id := range ids {
		s.eventually(warifutest.Patience, id+" serves B", func() bool {
			if s.asked(s.a, id) == "" {
				s.Fatalf("%s: %s released to A, and had signed that it does not", when, id)
			}
			return s.asked(s.b, id) == ""
		})
		if got := s.asked(s.a, id); got != api.CodeDenied {
			s.Errorf("%s: %s answers A %q", when, id, got)
		}
	}
}

// R30: a revoke is done while nobody but the leader has applied it. The others
// have it in their logs, and refuse; so does whoever asks all of them at once.
func TestARevokeIsInForceWhereItIsNotApplied(t *testing.T) {
	scenario(t, func(s *stage) {
		leader := s.leader(s.IDs())
		for strings.HasPrefix(leader, "sg") { // the others would hear that it is committed before we do
			s.restarted(leader)
			leader = s.leader(s.IDs())
		}
		followers := s.others(leader)
		for _, id := range s.IDs() { // connections that are open
			if got := s.asked(s.a, id); got != "" {
				s.Fatalf("%s answers A %q before", id, got)
			}
			s.receipt(id, api.Digest{1}, nil)
		}
		e := s.revoke(subjectA)
		_, err := s.carrier.Submit(s.Context(), leader, e.Encode())
		s.must(err)
		s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: []string{leader}, To: followers})
		c := s.count(e.ID())
		if !c.Done() {
			s.Fatalf("it is not done: %+v", c)
		}
		var waiting []string // the farthest may not have it, and has not signed
		for _, r := range s.receipts(e.ID(), nil) {
			if r.Receipt.Index == 0 {
				waiting = append(waiting, r.Receipt.Node)
			}
		}
		if len(waiting) < warifutest.Threshold {
			s.Fatalf("%v have not applied it: this test shows nothing", waiting)
		}
		if err := s.load.Unwrap(s.Context(), warifutest.AppA); err == nil {
			s.Error("A's envelope opens after the revoke is done")
		}
		s.keeps("stored, not applied", waiting...)
	})
}

// A receipt is a promise that outlives the process: also of a revoke that nobody
// has ordered, and when all nodes are started anew at once.
func TestAReceiptHoldsOverARestart(t *testing.T) {
	scenario(t, func(s *stage) {
		e := s.revoke(subjectA)
		if got := s.receipts(e.ID(), e.Encode()); len(got) != len(s.IDs()) {
			s.Fatalf("%d receipts", len(got))
		}
		if c := s.count(e.ID()); c.Done() || len(c.Nodes) != len(s.IDs()) {
			s.Errorf("handed over and ordered nowhere: %+v", c)
		}
		s.restarted(s.IDs()...)
		s.keeps("started anew", s.IDs()...)
		if c := s.count(e.ID()); len(c.Nodes) != len(s.IDs()) {
			s.Errorf("started anew, and %v have receipts", c.Nodes)
		}
	})
}

// R35: the entry of a revoke that only a deposed leader has is truncated, and the
// receipt that it gave holds, over a restart too.
func TestAReceiptHoldsWhenItsEntryIsTruncated(t *testing.T) {
	scenario(t, func(s *stage) {
		old := s.leader(s.IDs())
		others := s.others(old)
		if s.receipt(old, api.Digest{1}, nil) != nil { // and the connection is open
			s.Fatal("a receipt for nothing")
		}
		cut := s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: []string{old}, To: others})
		e := s.revoke(subjectA)
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		if _, err := s.carrier.Submit(ctx, old, e.Encode()); err == nil {
			s.Fatal("a leader that nobody follows has committed: this test shows nothing")
		}
		r := s.receipt(old, e.ID(), nil)
		if r == nil || r.Receipt.Index != 0 {
			s.Fatalf("the receipt of the one that has it: %+v", r)
		}
		s.leader(others)
		nobody := s.revoke(authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://test/nobody"})
		s.eventually(warifutest.Patience, "the others order something else", func() bool {
			_, err := s.carrier.Submit(s.Context(), others[0], nobody.Encode())
			return err == nil
		})
		s.must(cut.Heal())
		s.eventually(warifutest.Patience, "the old leader has the log of the others", func() bool {
			r := s.receipt(old, nobody.ID(), nil)
			return r != nil && r.Receipt.Index != 0
		})
		if got := s.asked(s.a, others[0]); got != "" {
			s.Fatalf("%s answers A %q: the entry was not truncated, and this test shows nothing", others[0], got)
		}
		s.keeps("truncated", old)
		s.restarted(old)
		s.keeps("truncated, and started anew", old)
	})
}

// A node that cannot write denies at once, and signs for it when it is durable, not
// before.
func TestNoReceiptBeforeTheDenyIsDurable(t *testing.T) {
	scenario(t, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		e := s.revoke(subjectA)
		hold := s.HoldDisk(victim, "denies")
		defer hold.Release()
		var signed atomic.Bool
		var asking sync.WaitGroup
		asking.Go(func() {
			if s.receipt(victim, e.ID(), e.Encode()) != nil {
				signed.Store(true)
			}
		})
		time.Sleep(time.Second)
		if got := s.asked(s.a, victim); got != api.CodeDenied {
			s.Errorf("handed over, not durable: it answers A %q", got)
		}
		asking.Go(func() {
			if s.receipt(victim, e.ID(), nil) != nil {
				signed.Store(true)
			}
		})
		asking.Wait()
		if signed.Load() {
			s.Error("it signed for what is not durable")
		}
		if hold.Met() == 0 {
			s.Error("nothing was to be written: this test shows nothing")
		}
		hold.Release()
		s.eventually(warifutest.Patience, "it signs when it is durable", func() bool { return s.receipt(victim, e.ID(), nil) != nil })
		s.restarted(victim)
		s.keeps("durable, and started anew", victim)
	})
}

// R20, R21: connections that have been open for long, frames that travel together on
// one of them, and connections that are made afterwards: none is good for anything
// once its node has signed.
func TestARevokeReachesEveryConnection(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		for _, id := range s.IDs() {
			if got := s.asked(s.a, id); got != "" {
				s.Fatalf("%s answers A %q before", id, got)
			}
		}
		for range 5 { // connections are kept open by what is asked on them
			time.Sleep(40 * time.Second)
			for _, id := range s.IDs() {
				if got := s.asked(s.a, id); got != "" {
					s.Fatalf("%s answers A %q before", id, got)
				}
			}
		}
		var clock atomic.Int64
		var mu sync.Mutex
		var history []warifutest.Op // guarded by mu
		add := func(op warifutest.Op) {
			mu.Lock()
			defer mu.Unlock()
			history = append(history, op)
		}
		counts := map[api.Code]int{} // guarded by mu
		ask := func(id string) {
			call := clock.Add(1)
			got := s.asked(s.a, id)
			at := clock.Add(1)
			if got == "" {
				add(warifutest.Op{Subject: id, Kind: warifutest.OpRelease, ID: fmt.Sprint("frame ", call), Call: call, Return: at})
			}
			mu.Lock()
			defer mu.Unlock()
			counts[got]++
		}
		e := s.revoke(subjectA)
		var all sync.WaitGroup
		for _, id := range s.IDs() {
			for i := range 40 { // on one connection, before, during and after
				all.Go(func() {
					time.Sleep(time.Duration(i) * 5 * time.Millisecond)
					ask(id)
				})
			}
			all.Go(func() {
				time.Sleep(50 * time.Millisecond)
				call := clock.Add(1)
				if s.receipt(id, e.ID(), e.Encode()) == nil {
					s.Errorf("%s does not sign", id)
					return
				}
				add(warifutest.Op{Subject: id, Kind: warifutest.OpRevoke, ID: e.ID().String(), Call: call, Return: clock.Add(1)})
				var frames sync.WaitGroup
				for range 16 {
					frames.Go(func() { ask(id) })
				}
				frames.Wait()
			})
		}
		all.Wait()
		for _, v := range warifutest.CheckRevokes(history) {
			s.Error(v)
		}
		if counts[""] < 20 || counts[api.CodeDenied] < 5*16 {
			s.Errorf("answers: %v", counts)
		}
		cert, err := s.Desk().Application(warifutest.AppA)
		s.must(err)
		late := warifutest.NewDirect(s.Genesis(), cert, s.Open)
		defer late.Close()
		for _, id := range s.IDs() {
			if got := s.asked(late, id); got != api.CodeDenied {
				s.Errorf("%s answers A %q on a connection that was made afterwards", id, got)
			}
		}
		lift := s.signed(authority.KindLift, authority.Lift{Lifts: e.ID()})
		_, err = s.custodian.Submit(s.Context(), lift.Encode())
		s.must(err)
		for _, id := range s.IDs() {
			s.eventually(warifutest.Patience, id+" serves A when the revoke is lifted", func() bool { return s.asked(s.a, id) == "" })
		}
		if got := s.receipts(e.ID(), e.Encode()); len(got) != 0 {
			s.Errorf("lifted, and taken again by %d nodes", len(got))
		}
	})
}

// R37: a node that has signed keeps to it when its log is compacted, and when a
// snapshot takes the place of the log, in which there is nothing of the revoke.
func TestAReceiptHoldsOverCompactionAndAnInstall(t *testing.T) {
	scenarioWith(t, warifutest.Options{Snapshots: warifutest.RaceSnapshots}, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		e := s.revoke(subjectA)
		if got := s.receipts(e.ID(), e.Encode()); len(got) != len(s.IDs()) {
			s.Fatalf("%d receipts", len(got))
		}
		s.must(s.Crash(victim))
		before := s.Installs()
		for range 150 {
			var nothing api.Digest
			_, _ = rand.Read(nothing[:]) // never fails
			_, err := s.custodian.Submit(s.Context(), s.signed(authority.KindLift, authority.Lift{Lifts: nothing}).Encode())
			s.must(err)
		}
		time.Sleep(time.Minute) // for snapshots to be due
		s.keeps("compacted", s.others(victim)...)
		s.must(s.Start(victim))
		s.serving()
		if s.Installs() == before {
			s.Fatal("no snapshot was installed: this test shows nothing")
		}
		s.keeps("installed", victim)
		s.restarted(s.IDs()...)
		s.keeps("started anew", s.IDs()...)
		if c := s.count(e.ID()); len(c.Nodes) != len(s.IDs()) {
			s.Errorf("in the end, %v have receipts", c.Nodes)
		}
	})
}

// R20: a revoke comes when the gate has said yes and the record is on its way to the
// disk: no partial leaves, and the audit says that it was withheld.
func TestADenyBetweenRecordAndPartialIsWithheld(t *testing.T) {
	scenario(t, func(s *stage) {
		victim := s.others(s.leader(s.IDs()))[0]
		if got := s.asked(s.a, victim); got != "" {
			s.Fatalf("%s answers A %q before", victim, got)
		}
		const reason = "just in between"
		hold := s.HoldDisk(victim, "audit")
		defer hold.Release()
		var released api.Code
		var asking sync.WaitGroup
		asking.Go(func() {
			_, err := s.a.Unwrap(s.Context(), victim, s.envelope, reason)
			released = codeOf(err)
		})
		s.eventually(time.Second, "the record is being written", func() bool { return hold.Met() > 0 })
		e := s.revoke(subjectA)
		asking.Go(func() { s.receipt(victim, e.ID(), e.Encode()) }) // it is recorded too, which waits
		s.eventually(time.Second, "the revoke is in force", func() bool { return s.receipt(victim, e.ID(), nil) != nil })
		hold.Release()
		asking.Wait()
		if released != api.CodeDenied {
			s.Errorf("it answers A %q", released)
		}
		s.must(s.Stop(victim))
		records, err := s.Audit(victim)
		s.must(err)
		var kinds []audit.Kind
		for _, r := range records {
			if r.Reason == reason {
				kinds = append(kinds, r.Kind)
			}
		}
		if len(kinds) != 2 || kinds[0] != audit.Release || kinds[1] != audit.Withheld {
			s.Errorf("recorded: %v", kinds)
		}
	})
}
