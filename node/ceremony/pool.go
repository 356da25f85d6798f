package ceremony

import (
	"context"
	"fmt"
	"slices"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
)

// stepPools takes part in the run that fills a pool, and opens the next one where a pool
// is low: the first holder at once, the others in turn. Nobody orders that again. What was
// tried longest ago comes first, so that a pool whose runs come to nothing does not keep
// the others empty.
func (d *Driver) stepPools(ctx context.Context, s *ledger.State) {
	running := 0 // keys in the run that goes on
	var next *ledger.Pool
	for _, p := range s.Pools() {
		place := slices.Index(p.Body.Holders, d.cfg.Node) + 1
		if ses := s.Session(p.Live); ses != nil && !s.Expired(ses) {
			if running = ses.Board.Session().N; place > 0 {
				d.heed(ctx, p.Order, p.Live, d.stepSession(ctx, s, ses, "pool "+p.Body.Name))
			}
		} else if place > 0 && s.PoolLow(p) && (next == nil || p.Opened < next.Opened) {
			next = p
		}
	}
	if !d.filled.rested(d.cfg.Now(), running) || next == nil || s.RootKey() == nil {
		return
	}
	place := slices.Index(next.Body.Holders, d.cfg.Node) + 1
	d.heed(ctx, next.Order, next.Live, d.inTurn(ctx, fmt.Sprintf("open %s %d", next.Order, next.Attempt+1), sharing.Index(place),
		authority.KindOpen, authority.Open{Order: next.Order, Attempt: next.Attempt + 1}))
}
