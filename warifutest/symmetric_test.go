package warifutest_test

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/warifutest"
)

// orderSymmetric orders a symmetric key that every node holds.
func (s *stage) orderSymmetric(name string) {
	s.Helper()
	o := s.Genesis().Root
	o.Purpose, o.Name = authority.PurposeEncrypt, name
	_, err := s.custodian.Submit(s.Context(), s.signed(authority.KindKey, o).Encode())
	s.must(err)
}

// A symmetric key is born while a holder goes down and comes back, is there after all
// nodes were started anew, and is erased by every holder when it is destroyed.
func TestASymmetricKeyLivesAndIsDestroyed(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		const name = "sessions"
		s.orderSymmetric(name)
		summary := func() *api.KeySummary {
			keys, err := s.custodian.Keys(s.Context())
			at := slices.IndexFunc(keys, func(k api.KeySummary) bool { return k.Name == name })
			if err != nil || at < 0 {
				return nil
			}
			return &keys[at]
		}
		down := s.IDs()[4]
		s.must(s.Crash(down))
		s.must(s.Start(down))
		app, _, err := s.Application(warifutest.AppA)
		s.must(err)
		var key *client.Key
		s.eventually(5*time.Minute, "the key is born, and its record signed", func() bool {
			key, err = app.Refresh(s.Context(), name)
			return err == nil
		})
		if k := summary(); k == nil || !key.Symmetric() || len(k.Holders) != len(s.IDs()) {
			s.Fatalf("%+v", k)
		}
		plain := make([]byte, 32)
		_, err = rand.Read(plain)
		s.must(err)
		var envelope []byte
		s.eventually(warifutest.Patience, "it encrypts", func() bool {
			envelope, err = app.Encrypt(s.Context(), key, api.Context{"tenant": "a"}, secret.Clone(plain), "")
			return err == nil
		})
		opens := func(when string) {
			s.Helper()
			s.eventually(warifutest.Patience, "it opens "+when, func() bool {
				dek, err := app.Unwrap(s.Context(), envelope, api.Context{"tenant": "a"}, "")
				return err == nil && dek.Equal(secret.Clone(plain))
			})
		}
		opens("at once")
		s.restarted(s.IDs()...)
		opens("after a restart of all nodes")

		_, err = s.custodian.Submit(s.Context(), s.signed(authority.KindKeyDestroy, authority.KeyDestroy{Key: key.ID()}).Encode())
		s.must(err)
		s.eventually(5*time.Minute, "every holder has erased", func() bool {
			k := summary()
			return k != nil && k.State == string(authority.Destroyed) && len(k.Gone) == 1 && len(k.Gone[0].Await) == 0
		})
		if _, err := app.Unwrap(s.Context(), envelope, api.Context{"tenant": "a"}, ""); err == nil {
			s.Error("it is opened")
		}
	})
}
