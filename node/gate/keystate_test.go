package gate

import (
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
)

// moved is the state after the key was put into another one, against what put it.
func (w *world) moved(s *ledger.State, to authority.KeyState) *ledger.State {
	id := w.born.Key.ID
	var base api.Digest
	if authority.Widens(s.KeyState(id, s.Time()), to) {
		base = s.Life(id).State.Change
	}
	return w.after(s, authority.KindKeyState, authority.KeyStateChange{Key: id, To: to}, base)
}

func (w *world) labelled(s *ledger.State, labels map[string]string) *ledger.State {
	id := w.born.Key.ID
	return w.after(s, authority.KindKeyLabels, authority.KeyLabels{Key: id, Labels: labels}, s.Life(id).Said.Change)
}

func (w *world) after(s *ledger.State, kind string, body any, base api.Digest) *ledger.State {
	next, r := s.Apply(s.Position().Index+1, w.Change(kind, wire.Encode(body), base))
	if r.Err != nil {
		panic(r.Err)
	}
	return next
}

// A stop acts from the tail, and what undoes it when it is committed. Who may use the
// key hears why; to anybody else it is a key that nobody has heard of (R20, R28, R30).
func TestAKeyThatIsStoppedIsRefusedByName(t *testing.T) {
	for sentence, stop := range map[string]func(*world){
		"suspended, committed":     func(w *world) { w.committed = w.moved(w.committed, authority.Suspended); w.tail = w.committed },
		"suspended, in the tail":   func(w *world) { w.tail = w.moved(w.committed, authority.Suspended) },
		"compromised, in the tail": func(w *world) { w.tail = w.moved(w.committed, authority.Compromised) },
		"enabled, and that not committed": func(w *world) {
			w.committed = w.moved(w.committed, authority.Suspended)
			w.tail = w.moved(w.committed, authority.Active)
		},
		"deactivated, and not committed": func(w *world) {
			w.committed = w.moved(w.committed, authority.Suspended)
			w.tail = w.moved(w.committed, authority.Deactivated)
		},
		"kept beside the log": func(w *world) {
			w.tail = w.tail.Denying(map[api.Digest]authority.Subject{{1}: {Kind: authority.SubjectKeyState, Name: w.born.Key.ID.String()}})
		},
	} {
		w := newWorld(t)
		item := w.item(t)
		if first := w.one(t, app, item); first.Refusal != nil {
			t.Fatal(first.Refusal)
		}
		stop(w)
		got := w.one(t, app, item).Refusal
		if got == nil || got.Code != api.CodeKeyState || got.Retryable {
			t.Errorf("%s: %+v", sentence, got)
		}
		r := w.recorder.records[len(w.recorder.records)-1]
		if r.Kind != audit.Refusal || r.Code != string(api.CodeKeyState) || !strings.HasPrefix(r.Why, "key: ") {
			t.Errorf("%s: recorded %+v", sentence, r)
		}
		if got := w.one(t, visitor, item).Refusal; got == nil || *got != *denied() {
			t.Errorf("%s: a stranger hears %+v", sentence, got)
		}
	}
}

func TestAKeyThatIsNotStoppedReleases(t *testing.T) {
	for sentence, move := range map[string]func(*world){
		"deactivated":              func(w *world) { w.committed = w.moved(w.committed, authority.Deactivated); w.tail = w.committed },
		"deactivated, in the tail": func(w *world) { w.tail = w.moved(w.committed, authority.Deactivated) },
		"enabled again, committed": func(w *world) {
			w.committed = w.moved(w.moved(w.committed, authority.Suspended), authority.Active)
			w.tail = w.committed
		},
		"expired": func(w *world) {
			w.committed = w.after(w.committed, authority.KindKeyLabels, authority.KeyLabels{Key: w.born.Key.ID, NotAfter: trial.Created - 1}, api.Digest{})
			w.tail = w.committed
		},
	} {
		w := newWorld(t)
		move(w)
		if got := w.one(t, app, w.item(t)); got.Refusal != nil {
			t.Errorf("%s: %v", sentence, got.Refusal)
		}
	}
}

// A stop that comes while the record is written: nothing is released.
func TestAStopDuringTheRecordWithholds(t *testing.T) {
	w := newWorld(t)
	w.recorder.during = func() {
		w.recorder.during = nil
		w.tail = w.moved(w.committed, authority.Suspended)
	}
	if got := w.one(t, app, w.item(t)).Refusal; got == nil || got.Code != api.CodeKeyState {
		t.Fatalf("%+v", got)
	}
	if kinds := w.recorder.kinds(); len(kinds) != 2 || kinds[1] != audit.Withheld {
		t.Errorf("recorded %v", kinds)
	}
	if n, _ := w.gate.Uses(w.born.Key.ID); n != 0 {
		t.Errorf("%d uses are counted", n)
	}
}

// Labels are asked of both states: what lets more is committed, what lets less acts
// from the tail.
func TestPoliciesSeeTheLabelsOfEachState(t *testing.T) {
	const onlyProd = `@id("prod") permit (principal, action, resource) when { resource.hasTag("env") && resource.getTag("env") == "prod" };`
	prod, dev := map[string]string{"env": "prod"}, map[string]string{"env": "dev"}
	for _, tt := range []struct {
		sentence        string
		committed, tail map[string]string
		allowed         bool
	}{
		{"none", nil, nil, false},
		{"those it asks for", prod, prod, true},
		{"others", dev, dev, false},
		{"those it asks for, not committed", nil, prod, false},
		{"taken away, in the tail", prod, dev, false},
	} {
		w := newWorld(t)
		w.committed = w.policy(w.committed, onlyProd)
		if tt.committed != nil {
			w.committed = w.labelled(w.committed, tt.committed)
		}
		if w.tail = w.committed; tt.tail["env"] != tt.committed["env"] {
			w.tail = w.labelled(w.committed, tt.tail)
		}
		if got := w.one(t, app, w.item(t)).Refusal; (got == nil) != tt.allowed {
			t.Errorf("%s: %v", tt.sentence, got)
		}
	}
}

func TestReleasesOfAKeyAreCounted(t *testing.T) {
	w := newWorld(t)
	id := w.born.Key.ID
	for range 3 {
		if got := w.one(t, app, w.item(t)); got.Refusal != nil {
			t.Fatal(got.Refusal)
		}
		w.now = w.now.Add(time.Second)
	}
	if got := w.one(t, visitor, w.item(t)); got.Refusal == nil {
		t.Fatal("a visitor was let in")
	}
	if n, last := w.gate.Uses(id); n != 3 || last != trial.Created+2000 {
		t.Errorf("%d, the last at %d", n, last)
	}
	if n, last := w.gate.Uses(api.KeyID{9}); n != 0 || last != 0 {
		t.Errorf("%d, the last at %d", n, last)
	}
}
