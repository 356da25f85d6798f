package authority_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// spoken is the order of a key of which something is said from its birth on.
func (w *world) spoken() Order {
	o := w.order()
	o.Owner, o.Labels, o.NotAfter = "ops", map[string]string{"env": "prod"}, 9
	return o
}

func TestAnOrderSaysWhatAChangeOfLabelsMaySay(t *testing.T) {
	w := newWorld(t)
	o := w.spoken()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	id := api.KeyID{1}
	for sentence, alter := range map[string]func(*Order){
		"too long an owner":              func(o *Order) { o.Owner = strings.Repeat("o", MaxOwner+1) },
		"a label without a name":         func(o *Order) { o.Labels = map[string]string{"": "prod"} },
		"a label that is not printable":  func(o *Order) { o.Labels = map[string]string{"env": "\x00"} },
		"an expiry before time began":    func(o *Order) { o.NotAfter = -1 },
		"an expiry before its beginning": func(o *Order) { o.NotBefore = 9 },
		"at the birth of a next version": func(o *Order) { o.Key, o.Version = &id, 2 },
		"of the root key":                func(o *Order) { o.Purpose, o.Name = PurposeRoot, "" },
	} {
		bad := w.spoken()
		alter(&bad)
		if err := bad.Check(); !errors.Is(err, ErrOrder) || !errors.Is(err, ErrKeyLife) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// It takes as many custodians to say something at a birth as it takes later.
func TestWhatAnOrderSaysTakesTheCountOfLabels(t *testing.T) {
	w := newWorld(t)
	g := w.doc
	g.Required = append(g.Required[:len(g.Required):len(g.Required)], RequiredCount{Kind: KindKeyLabels, Count: 3})
	said, silent := w.change(KindKey), w.change(KindKey)
	said.Body = wire.Encode(w.spoken())
	if got := g.RequiredForChange(&silent); got != 2 {
		t.Errorf("an order that says nothing takes %d", got)
	}
	if got := g.RequiredForChange(&said); got != 3 {
		t.Errorf("one that says something takes %d", got)
	}
	e := w.sign(said, w.custodians[:2]...)
	if _, err := VerifyChange(&g, e); !errors.Is(err, ErrTooFewSignatures) {
		t.Errorf("two suffice: %v", err)
	}
	if err := SignChange(rand.Reader, e, w.custodians[2]); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyChange(&g, e); err != nil {
		t.Error(err)
	}
}

// A client knows what is said of a key at its birth from the order of any of its
// versions, or from the first order as a node brings it.
func TestWhatAnOrderSaysIsBelieved(t *testing.T) {
	w := newWorld(t)
	g, id := w.verified(), api.KeyID{1}
	change := func(kind string, body any) Change {
		c := w.change(kind)
		c.Base, c.Body = api.Digest{}, wire.Encode(body)
		return c
	}
	two := w.custodians[:2]
	first, silent, other := w.spoken(), w.order(), w.spoken()
	other.Name = "another"
	next := w.order()
	next.Key, next.Version = &id, 2
	said := w.sign(change(KindKey, first), two...).Encode()
	for sentence, try := range map[string]struct {
		l SignedLife
		o Order
	}{
		"by its first order":               {SignedLife{}, first},
		"beside the order of a later one":  {SignedLife{Said: said}, next},
		"beside the order that is the one": {SignedLife{Said: said}, first},
	} {
		v, err := try.l.Verify(g, id, &try.o)
		if err != nil || v.Owner != "ops" || v.Labels["env"] != "prod" || v.Key != id || v.At(9, 9) != Active || v.At(9, 10) != Deactivated {
			t.Errorf("%s: %+v, %v", sentence, v, err)
		}
	}
	later := w.sign(change(KindKeyLabels, KeyLabels{Key: id, Owner: "dev"}), two...).Encode()
	if v, err := (&SignedLife{Said: later}).Verify(g, id, &first); err != nil || v.Owner != "dev" || v.Labels != nil || v.At(10, 10) != Active {
		t.Errorf("what came later: %+v, %v", v, err)
	}
	for sentence, bad := range map[string][]byte{
		"by one custodian alone":         w.sign(change(KindKey, first), two[0]).Encode(),
		"by the order of another name":   w.sign(change(KindKey, other), two...).Encode(),
		"by an order that says nothing":  w.sign(change(KindKey, silent), two...).Encode(),
		"by the order of a next version": w.sign(change(KindKey, next), two...).Encode(),
	} {
		if _, err := (&SignedLife{Said: bad}).Verify(g, id, &next); !errors.Is(err, ErrKeyLife) {
			t.Errorf("said %s: %v", sentence, err)
		}
	}
}
