package cluster_test

import (
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench/cluster"
	"warifu.dev/internal/wire"
)

// rotationPatience is how long new shares may take until the old ones are erased: they
// overlap for a minute of ledger time, which nodes sign every ten seconds.
const rotationPatience = 4 * time.Minute

// rotation gives a key new shares, and the old ones are retired and erased, while nodes
// die at the steps of that. The one that dies when it retires them holds the first one.
func (r *trial) rotation(kills ...*kill) {
	r.Helper()
	key := r.born(r.order(kills[0].node, 30))
	r.keys = append(r.keys, key)
	r.plan(kills...)
	_, err := r.c.Submit(within(r.T, patience), authority.KindRefresh,
		wire.Encode(authority.Renewal{Keys: []api.KeyID{key.ID()}, PhaseSeconds: 30}), api.Digest{})
	if err != nil {
		r.Fatal(err)
	}
	asks, err := r.c.Custodian()
	if err != nil {
		r.Fatal(err)
	}
	defer asks.Close()
	for end := time.Now().Add(rotationPatience); ; time.Sleep(time.Second) {
		keys, err := asks.Keys(r.Context())
		at := slices.IndexFunc(keys, func(k api.KeySummary) bool { return k.ID == key.ID() })
		if err == nil && at >= 0 && keys[at].Epoch == 2 && len(keys[at].Live) == 1 && len(keys[at].Gone) == 1 && len(keys[at].Gone[0].Await) == 0 {
			break
		}
		if time.Now().After(end) {
			r.Fatalf("%v after the refresh of %s: %+v, %v", rotationPatience, key.Name(), keys, err)
		}
	}
	r.fired("a refresh")
	r.serving()
	eventually(r.T, "the key opens with its old record", func() bool { return open(r.T, key, r.cl) == nil })
}

// rotations are the kills of one refresh for each mode.
func (r *trial) rotations(kills ...*kill) {
	r.Helper()
	for _, mode := range modes {
		r.rotation(slices.DeleteFunc(slices.Clone(kills), func(p *kill) bool { return p.mode != mode })...)
	}
}

// A node may die when an old epoch is retired and when it has erased its shares: the old
// epoch is gone in the end, and the key opens under the new one. R9
func TestANodeMayDieWhenOldSharesGo(t *testing.T) {
	r := newTrial(t, cluster.Config{HSM: cluster.HSMToken}, nil)
	ids := r.c.IDs()
	r.rotation(assign(of(whenRotated), 0, ids, 0)...)
	r.judge()
}
