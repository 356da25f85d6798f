package warifutest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/hsm/soft"
	"warifu.dev/node/keyring"
	"warifu.dev/warifutest"
)

// unwraps is a load of unwraps of one envelope, which must not fail.
type unwraps struct {
	s      *stage
	stop   context.CancelFunc
	done   sync.WaitGroup
	opened atomic.Uint64
	failed atomic.Pointer[error]
}

// between is a worker's pause: shares turn over in minutes, in which each unwrap costs
// the machine as much as seconds of the simulated clock.
const between = 100 * time.Millisecond

// unwrapping begins to unwrap, from so many goroutines of one client.
func (s *stage) unwrapping(workers int) *unwraps {
	s.Helper()
	app, _, err := s.Application(warifutest.AppA)
	s.must(err)
	ctx, stop := context.WithCancel(s.Context())
	u := &unwraps{s: s, stop: stop}
	for range workers {
		u.done.Go(func() {
			for ctx.Err() == nil {
				dek, err := app.Unwrap(context.WithoutCancel(ctx), s.envelope, nil, "load")
				if err != nil {
					u.failed.CompareAndSwap(nil, &err)
					return
				}
				dek.Wipe()
				u.opened.Add(1)
				time.Sleep(between)
			}
		})
	}
	return u
}

// end stops the load: not one unwrap has failed.
func (u *unwraps) end() {
	u.s.Helper()
	u.stop()
	u.done.Wait()
	if err := u.failed.Load(); err != nil {
		u.s.Errorf("after %d unwraps one failed: %v", u.opened.Load(), *err)
	}
	u.s.Logf("%d unwraps, none of which failed", u.opened.Load())
}

// summary is what the nodes say of the key.
func (s *stage) summary() api.KeySummary {
	s.Helper()
	keys, err := s.custodian.Keys(s.Context())
	if err != nil {
		return api.KeySummary{}
	}
	at := slices.IndexFunc(keys, func(k api.KeySummary) bool { return k.Name == warifutest.KeyName })
	if at < 0 {
		s.Fatal("the key is not listed")
	}
	return keys[at]
}

// renew orders new shares of all keys, and waits until the epoch before is gone.
func (s *stage) renew(kind string, r authority.Renewal) api.KeySummary {
	s.Helper()
	r.PhaseSeconds = 30
	before := s.summary()
	_, err := s.custodian.Submit(s.Context(), s.signed(kind, r).Encode())
	s.must(err)
	var k api.KeySummary
	s.eventually(10*time.Minute, "the shares are new, and the old ones erased", func() bool {
		k = s.summary()
		return k.Epoch == before.Epoch+1 && len(k.Live) == 1 && len(k.Gone) > 0 && k.Gone[len(k.Gone)-1].Epoch == before.Epoch && k.Gone[len(k.Gone)-1].Erased >= k.Gone[len(k.Gone)-1].Need
	})
	return k
}

// R10: a refresh under a load of unwraps fails not one of them, and neither does the
// next one of a client that knows the old record alone.
func TestARefreshUnderLoadFailsNoRequest(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		late, key, err := s.Application(warifutest.AppB)
		s.must(err)
		u := s.unwrapping(4)
		s.renew(authority.KindRefresh, authority.Renewal{})
		u.end()
		if key.Epoch() != 1 {
			s.Fatalf("the old record is of epoch %d: this test shows nothing", key.Epoch())
		}
		dek, err := late.Unwrap(s.Context(), s.envelope, nil, "with the old record")
		s.must(err)
		dek.Wipe()
		fresh, err := late.RecordByID(s.Context(), key.ID())
		s.must(err)
		if fresh.Epoch() != 2 || string(fresh.Record().Y) != string(key.Record().Y) {
			s.Errorf("it knows epoch %d now", fresh.Epoch())
		}
		late.Use(key)
		if k, err := late.RecordByID(s.Context(), key.ID()); err != nil || k.Epoch() != 2 {
			s.Errorf("it has gone back to epoch %d, %v", k.Epoch(), err)
		}
	})
}

// A key goes to other holders and other thresholds and back, under load.
func TestResharesUnderLoadFailNoRequest(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		ids := s.IDs()
		u := s.unwrapping(2)
		s.renew(authority.KindReshare, authority.Renewal{T: 4, F: 1, Holders: ids})
		s.renew(authority.KindReshare, authority.Renewal{T: 3, F: 1, Holders: []string{ids[4], ids[1], ids[0], ids[2]}})
		k := s.renew(authority.KindReshare, authority.Renewal{T: 3, F: 1, Holders: ids})
		u.end()
		if k.Epoch != 4 || k.T != 3 || !slices.Equal(k.Holders, ids) {
			s.Errorf("it is %+v", k)
		}
	})
}

// A holder that is down during two refreshes is struck, from the root key too, and has its
// shares repaired by itself when it is back. It signs that what it held before is erased.
func TestAHolderThatWasDownIsRepaired(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		down := s.IDs()[4]
		s.must(s.Crash(down))
		k := s.renew(authority.KindRefresh, authority.Renewal{Root: true})
		if !slices.Equal(k.Struck, []string{down}) {
			s.Fatalf("struck: %v", k.Struck)
		}
		s.renew(authority.KindRefresh, authority.Renewal{}) // it misses another one
		owes := func() (versions uint32, known bool) {
			for _, h := range s.custodian.Health(s.Context()) {
				if h.Err == nil {
					return h.Answer.Unerased[down], true
				}
			}
			return 0, false
		}
		if versions, known := owes(); !known || versions != 2 {
			s.Errorf("of %d keys it has not signed that its old shares are erased, want the root key and another", versions)
		}
		s.must(s.Start(down))
		s.eventually(10*time.Minute, "it is repaired", func() bool { return len(s.summary().Struck) == 0 })
		s.serving()
		s.eventually(time.Minute, "it gives partials", func() bool { return s.asked(s.a, down) == "" })
		app, _, err := s.Application(warifutest.AppA)
		s.must(err)
		if _, err := app.Unwrap(s.Context(), s.envelope, nil, "after"); err != nil {
			var q *client.QuorumError
			errors.As(err, &q)
			s.Fatal(err, q)
		}
		s.eventually(5*time.Minute, "it has signed for what it held before", func() bool {
			versions, known := owes()
			return known && versions == 0
		})
	})
}

// R10: shares that turned over open nothing, whoever has them. A thief has the directories
// of all nodes from before a refresh and from before a reshare, today's directories with
// the root shares that live in them, and today's tokens; the node that was taken from the
// holders kept copies of its tokens, too. All that opens no share of an epoch that is
// over but the leaver's, and neither these with fewer than t of today's, nor any mix of
// epochs, open the envelope. With the tokens as they were then, they would.
func TestOldDirectoriesOpenNothingAfterARefresh(t *testing.T) {
	scenario(t, func(s *stage) {
		thief, ids, kept := s.thief(), s.IDs(), s.TempDir()
		born, bornTokens := s.keep(filepath.Join(kept, "born"))
		erased := func(epoch uint64) {
			s.Helper()
			s.eventually(5*time.Minute, "all have erased", func() bool {
				g := s.summary().Gone
				return len(g) > 0 && g[len(g)-1].Epoch == epoch && len(g[len(g)-1].Await) == 0
			})
		}
		s.renew(authority.KindRefresh, authority.Renewal{})
		erased(1)
		refreshed, refreshedTokens := s.keep(filepath.Join(kept, "refreshed"))
		s.renew(authority.KindReshare, authority.Renewal{T: warifutest.Threshold, F: 1, Holders: ids[:4], Root: true})
		erased(2)
		for _, id := range ids {
			s.must(s.Stop(id))
		}
		today, tokens := s.today()

		loot := thief.all([]at{tokens}, []at{born, refreshed, today})
		if in(loot, 1) != 0 || in(loot, 2) != 0 || in(loot, 3) != 4 {
			opens, _ := thief.opening(slices.DeleteFunc(slices.Clone(loot), func(h haul) bool { return h.epoch == 3 }), nil)
			s.Errorf("today's tokens open %v; of those that are over open the envelope: %v", loot, opens)
		}
		left := thief.of(ids[4], []at{bornTokens, refreshedTokens}, []at{born, refreshed})
		if len(left) != 2 {
			s.Fatalf("the leaver has %v: this test shows nothing", left)
		}
		quorum := func(choice []haul) bool { return in(choice, 3) == warifutest.Threshold }
		if opens, tried := thief.opening(append(loot, left...), quorum); opens != nil || tried == 0 {
			s.Errorf("%v open the envelope, after %d tries", opens, tried)
		}

		every := thief.all([]at{bornTokens, refreshedTokens, tokens}, []at{born, refreshed, today})
		if in(every, 1) != 5 || in(every, 2) != 5 || in(every, 3) != 4 {
			s.Fatalf("copies of all tokens open %v: this test shows nothing", every)
		}
		one := func(choice []haul) bool { return in(choice, choice[0].epoch) == len(choice) }
		if opens, tried := thief.opening(every, one); opens != nil || tried == 0 {
			s.Errorf("of several epochs %v open the envelope, after %d tries", opens, tried)
		}
		for epoch := range uint64(3) {
			of := slices.DeleteFunc(slices.Clone(every), func(h haul) bool { return h.epoch != epoch+1 })
			if opens, _ := thief.opening(of, nil); opens == nil {
				s.Errorf("not even the whole epoch %d opens the envelope: this test shows nothing", epoch+1)
			}
		}
	})
}

// Who holds the root key no more has no use for its other shares either, and erases those
// of which it is holder no more: the one who goes is not unsealed any more, and signs its
// receipt all the same.
func TestWhoLosesItsRootShareErasesTheOthers(t *testing.T) {
	scenario(t, func(s *stage) {
		goes := s.IDs()[4]
		k := s.renew(authority.KindReshare, authority.Renewal{T: 3, F: 1, Holders: s.IDs()[:4], Root: true})
		s.eventually(5*time.Minute, "the one who goes has erased", func() bool {
			g := s.summary().Gone
			return len(g) == 1 && len(g[0].Await) == 0
		})
		s.must(s.Stop(goes))
		dev, err := soft.Open(soft.Config{Dir: filepath.Join(s.Dir(goes), "soft-hsm"), Log: slog.New(slog.DiscardHandler)})
		s.must(err)
		defer dev.Close()
		ring, err := keyring.Open(keyring.Config{Dir: filepath.Join(s.Dir(goes), "seal"), Cluster: s.Genesis().Cluster, Node: goes, Device: dev, Rand: rand.Reader})
		s.must(err)
		defer ring.Wipe()
		if ring.Holds(func(h keyring.Held) bool { return h.Key == k.ID }) {
			s.Error("it has its share of an epoch that is over")
		}
	})
}

// private gives copied files the modes that nodes ask for.
func private(s *stage, dir string) {
	s.Helper()
	s.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}))
}

// The root key's shares turn over as well: nodes go on, also when they are started anew.
// Who leaves its holders is stranded, and serves again once it is among them.
func TestTheRootKeyTurnsOver(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		ids := s.IDs()
		u := s.unwrapping(2)
		s.renew(authority.KindRefresh, authority.Renewal{Root: true})
		s.eventually(time.Minute, "all serve", func() bool { return s.all("serving", ids...) })
		u.end()
		s.restarted(ids...)
		app, _, err := s.Application(warifutest.AppA)
		s.must(err)
		opens := func() {
			s.Helper()
			dek, err := app.Unwrap(s.Context(), s.envelope, nil, "after")
			s.must(err)
			dek.Wipe()
		}
		opens()
		s.renew(authority.KindReshare, authority.Renewal{Root: true, T: 3, F: 1, Holders: ids[:4]})
		s.eventually(5*time.Minute, "who left is stranded", func() bool { return s.all("stranded", ids[4]) })
		if !s.all("serving", ids[:4]...) {
			s.Error("one of those who stayed does not serve")
		}
		opens()
		s.must(s.Crash(ids[4]))
		s.must(s.Start(ids[4]))
		s.renew(authority.KindReshare, authority.Renewal{Root: true, T: 3, F: 1, Holders: ids})
		s.serving()
		s.eventually(time.Minute, "who came back gives partials", func() bool { return s.asked(s.a, ids[4]) == "" })
		s.restarted(ids...)
		opens()
	})
}

// all says whether these nodes say this of themselves.
func (s *stage) all(state string, ids ...string) bool {
	for _, id := range ids {
		if st := s.status(id); st == nil || st.State != state {
			return false
		}
	}
	return true
}

// R43: many keys go in one run, while clients unwrap.
func TestManyKeysTurnOverInOneRun(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		const more = 24
		for i := range more {
			e := s.signed(authority.KindKey, authority.Order{
				Cluster: s.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: fmt.Sprintf("key-%d", i), T: warifutest.Threshold, F: 1,
				Holders: s.IDs(), PhaseSeconds: 30,
			})
			_, err := s.custodian.Submit(s.Context(), e.Encode())
			s.must(err)
		}
		s.eventually(5*time.Minute, "all are born and signed", func() bool {
			keys, err := s.custodian.Keys(s.Context())
			return err == nil && !slices.ContainsFunc(keys, func(k api.KeySummary) bool { return k.Signed < 5 })
		})
		u := s.unwrapping(2)
		began := time.Now()
		s.renew(authority.KindRefresh, authority.Renewal{})
		u.end()
		list, err := s.custodian.Renewals(s.Context())
		s.must(err)
		if len(list) != 1 || list[0].Total != more+1 || list[0].Left != 0 || list[0].Attempt != 1 {
			s.Errorf("the order is %+v", list)
		}
		s.Logf("%d keys in one run, gone after %v", more+1, time.Since(began))
		keys, err := s.custodian.Keys(s.Context())
		s.must(err)
		for _, k := range keys {
			if k.Epoch != 2 || len(k.Struck) > 0 {
				s.Errorf("%s is in epoch %d, struck %v", k.Name, k.Epoch, k.Struck)
			}
		}
	})
}
