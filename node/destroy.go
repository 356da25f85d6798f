package node

import (
	"math"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/node/keyring"
)

// erasable is what this node erases now: the epochs that the ledger asks a receipt for,
// and the shares that go. The shares of a key that is destroyed go when this node's
// clock has passed the wait as well: fewer than t clocks cannot shorten it, and neither
// can t of the others.
func (n *Node) erasable(s *ledger.State) (wanted []authority.LiveEpoch, old func(keyring.Held) bool) {
	now := n.now().UnixMilli()
	wanted = slices.DeleteFunc(s.Unerased(n.cfg.Node, math.MaxInt), func(e authority.LiveEpoch) bool { return !s.MayErase(e.Key, now) })
	return wanted, func(h keyring.Held) bool {
		if s.Destroyed(h.Key) {
			return s.MayErase(h.Key, now)
		}
		return outlived(s, h)
	}
}

// paidUp says nil, or that this node was away while a key was destroyed, and erases its
// shares of that before it serves anything. Once it has nothing to make good it is not
// asked again: a destruction that it sees begin refuses by the key's state.
func (n *Node) paidUp() *api.Error {
	if n.paid.Load() {
		return nil
	}
	s := n.consensus.Committed()
	for _, e := range s.Unerased(n.cfg.Node, authority.MaxRetired) {
		if s.Destroyed(e.Key) && s.MayErase(e.Key, n.now().UnixMilli()) {
			return api.Retry(api.CodeStale, "this node erases its shares of a key that was destroyed while it was away")
		}
	}
	if n.freshEnough() == nil {
		n.paid.Store(true)
	}
	return nil
}
