package ceremony

import (
	"context"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
)

// stepDestroy begins the destruction of keys whose wait is over, by ledger time and by
// this node's clock.
func (d *Driver) stepDestroy(ctx context.Context, s *ledger.State) {
	for _, id := range s.DestroyNow(d.cfg.Now().UnixMilli()) {
		index := s.Key(id).IndexOf(d.cfg.Node)
		if index == 0 {
			continue
		}
		err := d.inTurn(ctx, "destroy "+id.String(), sharing.Index(index), authority.KindDestroy, authority.Destroy{Key: id})
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("a key whose wait is over is not destroyed yet", "key", id, "error", err)
		}
	}
}
