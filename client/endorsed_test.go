package client_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/sharing/tdh2"
)

// endorsedBy is what the fake node gives with a partial: it says whose it is, and for what.
func endorsedBy(node string, envelope []byte) []byte {
	sum := sha256.Sum256(append([]byte(node+"/"), envelope...))
	return sum[:tdh2.EndorsementSize]
}

// endorsing makes every node of the cluster endorse what it releases.
func (c *fakeCluster) endorsing() {
	for id, n := range c.nodes {
		n.with(func() {
			n.twist = func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error {
				for i := range a.Items {
					if a.Items[i].Refusal == nil {
						a.Items[i].Endorsement = endorsedBy(id, r.Items[i].Envelope)
					}
				}
				return nil
			}
		})
	}
}

// shown counts the endorsements that came back since so many requests; each must be the
// node's own, of that envelope.
func (c *fakeCluster) shown(t *testing.T, since map[string]int) (n int) {
	t.Helper()
	for id, node := range c.nodes {
		for _, r := range node.requests()[since[id]:] {
			for _, it := range r.Items {
				if len(it.Endorsement) == 0 {
					continue
				}
				n++
				if !bytes.Equal(it.Endorsement, endorsedBy(id, it.Envelope)) {
					t.Errorf("%s is shown what it never gave", id)
				}
			}
		}
	}
	return n
}

func (c *fakeCluster) asked() map[string]int {
	m := map[string]int{}
	for id, n := range c.nodes {
		m[id] = len(n.requests())
	}
	return m
}

// An endorsement goes back to the node that gave it, for the same envelope and context,
// and to nobody else.
func TestAnEndorsementGoesBackToWhoGaveIt(t *testing.T) {
	c := newFakeCluster(t)
	c.endorsing()
	cl := c.client(t)
	envelope, other := c.wrapped(t, cl), c.wrapped(t, cl)
	opens(t, cl, envelope)
	if n := c.shown(t, nil); n != 0 {
		t.Fatalf("%d are shown before any was given", n)
	}
	// Who is nearest may change between two requests, but not for ever.
	for range 50 {
		if opens(t, cl, envelope); c.shown(t, nil) >= 3 {
			break
		}
	}
	if n := c.shown(t, nil); n < 3 {
		t.Fatalf("%d are shown", n)
	}
	since := c.asked()
	opens(t, cl, other)
	if _, err := cl.Unwrap(t.Context(), envelope, api.Context{"app": "payroll", "row": "43"}, "test"); !errors.Is(err, client.ErrEnvelope) {
		t.Fatal(err)
	}
	if n := c.shown(t, since); n != 0 {
		t.Errorf("%d are shown with another envelope, or under another context", n)
	}
}

// What is carried beside an envelope is shown by another client; what cannot be read is as
// good as none.
func TestEndorsementsAreCarriedBesideAnEnvelope(t *testing.T) {
	c := newFakeCluster(t)
	c.endorsing()
	cl := c.client(t)
	item := client.Item{Envelope: c.wrapped(t, cl), Context: testContext}
	if cl.Endorsements(item) != nil {
		t.Fatal("something is kept of an envelope that nobody has opened")
	}
	opens(t, cl, item.Envelope)
	carried := cl.Endorsements(item)
	if carried == nil {
		t.Fatal("nothing is kept of an envelope that opened")
	}
	for what, it := range map[string]client.Item{
		"another context": {Envelope: item.Envelope, Context: api.Context{"app": "payroll"}},
		"no envelope":     {Envelope: item.Envelope[1:], Context: testContext},
	} {
		if cl.Endorsements(it) != nil {
			t.Errorf("%s: something is kept", what)
		}
	}
	open := func(by *client.Client, endorsements []byte) {
		t.Helper()
		item.Endorsements = endorsements
		r := by.UnwrapBatch(t.Context(), []client.Item{item}, "test")[0]
		if r.Err != nil || !r.DEK.Equal(testDEK) {
			t.Fatal(r.Err)
		}
	}
	since := c.asked()
	for what, b := range map[string][]byte{"nothing": nil, "noise": []byte("noise"), "half": carried[:len(carried)/2], "too much": make([]byte, 1<<16)} {
		open(c.client(t), b)
		if n := c.shown(t, since); n != 0 {
			t.Errorf("%s is carried, and %d are shown", what, n)
		}
	}
	shown := 0
	for range 50 { // whom a client asks first is not known
		if open(c.client(t), carried); c.shown(t, since) > 0 {
			shown = c.shown(t, since)
			break
		}
	}
	if shown == 0 {
		t.Error("what is carried is shown to nobody")
	}
	again := c.client(t)
	open(again, carried)
	if item.Endorsements = nil; again.Endorsements(item) == nil {
		t.Error("who opened with what was carried keeps nothing")
	}
}

// Who gave a false partial, gave no endorsement either; nor is anything kept that is none.
func TestWhatIsNoEndorsementIsNotKept(t *testing.T) {
	for what, e := range map[string][]byte{"nothing": nil, "short": make([]byte, 15), "long": make([]byte, 17)} {
		c := newFakeCluster(t)
		cl := c.client(t)
		envelope := c.wrapped(t, cl)
		for _, n := range c.nodes {
			n.with(func() {
				n.twist = func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
					a.Items[0].Endorsement = e
					return nil
				}
			})
		}
		opens(t, cl, envelope)
		if cl.Endorsements(client.Item{Envelope: envelope, Context: testContext}) != nil {
			t.Errorf("%s is kept", what)
		}
	}
	c := newFakeCluster(t)
	c.endorsing()
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	for _, id := range []string{"n4", "n5"} {
		c.nodes[id].kill()
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.nodes[id].with(func() {
			honest := c.nodes[id].twist
			c.nodes[id].twist = func(r *api.UnwrapRequest, a *api.UnwrapAnswer) error { _ = honest(r, a); return lying(r, a) }
		})
	}
	if _, err := cl.Unwrap(t.Context(), envelope, testContext, "test"); err == nil {
		t.Fatal("false partials open it")
	}
	if cl.Endorsements(client.Item{Envelope: envelope, Context: testContext}) != nil {
		t.Error("endorsements of what did not open are kept")
	}
}
