package node

import (
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// putPool puts a pool, or ends it.
func putPool(t *testing.T, c *trial.Cluster, size uint32) {
	t.Helper()
	g := &c.Genesis.Root
	p, base := authority.Pool{Name: "web"}, api.Digest{}
	if size > 0 {
		p = authority.Pool{Name: "web", Size: size, T: g.T, F: g.F, Holders: g.Holders, PhaseSeconds: 60, LifeSeconds: authority.MaxPoolLife}
	}
	if before := c.State().Pool("web"); before != nil {
		base = before.Order
	}
	if r := c.Apply(c.Change(authority.KindPool, wire.Encode(p), base)); r.Err != nil {
		t.Fatal(r.Err)
	}
}

// The shares of a pool's keys stay while they wait and when they are taken, and go when
// the key they are of is no key any more. A node that catches up erases nothing.
func TestSharesOfAPoolGoWithIt(t *testing.T) {
	c := trial.New(t, 2, 3)
	s := keeper(t, c)
	early := c.State()
	putPool(t, c, 3)
	live, shares := c.Fill("web")
	during := keyring.Held{Key: authority.PooledKeyID(live, 1), Version: 1, Epoch: 1, Session: live, Opened: c.State().Session(live).Opened}
	if err := s.confirm(t.Context(), c.State(), c.State().Session(live), 1, shares[0]); err != nil {
		t.Fatal(err)
	}
	_, ring := s.current()
	left := func() (n int) {
		for place := uint32(1); place <= 3; place++ {
			if _, ok := ring.Share(authority.PooledKeyID(live, place), 1, 1); ok {
				n++
			}
		}
		return n
	}
	erase := func(now *ledger.State) {
		t.Helper()
		if _, err := s.erase(t.Context(), now, func(keyring.Held) bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	if ses := c.State().Session(live); ses.Board.Phase() != dkg.PhaseDone || len(c.State().Pooled(c.State().Pool("web"))) != 3 || outlived(early, during) {
		t.Fatal("a node that has not read of the run would erase its shares")
	}
	erase(early)
	erase(c.State())
	if left() != 3 {
		t.Fatalf("%d shares of keys that wait are left", left())
	}
	if r := c.Apply(c.Order("taken")); r.Err != nil {
		t.Fatal(r.Err)
	}
	taken := c.State().KeyNamed("taken")
	yi, err := group.DecodePoint(taken.Record.YI[0])
	if err != nil {
		t.Fatal(err)
	}
	if x, ok := ring.Share(taken.ID, 1, 1); !ok || !group.BaseMul(x.Scalar).Equal(yi) {
		t.Error("the share of the key that was taken is not in its place")
	}
	putPool(t, c, 0)
	erase(c.State())
	if left() != 1 {
		t.Errorf("%d shares are left, of one key that was taken", left())
	}
	if _, ok := ring.Share(taken.ID, 1, 1); !ok {
		t.Error("the share of the key that was taken is gone")
	}
	// A day later the run is forgotten, and the key is not.
	c.Pass(30 * 3600 * 1000)
	if c.State().Session(live) != nil {
		t.Fatal("the ledger forgets nothing, and this shows nothing")
	}
	erase(c.State())
	if left() != 1 {
		t.Error("the share of a key went when its run was forgotten")
	}
}

// Shares of a pool whose run is still open are kept over a restart, and go when it is
// given up.
func TestSharesOfAPoolsRunThatIsGivenUp(t *testing.T) {
	c := trial.New(t, 2, 3)
	s := keeper(t, c)
	putPool(t, c, 2)
	if err := c.Say("n1", authority.KindOpen, authority.Open{Order: c.State().Pool("web").Order, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	live := c.State().Pool("web").Live
	if err := s.confirm(t.Context(), c.State(), c.State().Session(live), 1, []*group.Scalar{group.SmallScalar(5), group.SmallScalar(6)}); err != nil {
		t.Fatal(err)
	}
	h := keyring.Held{Key: authority.PooledKeyID(live, 2), Version: 1, Epoch: 1, Session: live, Opened: c.State().Session(live).Opened}
	if _, ring := s.current(); outlived(c.State(), h) || !ring.Holds(func(x keyring.Held) bool { return x == h }) {
		t.Fatal("it is not kept while the run goes on")
	}
	for _, n := range []string{"n1", "n2"} {
		if err := c.Say(n, authority.KindAbandon, authority.Abandon{Session: live}); err != nil {
			t.Fatal(err)
		}
	}
	if !outlived(c.State(), h) {
		t.Error("it stays when the run is given up")
	}
}
