package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// wrapOther wraps under the key of which the policy says nothing, and this node has no share.
func (w *world) wrapOther(t *testing.T) api.UnwrapItem {
	t.Helper()
	y, err := group.DecodePoint(w.other.Key.Record.Y)
	if err != nil {
		t.Fatal(err)
	}
	public, err := tdh2.NewPublicKey(w.Genesis.Cluster, w.other.Key.ID, 1, 2, 3, y)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tdh2.Wrap(rand.Reader, public, fileA.Canonical(), dek)
	if err != nil {
		t.Fatal(err)
	}
	return api.UnwrapItem{Envelope: e, Context: fileA}
}

// codes are those of the refusals, or empty.
func codes(a *api.UnwrapAnswer) (out []api.Code) {
	for _, it := range a.Items {
		if it.Refusal == nil {
			out = append(out, "")
			continue
		}
		out = append(out, it.Refusal.Code)
	}
	return out
}

// What one item of a request has passed, no item passes that is asked for in another way:
// wherever it stands, it gets the answer that it would get alone.
func TestWhatPassesForOneItemPassesForNoOther(t *testing.T) {
	for _, row := range []struct {
		says  string
		other func(*testing.T, *world) api.UnwrapItem
		when  string // a condition of the policy
		code  api.Code
	}{
		{"another key", func(t *testing.T, w *world) api.UnwrapItem { return w.wrapOther(t) }, "", api.CodeDenied},
		{"another epoch", func(t *testing.T, w *world) api.UnwrapItem { it := w.item(t); it.Epoch = 2; return it }, "", api.CodeEpoch},
		{"a grant that there is not", func(t *testing.T, w *world) api.UnwrapItem {
			it := w.item(t)
			it.Use = &api.Use{Grant: api.Digest{1}, Slot: 1}
			return it
		}, "", api.CodeGrant},
		{"another context, where the policy looks", func(t *testing.T, w *world) api.UnwrapItem {
			c := api.Context{"file": "b"}
			return api.UnwrapItem{Envelope: w.wrap(t, c), Context: c}
		}, ` when { context.envelope.file == "a" }`, api.CodeDenied},
		{"an envelope of another context", func(t *testing.T, w *world) api.UnwrapItem {
			it := w.item(t)
			it.Context = api.Context{"file": "b"}
			return it
		}, "", api.CodeEnvelope},
		{"no envelope", func(*testing.T, *world) api.UnwrapItem {
			return api.UnwrapItem{Envelope: []byte("none"), Context: fileA}
		}, "", api.CodeEnvelope},
	} {
		t.Run(row.says, func(t *testing.T) {
			for at := range 3 {
				w := newWorld(t)
				w.committed = w.policy(w.committed, strings.TrimSuffix(permit, ";")+row.when+";")
				w.tail = w.committed
				items := []api.UnwrapItem{w.item(t), w.item(t)}
				items = slices.Insert(items, at, row.other(t, w))
				want := slices.Insert([]api.Code{"", ""}, at, row.code)
				a, err := w.ask(app, items...)
				if err != nil {
					t.Fatal(err)
				}
				if got := codes(a); !slices.Equal(got, want) {
					t.Errorf("at place %d: %q, want %q", at, got, want)
				}
				for i, r := range w.recorder.records {
					released := want[i] == ""
					if r.Code != string(want[i]) || released != (r.Kind == audit.Release) || released && (r.KeyName != "demo" || r.Epoch != 1 || !slices.Equal(r.Rules, []string{"apps"})) {
						t.Errorf("at place %d: recorded %+v", at, r)
					}
				}
			}
		})
	}
}

// A request is asked once for all of its items who asks and whether the policy permits it,
// before the record and after, where the policy looks at nothing that is the item's.
func TestItemsOfAKindAreDecidedOnce(t *testing.T) {
	for _, row := range []struct {
		when  string
		times int
	}{
		{"", 2},
		{` when { context.reason == "a test" }`, 2},
		{` when { context.envelope has file }`, 8}, // each has a context of its own
	} {
		w := newWorld(t)
		w.committed = w.policy(w.committed, strings.TrimSuffix(permit, ";")+row.when+";")
		w.tail = w.committed
		asked := 0
		w.standing = func(*ledger.State, time.Time) error { asked++; return nil }
		var items []api.UnwrapItem
		for i := range 4 {
			c := api.Context{"file": fmt.Sprint(i)}
			items = append(items, api.UnwrapItem{Envelope: w.wrap(t, c), Context: c})
		}
		a, err := w.ask(app, items...)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(codes(a), func(c api.Code) bool { return c != "" }) || len(w.recorder.records) != 4 {
			t.Errorf("%q: %q, %d records", row.when, codes(a), len(w.recorder.records))
		}
		if asked != row.times {
			t.Errorf("%q: the caller is asked for %d times, want %d", row.when, asked, row.times)
		}
	}
}

// P4: what was decided before the record answers for nothing after it.
func TestADenyBetweenRecordAndReleaseWithholdsEveryItem(t *testing.T) {
	for sentence, deny := range map[string]func(*world){
		"the tail revokes the key": func(w *world) { w.tail = w.revoked(w.committed) },
		"the tail forbids":         func(w *world) { w.tail = w.policy(w.committed, `forbid (principal, action, resource);`) },
		"the node is sealed":       func(w *world) { w.unsealed = api.Retry(api.CodeSealed, "sealed") },
		"the certificate expires":  func(w *world) { w.standing = func(*ledger.State, time.Time) error { return errors.New("expired") } },
		"the share is gone":        func(w *world) { w.share = nil; w.tail = w.policy(w.committed, permit+"\n") },
	} {
		w := newWorld(t)
		items := []api.UnwrapItem{w.item(t), w.item(t), w.item(t)}
		w.recorder.during = func() { w.recorder.during = nil; deny(w) }
		a, err := w.ask(app, items...)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range codes(a) {
			if c == "" || len(a.Items[i].Partial) > 0 {
				t.Errorf("%s: item %d is released", sentence, i)
			}
		}
		r, wi := audit.Release, audit.Withheld
		if k := w.recorder.kinds(); !slices.Equal(k, []audit.Kind{r, r, r, wi, wi, wi}) {
			t.Errorf("%s: recorded %v", sentence, k)
		}
	}
}

// A rate counts each item, also of those that are decided together.
func TestARateCountsEachItem(t *testing.T) {
	w := newWorld(t)
	w.committed = w.limited(w.committed, permit, twoAMinute)
	w.tail = w.committed
	a, err := w.gate.Unwrap(context.Background(), &Caller{Principal: app, Standing: w.standing}, &api.UnwrapRequest{
		RequestID: api.RequestID{9}, Items: []api.UnwrapItem{w.item(t), w.item(t), w.item(t), w.item(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []api.Code{"", "", api.CodeRate, api.CodeRate}; !slices.Equal(codes(a), want) {
		t.Errorf("%q, want %q", codes(a), want)
	}
}
