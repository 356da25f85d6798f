package warifutest_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/dealt"
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

// After a destroy no subset of nodes, with directories old and new, backups of them and
// the tokens as they are today, opens an envelope: every one is tried. With the tokens as
// they were before, they would. What was dealt for it is in no file of any node (R42).
func TestNothingOpensOnceAKeyIsDestroyed(t *testing.T) {
	scenario(t, func(s *stage) {
		thief, kept := s.thief(), s.TempDir()
		born, _ := s.keep(filepath.Join(kept, "born"))
		_, err := s.custodian.Submit(s.Context(), s.signed(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30}).Encode())
		s.must(err)
		marks := map[string]bool{} // parts of what was dealt
		s.eventually(5*time.Minute, "every log holds what five have dealt", func() bool {
			whole := true
			for _, id := range s.IDs() {
				here := dealt.In(s.Dir(id))
				for _, body := range here {
					marks[string(dealt.Mark(body))] = true
				}
				whole = whole && len(here) >= 5
			}
			return whole
		})
		s.eventually(5*time.Minute, "all have erased the first epoch", func() bool { g := s.summary().Gone; return len(g) == 1 && len(g[0].Await) == 0 })
		refreshed, then := s.keep(filepath.Join(kept, "refreshed"))
		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindKeyDestroy, authority.KeyDestroy{Key: thief.key.ID()}).Encode())
		s.must(err)
		s.eventually(5*time.Minute, "all have erased every epoch", func() bool {
			k := s.summary()
			return k.State == string(authority.Destroyed) && len(k.Gone) > 0 && !slices.ContainsFunc(k.Gone, func(g api.GoneEpoch) bool { return len(g.Await) > 0 })
		})
		s.eventually(5*time.Minute, "no file holds what was dealt", func() bool { return len(s.holding(marks)) == 0 })
		for _, id := range s.IDs() {
			s.must(s.Stop(id))
		}
		if files := s.holding(marks); len(files) > 0 {
			s.Errorf("%v hold what was dealt for the key", files)
		}
		today, tokens := s.today()
		// opened counts the subsets of nodes whose shares open the envelope.
		opened := func(loot []haul) (n int) {
			ids := s.IDs()
			for subset := 1; subset < 1<<len(ids); subset++ {
				have := slices.DeleteFunc(slices.Clone(loot), func(h haul) bool { return subset>>slices.Index(ids, h.node)&1 == 0 })
				if opens, _ := thief.opening(have, nil); opens != nil {
					n++
				}
			}
			return n
		}
		if loot := thief.all([]at{tokens}, []at{born, refreshed, today}); len(loot) > 0 {
			s.Errorf("today's tokens give %v of a key that is destroyed, with which %d of 31 subsets of nodes open the envelope", loot, opened(loot))
		}
		if n := opened(thief.all([]at{then}, []at{born, refreshed, today})); n != 16 {
			s.Errorf("with the tokens as they were, %d of 31 subsets of nodes open the envelope, and 16 have three: this test shows nothing", n)
		}
	})
}

// holding lists the files of all nodes that hold any of these bytes.
func (s *stage) holding(marks map[string]bool) (files []string) {
	s.Helper()
	for _, id := range s.IDs() {
		_ = filepath.WalkDir(s.Dir(id), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // it may just have been deleted
			}
			b, _ := os.ReadFile(path)
			for m := range marks {
				if bytes.Contains(b, []byte(m)) {
					files = append(files, path)
					break
				}
			}
			return nil
		})
	}
	return files
}
