package warifutest_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
	"warifu.dev/warifutest"
)

// releases are the requests that have a node release something of a symmetric key, by
// their action, asked of that node alone.
func (s *stage) releases(key *client.Key, envelope []byte) map[string]func(d *warifutest.Direct, node string) api.Code {
	p := sharing.Params{T: key.Threshold(), H: len(key.Holders())}
	ask := func(d *warifutest.Direct, node string, method uint16, body []byte) api.Code {
		b, err := d.Call(s.Context(), node, method, body)
		if err != nil {
			return codeOf(err)
		}
		var a api.UnwrapAnswer
		s.must(wire.Decode(b, &a))
		it := a.Items[0]
		if (it.Refusal == nil) == (len(it.Values)+len(it.Partial) == 0) {
			s.Fatalf("neither or both of a value and a refusal: %+v", it)
		}
		if it.Refusal != nil {
			return it.Refusal.Code
		}
		return ""
	}
	sets := func(node string) (out []uint16) {
		for _, set := range tprf.Held(p, sharing.Index(slices.Index(key.Holders(), node)+1)) {
			out = append(out, uint16(set))
		}
		return out
	}
	return map[string]func(*warifutest.Direct, string) api.Code{
		"encrypt": func(d *warifutest.Direct, node string) api.Code {
			return ask(d, node, api.MethodEncrypt, wire.Encode(api.EncryptRequest{
				Sets: sets(node), Items: []api.EncryptItem{{Key: key.ID(), Version: key.Version()}},
			}))
		},
		"unwrap": func(d *warifutest.Direct, node string) api.Code {
			return ask(d, node, api.MethodUnwrap, wire.Encode(api.UnwrapRequest{
				Sets: sets(node), Items: []api.UnwrapItem{{Envelope: envelope}},
			}))
		},
		"unwrapBranch": func(d *warifutest.Direct, node string) api.Code {
			return ask(d, node, api.MethodBranch, wire.Encode(api.BranchRequest{
				Sets: sets(node), Items: []api.BranchItem{{Key: key.ID(), Version: key.Version(), From: time.Now().Unix() / 86400 * 86400, Seconds: 86400, Principal: warifutest.AppB}},
			}))
		},
	}
}

// R20: a revoke ends every release of a symmetric key, that of branch keys too. Handed over and ordered nowhere,
// it does so at each node that has signed; done, no quorum is left, though f nodes have
// not signed. That of a principal stops nobody else, that of the key stops everybody.
func TestARevokeEndsBothReleasesOfASymmetricKey(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		const name = "tally"
		s.orderSymmetric(name)
		apps := map[string]*client.Client{}
		var key *client.Key
		for _, uri := range []string{warifutest.AppA, warifutest.AppB} {
			app, _, err := s.Application(uri)
			s.must(err)
			s.eventually(5*time.Minute, "the key is born, and its record signed", func() bool {
				key, err = app.Refresh(s.Context(), name)
				return err == nil
			})
			apps[uri] = app
		}
		envelope := map[string][]byte{}
		for _, uri := range slices.Sorted(maps.Keys(apps)) {
			s.eventually(warifutest.Patience, uri+" encrypts", func() (ok bool) {
				var err error
				envelope[uri], err = apps[uri].Encrypt(s.Context(), key, nil, secret.New(make([]byte, 32)), "")
				return err == nil
			})
		}
		releases := s.releases(key, envelope[warifutest.AppB])
		answers := func(when string, d *warifutest.Direct, who string, want api.Code, nodes ...string) {
			s.Helper()
			for action, ask := range releases {
				for _, node := range nodes {
					s.eventually(warifutest.Patience, node+" answers "+who+", "+when, func() bool {
						got := ask(d, node)
						if got == "" && want != "" {
							s.Fatalf("%s: %s released to %s, asked to %s", when, node, who, action)
						}
						return got == want
					})
				}
			}
		}
		answers("before", s.a, "A", "", s.IDs()...)
		answers("before", s.b, "B", "", s.IDs()...)

		e := s.revoke(subjectA)
		some := s.IDs()[:2]
		for _, node := range some {
			if s.receipt(node, e.ID(), e.Encode()) == nil {
				s.Fatalf("%s does not sign", node)
			}
		}
		answers("handed over", s.a, "A", api.CodeDenied, some...)
		answers("handed over", s.b, "B", "", some...)
		done := func(e *authority.Entry) []string {
			s.Helper()
			_, err := s.custodian.Submit(s.Context(), e.Encode())
			s.must(err)
			var c *authority.RevokeCount
			s.eventually(warifutest.Patience, "the revoke is done", func() bool { c = s.count(e.ID()); return c.Done() })
			return c.Nodes
		}
		quorumless := func(when, uri string) {
			s.Helper()
			if _, err := apps[uri].Encrypt(s.Context(), key, nil, secret.New(make([]byte, 32)), ""); err == nil {
				s.Errorf("%s: it encrypts for %s", when, uri)
			}
			if _, err := apps[uri].Unwrap(s.Context(), envelope[uri], nil, ""); err == nil {
				s.Errorf("%s: it opens for %s", when, uri)
			}
		}
		signed := done(e)
		quorumless("A is revoked", warifutest.AppA)
		answers("done", s.a, "A", api.CodeDenied, signed...)
		answers("done", s.b, "B", "", signed...)

		signed = done(s.revoke(authority.Subject{Kind: authority.SubjectKey, Name: key.ID().String()}))
		quorumless("the key is revoked", warifutest.AppB)
		answers("the key is revoked", s.b, "B", api.CodeDenied, signed...)
	})
}
