package gate

import (
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
)

// renewed is a world whose key has two epochs that release, and n1's share of the older.
func renewed(t *testing.T) (w *world, until time.Time) {
	t.Helper()
	w = newWorld(t)
	w.Cluster = trial.New(t, 2, 3)
	w.BearRoot()
	w.take(t, w.BearKey("demo"))
	w.Refresh(w.born)
	w.committed = w.policy(w.State(), permit)
	w.tail = w.committed
	return w, time.UnixMilli(w.committed.Older(w.born.Key.ID, 1).Until + ledger.OverlapGrace)
}

// take makes another key the world's.
func (w *world) take(t *testing.T, b *trial.Born) {
	t.Helper()
	w.born = b
	w.publish(t)
	share := *w.share
	share.Key, share.Scalar = b.Key.ID, b.Shares[0]
	w.share = &share
}

// Ledger time goes on by what nodes say and a leader orders. This node's clock ends the
// overlap of two epochs as well, so that who keeps the rest out of the log does not keep
// the older epoch in use (R10).
func TestAnOverlapEndsByThisNodesClock(t *testing.T) {
	w, until := renewed(t)
	item := w.item(t)
	item.Epoch = 1
	w.now = until.Add(-time.Millisecond)
	if a := w.one(t, app, item); a.Refusal != nil || a.Epoch != 1 {
		t.Fatalf("in its last millisecond: %+v", a)
	}
	w.now = until
	if a := w.one(t, app, item); a.Refusal == nil || a.Refusal.Code != api.CodeEpoch || a.Current != 2 {
		t.Fatalf("the old epoch releases when its time is over: %+v", a)
	}
	if a := w.one(t, visitor, item); a.Refusal == nil || *a.Refusal != *denied() || a.Current != 0 {
		t.Fatalf("a stranger hears %+v", a)
	}
	item.Epoch = 2
	if a := w.one(t, app, item); a.Refusal == nil || a.Refusal.Code != api.CodeNoShare {
		t.Fatalf("of the new epoch: %+v", a)
	}
}

// What this node's clock decides is decided again after a slow sync, also when the ledger
// has not moved and the minute is the same.
func TestWhatAClockEndsDuringTheRecordIsWithheld(t *testing.T) {
	withheld := func(t *testing.T, w *world, a api.ItemAnswer, code api.Code) {
		t.Helper()
		if a.Refusal == nil || a.Refusal.Code != code {
			t.Fatalf("released, or refused otherwise: %+v", a)
		}
		if k := w.recorder.kinds(); len(k) != 2 || k[1] != audit.Withheld {
			t.Fatalf("recorded: %v", k)
		}
	}
	during := func(w *world, then time.Time) {
		w.recorder.during = func() { w.recorder.during = nil; w.now = then }
	}
	t.Run("the overlap of two epochs", func(t *testing.T) {
		w, until := renewed(t)
		item := w.item(t)
		item.Epoch = 1
		w.now = until.Add(-time.Millisecond)
		during(w, until)
		withheld(t, w, w.one(t, app, item), api.CodeEpoch)
	})
	t.Run("a clock that is set back before a key's life begins", func(t *testing.T) {
		w := newWorld(t)
		w.Cluster = trial.New(t, 2, 3)
		w.BearRoot()
		begins := w.State().Time() + 10
		o := w.Genesis.Root
		o.Purpose, o.Name, o.NotBefore = authority.PurposeUnwrap, "demo", begins
		if r := w.Apply(w.Change(authority.KindKey, wire.Encode(o), api.Digest{})); r.Err != nil {
			t.Fatal(r.Err)
		}
		w.take(t, w.Bear(w.State().OrderNamed("demo")))
		w.Pass(20)
		w.committed = w.policy(w.State(), permit)
		w.tail = w.committed
		w.now = time.UnixMilli(begins)
		item := w.item(t)
		during(w, time.UnixMilli(begins-1))
		withheld(t, w, w.one(t, app, item), api.CodeKeyState)
	})
}
