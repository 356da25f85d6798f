package warifutest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/warifutest"
)

// A pool is filled, keys are taken from it with one command of the log each, while nodes
// crash and come back; shares turn over, and what waited then is born anew.
func TestKeysAreTakenFromAPool(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		const size = 4
		p := authority.Pool{
			Name: "web", Size: size, T: warifutest.Threshold, F: 1, Holders: s.IDs(), PhaseSeconds: 30, LifeSeconds: authority.MaxPoolLife,
		}
		submit := func(kind string, body any) api.SubmitAnswer {
			s.Helper()
			a, err := s.custodian.Submit(s.Context(), s.signed(kind, body).Encode())
			s.must(err)
			return a
		}
		order := func(name string) api.SubmitAnswer {
			return submit(authority.KindKey, authority.Order{
				Cluster: s.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: warifutest.Threshold, F: 1, Holders: s.IDs(), PhaseSeconds: 30,
			})
		}
		// pool is that of whoever has come furthest.
		pool := func() (p api.PoolSummary) {
			var index uint64
			for _, st := range s.custodian.Status(s.Context()) {
				if st.Answer != nil && st.Answer.Index >= index && len(st.Answer.Pools) == 1 {
					index, p = st.Answer.Index, st.Answer.Pools[0]
				}
			}
			return p
		}
		full := func() bool { p := pool(); return p.Waiting == size && p.Phase == "" }
		key := func(name string) *api.KeySummary {
			keys, err := s.custodian.Keys(s.Context())
			if err != nil {
				return nil
			}
			if at := slices.IndexFunc(keys, func(k api.KeySummary) bool { return k.Name == name }); at >= 0 {
				return &keys[at]
			}
			return nil
		}
		began := time.Now()
		order("born")
		_, err := s.custodian.WaitKey(s.Context(), "born")
		s.must(err)
		s.Logf("a key that is born is believed after %v", time.Since(began))
		submit(authority.KindPool, p)
		// One of the holders is killed in the middle, and comes back.
		s.eventually(5*time.Minute, "a run is open", func() bool { return pool().Phase != "" })
		s.must(s.Crash(s.IDs()[1]))
		time.Sleep(time.Second)
		s.must(s.Start(s.IDs()[1]))
		s.eventually(10*time.Minute, "the pool is full", full)
		if keys, err := s.custodian.Keys(s.Context()); err != nil || len(keys) != 2 { // the one of the load, and the one that was born
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for i := range 2 {
			name := fmt.Sprint("taken-", i)
			began := time.Now()
			order(name)
			_, err := s.custodian.WaitKey(s.Context(), name)
			s.must(err)
			s.Logf("%s is believed after %v", name, time.Since(began))
			s.eventually(5*time.Minute, name+" is signed by every holder", func() bool { k := key(name); return k != nil && k.Signed == 5 && k.Epoch == 1 })
		}
		if p := pool(); p.Waiting != 2 {
			t.Errorf("%+v", p)
		}
		// A node that starts anew keeps its shares of what waits and of what was taken.
		s.must(s.Crash(s.IDs()[2]))
		s.must(s.Start(s.IDs()[2]))
		s.must(s.WaitServing(s.Context()))
		order("taken-2")
		s.eventually(10*time.Minute, "the pool is filled up", full)
		runs := pool().Attempt
		u := s.unwrapping(1)
		s.renew(authority.KindRefresh, authority.Renewal{})
		u.end()
		s.eventually(10*time.Minute, "what waited is born anew", func() bool { return full() && pool().Attempt > runs })
		for i := range 3 {
			if k := key(fmt.Sprint("taken-", i)); k == nil || k.Epoch != 2 || len(k.Struck) > 0 {
				t.Errorf("%+v", k)
			}
		}
	})
}
