package node

import (
	"context"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// confirmPool makes this node's shares of a pool's keys durable, all of a run at once. No
// request can be about them before an order takes one: the gate knows keys by what the
// ledger has of keys, and these are none yet.
func (s *secrets) confirmPool(ctx context.Context, now *ledger.State, ses *ledger.Session, index sharing.Index, shares []*group.Scalar) error {
	_, ring := s.current()
	if ring == nil {
		return errNotUnsealed
	}
	return s.putAll(ctx, now, ring, func() []keyring.Share {
		var list []keyring.Share
		for i, x := range shares {
			list = append(list, keyring.Share{
				Key: authority.PooledKeyID(ses.ID, uint32(i+1)), Version: 1, Epoch: 1, Session: ses.ID, Opened: ses.Opened, Index: uint32(index),
				Scalar: x.Add(group.SmallScalar(0)), // the driver wipes its copy
			})
		}
		return list
	})
}

// unborn says that a share is of a key that the ledger does not know: the run that made
// it came to nothing, or its pool has ended, or nobody took the key in its time.
func unborn(s *ledger.State, h keyring.Held) bool {
	if s.PooledKey(h.Key) != nil {
		return false
	}
	if ses := s.Session(h.Session); ses != nil && ses.Board.Phase() == dkg.PhaseDone && s.Position().Index >= h.Opened {
		return true // it was activated, and its key is no more
	}
	return abandoned(s, h)
}

// pools says what every pool has.
func pools(s *ledger.State) []api.PoolSummary {
	var out []api.PoolSummary
	for _, p := range s.Pools() {
		v := api.PoolSummary{
			Name: p.Body.Name, Order: p.Order, T: p.Body.T, Holders: p.Body.Holders, Size: p.Body.Size,
			Waiting: uint32(len(s.Pooled(p))), LifeSeconds: p.Body.LifeSeconds, Attempt: p.Attempt,
		}
		if ses := s.Session(p.Live); ses != nil {
			v.Phase, v.Batch, v.Opened = ses.Board.Phase().String(), uint32(ses.Board.Session().N), ses.OpenedTime
		}
		out = append(out, v)
	}
	return out
}
