package gate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
)

// A slow disk: what was permitted when it was decided is judged again by the time at
// which it would leave.
func TestWhatIsPastAfterASlowSyncIsWithheld(t *testing.T) {
	withheld := func(t *testing.T, w *world, a api.ItemAnswer, code api.Code) {
		t.Helper()
		if a.Refusal == nil || a.Refusal.Code != code {
			t.Fatalf("got %+v", a)
		}
		if k := w.recorder.kinds(); !slices.Equal(k, []audit.Kind{audit.Release, audit.Withheld}) {
			t.Fatalf("recorded: %v", k)
		}
	}
	t.Run("the hours of a policy", func(t *testing.T) {
		for _, row := range []struct {
			takes   time.Duration
			permits bool
		}{{20 * time.Second, true}, {90 * time.Second, false}} {
			w := newWorld(t)
			w.now = time.Date(2026, 3, 2, 16, 59, 0, 0, time.UTC)
			w.committed = w.limited(w.committed, `@id("day") permit (principal, action, resource) when { context.time.hour < 17 };`, "")
			w.tail = w.committed
			item := w.item(t)
			w.recorder.during = func() { w.recorder.during = nil; w.now = w.now.Add(row.takes) }
			a := w.one(t, app, item)
			if row.permits {
				if a.Refusal != nil {
					t.Errorf("within the minute: %v", a.Refusal)
				}
				continue
			}
			withheld(t, w, a, api.CodeDenied)
		}
	})
	t.Run("the end of a grant", func(t *testing.T) {
		for _, past := range []int64{0, 1} { // ms
			d := newDoctors(t)
			state, id := d.put(t, d.committed, "n2", d.grant(), d.signers[0], d.signers[2])
			d.committed, d.tail = state, state
			item := d.file(t, "a", id, 1)
			d.now = time.UnixMilli(inTheHour - 1)
			d.recorder.during = func() { d.recorder.during = nil; d.now = time.UnixMilli(inTheHour + past) }
			a := d.one(t, app, item)
			if past == 0 {
				if a.Refusal != nil {
					t.Errorf("at its last millisecond: %v", a.Refusal)
				}
				continue
			}
			withheld(t, d.world, a, api.CodeGrant)
		}
	})
}

func TestTheCallersRegionIsRecorded(t *testing.T) {
	w := newWorld(t)
	req := &api.UnwrapRequest{RequestID: api.RequestID{9}, Region: "jp-west", Items: []api.UnwrapItem{w.item(t)}}
	for _, principal := range []string{app, visitor} {
		if _, err := w.gate.Unwrap(context.Background(), &Caller{Principal: principal, Standing: w.standing}, req); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.recorder.records) != 2 {
		t.Fatalf("%d records", len(w.recorder.records))
	}
	for _, r := range w.recorder.records {
		if r.Region != "jp-west" {
			t.Errorf("%s: region %q", r.Kind, r.Region)
		}
	}
}

// Whoever may not unwrap at all is recorded as whoever may not unwrap this, by item and
// up to the cap.
func TestARefusalBeforeTheGateIsRecordedAsAnyOther(t *testing.T) {
	w := newWorld(t)
	operator := &Caller{Principal: "spiffe://demo/operator", Source: netip.MustParseAddr("10.1.2.3"), Standing: w.standing}
	no := api.Refuse(api.CodeDenied, "the class operator may not ask for this")
	req := &api.UnwrapRequest{RequestID: api.RequestID{9}, Reason: "a test", Items: []api.UnwrapItem{w.item(t), {Envelope: []byte("none"), Context: fileA}}}
	refuse := func() error { return w.gate.Refuse(context.Background(), operator, req, no, "the class operator") }
	var e *api.Error
	if err := refuse(); !errors.As(err, &e) || e != no {
		t.Fatal(err)
	}
	if k := w.recorder.kinds(); !slices.Equal(k, []audit.Kind{audit.Refusal, audit.Refusal}) {
		t.Fatalf("recorded: %v", k)
	}
	r := w.recorder.records[0]
	if r.Principal != operator.Principal || r.RequestID != req.RequestID || r.KeyName != "demo" || r.Reason != "a test" ||
		r.Code != string(api.CodeDenied) || r.Why != "the class operator" || r.Source != "10.1.2.3" {
		t.Errorf("recorded: %+v", r)
	}
	for range refusalsPerSecond {
		_ = refuse()
	}
	if n := len(w.recorder.records); n != refusalsPerSecond {
		t.Errorf("%d refusals of one second are recorded", n)
	}
	if over := w.gate.cfg.Cap.TakeOver(); over[operator.Principal] != 2+refusalsPerSecond {
		t.Errorf("counted over the cap: %v", over)
	}
	// What is no request is none; what cannot be recorded says so.
	if err := w.gate.Refuse(context.Background(), operator, &api.UnwrapRequest{}, no, ""); !errors.As(err, &e) || e.Code != api.CodeMalformed {
		t.Errorf("nothing asked: %v", err)
	}
	w.now = w.now.Add(time.Second)
	w.recorder.fail = audit.ErrFull
	if err := refuse(); !errors.As(err, &e) || e.Code != api.CodeAudit {
		t.Errorf("not recorded: %v", err)
	}
}
