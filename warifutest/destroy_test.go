package warifutest_test

import (
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/hsm/soft"
	"warifu.dev/node/keyring"
	"warifu.dev/warifutest"
)

// A key is destroyed while a holder is down: nothing under it is opened any more, the
// others sign that they have erased, and the one that was down erases before it serves.
func TestADestroyedKeyIsErasedByEveryHolder(t *testing.T) {
	scenario(t, func(s *stage) {
		app, key, err := s.Application(warifutest.AppA)
		s.must(err)
		dek, err := app.Unwrap(s.Context(), s.envelope, nil, "before")
		s.must(err)
		dek.Wipe()
		down := s.IDs()[4]
		s.must(s.Crash(down))
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindKeyDestroy, authority.KeyDestroy{Key: key.ID()}).Encode())
		s.must(err)
		if _, err := app.Unwrap(s.Context(), s.envelope, nil, "after"); err == nil {
			t.Fatal("it was opened after its destruction was ordered")
		}
		gone := func(erased int) func() bool {
			return func() bool {
				k := s.summary()
				return k.State == string(authority.Destroyed) && len(k.Gone) == 1 && int(k.Gone[0].Erased) == erased
			}
		}
		s.eventually(5*time.Minute, "the holders that run have erased", gone(4))
		if k := s.summary(); !slices.Equal(k.Gone[0].Await, []string{down}) || len(k.Live) != 0 || k.Ends.IsZero() {
			s.Errorf("%+v", k)
		}
		s.must(s.Start(down))
		s.eventually(5*time.Minute, "the one that was down has erased", gone(5))
		if _, err := app.Unwrap(s.Context(), s.envelope, nil, "long after"); err == nil {
			s.Error("it is opened")
		}
	})
}

// After a destroy no subset of nodes, with directories old and new and the tokens as
// they are today, has shares enough to open an envelope. With the tokens as they were
// before, they would.
func TestNothingOpensOnceAKeyIsDestroyed(t *testing.T) {
	scenario(t, func(s *stage) {
		_, key, err := s.Application(warifutest.AppA)
		s.must(err)
		kept := s.TempDir()
		keep := func(which string) {
			for _, id := range s.IDs() {
				s.must(os.CopyFS(filepath.Join(kept, which, id), os.DirFS(filepath.Join(s.Dir(id), "seal"))))
			}
		}
		keep("born")
		s.renew(authority.KindRefresh, authority.Renewal{})
		s.eventually(time.Minute, "all have erased the first epoch", func() bool { g := s.summary().Gone; return len(g) == 1 && len(g[0].Await) == 0 })
		keep("refreshed")
		for _, id := range s.IDs() {
			s.must(os.CopyFS(filepath.Join(kept, "token", id), os.DirFS(filepath.Join(s.Dir(id), "soft-hsm"))))
		}
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindKeyDestroy, authority.KeyDestroy{Key: key.ID()}).Encode())
		s.must(err)
		s.eventually(5*time.Minute, "all have erased every epoch", func() bool {
			k := s.summary()
			return k.State == string(authority.Destroyed) && len(k.Gone) > 0 && !slices.ContainsFunc(k.Gone, func(g api.GoneEpoch) bool { return len(g.Await) > 0 })
		})
		// shares says how many nodes' shares of an epoch a thief has who holds what was
		// sealed then, or is now, and these tokens.
		shares := func(epoch uint64, token func(id string) string, dirs ...func(id string) string) (count int) {
			for _, id := range s.IDs() {
				has := false
				for _, dir := range dirs {
					private(s, dir(id))
					private(s, token(id))
					dev, err := soft.Open(soft.Config{Dir: token(id), Log: slog.New(slog.DiscardHandler)})
					s.must(err)
					ring, err := keyring.Open(keyring.Config{Dir: dir(id), Cluster: s.Genesis().Cluster, Node: id, Device: dev, Rand: rand.Reader})
					if err == nil {
						_, back, ok := ring.Borrow(key.ID(), 1, epoch)
						if ok {
							has = true
							back()
						}
						ring.Wipe()
					}
					s.must(dev.Close())
				}
				if has {
					count++
				}
			}
			return count
		}
		for _, id := range s.IDs() {
			s.must(s.Stop(id))
		}
		born := func(id string) string { return filepath.Join(kept, "born", id) }
		refreshed := func(id string) string { return filepath.Join(kept, "refreshed", id) }
		today := func(id string) string { return filepath.Join(s.Dir(id), "seal") }
		now := func(id string) string { return filepath.Join(s.Dir(id), "soft-hsm") }
		for epoch := range uint64(2) {
			if n := shares(epoch+1, now, born, refreshed, today); n != 0 {
				s.Errorf("today's tokens give %d shares of epoch %d of a key that is destroyed", n, epoch+1)
			}
		}
		then := func(id string) string { return filepath.Join(kept, "token", id) }
		if n := shares(2, then, refreshed); n != len(s.IDs()) {
			s.Errorf("the tokens as they were give %d shares: this test shows nothing", n)
		}
	})
}
