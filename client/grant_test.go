package client_test

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/client"
)

// slotted binds slots as holders do: to the first envelope that it sees in each.
func slotted(uses uint32) func(*api.UnwrapRequest, *api.UnwrapAnswer) error {
	bound := map[uint32]string{}
	return func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
		for i, it := range r.Items {
			switch by, taken := bound[it.Use.Slot]; {
			case it.Use.Slot > uses:
				a.Items[i] = api.ItemAnswer{Refusal: api.Refuse(api.CodeGrant, "no such use")}
			case taken && by != string(it.Envelope):
				a.Items[i] = api.ItemAnswer{Refusal: api.Refuse(api.CodeGrant, "all uses are bound")}
				for slot := uint32(1); slot <= uses; slot++ {
					if by, taken := bound[slot]; !taken || by == string(it.Envelope) {
						a.Items[i] = api.ItemAnswer{Refusal: api.Retry(api.CodeSlot, "bound to another"), NextSlot: slot}
						break
					}
				}
			default:
				bound[it.Use.Slot] = string(it.Envelope)
			}
		}
		return nil
	}
}

// Each envelope takes one use after the other, under one request id each, and the one
// after the last is refused.
func TestEnvelopesTakeOneUseEach(t *testing.T) {
	c := newFakeCluster(t)
	for _, n := range c.nodes {
		n.twist = slotted(3)
	}
	cl := c.client(t)
	var envelopes [][]byte
	for range 4 {
		envelopes = append(envelopes, c.wrapped(t, cl))
	}
	id := api.Digest{7}
	open := func(g *client.Granted, envelope []byte) error {
		dek, err := g.Unwrap(t.Context(), envelope, testContext, "test")
		if err == nil && !dek.Equal(testDEK) {
			t.Fatal("another data key came out")
		}
		return err
	}
	for i, envelope := range envelopes {
		err := open(cl.Granted(id), envelope) // as from a new process
		if i < 3 && err != nil {
			t.Fatalf("envelope %d: %v", i+1, err)
		}
		if i == 3 && (!errors.Is(err, client.ErrGrant) || !errors.Is(err, client.ErrQuorum)) {
			t.Fatalf("one too many: %v", err)
		}
	}
	if err := open(cl.Granted(id), envelopes[1]); err != nil {
		t.Errorf("the second one again: %v", err)
	}
	asked := map[api.RequestID]map[string]bool{}
	for _, n := range c.nodes {
		for _, r := range n.requests() {
			if asked[r.RequestID] == nil {
				asked[r.RequestID] = map[string]bool{}
			}
			asked[r.RequestID][string(r.Items[0].Envelope)] = true
			if r.Items[0].Use.Grant != id {
				t.Errorf("asked by the grant %s", r.Items[0].Use.Grant)
			}
		}
	}
	if len(asked) != 5 {
		t.Errorf("five unwraps have %d request ids", len(asked))
	}
}

// A holder that offers the last use costs nobody the uses between; two that always
// refuse stop nobody.
func TestALiarCannotUseUpAGrant(t *testing.T) {
	c := newFakeCluster(t)
	for id, n := range c.nodes {
		if n.twist = slotted(3); id == "n1" || id == "n2" {
			n.twist = func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
				for i := range a.Items {
					a.Items[i] = api.ItemAnswer{Refusal: api.Retry(api.CodeSlot, "bound"), NextSlot: 3}
				}
				return nil
			}
		}
	}
	cl := c.client(t)
	for i := range 3 {
		if _, err := cl.Granted(api.Digest{7}).Unwrap(t.Context(), c.wrapped(t, cl), testContext, "test"); err != nil {
			t.Fatalf("envelope %d: %v", i+1, err)
		}
	}
	for _, n := range []string{"n3", "n4", "n5"} {
		last := uint32(0)
		for _, r := range c.nodes[n].requests() {
			last = max(last, r.Items[0].Use.Slot)
		}
		if last != 3 {
			t.Errorf("%s was asked for use %d", n, last)
		}
	}
}

// Without a use the request names no grant.
func TestAnUnwrapNamesNoGrant(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	opens(t, cl, envelope)
	for _, n := range c.nodes {
		for _, r := range n.requests() {
			if r.Items[0].Use != nil {
				t.Errorf("%s was asked by a grant", n.id)
			}
		}
		n.with(func() { n.twist = refusing(api.CodeRate) })
	}
	if _, err := cl.Unwrap(t.Context(), envelope, testContext, "test"); !errors.Is(err, client.ErrRate) || errors.Is(err, client.ErrDenied) {
		t.Errorf("over the rate: %v", err)
	}
}

// What is encrypted by a grant takes one use each, whatever number it has at each holder.
func TestWhatIsEncryptedTakesOneUseEach(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	k := c.symmetricKey(t, cl)
	for _, n := range c.nodes {
		n.with(func() { n.twist = slotted(2) })
	}
	g := cl.Granted(api.Digest{7})
	var envelopes [][]byte
	for range 2 {
		envelope, err := g.Encrypt(t.Context(), k, testContext, testDEK, "test")
		if err != nil {
			t.Fatal(err)
		}
		envelopes = append(envelopes, envelope)
	}
	if _, err := g.Encrypt(t.Context(), k, testContext, testDEK, "test"); !errors.Is(err, client.ErrGrant) || !errors.Is(err, client.ErrQuorum) {
		t.Errorf("one too many: %v", err)
	}
	for _, n := range c.nodes {
		commitments := map[api.Digest]bool{}
		n.with(func() {
			for _, r := range n.toldTo {
				commitments[r.Items[0].Commitment] = true
				if r.Items[0].Use.Grant != (api.Digest{7}) {
					t.Errorf("asked by the grant %s", r.Items[0].Use.Grant)
				}
			}
			n.twist = nil
		})
		if len(commitments) > 3 {
			t.Errorf("%s was asked for %d commitments of three items", n.id, len(commitments))
		}
	}
	for _, envelope := range envelopes {
		opens(t, cl, envelope)
	}
	if _, err := g.Encrypt(t.Context(), k, api.Context{"": ""}, testDEK, "test"); !errors.Is(err, api.ErrContext) {
		t.Errorf("a context that is none: %v", err)
	}
}
