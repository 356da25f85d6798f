package client_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/authority"
	"warifu.dev/client"
)

// Of each node the newest anchor counts, whoever shows it; what is forged, or of
// somebody else, counts for nothing.
func TestTheNewestAnchorOfEachNodeIsFound(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	if _, err := cl.Anchors(t.Context()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("everybody refuses: %v", err)
	}
	anchor := func(key, node string, counter uint64) []byte {
		t.Helper()
		s, err := authority.NewSigner(c.Keys[key])
		if err != nil {
			t.Fatal(err)
		}
		e, err := authority.SignStatement(rand.Reader, s, c.Genesis.Cluster, node, authority.KindAnchor, authority.Anchor{Counter: counter, AuditSize: 10 * counter})
		if err != nil {
			t.Fatal(err)
		}
		return e.Encode()
	}
	shows := func(node string, entries ...[]byte) { c.nodes[node].with(func() { c.nodes[node].anchor = entries }) }
	shows("n1", anchor("n1", "n1", 1), anchor("n2", "n2", 7))
	shows("n2", anchor("n1", "n1", 3), anchor("n2", "n2", 4)) // it shows an old one of its own
	shows("n3", anchor("n3", "n1", 9), []byte("junk"))        // it speaks for another
	var many [][]byte
	for i := range uint64(6) {
		many = append(many, anchor("n4", "n4", i+1))
	}
	shows("n4", many...) // more than there are nodes: not read
	list, err := cl.Anchors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, v := range list {
		got[v.Node()] = v.Anchor().Counter
	}
	if len(got) != 2 || got["n1"] != 3 || got["n2"] != 7 || list[0].Node() != "n1" {
		t.Errorf("%v", got)
	}
	shows("n1", []byte(nil))
	if _, err := cl.Anchors(t.Context()); err != nil {
		t.Errorf("one that shows an empty entry: %v", err)
	}
}
