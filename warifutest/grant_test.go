package warifutest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/warifutest"
)

// Where the policy demands a grant for encrypting, a grant for it carries as many items as
// it has uses, and one for opening carries none.
func TestAGrantCarriesWhatIsEncrypted(t *testing.T) {
	t.Parallel()
	scenario(t, func(s *stage) {
		const name = "ledger"
		o := s.Genesis().Root
		o.Purpose, o.Name = authority.PurposeEncrypt, name
		_, err := s.custodian.Submit(s.Context(), s.signed(authority.KindKey, o).Encode())
		s.must(err)
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s.must(err)
		approver, err := authority.NewSigner(private)
		s.must(err)
		d := warifutest.Policy(1, true)
		d.Text += "\n" + `@id("by-grant") forbid (principal, action == Warifu::Action::"encrypt", resource) unless { context.grants.contains("board") };`
		d.Limits = fmt.Sprintf("[[approver]]\nname = \"lee\"\nkey = %q\n[[approval]]\nname = \"board\"\ncount = 1\nof = [\"lee\"]\n",
			base64.RawURLEncoding.EncodeToString(approver.PublicKey()))
		e, err := s.Desk().Sign(authority.KindPolicy, d.Encode(), s.PolicyChange())
		s.must(err)
		_, err = s.custodian.Submit(s.Context(), e.Encode())
		s.must(err)
		app, _, err := s.Application(warifutest.AppA)
		s.must(err)
		var key *client.Key
		s.eventually(5*time.Minute, "the key is born, and its record signed", func() bool {
			key, err = app.Refresh(s.Context(), name)
			return err == nil
		})
		dek := secret.New([]byte("0123456789abcdef"))
		s.eventually(warifutest.Patience, "the policy demands a grant", func() bool {
			_, err := app.Encrypt(s.Context(), key, nil, dek, "")
			return errors.Is(err, client.ErrGrant)
		})
		granted := func(action string) *client.Granted {
			g := authority.NewGrant(authority.Grant{
				Cluster: s.Genesis().Cluster, Key: key.ID(), Principal: warifutest.AppA, Action: action, Reason: "a scenario",
				NotBefore: time.Now().UnixMilli(), NotAfter: time.Now().Add(time.Hour).UnixMilli(), Uses: 1,
			})
			s.must(authority.SignGrant(rand.Reader, g, approver))
			s.eventually(warifutest.Patience, "the grant is taken", func() bool {
				_, err := s.custodian.Submit(s.Context(), g.Encode())
				return err == nil
			})
			s.eventually(warifutest.Patience, "every node has the grant", func() bool {
				at, err := app.GrantEverywhere(s.Context(), g.ID())
				return err == nil && len(at) == len(s.IDs())
			})
			return app.Granted(g.ID())
		}
		reads, writes := granted(authority.ActionUnwrap), granted(authority.ActionEncrypt)
		envelope, err := writes.Encrypt(s.Context(), key, api.Context{"row": "1"}, dek, "")
		s.must(err)
		if _, err := writes.Encrypt(s.Context(), key, api.Context{"row": "2"}, dek, ""); !errors.Is(err, client.ErrGrant) {
			s.Errorf("a second item by a grant of one use: %v", err)
		}
		if _, err := reads.Encrypt(s.Context(), key, api.Context{"row": "1"}, dek, ""); !errors.Is(err, client.ErrGrant) {
			s.Errorf("by a grant for opening: %v", err)
		}
		got, err := app.Unwrap(s.Context(), envelope, api.Context{"row": "1"}, "")
		s.must(err)
		if !got.Equal(dek) {
			s.Error("another data key came out")
		}
	})
}
