package cluster_test

import (
	"testing"

	"warifu.dev/bench/cluster"
)

// A node stops, its node.toml says other addresses, and it starts: the other nodes lead it
// there, and clients find it, one that has called it before and one that knows nothing but
// genesis, though nothing answers where it was.
func TestANodeThatMovesIsFound(t *testing.T) {
	t.Parallel()
	c, key, before := start(t, cluster.Config{Nodes: cluster.DemoNodes[:3], T: 2, HSM: cluster.HSMSoft})
	ids := c.IDs()
	moves, stays := ids[2], ids[0]
	if err := open(t, key, before); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(moves); err != nil {
		t.Fatal(err)
	}
	if err := c.Move(moves); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(moves); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitServing(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(ids[1]); err != nil { // from now on there is no quorum without it
		t.Fatal(err)
	}
	after := app(t, c)
	eventually(t, "who has called it before finds it", func() bool { return open(t, key, before) == nil })
	eventually(t, "who has not finds it", func() bool { return open(t, key, after) == nil })
	asks, err := c.Custodian()
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	for _, s := range asks.Status(t.Context()) {
		switch s.Node {
		case moves:
			if s.Err != nil || s.Address == c.Address(moves) {
				t.Errorf("%s is asked at %s: %v", moves, s.Address, s.Err)
			}
		case stays:
			if s.Err != nil || s.Address != c.Address(stays) {
				t.Errorf("%s is asked at %s: %v", stays, s.Address, s.Err)
			}
		}
	}
}
