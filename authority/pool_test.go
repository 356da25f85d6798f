package authority_test

import (
	"bytes"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

func (w *world) pool() Pool {
	o := w.order()
	return Pool{Name: "web", Size: 5, T: o.T, F: o.F, Holders: o.Holders, PhaseSeconds: 60, LifeSeconds: MaxPoolLife}
}

func TestOrdersOfPools(t *testing.T) {
	w := newWorld(t)
	base := api.Digest{1}
	for sentence, tt := range map[string]struct {
		kind  string
		base  api.Digest
		alter func(*Pool)
		good  bool
	}{
		"the first of its name":        {KindPool, api.Digest{}, func(*Pool) {}, true},
		"another of its name":          {KindPool, base, func(*Pool) {}, true},
		"the end of one":               {KindPool, base, func(p *Pool) { *p = Pool{Name: p.Name} }, true},
		"the end of none":              {KindPool, api.Digest{}, func(p *Pool) { *p = Pool{Name: p.Name} }, false},
		"an end with a shape":          {KindPool, base, func(p *Pool) { p.Size = 0 }, false},
		"another kind":                 {KindKey, base, func(*Pool) {}, false},
		"a bad name":                   {KindPool, base, func(p *Pool) { p.Name = "we b" }, false},
		"too many keys":                {KindPool, base, func(p *Pool) { p.Size = MaxPoolSize + 1 }, false},
		"as many as there may be":      {KindPool, base, func(p *Pool) { p.Size = MaxPoolSize }, true},
		"a life that is over at once":  {KindPool, base, func(p *Pool) { p.LifeSeconds = MinPoolLife - 1 }, false},
		"the shortest life":            {KindPool, base, func(p *Pool) { p.LifeSeconds = MinPoolLife }, true},
		"a life for years":             {KindPool, base, func(p *Pool) { p.LifeSeconds = MaxPoolLife + 1 }, false},
		"a threshold over its holders": {KindPool, base, func(p *Pool) { p.T = 6 }, false},
		"no phase":                     {KindPool, base, func(p *Pool) { p.PhaseSeconds = 0 }, false},
		"one holder twice":             {KindPool, base, func(p *Pool) { p.Holders = []string{"n1", "n1", "n2", "n3"} }, false},
	} {
		p := w.pool()
		tt.alter(&p)
		got, err := ParsePool(&Change{Kind: tt.kind, Base: tt.base, Body: wire.Encode(p)})
		if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrPool) {
			t.Errorf("%s: %v", sentence, err)
		}
		if err == nil && (got.Name != "web" || got.Size != p.Size) {
			t.Errorf("%s: %+v", sentence, got)
		}
	}
	if _, err := ParsePool(&Change{Kind: KindPool, Body: []byte("x")}); !errors.Is(err, ErrPool) {
		t.Error(err)
	}
	if n := w.doc.RequiredFor(KindPool); n != w.doc.RequiredFor(KindKey) || n != 2 {
		t.Errorf("%d custodians sign it", n)
	}
}

// An order takes a key of its own shape; what it says of its key alone does not matter.
func TestAPoolFitsOrdersOfItsShape(t *testing.T) {
	w := newWorld(t)
	p := w.pool()
	for sentence, tt := range map[string]struct {
		alter func(*Order)
		fits  bool
	}{
		"its shape":             {func(*Order) {}, true},
		"words and dates":       {func(o *Order) { o.Name, o.Owner, o.NotBefore, o.PhaseSeconds, o.RotateEvery = "x", "y", 5, 1, MinEvery }, true},
		"pinned where it is":    {func(o *Order) { o.Regions = []string{"jp-east"} }, true},
		"another threshold":     {func(o *Order) { o.T = 4 }, false},
		"another f":             {func(o *Order) { o.F = 2 }, false},
		"a holder less":         {func(o *Order) { o.Holders = o.Holders[:4] }, false},
		"two holders exchanged": {func(o *Order) { o.Holders = []string{"n2", "n1", "n3", "n4", "n5"} }, false},
		"the root key":          {func(o *Order) { o.Purpose = PurposeRoot }, false},
		"a next version":        {func(o *Order) { o.Key, o.Version = &api.KeyID{1}, 2 }, false},
		"a symmetric key":       {func(o *Order) { o.Purpose = PurposeEncrypt }, false},
		"an import":             {func(o *Order) { o.Import = &Import{} }, false},
	} {
		o := w.order()
		tt.alter(&o)
		if p.Fits(&o) != tt.fits {
			t.Errorf("%s: %v", sentence, !tt.fits)
		}
	}
	ended := Pool{Name: "web"}
	if o := w.order(); ended.Fits(&o) {
		t.Error("a pool that has ended fits")
	}
	a := PooledKeyID(api.Digest{1}, 1)
	if a == PooledKeyID(api.Digest{1}, 2) || a == PooledKeyID(api.Digest{2}, 1) || a == KeyIDOf(api.Digest{1}) {
		t.Error("two keys have one id")
	}
}

func FuzzParsePool(f *testing.F) {
	w := newWorld(f)
	f.Add(wire.Encode(w.pool()))
	f.Add(wire.Encode(Pool{Name: "web"}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePool(&Change{Kind: KindPool, Base: api.Digest{1}, Body: b})
		if err != nil {
			if !errors.Is(err, ErrPool) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if p.Check() != nil || !bytes.Equal(wire.Encode(p), b) {
			t.Fatal("a second encoding was read, or one that is none")
		}
	})
}
