package ceremony

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tprf"
)

// keepSets lets every driver keep its shares of symmetric keys here, by node and session.
func (s *stage) keepSets() map[string]map[[32]byte]*tprf.Share {
	kept := map[string]map[[32]byte]*tprf.Share{}
	for _, node := range all {
		kept[node] = map[[32]byte]*tprf.Share{}
	}
	s.sets = func(node string, ses *ledger.Session, sets *tprf.Share) error {
		if have := kept[node][ses.ID]; have != nil && !have.Equal(sets) {
			return errors.New("another share than the one that was made durable")
		}
		kept[node][ses.ID] = sets.Clone()
		return nil
	}
	return kept
}

// symmetricStage is a stage with a root key, whose drivers keep their set keys.
func symmetricStage(s *stage) (*stage, map[string]map[[32]byte]*tprf.Share) {
	s.t.Helper()
	kept := s.keepSets()
	s.until("the root key is born", s.rootBorn, all...)
	return s, kept
}

func (s *stage) orderSymmetric(name string) func() bool {
	s.t.Helper()
	if r := s.Apply(s.OrderSymmetric(name)); r.Err != nil {
		s.t.Fatal(r.Err)
	}
	return func() bool { k := s.State().KeyNamed(name); return k != nil && len(k.Signed) == 3 }
}

func checkSets(t *testing.T, k *ledger.Key, kept map[string]map[[32]byte]*tprf.Share, nodes ...string) {
	t.Helper()
	for _, node := range nodes {
		if share := kept[node][k.Session]; share == nil || !share.Fits(k.Session, k.Record.Sets) {
			t.Errorf("%s has no share that fits", node)
		}
	}
}

func TestABirthOfASymmetricKey(t *testing.T) {
	s, kept := symmetricStage(newStage(t))
	s.until("the key demo is born and signed", s.orderSymmetric("demo"), all...)
	checkSets(t, s.State().KeyNamed("demo"), kept, all...)
	s.checkGone(all...)
	if len(s.refused) > 0 {
		t.Errorf("refused: %v", s.refused)
	}
}

// Every driver is killed at each of its submissions, once before and once after the
// ledger has taken it, and made anew from what it stored: it posts the same bytes.
func TestAKillAtEachSubmissionEndsInTheSameSymmetricBirth(t *testing.T) {
	for _, f := range []fault{failed, unanswered} {
		t.Run([]string{failed: "failed", unanswered: "failed, but persisted"}[f], func(t *testing.T) {
			s, kept := symmetricStage(newStage(t))
			killed, bodies := map[string]bool{}, map[string][]byte{}
			s.fault = func(node, kind string, body any) fault {
				name := node + " " + kind
				if p, ok := body.(authority.Post); ok {
					name += fmt.Sprintf(" %v", dkg.Kind(p.Kind))
					if before := bodies[name]; before != nil && !bytes.Equal(before, p.Body) {
						t.Errorf("%s: other bytes after the kill", name)
					}
					bodies[name] = p.Body
				}
				if killed[name] {
					return none
				}
				killed[name] = true
				return f
			}
			born := s.orderSymmetric("demo")
			s.until("the key is born", func() bool {
				for _, node := range all {
					s.killed = false
					s.tick(node)
					if s.killed {
						s.start(node, quiet)
					}
				}
				return born()
			})
			s.fault = func(string, string, any) fault { return none }
			k := s.State().KeyNamed("demo")
			checkSets(t, k, kept, all...)
			s.checkGone(all...)
			if o := s.State().OrderByHash(k.Order); o.Attempt != 1 {
				t.Errorf("attempt %d", o.Attempt)
			}
		})
	}
}

// The receipt is not posted before the set keys are durable.
func TestNoReceiptWithoutDurableSetKeys(t *testing.T) {
	s, kept := symmetricStage(newStage(t))
	s.posts = nil
	born := s.orderSymmetric("demo")
	keep := s.drivers["n3"].cfg.ConfirmSets
	s.drivers["n3"].cfg.ConfirmSets = func(context.Context, *ledger.State, *ledger.Session, *tprf.Share) error {
		return errors.New("the disk is full")
	}
	s.until("the others confirmed", func() bool { return slices.Contains(s.posts, "n2 post receipt") }, all...)
	for range 10 {
		s.tick(all...)
	}
	if slices.Contains(s.posts, "n3 post receipt") {
		t.Fatal("a receipt without a share")
	}
	s.drivers["n3"].cfg.ConfirmSets = keep
	s.until("the key is born", born, all...)
	checkSets(t, s.State().KeyNamed("demo"), kept, all...)
}

// A wrong receipt ends the attempt; the nodes' logs say who said what, and the next
// attempt bears the key.
func TestAnAttemptWithAWrongReceiptIsFollowedByAnother(t *testing.T) {
	s, kept := symmetricStage(newStageOf(t, 2, 3))
	var log strings.Builder
	s.drivers["n1"].cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	born := s.orderSymmetric("demo")
	lied := false
	say := s.drivers["n3"].cfg.Submit
	s.drivers["n3"].cfg.Submit = func(ctx context.Context, kind string, body any) error {
		if p, ok := body.(authority.Post); ok && dkg.Kind(p.Kind) == dkg.KindReceipt && !lied {
			r, err := dkg.DecodeReceipt(p.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Sets[0][0] ^= 1
			p.Body, lied = wire.Encode(r), true
			return say(ctx, kind, p)
		}
		return say(ctx, kind, body)
	}
	s.until("the key is born", born, all...)
	k := s.State().KeyNamed("demo")
	if o := s.State().OrderByHash(k.Order); o.Attempt != 2 {
		t.Errorf("attempt %d", o.Attempt)
	}
	if !strings.Contains(log.String(), "a ceremony is abandoned") || !strings.Contains(log.String(), "1 against 3") {
		t.Errorf("the log says %s", log.String())
	}
	checkSets(t, k, kept, all...)
	s.checkGone(all...)
}
