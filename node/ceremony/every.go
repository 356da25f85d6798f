package ceremony

import (
	"context"
	"fmt"
	"time"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
)

// everyLook is how often a node looks for keys whose next version is due by their
// orders: that takes a look at all that have a period.
const everyLook = 10 * time.Second

// follow orders the next versions that are due: the first holder at once, the others in
// turn.
func (d *Driver) follow(ctx context.Context, s *ledger.State) {
	const name = "follow"
	if last, looked := d.sent[name]; looked && d.cfg.Now().Sub(last) < everyLook {
		return
	}
	d.sent[name] = d.cfg.Now()
	for _, next := range s.VersionsDue(ledger.MaxRotating) {
		index := s.Key(next.Key).IndexOf(d.cfg.Node)
		if index == 0 {
			continue
		}
		err := d.inTurn(ctx, fmt.Sprintf("next %s %d", next.Key, next.Version), sharing.Index(index), authority.KindNextVersion, next)
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("the version that is due is not ordered", "key", next.Key, "version", next.Version, "error", err)
		}
	}
}
