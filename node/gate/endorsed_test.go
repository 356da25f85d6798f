package gate

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/internal/secret"
	"warifu.dev/node/keyring"
	"warifu.dev/sharing/tdh2"
)

// An endorsement leaves with a partial, or not at all: whoever had one of a refusal could
// show it and be released.
func TestARefusalEndorsesNothing(t *testing.T) {
	for _, tt := range spoiled {
		w := newWorld(t)
		item, principal := w.item(t), app
		tt.spoil(w, &item, &principal)
		if a := w.one(t, principal, item); a.Refusal == nil || a.Endorsement != nil {
			t.Errorf("%s: %+v", tt.step, a)
		}
	}
	w := newWorld(t)
	item := w.item(t)
	w.recorder.during = func() { w.tail = w.policy(w.committed, `forbid (principal, action, resource);`) }
	if a := w.one(t, app, item); a.Refusal == nil || a.Endorsement != nil {
		t.Errorf("withheld: %+v", a)
	}
	if n := w.remembered(); n != 0 {
		t.Errorf("%d are remembered of what was refused", n)
	}
	w = newWorld(t)
	item = w.item(t)
	w.recorder.fail = errors.New("the disk is gone")
	if a, err := w.ask(app, item); err == nil {
		t.Errorf("not recorded: %+v", a)
	}
	if n := w.remembered(); n != 0 {
		t.Errorf("%d are remembered of what was not recorded", n)
	}
}

// Only this node's own endorsement under its key of this epoch spares an envelope the
// check: what another node, or this one in another epoch, says of an envelope that it never
// verified counts for nothing, and for no error either.
func TestAnEndorsementIsOfThisNodeAndThisEpoch(t *testing.T) {
	w := newWorld(t)
	good := w.item(t)
	bad := good
	bad.Envelope = bytes.Clone(good.Envelope)
	bad.Envelope[len(bad.Envelope)-1] ^= 1
	other := secret.New(bytes.Repeat([]byte{8}, keyring.SaltSize))
	for _, tt := range []struct {
		says  string
		key   secret.Bytes
		node  string
		of    api.Context
		takes bool
	}{
		{"this node, of this epoch", w.share.Endorsement, "n1", fileA, true},
		{"this node, of another epoch", other, "n1", fileA, false},
		{"another node", other, "n2", fileA, false},
		{"another node, under this one's key", w.share.Endorsement, "n2", fileA, false},
		{"this node, of another context", w.share.Endorsement, "n1", api.Context{"file": "b"}, false},
	} {
		for _, it := range []api.UnwrapItem{good, bad} {
			e, err := tdh2.Parse(it.Envelope)
			if err != nil {
				t.Fatal(err)
			}
			mac := tdh2.Endorse(tt.key, tt.node, w.public, tt.of.Canonical(), e).MAC()
			it.Endorsement = mac[:]
			a := w.one(t, app, it)
			altered := bytes.Equal(it.Envelope, bad.Envelope)
			if want := !altered || tt.takes; want != (a.Refusal == nil) {
				t.Errorf("%s endorses an envelope (altered: %v): %v", tt.says, altered, a.Refusal)
			}
			w.open(t, false) // it remembers nothing
		}
	}
	for _, mac := range [][]byte{{}, {0}, make([]byte, tdh2.EndorsementSize+1), make([]byte, 1<<10)} {
		good.Endorsement = mac
		if a := w.one(t, app, good); a.Refusal != nil {
			t.Errorf("an endorsement of %d bytes: %v", len(mac), a.Refusal)
		}
	}
}

// What an envelope was endorsed with spares its proof and nothing else: it is recorded as
// any other, and no partial of it leaves without.
func TestAnEndorsedEnvelopeIsRecordedAsAnyOther(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	item.Endorsement = w.one(t, app, item).Endorsement
	for n := 2; n <= 3; n++ {
		if a := w.one(t, app, item); a.Refusal != nil || len(w.recorder.records) != n {
			t.Fatalf("%v; %d records of %d releases", a.Refusal, len(w.recorder.records), n)
		}
	}
	w.recorder.fail = errors.New("the disk is gone")
	if a, err := w.ask(app, item); err == nil {
		t.Fatalf("released without its record: %+v", a)
	}
}
