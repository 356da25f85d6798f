package warifutest_test

import (
	"context"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
	"warifu.dev/warifutest"
	"warifu.dev/warifutest/schedule"
)

// says waits until a node answers A with this code, and fails as soon as it releases
// where it must not.
func (s *stage) says(node string, want api.Code, when string) {
	s.Helper()
	s.eventually(warifutest.Patience, node+" answers, "+when, func() bool {
		got := s.asked(s.a, node)
		if got == "" && want != "" {
			s.Fatalf("%s: %s released", when, node)
		}
		return got == want
	})
}

// R35: what suspends a key is kept as a revoke is: a node that has signed that it is
// in force refuses, also when the entry is truncated, and over a restart; a committed
// lift ends it. Ordered, it stops every node, until the change that names it is
// committed.
func TestASuspendedKeyStaysSuspendedWhenItsEntryIsTruncated(t *testing.T) {
	scenario(t, func(s *stage) {
		id, err := client.KeyIDOf(s.envelope)
		s.must(err)
		old := s.leader(s.IDs())
		others := s.others(old)
		if s.receipt(old, api.Digest{1}, nil) != nil { // and the connection is open
			s.Fatal("a receipt for nothing")
		}
		cut := s.inflict(schedule.Fault{Kind: schedule.CutBoth, Nodes: []string{old}, To: others})
		stop := s.signed(authority.KindKeyState, authority.KeyStateChange{Key: id, To: authority.Suspended})
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		if _, err := s.carrier.Submit(ctx, old, stop.Encode()); err == nil {
			s.Fatal("a leader that nobody follows has committed: this test shows nothing")
		}
		if r := s.receipt(old, stop.ID(), nil); r == nil || r.Receipt.Index != 0 || r.Receipt.Subject.Kind != authority.SubjectKeyState {
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
		s.says(others[0], "", "the entry was truncated, or this test shows nothing")
		s.says(old, api.CodeKeyState, "truncated")
		s.restarted(old)
		s.says(old, api.CodeKeyState, "truncated, and started anew")
		submit := func(e *authority.Entry) {
			s.eventually(warifutest.Patience, "it is ordered", func() bool {
				_, err := s.carrier.Submit(s.Context(), others[0], e.Encode())
				return err == nil
			})
		}
		submit(s.signed(authority.KindLift, authority.Lift{Lifts: stop.ID()}))
		s.says(old, "", "lifted")

		again := s.signed(authority.KindKeyState, authority.KeyStateChange{Key: id, To: authority.Suspended})
		submit(again)
		s.eventually(warifutest.Patience, "it is done", func() bool { return s.count(again.ID()).Done() })
		for _, node := range s.IDs() {
			s.says(node, api.CodeKeyState, "suspended")
		}
		enable, err := s.Desk().Sign(authority.KindKeyState, wire.Encode(authority.KeyStateChange{Key: id, To: authority.Active}), again.ID())
		s.must(err)
		submit(enable)
		for _, node := range s.IDs() {
			s.says(node, "", "enabled")
		}
	})
}
