package client_test

import (
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/client/internal/dealt"
)

// shows has nodes show a chain of changes.
func (c *fakeCluster) shows(chain [][]byte, nodes ...string) {
	for _, id := range nodes {
		n := c.nodes[id]
		n.with(func() { n.custody = chain })
	}
}

// newcomer is a node's line that fits on the roster of c.
func (c *fakeCluster) newcomer(t *testing.T, id string) authority.Node {
	t.Helper()
	c.Keys[id] = dealt.NewKey(t)
	return authority.Node{ID: id, Region: "somewhere", Key: c.Node(id).PublicKey(), Claim: c.Claim(id, 1, "127.0.0.1:1")}
}

// A client that has asked who is on the roster calls those from then on. It follows no
// chain that is behind what it knows, or parts from it.
func TestAClientFollowsTheRoster(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	called := func() (ids []string) {
		for _, s := range cl.Status(t.Context()) {
			ids = append(ids, s.Node)
		}
		return ids
	}
	line := c.newcomer(t, "n6")
	add := c.change(t, authority.KindNodeAdd, authority.Membership{Newcomer: &line}, api.Digest{}, c.Custodians[:2]...)
	c.shows([][]byte{add.Encode()}, "n1", "n2", "n3")
	if _, err := cl.Custody(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := called(); len(got) != 6 || got[5] != "n6" || cl.Known().Roll.Version != 2 {
		t.Fatalf("it calls %v, of version %d", got, cl.Known().Roll.Version)
	}
	remove := c.change(t, authority.KindNodeRemove, authority.Membership{Leaver: "n1"}, add.ID(), c.Custodians[:2]...)
	again := c.newcomer(t, "n7")
	after := c.change(t, authority.KindNodeAdd, authority.Membership{Newcomer: &again}, remove.ID(), c.Custodians[:2]...)
	c.shows([][]byte{add.Encode(), remove.Encode(), after.Encode()}, "n2", "n3", "n4")
	if _, err := cl.Custody(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := called(); len(got) != 6 || got[0] != "n2" || got[5] != "n7" || cl.Known().Roll.Version != 4 {
		t.Errorf("it calls %v, of version %d", got, cl.Known().Roll.Version)
	}
	// Another history of the roster, and one that is behind, by all nodes.
	other := c.newcomer(t, "n8")
	fork := c.change(t, authority.KindNodeAdd, authority.Membership{Newcomer: &other}, api.Digest{}, c.Custodians[:2]...)
	for _, chain := range [][][]byte{{fork.Encode()}, {add.Encode()}, nil} {
		c.shows(chain, "n1", "n2", "n3", "n4", "n5")
		_, _ = cl.Custody(t.Context())
		if cl.Known().Roll.Version != 4 || len(called()) != 6 {
			t.Errorf("it has gone back to version %d", cl.Known().Roll.Version)
		}
	}
}

// Every question beyond the t that open an envelope is counted.
func TestRetriesAreCounted(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	envelope := c.wrapped(t, cl)
	questions := func() (n int) {
		for _, node := range c.nodes {
			n += len(node.requests())
		}
		return n
	}
	item := []client.Item{{Envelope: envelope, Context: testContext}}
	r := cl.UnwrapBatch(t.Context(), item, "test")[0]
	first := questions()
	if r.Err != nil || r.Retries < first-3 || r.Retries > 2 { // one that is called off may not arrive
		t.Errorf("%d retries, %d questions, %v", r.Retries, first, r.Err)
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.nodes[id].with(func() { c.nodes[id].twist = refusing(api.CodeDenied) })
	}
	if r = cl.UnwrapBatch(t.Context(), item, "test")[0]; r.Err == nil || r.Retries != 2 {
		t.Errorf("three of five refuse: %d retries, %v", r.Retries, r.Err)
	}
}
