package warifutest_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/warifutest"
)

// R13: whoever may open the envelopes of one context, and has stolen one of another with all
// that nodes have endorsed of it, gets no partial of it, under either context.
func TestAStolenEnvelopeWithItsEndorsementsIsRefused(t *testing.T) {
	scenario(t, func(s *stage) {
		own, ward := api.Context{"ward": "a"}, api.Context{"ward": "b"}
		only := warifutest.Policy(1, true)
		only.Text += "\n" + `@id("b-is-of-ward-b") forbid (principal == Warifu::Principal::"` + warifutest.AppB +
			`", action, resource) unless { context.envelope has ward && context.envelope.ward == "b" };`
		e, err := s.Desk().Sign(authority.KindPolicy, only.Encode(), s.PolicyChange())
		s.must(err)
		_, err = s.custodian.Submit(s.Context(), e.Encode())
		s.must(err)

		owner, key, err := s.Application(warifutest.AppA)
		s.must(err)
		dek := secret.New([]byte("0123456789abcdef"))
		stolen, err := key.Wrap(rand.Reader, own, dek)
		s.must(err)
		item := client.Item{Envelope: stolen, Context: own}
		open := func(by *client.Client, it client.Item) error {
			r := by.UnwrapBatch(s.Context(), []client.Item{it}, "a scenario")[0]
			if r.Err == nil && !r.DEK.Equal(dek) {
				s.Fatal("another data key came out")
			}
			return r.Err
		}
		s.must(open(owner, item))
		item.Endorsements = owner.Endorsements(item)
		var kept struct {
			Epoch uint64 `cbor:"1,keyasint"`
			Given []struct {
				Node string                     `cbor:"1,keyasint"`
				MAC  [tdh2.EndorsementSize]byte `cbor:"2,keyasint"`
			} `cbor:"2,keyasint"`
		}
		s.must(wire.Decode(item.Endorsements, &kept))
		if len(kept.Given) < warifutest.Threshold {
			s.Fatalf("%d nodes have endorsed what they released", len(kept.Given))
		}

		thief, _, err := s.Application(warifutest.AppB)
		s.must(err)
		// A thief's own client asks single nodes, and shows what it likes.
		ask := func(node string, it api.UnwrapItem) *api.ItemAnswer {
			it.Epoch = kept.Epoch
			b, err := s.b.Call(s.Context(), node, api.MethodUnwrap, wire.Encode(api.UnwrapRequest{RequestID: api.RequestID{1}, Items: []api.UnwrapItem{it}}))
			s.must(err)
			var a api.UnwrapAnswer
			s.must(wire.Decode(b, &a))
			return &a.Items[0]
		}
		probe, err := key.Wrap(rand.Reader, own, dek)
		s.must(err)
		for _, node := range s.IDs() {
			s.eventually(warifutest.Patience, "the policy is in force at "+node, func() bool {
				return ask(node, api.UnwrapItem{Envelope: probe, Context: own}).Refusal != nil
			})
		}
		mine, err := key.Wrap(rand.Reader, ward, dek)
		s.must(err)
		if err := open(thief, item); !errors.Is(err, client.ErrDenied) {
			s.Errorf("the stolen envelope, under its own context: %v", err)
		}
		s.must(open(thief, client.Item{Envelope: mine, Context: ward}))
		if err := open(thief, client.Item{Envelope: stolen, Context: ward, Endorsements: item.Endorsements}); !errors.Is(err, client.ErrEnvelope) {
			s.Errorf("the stolen envelope, under the thief's context: %v", err)
		}

		// What single nodes give is combined under the context that the envelope is of.
		pk, err := tdh2.NewPublicKey(key.Record().Cluster, key.ID(), key.Version(), key.Threshold(), len(key.Holders()), s.point(key.Record().Y))
		s.must(err)
		parsed, err := tdh2.Parse(stolen)
		s.must(err)
		addressed, err := pk.Address(parsed, own.Canonical())
		s.must(err)
		for _, context := range []api.Context{ward, own} {
			partials := map[sharing.Index]*group.Point{}
			for _, by := range kept.Given {
				a := ask(by.Node, api.UnwrapItem{Envelope: stolen, Context: context, Endorsement: by.MAC[:]})
				if a.Endorsement != nil {
					s.Errorf("%s endorses the stolen envelope for the thief", by.Node)
				}
				if a.Refusal == nil {
					partials[sharing.Index(a.Index)] = s.point(a.Partial)
				}
			}
			if len(partials) > 0 {
				s.Errorf("%d partials of the stolen envelope, asked for under %v", len(partials), context)
			}
			if got, err := pk.Open(addressed, partials); err == nil && got.Equal(dek) {
				s.Error("the stolen envelope opens for the thief")
			}
		}
		s.must(open(owner, item)) // whose it is still opens it
	})
}

func (s *stage) point(b []byte) *group.Point {
	s.Helper()
	p, err := group.DecodePoint(b)
	s.must(err)
	return p
}
