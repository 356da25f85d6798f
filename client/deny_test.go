package client_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// A receipt counts when the node that was asked has signed it, about this change.
func TestAReceiptIsBelievedOfTheNodeThatWasAsked(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	e := authority.NewChange(authority.Change{
		Cluster: c.Genesis.Cluster, Kind: authority.KindRevoke, NotAfter: 1 << 50,
		Body: wire.Encode(authority.Revoke{Subject: authority.Subject{Kind: authority.SubjectCA, Name: "apps"}}),
	})
	receipt := func(key, node string, id api.Digest, roster uint64) []byte {
		t.Helper()
		s, err := authority.NewSigner(c.Keys[key])
		if err != nil {
			t.Fatal(err)
		}
		r, err := authority.SignReceipt(rand.Reader, s, authority.RevokeReceipt{
			Cluster: c.Genesis.Cluster, Node: node, Revoke: id, Subject: authority.Subject{Kind: authority.SubjectCA, Name: "apps"}, Roster: roster,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Encode()
	}
	for node, r := range map[string][]byte{
		"n1": receipt("n1", "n1", e.ID(), 1),
		"n2": receipt("n1", "n1", e.ID(), 1),        // another's
		"n3": receipt("n3", "n3", api.Digest{9}, 1), // about another change
		"n4": receipt("n1", "n4", e.ID(), 1),        // signed by another
		"n5": receipt("n5", "n5", e.ID(), 2),        // under a roster that is not known here
	} {
		c.nodes[node].with(func() { c.nodes[node].receipt = r })
	}
	handed, err := cl.Deny(t.Context(), e.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]client.NodeReceipt{handed, cl.Receipts(t.Context(), e.ID())} {
		for _, r := range list {
			if (r.Receipt != nil) != (r.Node == "n1") || (r.Err == nil) != (r.Node == "n1") {
				t.Errorf("%s: %+v, %v", r.Node, r.Receipt, r.Err)
			}
			if want := r.Node == "n2" || r.Node == "n3" || r.Node == "n4"; errors.Is(r.Err, client.ErrAnswer) != want {
				t.Errorf("%s: %v", r.Node, r.Err)
			}
		}
	}
	if _, err := cl.Deny(t.Context(), []byte("junk")); !errors.Is(err, authority.ErrEntry) {
		t.Errorf("junk: %v", err)
	}
}
