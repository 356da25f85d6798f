package ceremony

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
)

// stepRenewals takes part in the refresh or reshare that runs, opens the next run, and
// retires what is over.
func (d *Driver) stepRenewals(ctx context.Context, s *ledger.State) {
	renewals := s.Renewals()
	// Those that were tried least come first, so that one that fails again and again
	// does not keep the others waiting.
	slices.SortFunc(renewals, func(a, b *ledger.Renewal) int {
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Index, b.Index))
	})
	running := 0 // keys in the run that goes on
	for _, r := range renewals {
		if r.Live.IsZero() {
			continue
		}
		ses := s.Session(r.Live)
		if !s.Expired(ses) {
			running = len(ses.Keys)
		}
		if ses.PlaceOf(d.cfg.Node) > 0 {
			d.heed(ctx, r.Order, r.Live, d.stepSession(ctx, s, ses, fmt.Sprintf("%s of %d", r.Kind, len(ses.Keys))))
		}
	}
	if d.renewed.rested(d.cfg.Now(), running) {
		d.openNext(ctx, s, renewals)
	}
	d.repair(ctx, s)
	d.rotate(ctx, s)
	d.follow(ctx, s)
	d.stepDestroy(ctx, s)
	d.retire(ctx, s)
}

// retireLook is how often a node looks which epochs are over: that takes a look at all
// keys that have two.
const retireLook = time.Second

// retire ends the epochs that are over, those of a run with one statement.
func (d *Driver) retire(ctx context.Context, s *ledger.State) {
	const name = "retire"
	if last, looked := d.sent[name]; looked && d.cfg.Now().Sub(last) < retireLook {
		return
	}
	d.sent[name] = d.cfg.Now()
	if over := s.RetireNow(ledger.MaxRenewed); len(over) > 0 {
		first := s.KeyVersion(over[0].Key, over[0].Version)
		if index := first.IndexOf(d.cfg.Node); index > 0 {
			name := fmt.Sprintf("retire %s %d %d", first.ID, first.Version, over[0].Epoch)
			err := d.inTurn(ctx, name, sharing.Index(index), authority.KindRetire, authority.Retire{Epochs: over})
			if err != nil && ctx.Err() == nil {
				d.cfg.Log.Warn("an old epoch is not retired", "key", first.ID, "epoch", over[0].Epoch, "error", err)
			}
		}
	}
}

// repairLook is how often a node looks whether it was struck from a key: that takes a
// look at all of them.
const repairLook = time.Minute

// repair asks for shares of the keys that this node was struck from, when that may be.
func (d *Driver) repair(ctx context.Context, s *ledger.State) {
	const name = "repair"
	if last, looked := d.sent[name]; looked && d.cfg.Now().Sub(last) < repairLook {
		return
	}
	d.sent[name] = d.cfg.Now()
	if s.MayRepair(d.cfg.Node) != nil {
		return
	}
	at := s.Position()
	err := step(authority.KindRepair, func() error {
		return d.cfg.Submit(ctx, authority.KindRepair, authority.Repair{Seen: at.Link})
	})
	if err != nil && ctx.Err() == nil {
		d.cfg.Log.Warn("the shares of this node are not repaired", "error", err)
	}
}

// rotate says that a rotation is due by the policy's standing order: the first node of
// the roster at once, the others in turn.
func (d *Driver) rotate(ctx context.Context, s *ledger.State) {
	due := s.RotationDue()
	if due == 0 || s.Time() < due {
		return
	}
	at := slices.IndexFunc(s.Roster(), func(n authority.Node) bool { return n.ID == d.cfg.Node })
	err := d.inTurn(ctx, fmt.Sprintf("standing %d", due), sharing.Index(at+1), authority.KindStanding, authority.Standing{Due: due})
	if err != nil && ctx.Err() == nil {
		d.cfg.Log.Warn("the rotation that is due does not begin", "error", err)
	}
}

// openNext opens a run of the first order that has something to do now.
func (d *Driver) openNext(ctx context.Context, s *ledger.State, renewals []*ledger.Renewal) {
	for _, r := range renewals {
		b := s.NextBatch(r)
		if b == nil {
			d.endDone(ctx, s, r)
			continue
		}
		if place := b.Place(d.cfg.Node); place > 0 {
			d.heed(ctx, r.Order, r.Live, d.inTurn(ctx, fmt.Sprintf("open %s %d", r.Order, r.Attempt+1), sharing.Index(place),
				authority.KindOpen, authority.Open{Order: r.Order, Attempt: r.Attempt + 1}))
		}
		return
	}
}

// endDone ends an order whose keys other orders have given new shares meanwhile: to open
// its next run does that, and any node may.
func (d *Driver) endDone(ctx context.Context, s *ledger.State, r *ledger.Renewal) {
	if !s.Fulfilled(r) {
		return
	}
	for i, n := range s.Roster() {
		if n.ID == d.cfg.Node {
			d.heed(ctx, r.Order, r.Live, d.inTurn(ctx, fmt.Sprintf("end %s", r.Order), sharing.Index(i+1),
				authority.KindOpen, authority.Open{Order: r.Order, Attempt: r.Attempt + 1}))
		}
	}
}

// maxSigned bounds how many records are signed at a look: those of a batch.
const maxSigned = 100

// signRecords posts this holder's signatures over the records of all named keys in their
// current epochs, once each, many with one statement.
func (d *Driver) signRecords(ctx context.Context, s *ledger.State) {
	var list []authority.RecordSignature
	unsigned := s.Unsigned(d.cfg.Node)
	for _, k := range unsigned {
		if len(unsigned) > small && !d.signsNow(k) {
			continue
		}
		name := fmt.Sprintf("record %s %d %d", k.ID, k.Version, k.Number)
		if last, sent := d.sent[name]; sent && d.cfg.Now().Sub(last) < resend {
			continue
		}
		if len(list) == maxSigned {
			break
		}
		d.sent[name] = d.cfg.Now()
		sig, err := d.cfg.SignRecord(&k.Record)
		if err != nil {
			d.cfg.Log.Warn("a key record is not signed", "key", k.ID, "epoch", k.Number, "error", err)
			continue
		}
		list = append(list, authority.RecordSignature{Key: k.ID, Version: k.Version, Epoch: k.Number, Signature: sig})
	}
	for some := range slices.Chunk(list, authority.MaxRecordSignatures) {
		err := step(authority.KindRecord, func() error {
			return d.cfg.Submit(ctx, authority.KindRecord, authority.RecordSignatures{List: some})
		})
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("records are not signed", "first", some[0].Key, "keys", len(some), "error", err)
		}
	}
}
