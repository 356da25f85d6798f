package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// gone is a world with a key that every holder has erased.
func gone(tb testing.TB) (*world, api.KeyID) {
	w, id := born(tb)
	w.accept(w.destroy(id, 0, 0, 1, 2))
	w.accept(w.beginEnd(id))
	for _, n := range w.s.Key(id).Holders {
		w.accept(w.erased(n, authority.LiveEpoch{Key: id, Version: 1, Epoch: 1}))
	}
	return w, id
}

// proofsOf are the proofs of a key in pieces of about so many bytes.
func (w *world) proofsOf(id api.KeyID, size int) []*ledger.Proof {
	w.Helper()
	var out []*ledger.Proof
	for after := ""; ; {
		p, next := w.s.ProveDestroyed(id, after, size)
		if p == nil {
			w.Fatal("nothing is proven")
		}
		again, err := ledger.ParseProof(p.Encode())
		if err != nil {
			w.Fatal(err)
		}
		if out = append(out, again); next == "" {
			return out
		}
		after = next
	}
}

// What a destroyed key left in the ledger is proven under the link of the state, in one
// piece or in many; of a key that lives nothing is.
func TestADestroyedKeyIsProven(t *testing.T) {
	w, id := born(t)
	if p, _ := w.s.ProveDestroyed(id, "", 1<<20); p != nil {
		t.Error("of a key that lives something is proven")
	}
	w, id = gone(t)
	for size, want := range map[int]int{1 << 20: 1, 1: 9} {
		proofs := w.proofsOf(id, size)
		if len(proofs) != want { // life, key, order, epoch and five receipts
			t.Errorf("%d proofs of %d bytes, want %d", len(proofs), size, want)
		}
		for _, p := range proofs {
			if p.Position() != w.s.Position() {
				t.Errorf("a proof leads to %v, the state stands at %v", p.Position(), w.s.Position())
			}
		}
		d, err := ledger.ReadDestroyed(id, proofs)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case d.Life.Destroy.By.Change != w.s.Life(id).Destroy.By.Change, d.Versions[0].Name != w.s.Key(id).Name, d.Orders[0].Key != id:
			t.Errorf("it shows another key: %+v", d)
		case len(d.Epochs) != 1 || len(d.Epochs[0]) != 1 || len(d.Epochs[0][0].By) != 5 || len(d.Receipts) != 5:
			t.Errorf("it shows %+v", d.Epochs)
		}
	}
}

// A proof leads to its root with every bit as it is, and in no other way (R11).
func TestAProofAlteredAnywhereLeadsElsewhere(t *testing.T) {
	w, id := gone(t)
	good := w.proofsOf(id, 1<<20)[0]
	b := good.Encode()
	for i := range b {
		altered := slices.Clone(b)
		altered[i] ^= 1
		p, err := ledger.ParseProof(altered)
		if err != nil {
			continue
		}
		if _, err := ledger.ReadDestroyed(id, []*ledger.Proof{p}); err == nil && p.Position() == good.Position() {
			t.Fatalf("byte %d may be another", i)
		}
	}
	again := func(alter func(p *ledger.Proof)) []*ledger.Proof {
		p, err := ledger.ParseProof(b)
		if err != nil {
			t.Fatal(err)
		}
		alter(p)
		return []*ledger.Proof{p}
	}
	for sentence, proofs := range map[string][]*ledger.Proof{
		"nothing":                 nil,
		"a proof of nothing":      again(func(p *ledger.Proof) { p.Values = nil }),
		"a value is left out":     again(func(p *ledger.Proof) { p.Values = p.Values[1:] }),
		"the last is left out":    again(func(p *ledger.Proof) { p.Values = p.Values[:len(p.Values)-1] }),
		"a value comes twice":     again(func(p *ledger.Proof) { p.Values = append(p.Values, p.Values[len(p.Values)-1]) }),
		"out of order":            again(func(p *ledger.Proof) { p.Values[0], p.Values[1] = p.Values[1], p.Values[0] }),
		"the same proof again":    {good, good},
		"a way that is too short": again(func(p *ledger.Proof) { p.Values[0].Beside = p.Values[0].Beside[1:] }),
		"a way that is too long":  again(func(p *ledger.Proof) { p.Values[0].Beside = make([]api.Digest, 257) }),
		"another path":            again(func(p *ledger.Proof) { p.Values[0].Path += "0" }),
		"a path of another kind":  again(func(p *ledger.Proof) { p.Values[len(p.Values)-1].Path = "time" }),
		"too many":                slices.Repeat([]*ledger.Proof{good}, ledger.MaxProofs+1),
	} {
		if _, err := ledger.ReadDestroyed(id, proofs); !errors.Is(err, ledger.ErrProof) {
			t.Errorf("%s: got %v", sentence, err)
		}
	}
	if _, err := ledger.ReadDestroyed(api.KeyID{9}, []*ledger.Proof{good}); !errors.Is(err, ledger.ErrProof) {
		t.Errorf("of another key: %v", err)
	}
}

// R4, R24: any bytes.
func FuzzParseProof(f *testing.F) {
	w, id := gone(f)
	for _, p := range w.proofsOf(id, 1) {
		f.Add(p.Encode())
	}
	f.Add(w.proofsOf(id, 1<<20)[0].Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ledger.ParseProof(b)
		if err != nil {
			if !errors.Is(err, ledger.ErrProof) {
				t.Fatal(err)
			}
			return
		}
		_, _ = ledger.ReadDestroyed(id, []*ledger.Proof{p})
		if string(wire.Encode(p)) != string(b) {
			t.Fatal("another encoding of the same proof")
		}
	})
}
