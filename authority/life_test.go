package authority_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// Every pair of states, by every mover: what SP 800-57 Part 1 Rev. 5, section 7, draws
// is legal, and nothing else.
func TestTheTableOfMovesIsTheStandards(t *testing.T) {
	drawn := map[KeyState]string{ // figure 3: from → to
		PreActive:   "active compromised destroyed",
		Active:      "suspended deactivated compromised destroyed",
		Suspended:   "active deactivated compromised destroyed",
		Deactivated: "compromised destroyed",
		Compromised: "destroyed",
		Destroyed:   "",
	}
	states := append(KeyStates(), "", "archived")
	for _, from := range states {
		for _, to := range states {
			legal := slices.Contains(strings.Fields(drawn[from]), string(to))
			for _, by := range []Mover{ByCustodians, ByTime, ByDestruction} {
				want := legal
				switch {
				case to == Destroyed:
					want = legal && by == ByDestruction
				case by == ByDestruction:
					want = false
				case by == ByTime:
					want = from == PreActive && to == Active || from == Active && to == Deactivated
				}
				if got := MayMove(from, to, by); got != want {
					t.Errorf("from %q to %q by %d: %v", from, to, by, got)
				}
			}
		}
	}
	numbers := map[int]bool{}
	for _, m := range Moves() {
		if numbers[m.Number] || m.Means == "" {
			t.Errorf("the move %d stands twice, or means nothing", m.Number)
		}
		numbers[m.Number] = true
	}
	if len(numbers) != 14 {
		t.Errorf("%d moves", len(numbers))
	}
}

func TestWhatAStateLetsBeDone(t *testing.T) {
	for _, tt := range []struct {
		state          KeyState
		wraps, unwraps bool
	}{{PreActive, false, false}, {Active, true, true}, {Suspended, false, false}, {Deactivated, false, true}, {Compromised, false, false}, {Destroyed, false, false}} {
		if tt.state.Wraps() != tt.wraps || tt.state.Unwraps() != tt.unwraps {
			t.Errorf("%s", tt.state)
		}
	}
	for _, from := range KeyStates() {
		if MayFollow(Destroyed, from) != (from == Destroyed) || !MayFollow(from, from) || MayFollow(from, PreActive) != (from == PreActive) {
			t.Errorf("%s: the dead live, or nothing stays", from)
		}
		if MayFollow(Compromised, from) != (from == Compromised || from == Destroyed) {
			t.Errorf("a compromised key is %s", from)
		}
	}
	if !MayFollow(PreActive, Deactivated) || !MayFollow(Suspended, Active) || MayFollow(Deactivated, Active) {
		t.Error("what may follow")
	}
}

// Clocks alone never lead out of a state that forbids releases, but for activation,
// which takes both of them; and what they do is in the table.
func TestClocksMoveAKeyByTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Int64Range(0, 20)
		l := Life{Put: rapid.SampledFrom(KeyStates()).Draw(t, "put"), NotBefore: moment.Draw(t, "from"), NotAfter: moment.Draw(t, "until")}
		a, b := moment.Draw(t, "ledger"), moment.Draw(t, "node")
		got := l.At(a, b)
		if got != l.At(b, a) {
			t.Fatal("the clocks are not alike")
		}
		if got != l.Put && !MayMove(l.Put, got, ByTime) && (l.Put != PreActive || !MayMove(Active, got, ByTime)) {
			t.Fatalf("%s became %s", l.Put, got)
		}
		if l.Put == PreActive && (l.NotBefore == 0 || min(a, b) < l.NotBefore) != (got == PreActive) {
			t.Fatalf("from %d on, at %d and %d: %s", l.NotBefore, a, b, got)
		}
		if got == Active && l.NotAfter != 0 && max(a, b) > l.NotAfter {
			t.Fatalf("until %d, at %d and %d: %s", l.NotAfter, a, b, got)
		}
		if later := l.At(a+1, b+1); !MayFollow(got, later) {
			t.Fatalf("%s, and later %s", got, later)
		}
	})
}

func TestChangesOfAKeysLifeThatAreRefused(t *testing.T) {
	id := api.KeyID{1}
	state := func(to KeyState, base api.Digest) *Change {
		return &Change{Kind: KindKeyState, Base: base, Body: wire.Encode(KeyStateChange{Key: id, To: to})}
	}
	for _, to := range []KeyState{Active, Deactivated, Suspended, Compromised} {
		if k, err := ParseKeyState(state(to, api.Digest{})); err != nil || k.To != to || k.Key != id {
			t.Errorf("%s: %v", to, err)
		}
	}
	if _, err := ParseKeyState(state(Active, api.Digest{7})); err != nil {
		t.Error(err)
	}
	for sentence, c := range map[string]*Change{
		"a birth":                    state(PreActive, api.Digest{}),
		"a destruction":              state(Destroyed, api.Digest{}),
		"no state":                   state("", api.Digest{}),
		"a stop that replaces":       state(Suspended, api.Digest{7}),
		"a compromise that replaces": state(Compromised, api.Digest{7}),
		"another kind":               {Kind: KindKey, Body: wire.Encode(KeyStateChange{Key: id, To: Active})},
		"no key":                     {Kind: KindKeyState, Body: wire.Encode(KeyStateChange{To: Active})},
		"no bytes":                   {Kind: KindKeyState},
	} {
		if _, err := ParseKeyState(c); !errors.Is(err, ErrKeyLife) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	many := map[string]string{}
	for i := range MaxLabels + 1 {
		many[strings.Repeat("x", i+1)] = ""
	}
	for sentence, k := range map[string]KeyLabels{
		"no key":                 {},
		"a long owner":           {Key: id, Owner: strings.Repeat("x", MaxOwner+1)},
		"an owner that beeps":    {Key: id, Owner: "\a"},
		"too many":               {Key: id, Labels: many},
		"no name":                {Key: id, Labels: map[string]string{"": "x"}},
		"a name with =":          {Key: id, Labels: map[string]string{"a=b": "x"}},
		"a long name":            {Key: id, Labels: map[string]string{strings.Repeat("x", MaxLabelName+1): "x"}},
		"a long value":           {Key: id, Labels: map[string]string{"a": strings.Repeat("x", MaxLabelValue+1)}},
		"a value of two lines":   {Key: id, Labels: map[string]string{"a": "x\ny"}},
		"a value that is broken": {Key: id, Labels: map[string]string{"a": "\xff"}},
		"an expiry before time":  {Key: id, NotAfter: -1},
	} {
		if err := k.Check(); !errors.Is(err, ErrKeyLife) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	good := KeyLabels{Key: id, Owner: "経理部", Labels: map[string]string{"env": "prod", "team": ""}, NotAfter: 5}
	if k, err := ParseKeyLabels(&Change{Kind: KindKeyLabels, Body: wire.Encode(good)}); err != nil || k.Owner != good.Owner || k.Labels["env"] != "prod" {
		t.Error(k, err)
	}
	if _, err := ParseKeyLabels(&Change{Kind: KindKeyState, Body: wire.Encode(good)}); !errors.Is(err, ErrKeyLife) {
		t.Error(err)
	}
}

// What stops a key is a denial; a revoke cannot pose as one, and what lets a key
// release is none.
func TestWhatStopsAKeyIsADenial(t *testing.T) {
	id := api.KeyID{1}
	sub := Subject{Kind: SubjectKeyState, Name: id.String()}
	for to, stops := range map[KeyState]bool{Suspended: true, Compromised: true, Active: false, Deactivated: false} {
		got, err := ParseDenial(&Change{Kind: KindKeyState, Body: wire.Encode(KeyStateChange{Key: id, To: to})})
		if stops != (err == nil) || stops && got != sub || err != nil && !errors.Is(err, ErrRevoke) {
			t.Errorf("%s: %v, %v", to, got, err)
		}
	}
	if _, err := ParseDenial(&Change{Kind: KindRevoke, Body: wire.Encode(Revoke{Subject: sub})}); !errors.Is(err, ErrRevoke) {
		t.Error(err)
	}
	if _, err := ParseDenial(&Change{Kind: KindSeal, Body: wire.Encode(Seal{Subject: sub})}); !errors.Is(err, ErrRevoke) {
		t.Error(err)
	}
}

// A document of before these kinds requires as many as for a key's order.
func TestKindsOfAKeysLifeRequireWhatItsOrderDoes(t *testing.T) {
	g := Genesis{Required: []RequiredCount{{KindCA, 5}, {KindKey, 2}}}
	if g.RequiredFor(KindKeyState) != 2 || g.RequiredFor(KindKeyLabels) != 2 {
		t.Error(g.RequiredFor(KindKeyState), g.RequiredFor(KindKeyLabels))
	}
	g.Required = append(g.Required, RequiredCount{KindKeyState, 1})
	if g.RequiredFor(KindKeyState) != 1 {
		t.Error("what the document says does not count")
	}
}

func FuzzParseKeyState(f *testing.F) {
	f.Add(wire.Encode(KeyStateChange{Key: api.KeyID{1}, To: Suspended}))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeyState(&Change{Kind: KindKeyState, Body: b})
		if err != nil {
			if !errors.Is(err, ErrKeyLife) {
				t.Fatal(err)
			}
			return
		}
		if !slices.Contains(KeyStates(), k.To) || string(wire.Encode(k)) != string(b) {
			t.Fatalf("%+v", k)
		}
	})
}

func FuzzParseKeyLabels(f *testing.F) {
	f.Add(wire.Encode(KeyLabels{Key: api.KeyID{1}, Owner: "o", Labels: map[string]string{"a": "b"}, NotAfter: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeyLabels(&Change{Kind: KindKeyLabels, Body: b})
		if err != nil {
			if !errors.Is(err, ErrKeyLife) {
				t.Fatal(err)
			}
			return
		}
		if string(wire.Encode(k)) != string(b) {
			t.Fatal("a second encoding")
		}
	})
}

// A client believes custodians, and no node, about where a key stands.
func TestWhereAKeyStandsIsBelievedOfCustodians(t *testing.T) {
	w := newWorld(t)
	g, id, o := w.verified(), api.KeyID{1}, w.order()
	change := func(kind string, body any) Change {
		c := w.change(kind)
		c.Base, c.Body = api.Digest{}, wire.Encode(body)
		return c
	}
	stop := change(KindKeyState, KeyStateChange{Key: id, To: Suspended})
	said := change(KindKeyLabels, KeyLabels{Key: id, Owner: "ops", Labels: map[string]string{"env": "prod"}, NotAfter: 9})
	two := w.custodians[:2]
	s := SignedLife{State: w.sign(stop, two...).Encode(), Said: w.sign(said, two...).Encode()}
	v, err := s.Verify(g, id, &o)
	if err != nil || v.At(1, 1) != Suspended || v.Owner != "ops" || v.Labels["env"] != "prod" || v.Life.NotAfter != 9 {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err := (&SignedLife{}).Verify(g, id, &o); err != nil || v.At(1, 1) != Active {
		t.Errorf("%+v, %v", v, err)
	}
	later := o
	later.NotBefore = 5
	if v, err := (&SignedLife{}).Verify(g, id, &later); err != nil || v.At(4, 9) != PreActive || v.At(5, 5) != Active {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := (&SignedLife{Said: s.Said}).Verify(g, id, &o); err != nil || v.At(9, 9) != Active || v.At(9, 10) != Deactivated {
		t.Errorf("%+v, %v", v, err)
	}
	for sentence, bad := range map[string]SignedLife{
		"one custodian alone":    {State: w.sign(stop, two[0]).Encode()},
		"one who says it alone":  {Said: w.sign(said, two[0]).Encode()},
		"of another key":         {State: w.sign(change(KindKeyState, KeyStateChange{Key: api.KeyID{2}, To: Active}), two...).Encode()},
		"said of another key":    {Said: w.sign(change(KindKeyLabels, KeyLabels{Key: api.KeyID{2}}), two...).Encode()},
		"labels as state":        {State: s.Said},
		"a state as labels":      {Said: s.State},
		"junk":                   {State: []byte("junk")},
		"custodians not brought": {State: s.State, StateAfter: 1},
	} {
		if _, err := bad.Verify(g, id, &o); !errors.Is(err, ErrKeyLife) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func TestANodesWordAboutAKeyIsItsOwn(t *testing.T) {
	w := newWorld(t)
	n1, n2 := &w.doc.Roster[0], &w.doc.Roster[1]
	nonce := [16]byte{1}
	k := KeyAt{Cluster: w.doc.Cluster, Node: "n1", Nonce: nonce, Key: api.KeyID{1}, Serial: "0815", Uses: 3}
	s, err := SignKeyAt(rand.Reader, w.nodes[0], k)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Verify(w.doc.Cluster, n1, nonce); err != nil || !reflect.DeepEqual(*got, k) {
		t.Fatal(got, err)
	}
	other := *s
	k.Uses = 4
	other.Body = wire.Encode(k)
	byAnother, err := SignKeyAt(rand.Reader, w.nodes[1], k)
	if err != nil {
		t.Fatal(err)
	}
	for sentence, try := range map[string]func() error{
		"for another cluster": func() error { _, err := s.Verify(api.ClusterID{9}, n1, nonce); return err },
		"of another node":     func() error { _, err := s.Verify(w.doc.Cluster, n2, nonce); return err },
		"for another nonce":   func() error { _, err := s.Verify(w.doc.Cluster, n1, [16]byte{2}); return err },
		"altered":             func() error { _, err := other.Verify(w.doc.Cluster, n1, nonce); return err },
		"by another":          func() error { _, err := byAnother.Verify(w.doc.Cluster, n1, nonce); return err },
	} {
		if err := try(); !errors.Is(err, ErrKeyAt) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// FuzzParseSignedLife reaches SignedLife.Verify, too.
func FuzzParseSignedLife(f *testing.F) {
	w := newWorld(f)
	g, o := w.verified(), w.order()
	f.Add((&SignedLife{State: []byte{1}, StateAfter: 1, Succession: [][]byte{{2}}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignedLife(b)
		if err != nil {
			if !errors.Is(err, ErrKeyLife) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatal("a second encoding was read")
		}
		if v, err := s.Verify(g, api.KeyID{1}, &o); err == nil && (v.Put != Active || v.Owner != "") {
			t.Fatal("what nobody signed is believed")
		}
	})
}

// FuzzParseSignedKeyAt reaches SignedKeyAt.Verify, too.
func FuzzParseSignedKeyAt(f *testing.F) {
	w := newWorld(f)
	f.Add((&SignedKeyAt{Body: []byte{0xa0}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignedKeyAt(b)
		if err != nil {
			if !errors.Is(err, ErrKeyAt) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatal("a second encoding was read")
		}
		if _, err := s.Verify(w.doc.Cluster, &w.doc.Roster[0], [16]byte{}); err == nil {
			t.Fatal("what nobody signed is believed")
		}
	})
}
