package certificate_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/certificate"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// A certificate is believed from its file and the hash of the genesis document alone, in
// one proof and in many: after custodians and nodes have changed, with every receipt.
func TestACertificateIsVerifiedFromItsFileAlone(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{1 << 20, 1} {
		made, err := certificate.Make(w.evidence(size, "n1", "n2", "n4", "n6"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := certificate.Verify(made.Encode(), w.genesis.Hash())
		if err != nil {
			t.Fatal(err)
		}
		s := c.Says
		switch {
		case !s.Gone || s.Tolerates != 2 || len(s.Epochs) != 3 || len(s.Receipts) != 6:
			t.Errorf("%+v", s)
		case s.Name != "payroll" || s.Key != theKey || s.Roster != 3 || s.Genesis != w.genesis.Hash():
			t.Errorf("of another key: %+v", s)
		case !slices.Equal(s.Ordered.By, []string{"custodian1", "custodian2", "custodian4"}) || s.Ordered.Needed != 3 || s.Ordered.Wait != 1000:
			t.Errorf("%+v", s.Ordered)
		case !strings.Contains(s.Standard, "SP 800-88 Rev. 2") || s.Wrapped != "wrapping is offline: not known" || !strings.HasPrefix(s.Unwrapped, "not asked"):
			t.Errorf("%q %q %q", s.Standard, s.Wrapped, s.Unwrapped)
		case !slices.ContainsFunc(s.Receipts, func(r certificate.Receipt) bool {
			return r.Node == "n6" && slices.Equal(r.Through, []certificate.Through{{Version: 1, Epoch: 2}, {Version: 2, Epoch: 1}})
		}):
			t.Errorf("%+v", s.Receipts)
		case !strings.Contains(s.Claim, "at most 2"):
			t.Error(s.Claim)
		case len(s.Datasets) != 1 || s.Datasets[0].Name != "xrays" || s.Datasets[0].Owner != "spiffe://hospital.example/archive" || s.Datasets[0].Since != created+2:
			t.Errorf("%+v", s.Datasets)
		case len(s.Shown) == 1 != (size > 1):
			t.Errorf("%d proofs", len(s.Shown))
		}
	}
}

// E receipts of an epoch of h holders and threshold t tolerate E-(h-t+1) lies. With one
// holder down its copy is named; with too few receipts of any one epoch nothing is
// claimed.
func TestACertificateClaimsNoMoreThanItsReceipts(t *testing.T) {
	for _, tt := range []struct {
		missing   int // of the newest epoch
		gone      bool
		tolerates int
	}{{0, true, 2}, {1, true, 1}, {2, true, 0}, {3, false, -1}, {5, false, -1}} {
		w := newWorld(t)
		over := w.past(2)
		for _, by := range over.By[5-tt.missing:] {
			w.erases(by.Node, w.epoch(1, 2)) // of the older version alone
		}
		over.By = over.By[:5-tt.missing]
		made := w.made()
		c, err := certificate.Verify(made.Encode(), w.genesis.Hash())
		if err != nil {
			t.Fatal(err)
		}
		s := c.Says
		if s.Gone != tt.gone || s.Tolerates != tt.tolerates || strings.HasPrefix(s.Claim, "Gone: ") != tt.gone || strings.HasPrefix(s.Claim, "NOT GONE") == tt.gone {
			t.Errorf("%d missing: gone %v, %d tolerated: %s", tt.missing, s.Gone, s.Tolerates, s.Claim)
		}
		open := 0
		for _, line := range s.Open {
			if strings.HasPrefix(line, "the share of ") {
				open++
			}
		}
		if open != tt.missing || !slices.Contains(s.Open, "the share of n6, epoch 1 of version 2: no receipt") && tt.missing > 0 {
			t.Errorf("%d missing: %q", tt.missing, s.Open)
		}
	}
}

// Epochs of which all is the same stand together, and no receipt counts for more of them
// than its node has signed: a holder that signed early, one that was struck from one of
// them and one that left without a word each lack where they lack.
func TestManyEpochsAreCountedEachForItself(t *testing.T) {
	holders := []string{"n1", "n2", "n3", "n4", "n6"}
	w := newWorld(t)
	p := w.past(2)
	p.Shapes = []ledger.Shape{{T: 3, Holders: holders}, {T: 3, Holders: holders, Struck: []string{"n6"}}}
	p.Runs = []ledger.Run{{Last: 50}, {Last: 51, Shape: 1}, {Last: 100}}
	p.By = nil
	w.values[lifePath()].(*ledger.Life).Destroy.Epochs = []uint64{2, 100}
	for _, n := range holders[:4] {
		w.erases(n, w.epoch(1, 2), w.epoch(2, 100))
	}
	w.erases("n6", w.epoch(1, 2), w.epoch(2, 70))
	w.erases("n4", w.epoch(1, 2), w.epoch(2, 20))
	check := func(claim string, gone bool, want ...certificate.Epoch) {
		t.Helper()
		made := w.made()
		if _, err := certificate.Verify(made.Encode(), w.genesis.Hash()); err != nil {
			t.Fatal(err)
		}
		s := made.Says
		if s.Gone != gone || !strings.Contains(s.Claim, claim) || len(s.Epochs) != 2+len(want) {
			t.Fatalf("gone %v: %s %+v", s.Gone, s.Claim, s.Epochs)
		}
		for i, e := range want {
			if got := s.Epochs[2+i]; got.Number != e.Number || got.Last != e.Last || got.Tolerates != e.Tolerates {
				t.Errorf("%+v, want %d to %d, %d lies", got, e.Number, e.Last, e.Tolerates)
			}
		}
	}
	rows := func(lies ...int) (out []certificate.Epoch) {
		for i, r := range [][2]uint64{{1, 20}, {21, 50}, {51, 0}, {52, 70}, {71, 100}} {
			out = append(out, certificate.Epoch{Number: r[0], Last: r[1], Tolerates: lies[i]})
		}
		return out
	}
	check("if every receipt is true", true, rows(2, 1, 0, 1, 0)...)
	if s := w.made().Says; !slices.Contains(s.Open, "the share of n4, epochs 71 to 100 of version 2: no receipt") || !slices.Contains(s.Open, "n6, epoch 51 of version 2: it never confirmed a share, and signs nothing about it") {
		t.Errorf("%q", s.Open)
	}
	w.erases("n3", w.epoch(1, 2), w.epoch(2, 50))
	check("of epoch 51 of version 2 there are 2 of at least 3 receipts; of epochs 71 to 100 of version 2 there are 2 of at least 3 receipts for each.", false, rows(2, 1, -1, 0, -1)...)
	w.erases("n3", w.epoch(1, 2), w.epoch(2, 100))
	w.erases("n4", w.epoch(1, 2), w.epoch(2, 100))
	w.erases("n6", w.epoch(1, 2), w.epoch(2, 100))
	check("at most 1", true, certificate.Epoch{Number: 1, Last: 50, Tolerates: 2}, certificate.Epoch{Number: 51, Tolerates: 1}, certificate.Epoch{Number: 52, Last: 100, Tolerates: 2})
	e := &ledger.Escrow{
		By: ledger.Signed{Change: api.Digest{6}, Custody: 3}, Key: theKey, Version: 2, Epoch: 60, T: 3, Open: 2, Holders: holders, Index: 60, Time: created + 3,
		Sealed: []ledger.SealedBy{{Node: "n1", Index: 1, Time: created + 4}},
	}
	w.values[escrowPath()] = e
	w.values[lifePath()].(*ledger.Life).Escrows = 1
	check("at most 1", true, certificate.Epoch{Number: 1, Last: 50, Tolerates: 2}, certificate.Epoch{Number: 51, Tolerates: 1},
		certificate.Epoch{Number: 52, Last: 59, Tolerates: 2}, certificate.Epoch{Number: 60, Tolerates: 1}, certificate.Epoch{Number: 61, Last: 100, Tolerates: 2})
}

// Of a key that was imported the owner's copy stays open, and the claim says so.
func TestAnImportedKeyIsNotClaimedWhole(t *testing.T) {
	w := newWorld(t)
	if s := w.made().Says; s.Imported || slices.ContainsFunc(s.Open, func(l string) bool { return strings.Contains(l, "imported") }) {
		t.Errorf("a key that was born is imported: %+v", s)
	}
	first := w.values[keyPath(1)].(*ledger.Key).Order
	w.values["order/"+first.String()].(*ledger.Ordered).Order.Import = &authority.Import{Y: []byte("Y")}
	s := w.made().Says
	if !s.Imported || !strings.HasPrefix(s.Open[0], "the key was imported") || !strings.Contains(s.Claim, "not said of the copy") {
		t.Errorf("%+v", s)
	}
}

// Of a key that was adopted the epochs are counted from that on in which it came: what the
// cluster that was lost has of them stays open, and the claim says so. A version that was
// not adopted has no epoch left out.
func TestAnAdoptedKeyIsNotClaimedWhole(t *testing.T) {
	w := newWorld(t)
	if s := w.made().Says; s.Adopted != nil || slices.ContainsFunc(s.Open, func(l string) bool { return strings.Contains(l, "adopted") }) {
		t.Errorf("a key that was born here is adopted: %+v", s)
	}
	p := w.past(1)
	delete(w.values, erasedPath(1))
	p.First, p.Runs = 5, []ledger.Run{{Last: 5}, {Last: 6, Shape: 1}}
	p.Shapes[0].Struck, p.By = []string{"n4"}, nil
	w.values[fmt.Sprintf("erased/%s/%010d/%020d", theKey, 1, 5)] = p
	w.values[lifePath()].(*ledger.Life).Destroy.Epochs = []uint64{6, 1}
	for _, n := range []string{"n1", "n2", "n3", "n4", "n6"} {
		id := w.receipt(n, n, authority.KindErased, authority.ErasureReceipt{Through: []authority.LiveEpoch{w.epoch(1, 6)}, Generation: 4})
		p.By = append(p.By, ledger.ErasedBy{Node: n, Receipt: id, Through: 6})
	}
	if _, err := certificate.Make(w.evidence(1<<20, "n1", "n2", "n3")); !errors.Is(err, certificate.ErrCertificate) || !strings.Contains(err.Error(), "nothing is shown at") {
		t.Errorf("a key that was born here lacks its first epochs: got %v", err)
	}
	w.values[keyPath(1)].(*ledger.Key).Adopted = &ledger.Adopted{Cluster: api.ClusterID{9}, Epoch: 5}
	made := w.made()
	c, err := certificate.Verify(made.Encode(), w.genesis.Hash())
	if err != nil {
		t.Fatal(err)
	}
	s := c.Says
	switch {
	case !s.Gone || s.Tolerates != 0 || len(s.Epochs) != 3 || s.Epochs[0].Number != 5 || s.Epochs[1].Number != 6:
		t.Errorf("%s %+v", s.Claim, s.Epochs)
	case !slices.Equal(s.Adopted, []certificate.Adopted{{Version: 1, Cluster: api.ClusterID{9}, Epoch: 5}}):
		t.Errorf("%+v", s.Adopted)
	case !strings.Contains(s.Claim, "not said of the shares that it had in the cluster that it was adopted from"):
		t.Error(s.Claim)
	case !slices.ContainsFunc(s.Open, func(l string) bool {
		return strings.HasPrefix(l, "version 1 of the key was adopted in its epoch 5 from the cluster 0900")
	}), !slices.Contains(s.Open, "n4, epoch 5 of version 1: its share was not brought here, and nobody signs about it"):
		t.Errorf("%q", s.Open)
	case !strings.Contains(made.Page(), "version 1 of the key was adopted in its epoch 5"):
		t.Error("the page does not say that it was adopted")
	}
}

// A share that is sealed to custodians as well counts as not erased: with t of them the
// key is not gone, whatever the holders sign. The certificate names the door.
func TestAnEscrowedKeyIsNotClaimedGone(t *testing.T) {
	for _, tt := range []struct {
		sealed    []string
		gone      bool
		tolerates int
	}{{nil, true, 2}, {[]string{"n4"}, true, 1}, {[]string{"n1", "n4"}, true, 0}, {[]string{"n1", "n3", "n5"}, false, -1}} {
		w := newWorld(t)
		w.escrows(tt.sealed...)
		made := w.made()
		c, err := certificate.Verify(made.Encode(), w.genesis.Hash())
		if err != nil {
			t.Fatal(err)
		}
		s := c.Says
		if s.Gone != tt.gone || s.Tolerates != tt.tolerates || !slices.Equal(s.Epochs[0].Escrowed, tt.sealed) {
			t.Errorf("escrowed by %v: gone %v, %d tolerated: %s", tt.sealed, s.Gone, s.Tolerates, s.Claim)
		}
		door := slices.ContainsFunc(s.Open, func(l string) bool {
			return strings.HasPrefix(l, "escrow: by the order ") && strings.Contains(l, "any 2 of custodian1, custodian2, custodian4 open them, for ever")
		})
		if !door || len(s.Escrows) != 1 || s.Escrows[0].Since != created+3 {
			t.Errorf("escrowed by %v: %q, %+v", tt.sealed, s.Open, s.Escrows)
		}
		if !tt.gone && (!strings.HasPrefix(s.Claim, "NOT GONE") || !strings.Contains(s.Claim, "n1, n3, n5 are sealed to custodians")) {
			t.Error(s.Claim)
		}
		if page := made.Page(); !strings.Contains(page, "any 2 of custodian1, custodian2, custodian4 open them, for ever") {
			t.Error("the page does not name the escrow")
		}
	}
}

// How often something was opened is the word of whoever counted, signed and named as that.
func TestWhatWasCountedIsNamedAsAWord(t *testing.T) {
	w := newWorld(t)
	counts := func(n certificate.Count) *certificate.Evidence {
		t.Helper()
		e := w.evidence(1<<20, "n1", "n2", "n3")
		var err error
		if e.Counted, err = certificate.SignCount(rand.Reader, w.custodians[0], n); err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := certificate.Count{
		Cluster: w.genesis.Cluster, Key: theKey, By: "auditor", Opened: 17, Branches: 2, Time: created,
		Nodes: []certificate.NodeCount{{Node: "n1", Records: 90}, {Node: "n2", From: 4, Records: 80}}, Lacking: []string{"n3"},
	}
	made, err := certificate.Make(counts(good))
	if err != nil {
		t.Fatal(err)
	}
	c, err := certificate.Verify(made.Encode(), w.genesis.Hash())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"17 opened, 2 of them branch keys, each of which opens all that was made in its branch, as auditor has counted in the audits of n1, n2", "alone answers for", "without the audits of n3", "of n2 from record 4 on"} {
		if !strings.Contains(c.Says.Unwrapped, want) {
			t.Errorf("%q is not said in %q", want, c.Says.Unwrapped)
		}
	}
	bad := func(sentence string, e *certificate.Evidence) {
		t.Helper()
		if _, err := certificate.Make(e); !errors.Is(err, certificate.ErrCertificate) || !strings.Contains(err.Error(), "what was counted in the audits") {
			t.Errorf("%s: got %v", sentence, err)
		}
	}
	altered := counts(good)
	altered.Counted.Body = bytes.Replace(altered.Counted.Body, []byte("auditor"), []byte("auditos"), 1)
	bad("another's name", altered)
	other, elsewhere, nothing, unsorted, uncounted := good, good, good, good, good
	uncounted.Branches = 18
	bad("more branch keys than releases", counts(uncounted))
	other.Key[0] ^= 1
	elsewhere.Cluster[0] ^= 1
	nothing.Nodes = nil
	unsorted.Nodes = []certificate.NodeCount{good.Nodes[1], good.Nodes[0]}
	bad("of another key", counts(other))
	bad("of another cluster", counts(elsewhere))
	bad("of no audit", counts(nothing))
	bad("out of order", counts(unsorted))
}

// Who was struck from an epoch counts as a holder who has not erased, and is named.
func TestWhoWasStruckIsNamed(t *testing.T) {
	w := newWorld(t)
	over := w.past(2)
	over.Shapes[0].Struck, over.By = []string{"n6"}, over.By[:4]
	s := w.made().Says
	if s.Tolerates != 1 || s.Epochs[2].Tolerates != 1 || !slices.Contains(s.Open, "n6, epoch 1 of version 2: it never confirmed a share, and signs nothing about it") {
		t.Errorf("%+v", s)
	}
}

// What is not as it should be is refused, however the words are made: each rule, one by
// one.
func TestACertificateThatShowsTooLittleIsRefused(t *testing.T) {
	enough := []string{"n1", "n2", "n3"}
	for _, tt := range []struct {
		sentence string
		alter    func(w *world)
		after    func(w *world, e *certificate.Evidence)
		says     string
	}{
		{"fewer nodes than the threshold vouch for it", nil, func(_ *world, e *certificate.Evidence) { e.Shown[0].Vouched = e.Shown[0].Vouched[:2] }, "2 nodes vouch for entry 200, 3 must"},
		{"a node vouches twice", nil, func(_ *world, e *certificate.Evidence) { e.Shown[0].Vouched[1] = e.Shown[0].Vouched[0] }, "not sorted by node"},
		{"who has left vouches for it", nil, func(w *world, e *certificate.Evidence) {
			p, _ := ledger.ParseProof(e.Shown[0].Proof)
			e.Shown[0] = w.shown(p, "n1", "n2", "n5")
		}, "is not on the roster"},
		{"a node vouches for another link", nil, func(w *world, e *certificate.Evidence) {
			p, _ := ledger.ParseProof(e.Shown[0].Proof)
			p.Previous[0] ^= 1
			e.Shown[0].Vouched = w.shown(p, enough...).Vouched
		}, `"n1" does not vouch for entry 200`},
		{"a change of the custodians is missing", nil, func(_ *world, e *certificate.Evidence) { e.Succession = e.Succession[1:] }, "the signer is not a custodian"},
		{"a change of the roster is missing", nil, func(_ *world, e *certificate.Evidence) { e.Succession = slices.Delete(e.Succession, 1, 2) }, "change 2 of the custodians and the roster"},
		{"the last change of the roster is missing", nil, func(w *world, e *certificate.Evidence) {
			p, _ := ledger.ParseProof(e.Shown[0].Proof)
			e.Succession = e.Succession[:2]
			e.Shown[0] = w.shown(p, "n1", "n2", "n7")
		}, "is not on the roster"},
		{"the custodians of the order's time are missing", nil, func(_ *world, e *certificate.Evidence) { e.Succession = e.Succession[:1] }, "the custodians who signed it are not here"},
		{"a proof is missing", nil, func(w *world, e *certificate.Evidence) { *e = *w.evidence(1, enough...); e.Shown = e.Shown[1:] }, "nothing is shown at"},
		{"every proof is missing", nil, func(_ *world, e *certificate.Evidence) { e.Shown = nil }, "nothing is shown at"},
		{"a proof comes twice", nil, func(_ *world, e *certificate.Evidence) { e.Shown = append(e.Shown, e.Shown[0]) }, "after"},
		{"another key", nil, func(_ *world, e *certificate.Evidence) { e.Key[0] ^= 1 }, "nothing is shown at"},
		{"the order is of another key", func(w *world) {
			other := w.signed(authority.KindKeyDestroy, api.Digest{}, authority.KeyDestroy{Key: api.KeyID{9}, Wait: 1000}, 0, 1, 3)
			d := w.values[lifePath()].(*ledger.Life).Destroy
			d.By.Change, d.By.Entry = other.ID(), other.Encode()
		}, nil, "it is another one than was carried out"},
		{"too few custodians have signed the order", func(w *world) {
			few := w.signed(authority.KindKeyDestroy, api.Digest{}, authority.KeyDestroy{Key: theKey, Wait: 1000}, 0, 1)
			d := w.values[lifePath()].(*ledger.Life).Destroy
			d.By.Change, d.By.Entry = few.ID(), few.Encode()
		}, nil, "2 of the 3 custodians"},
		{"a custodian who was replaced has signed the order", func(w *world) {
			former := w.signed(authority.KindKeyDestroy, api.Digest{}, authority.KeyDestroy{Key: theKey, Wait: 1000}, 0, 1, 2)
			d := w.values[lifePath()].(*ledger.Life).Destroy
			d.By.Change, d.By.Entry = former.ID(), former.Encode()
		}, nil, "not a custodian"},
		{"it began before its wait was over", func(w *world) { w.values[lifePath()].(*ledger.Life).Destroy.At = created + 5999 }, nil, "another one than was carried out"},
		{"the key waits to be destroyed", nil, func(w *world, e *certificate.Evidence) {
			*e = *w.undone(enough...)
		}, "the key is not destroyed"},
		{"a receipt is of another key", func(w *world) {
			w.past(2).By[0].Receipt = w.receipt("n1", "n1", authority.KindErased, authority.ErasureReceipt{Through: []authority.LiveEpoch{{Key: api.KeyID{9}, Version: 2, Epoch: 1}}, Generation: 3})
		}, nil, "is not of \"n1\" for epoch 1 of version 2"},
		{"a receipt is of another version", func(w *world) {
			w.past(2).By[0].Receipt = w.receipt("n1", "n1", authority.KindErased, authority.ErasureReceipt{Through: []authority.LiveEpoch{w.epoch(1, 2)}, Generation: 3})
		}, nil, "is not of \"n1\" for epoch 1 of version 2"},
		{"a receipt is of no epoch so new", func(w *world) {
			w.erases("n1", w.epoch(1, 1), w.epoch(2, 1))
			p := w.past(1)
			p.By[len(p.By)-1].Through = 2
		}, nil, "is not of \"n1\" for epoch 2 of version 1"},
		{"a receipt is of another node", func(w *world) {
			w.past(2).By[0].Receipt = w.past(2).By[1].Receipt
		}, nil, "is not of \"n1\" for epoch 1 of version 2"},
		{"a receipt counts twice", nil, func(w *world, e *certificate.Evidence) {
			over := w.past(2)
			over.By[1] = over.By[0]
			*e = *w.alone(erasedPath(2), over, enough...)
		}, "counts for nothing"},
		{"a receipt is of who never held a share", nil, func(w *world, e *certificate.Evidence) {
			w.erases("n7", w.epoch(2, 1))
			*e = *w.alone(erasedPath(2), w.past(2), enough...)
		}, "counts for nothing"},
		{"another node has signed a receipt", func(w *world) {
			w.past(2).By[0].Receipt = w.receipt("n2", "n1", authority.KindErased, authority.ErasureReceipt{Through: []authority.LiveEpoch{w.epoch(2, 1)}, Generation: 3})
		}, nil, "node n1: "},
		{"another statement stands for a receipt", func(w *world) {
			w.past(2).By[0].Receipt = w.receipt("n1", "n1", authority.KindRetire, authority.Retire{Epochs: []authority.LiveEpoch{w.epoch(2, 1)}})
		}, nil, "it is another statement"},
		{"a stranger has signed a receipt", func(w *world) {
			w.nodes["n9"] = newSigner(w)
			w.past(2).Shapes[0].Holders = append(slices.Clone(w.past(2).Shapes[0].Holders), "n9")
			w.erases("n9", w.epoch(2, 1))
		}, nil, "was never on the roster"},
		{"an epoch is missing", func(w *world) { w.values[lifePath()].(*ledger.Life).Destroy.Epochs = []uint64{3, 1} }, nil, "nothing is shown at"},
		{"there is an epoch that nobody counts", func(w *world) { w.values[lifePath()].(*ledger.Life).Destroy.Epochs = []uint64{1, 1} }, nil, "where 1 to 1 of version 1 should be"},
		{"the epochs are those of another version", func(w *world) { w.past(2).Version = 1 }, nil, "where 1 to 1 of version 2 should be"},
		{"a version has no epoch", func(w *world) {
			w.values[lifePath()].(*ledger.Life).Destroy.Epochs = []uint64{2, 0}
			delete(w.values, erasedPath(2))
		}, nil, "version 2 has no epoch"},
		{"the data sets are left out", func(w *world) { delete(w.values, datasetPath()) }, nil, "nothing is shown at"},
		{"a data set is left out", func(w *world) { w.values[lifePath()].(*ledger.Life).Datasets = 2 }, nil, "1 data sets, the key has 2"},
		{"there is a data set that nobody counts", func(w *world) { w.values[lifePath()].(*ledger.Life).Datasets = 0 }, nil, "do not belong to the key"},
		{"a data set has another's certificate", func(w *world) {
			w.registers("spiffe://hospital.example/archive", "spiffe://hospital.example/other", theKey)
		}, nil, "its certificate is not that of"},
		{"a data set is of another key", func(w *world) {
			w.registers("spiffe://hospital.example/archive", "spiffe://hospital.example/archive", api.KeyID{9})
		}, nil, "a data set is of another key"},
		{"an escrow is left out", func(w *world) { w.escrows("n1"); delete(w.values, escrowPath()) }, nil, "0 orders of escrow, of the key there were 1"},
		{"there is an escrow that nobody counts", func(w *world) { w.escrows("n1"); w.values[lifePath()].(*ledger.Life).Escrows = 0 }, nil, "1 orders of escrow, of the key there were 0"},
		{"an escrow is of another key", func(w *world) { w.escrows("n1"); w.values[escrowPath()].(*ledger.Escrow).Key = api.KeyID{9} }, nil, "orders of escrow"},
		{"the custodians of an escrow are not here", func(w *world) { w.escrows("n1"); w.values[escrowPath()].(*ledger.Escrow).By.Custody = 9 }, nil, "an order of escrow is of another key, or of custodians who are not here"},
		{"there is no version", func(w *world) {
			w.values[lifePath()].(*ledger.Life).Destroy.Epochs = nil
			w.values = map[string]any{lifePath(): w.values[lifePath()], datasetPath(): w.values[datasetPath()]}
		}, nil, "it shows no version of the key"},
	} {
		w := newWorld(t)
		if tt.alter != nil {
			tt.alter(w)
		}
		e := w.evidence(1<<20, enough...)
		if tt.after != nil {
			tt.after(w, e)
		}
		if _, err := certificate.Make(e); !errors.Is(err, certificate.ErrCertificate) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.sentence, err, tt.says)
		}
	}
}

// undone is evidence of a key that is not destroyed, which no ledger proves.
func (w *world) undone(by ...string) *certificate.Evidence {
	w.Helper()
	life := *w.values[lifePath()].(*ledger.Life)
	over := *life.Destroy
	over.Begun = 0
	life.Destroy = &over
	return w.alone(lifePath(), &life, by...)
}

// alone is evidence of a tree of this one value, whatever it is.
func (w *world) alone(path string, v any, by ...string) *certificate.Evidence {
	w.Helper()
	p := &ledger.Proof{Index: 200}
	encoded := wire.Encode(v)
	place, value := tag.Hash(tag.StatePath, []byte(path)), tag.Hash(tag.StateValue, encoded)
	p.Values, p.Root = []ledger.Proven{{Path: path, Value: encoded}}, tag.Hash(tag.StateLeaf, place[:], value[:])
	return &certificate.Evidence{Genesis: w.genesis.Signed().Encode(), Succession: w.chain.Entries(), Key: theKey, Shown: []certificate.Shown{w.shown(p, by...)}}
}

// stride is how far apart the bytes are that a test alters: a prime, so that runs of one
// kind of byte are met everywhere.
const stride = 53

// Every word of the file counts, and every byte: whatever is altered, left out or added
// is refused by name.
func TestACertificateAlteredAnywhereIsRefused(t *testing.T) {
	w := newWorld(t)
	made := w.made()
	file := made.Encode()
	refuse := func(what string, b []byte, genesis api.Digest) {
		t.Helper()
		if _, err := certificate.Verify(b, genesis); !errors.Is(err, certificate.ErrCertificate) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := certificate.Verify(file, w.genesis.Hash()); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(file); i += stride {
		b := slices.Clone(file)
		b[i] ^= 1
		refuse(fmt.Sprintf("byte %d", i), b, w.genesis.Hash())
	}
	var tree any
	if err := json.Unmarshal(file, &tree); err != nil {
		t.Fatal(err)
	}
	fields := 0
	eachField(tree, func(name string, alter func(), undo func()) {
		alter()
		b, err := json.MarshalIndent(tree, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		undo()
		fields++
		refuse(name, append(b, '\n'), w.genesis.Hash())
	})
	if fields < 200 {
		t.Errorf("only %d fields were altered", fields)
	}
	refuse("another genesis", file, api.Digest{1})
	refuse("cut short", file[:len(file)-1], w.genesis.Hash())
	refuse("with more behind it", append(slices.Clone(file), ' '), w.genesis.Hash())
	refuse("nothing", nil, w.genesis.Hash())
	refuse("too large", make([]byte, certificate.MaxFile+1), w.genesis.Hash())
}

// eachField calls back for each way in which one field of a JSON value is altered or left
// out.
func eachField(v any, with func(name string, alter, undo func())) {
	var walk func(name string, v any, set func(any), drop, restore func())
	walk = func(name string, v any, set func(any), drop, restore func()) {
		if set != nil {
			with(name+" left out", drop, restore)
			with(name+" altered", func() { set(altered(v)) }, func() { set(v) })
		}
		switch v := v.(type) {
		case map[string]any:
			for k, below := range v {
				walk(name+"."+k, below, func(x any) { v[k] = x }, func() { delete(v, k) }, func() { v[k] = below })
			}
		case []any:
			for i, below := range v {
				walk(fmt.Sprintf("%s[%d]", name, i), below, func(x any) { v[i] = x }, func() { v[i] = nil }, func() { v[i] = below })
			}
		}
	}
	walk("", v, nil, nil, nil)
}

func altered(v any) any {
	switch v := v.(type) {
	case string:
		return v + "x"
	case float64:
		return v + 1
	case bool:
		return !v
	}
	return "another"
}

// Whoever makes the words anew for evidence that was altered by one bit gets no
// certificate of it, or one that says what this one says.
func TestEvidenceAlteredAnywhereIsRefused(t *testing.T) {
	w := newWorld(t)
	made := w.made()
	for i := 0; i < len(made.Evidence); i += stride {
		b := slices.Clone(made.Evidence)
		b[i] ^= 1
		var e certificate.Evidence
		if wire.Decode(b, &e) != nil {
			continue
		}
		again, err := certificate.Make(&e)
		if err != nil {
			if !errors.Is(err, certificate.ErrCertificate) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		if _, err := certificate.Verify(again.Encode(), w.genesis.Hash()); err == nil {
			t.Errorf("byte %d of the evidence may be another", i)
		}
	}
}

// The page shows what the certificate says, with what comes from outside as text.
func TestThePageIsTextFromOutside(t *testing.T) {
	w := newWorld(t)
	id := w.receipt("n1", "n1", authority.KindErased, authority.ErasureReceipt{Through: []authority.LiveEpoch{w.epoch(2, 1)}, Generation: 3, Label: `<script>alert("1")</script>`, Serial: `" onload="x`})
	w.past(2).By[0].Receipt = id
	page := w.made().Page()
	for _, want := range []string{"&lt;script&gt;", "&lt;b&gt;ward 3", "xrays", "SP 800-88 Rev. 2", "wrapping is offline: not known", "payroll", w.genesis.Hash().String(), "has no weight of its own", "What it does not prove", "default-src &#39;none&#39;"} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", `" onload="x`, "http://", "https://", "src="} {
		if strings.Contains(strings.ReplaceAll(page, "default-src", ""), never) {
			t.Errorf("the page has %q", never)
		}
	}
}

// R4, R24: whatever file is verified, there is no panic, and nothing is believed but what
// was made.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	file, evidence := w.made().Encode(), w.made().Evidence
	f.Add(file, true)
	f.Add(evidence, false)
	f.Add([]byte(`{"format":"warifu erasure certificate 2","evidence":""}`), true)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		if whole {
			if c, err := certificate.Verify(b, w.genesis.Hash()); err == nil && string(c.Encode()) != string(b) {
				t.Fatal("another file is believed")
			}
			return
		}
		var e certificate.Evidence
		if wire.Decode(b, &e) == nil {
			_, _ = certificate.Make(&e)
		}
	})
}
