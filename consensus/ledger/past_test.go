package ledger_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

var (
	five = []string{"n1", "n2", "n3", "n4", "n5"}
	four = []string{"n1", "n2", "n3", "n4"}
)

// turning is a world of seven nodes with a key of five of them.
func turning(tb testing.TB) (*world, api.KeyID) {
	tb.Helper()
	w := newWorldOf(tb, 7, 5, 3)
	w.birth(w.rootOrder())
	e := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	w.accept(e)
	return w, w.birth(e.ID()).ID
}

// turn ends the epoch of a key; the next one is of these holders.
func (w *world) turn(id api.KeyID, t uint32, holders []string, struck ...string) {
	w.s = w.s.Turn(w.s.Key(id), t, holders, struck)
}

func through(id api.KeyID, epoch uint64) authority.LiveEpoch {
	return authority.LiveEpoch{Key: id, Version: 1, Epoch: epoch}
}

// signers are who has signed that an epoch is erased.
func (w *world) signers(id api.KeyID, epoch uint64) (out []string) {
	w.Helper()
	e := w.s.Erased(through(id, epoch))
	if e == nil {
		w.Fatalf("nothing is known of epoch %d", epoch)
	}
	for _, b := range e.By {
		out = append(out, b.Node)
	}
	slices.Sort(out)
	return out
}

// decoded is the state as it comes back from its encoding.
func (w *world) decoded() *ledger.State {
	w.Helper()
	w.refuse([]byte("noise")) // so that a command has led here
	var b bytes.Buffer
	if err := w.s.Encode(&b); err != nil {
		w.Fatal(err)
	}
	s, err := ledger.Decode(w.genesis, &b)
	if err != nil || s.Root() != w.s.Root() {
		w.Fatalf("it does not come back: %v", err)
	}
	return s
}

// A key that is refreshed for ever leaves no more than one that was refreshed twice: the
// newest receipt of each holder says what all before it said, and takes their place.
func TestEpochsThatAreOverLeaveNoMoreWithTime(t *testing.T) {
	w, id := turning(t)
	size := func() int {
		var b bytes.Buffer
		if err := w.s.Encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.Len()
	}
	was, values := 0, 0
	for epoch := uint64(1); epoch <= 60; epoch++ {
		w.turn(id, 3, five)
		for _, n := range five {
			w.accept(w.erased(n, through(id, epoch)))
		}
		if epoch == 2 {
			was, values = size(), w.s.Size()
		}
	}
	// Numbers above 23 and 255 are of one byte more.
	if grown := size() - was; w.s.Size() != values || grown > 100 || len(w.s.Receipts()) != 5 {
		t.Errorf("58 epochs leave %d bytes in %d values more; %d receipts", grown, w.s.Size()-values, len(w.s.Receipts()))
	}
	list := w.s.ErasedEpochs(id, 1)
	if len(list) != 1 || list[0].First != 1 || list[0].Last != 60 || len(list[0].By) != 5 || !list[0].Gone() {
		t.Errorf("%+v", list)
	}
	w.decoded()
}

// Who was down for months signs once, for all that it held. Until then the epochs lack its
// receipt, and no other's.
func TestAReceiptIsOfEveryEpochBefore(t *testing.T) {
	w, id := turning(t)
	for epoch := uint64(1); epoch <= 30; epoch++ {
		w.turn(id, 3, five)
		for _, n := range four {
			w.accept(w.erased(n, through(id, epoch)))
		}
	}
	if got := w.s.Unerased("n5", 9); !slices.Equal(got, []authority.LiveEpoch{through(id, 30)}) {
		t.Fatalf("asked of it is %v", got)
	}
	if e := w.s.Erased(through(id, 7)); !e.Gone() || !slices.Equal(e.Awaiting(), []string{"n5"}) {
		t.Errorf("%+v", e)
	}
	w.accept(w.erased("n5", through(id, 30)))
	if len(w.s.Unerased("n5", 9)) != 0 || !slices.Equal(w.signers(id, 1), five) || !slices.Equal(w.signers(id, 30), five) {
		t.Errorf("after its receipt: %+v", w.s.ErasedEpochs(id, 1))
	}
}

// An epoch without enough receipts is not gone, and stands apart from those that are; a
// receipt is of no epoch after the one that it names.
func TestAnEpochWithoutEnoughReceiptsIsNotGone(t *testing.T) {
	w, id := turning(t)
	for range 3 {
		w.turn(id, 3, five)
	}
	gone := func(want ...bool) {
		t.Helper()
		for i, is := range want {
			if e := w.s.Erased(through(id, uint64(i+1))); e.Gone() != is {
				t.Errorf("epoch %d is gone: %v, with %d receipts", i+1, !is, len(e.By))
			}
		}
	}
	w.accept(w.erased("n1", through(id, 3)))
	w.accept(w.erased("n2", through(id, 3)))
	gone(false, false, false)
	w.accept(w.erased("n3", through(id, 2)))
	gone(true, true, false)
	if list := w.s.ErasedEpochs(id, 1); len(list) != 2 || list[0].Last != 2 || list[1].First != 3 {
		t.Errorf("%+v", list)
	}
	if left := w.s.NotGone("n3"); len(left) != 1 || left[0].First != 3 || left[0].Last != 3 {
		t.Errorf("%+v", left)
	}
	if !slices.Contains(w.s.Holding("n3"), "payroll") {
		t.Error("a node leaves that has not signed for an epoch that is not gone")
	}
	w.refuse(w.erased("n3", through(id, 1)).Encode(), ledger.ErrOutOfTurn)
	w.refuse(w.erased("n3", through(id, 2)).Encode(), ledger.ErrOutOfTurn)
	w.refuse(w.erased("n3", through(id, 4)).Encode(), ledger.ErrNoKey)
	w.refuse(w.erased("n6", through(id, 3)).Encode(), ledger.ErrNotHolder)
	w.refuse(w.erased("n3", through(id, 2), through(id, 3)).Encode(), authority.ErrStatement)
	w.accept(w.erased("n3", through(id, 3)))
	gone(true, true, true)
	if held := w.s.Receipts(); len(held) != 3 {
		t.Errorf("%d receipts for 3 nodes", len(held))
	}
}

// Who was struck from an epoch never counts for it, whatever it signs later; who left keeps
// its last receipt, and who left without one is missing for ever.
func TestWhoWasStruckOrLeftCountsWhereItHeldAShare(t *testing.T) {
	w, id := turning(t)
	w.turn(id, 3, five, "n5")                             // 1: all, the next without n5
	w.turn(id, 3, five)                                   // 2: n5 struck
	w.turn(id, 3, []string{"n1", "n2", "n3", "n6", "n7"}) // 3: all; n4 and n5 are no holders after it
	w.accept(w.erased("n5", through(id, 3)))
	w.turn(id, 3, five) // 4
	for _, n := range []string{"n1", "n2", "n6"} {
		w.accept(w.erased(n, through(id, 4)))
	}
	for epoch, want := range map[uint64][]string{
		1: {"n1", "n2", "n5"}, 2: {"n1", "n2"}, 3: {"n1", "n2", "n5"}, 4: {"n1", "n2", "n6"},
	} {
		if got := w.signers(id, epoch); !slices.Equal(got, want) {
			t.Errorf("of epoch %d have signed %v, want %v", epoch, got, want)
		}
	}
	if e := w.s.Erased(through(id, 2)); e.Gone() || !slices.Equal(e.Awaiting(), []string{"n3", "n4"}) {
		t.Errorf("%+v", e)
	}
	w.refuse(w.erased("n5", through(id, 4)).Encode(), ledger.ErrNotHolder)
	if got := w.s.Unerased("n4", 9); !slices.Equal(got, []authority.LiveEpoch{through(id, 3)}) {
		t.Errorf("asked of who left is %v", got)
	}
	w.decoded()
}

// What a node signs is of no epoch that is not over when it signs: not of the current one,
// nor of one that overlaps it, nor of any that comes.
func TestAReceiptIsOfNoEpochThatIsNotOver(t *testing.T) {
	w, id := turning(t)
	w.refuse(w.erased("n1", through(id, 1)).Encode(), ledger.ErrNoKey)
	w.turn(id, 3, five)
	for _, n := range five {
		w.accept(w.erased(n, through(id, 1)))
	}
	w.refuse(w.erased("n1", through(id, 2)).Encode(), ledger.ErrNoKey)
	w.turn(id, 3, five)
	if e := w.s.Erased(through(id, 2)); e.Gone() || len(w.signers(id, 1)) != 5 || len(w.signers(id, 2)) != 0 || !slices.Equal(e.Awaiting(), five) {
		t.Errorf("of an epoch that was not over have signed %v", e.By)
	}
	if got := w.s.Unerased("n1", 9); !slices.Equal(got, []authority.LiveEpoch{through(id, 2)}) {
		t.Errorf("asked of it is %v", got)
	}
}

// Who was down through two refreshes was struck from both, and owes what it held before
// them. What it signs then, and after its repair, counts for neither.
func TestWhoWasDownThroughTwoRefreshesSignsForWhatItHeld(t *testing.T) {
	w, id := turning(t)
	w.turn(id, 3, five, "n5") // 1: all
	w.turn(id, 3, five, "n5") // 2: n5 struck
	w.turn(id, 3, five)       // 3: n5 struck; 4: repaired
	for _, n := range four {
		w.accept(w.erased(n, through(id, 3)))
	}
	if got := w.s.Unerased("n5", 9); !slices.Equal(got, []authority.LiveEpoch{through(id, 1)}) {
		t.Fatalf("asked of it is %v", got)
	}
	for _, struck := range []uint64{2, 3} {
		w.refuse(w.erased("n5", through(id, struck)).Encode(), ledger.ErrNotHolder)
	}
	before := w.fork()
	w.accept(w.erased("n5", through(id, 1)))
	counted := func(w *world, repaired bool) {
		t.Helper()
		for epoch, want := range map[uint64][]string{1: five, 2: four, 3: four} {
			if got := w.signers(id, epoch); !slices.Equal(got, want) {
				t.Errorf("of epoch %d have signed %v, want %v", epoch, got, want)
			}
		}
		if repaired && !slices.Equal(w.signers(id, 4), []string{"n5"}) {
			t.Errorf("of epoch 4 have signed %v", w.signers(id, 4))
		}
	}
	counted(w, false)
	for _, w := range []*world{w, before} { // before: it was not heard of until then
		w.turn(id, 3, five)
		w.accept(w.erased("n5", through(id, 4)))
		counted(w, true)
	}
}

// Versions of a key have their own epochs: a receipt for one says nothing of another.
func TestAReceiptIsOfOneVersion(t *testing.T) {
	w, id := born(t)
	first := w.s.Key(id)
	w.signedBy(first, "n1", "n2", "n3")
	order := w.next(id, 2)
	w.accept(order)
	w.birth(order.ID())
	for range 2 {
		w.turn(id, first.T, first.Holders) // of version 2
	}
	for range 3 {
		k := w.s.KeyVersion(id, 1)
		w.s = w.s.Turn(k, k.T, k.Holders, nil)
	}
	of := func(version uint32, epoch uint64) authority.LiveEpoch {
		return authority.LiveEpoch{Key: id, Version: version, Epoch: epoch}
	}
	for _, n := range first.Holders {
		w.accept(w.erased(n, of(1, 3)))
	}
	for epoch := range uint64(2) {
		if e := w.s.Erased(of(2, epoch+1)); e.Gone() || len(e.By) != 0 {
			t.Errorf("of epoch %d of version 2 have signed %v", epoch+1, e.By)
		}
	}
	w.refuse(w.erased("n1", of(2, 3)).Encode(), ledger.ErrNoKey)
	w.accept(w.erased("n1", of(2, 1)))
	if e := w.s.Erased(of(2, 2)); len(e.By) != 0 || len(w.s.Erased(of(2, 1)).By) != 1 {
		t.Errorf("of epoch 2 of version 2 have signed %v", e.By)
	}
}

// A key that was adopted brought the epoch that it had. Who took a share of that, and has
// signed for a later one, has signed for it; nobody else has, and of what was before the
// ledger says nothing. It is proven from that epoch on.
func TestAnAdoptedKeyIsOverFromTheEpochThatWasBrought(t *testing.T) {
	h := inheritAt(t, 3)
	h.birth(h.rootOrder())
	h.accept(h.adoption(h.adopts(), 0, 1))
	k := h.reshare()
	h.signedBy(k, "n1", "n2", "n4")
	h.accept(h.say("n1", authority.KindRetire, authority.Retire{Epochs: []authority.LiveEpoch{through(k.ID, 3)}}))
	for _, not := range []uint64{1, 2, 4} {
		h.refuse(h.erased("n5", through(k.ID, not)).Encode(), ledger.ErrNoKey)
	}
	h.refuse(h.erased("n1", through(k.ID, 3)).Encode(), ledger.ErrNotHolder)
	h.accept(h.destroy(k.ID, 0, 0, 1, 2))
	h.accept(h.beginEnd(k.ID))
	for _, n := range []string{"n1", "n2", "n4", "n5"} {
		h.accept(h.erased(n, through(k.ID, 4)))
	}
	if got := h.signers(k.ID, 3); !slices.Equal(got, []string{"n2", "n5"}) || h.s.Erased(through(k.ID, 3)).Gone() {
		t.Errorf("of the epoch that was brought have signed %v", got)
	}
	if h.s.Erased(through(k.ID, 2)) != nil {
		t.Error("something is known of an epoch that lived elsewhere")
	}
	d, err := ledger.ReadDestroyed(k.ID, h.proofsOf(k.ID, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if e := d.Epochs[0]; len(e) != 2 || e[0].First != 3 || e[0].Last != 3 || e[1].First != 4 || d.Versions[0].Adopted.Epoch != 3 {
		t.Errorf("%+v", e)
	}
	h.decoded()
}

// However holders come and go, and whoever signs when, each epoch has the receipts that it
// would have if it stood alone: of the holders that had a share of it and have signed it,
// or one after it. What does not fit in one value stands in the next.
func TestReceiptsAreCountedAsIfEachEpochStoodAlone(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 1))
		w, id := turning(t)
		all := append(slices.Clone(five), "n6", "n7")
		type epoch struct{ holders, struck []string }
		epochs := []epoch{{five, nil}}
		signed := map[string]uint64{}
		turns := 40
		if seed == 0 {
			turns = 2*ledger.MaxRuns + 3
		}
		next := epochs[0]
		for range turns {
			switch random.IntN(4) {
			case 0:
				next.holders = slices.Clone(all)
				random.Shuffle(len(all), func(i, j int) { next.holders[i], next.holders[j] = next.holders[j], next.holders[i] })
				next.holders, next.struck = next.holders[:5], nil
			case 1:
				next.struck = []string{next.holders[random.IntN(5)]}
			case 2:
				next.struck = nil
			}
			w.turn(id, 3, next.holders, next.struck...)
			over := uint64(len(epochs))
			epochs = append(epochs, next)
			node, named := all[random.IntN(len(all))], over-uint64(random.IntN(min(3, int(over))))
			of := epochs[named-1]
			entry := w.erased(node, through(id, named))
			switch held := slices.Contains(of.holders, node) && !slices.Contains(of.struck, node); {
			case !held:
				w.refuse(entry.Encode(), ledger.ErrNotHolder)
			case signed[node] >= named:
				w.refuse(entry.Encode(), ledger.ErrOutOfTurn)
			default:
				w.accept(entry)
				signed[node] = named
			}
		}
		used := map[string]uint32{}
		for i, of := range epochs[:len(epochs)-1] {
			var want []string
			for _, h := range of.holders {
				if !slices.Contains(of.struck, h) && signed[h] > uint64(i) {
					want = append(want, h)
				}
			}
			slices.Sort(want)
			e := w.s.Erased(through(id, uint64(i+1)))
			if got := w.signers(id, uint64(i+1)); !slices.Equal(got, want) || !slices.Equal(e.Holders, of.holders) || !slices.Equal(e.Struck, of.struck) {
				t.Fatalf("seed %d: of epoch %d have signed %v, want %v", seed, i+1, got, want)
			}
			for _, b := range e.By {
				used[b.Receipt.String()]++
				if w.s.ErasureReceipt(b.Receipt) == nil {
					t.Fatalf("seed %d: the receipt of %s for epoch %d is not kept", seed, b.Node, i+1)
				}
			}
		}
		for receipt, uses := range w.s.Receipts() {
			if used[receipt] == 0 || uses == 0 {
				t.Errorf("seed %d: a receipt is kept that stands for nothing", seed)
			}
		}
		for _, n := range all {
			var owes []authority.LiveEpoch
			for i, of := range epochs[:len(epochs)-1] {
				if slices.Contains(of.holders, n) && !slices.Contains(of.struck, n) && signed[n] <= uint64(i) {
					owes = []authority.LiveEpoch{through(id, uint64(i+1))}
				}
			}
			if got := w.s.Unerased(n, 9); !slices.Equal(got, owes) {
				t.Errorf("seed %d: asked of %s is %v, want %v", seed, n, got, owes)
			}
		}
		s := w.decoded()
		if got := fmt.Sprint(s.ErasedEpochs(id, 1)); len(s.ErasedEpochs(id, 1)) != len(w.s.ErasedEpochs(id, 1)) || got == "" {
			t.Errorf("seed %d: decoded they are others", seed)
		}
	}
}

// One entry of a node is of many keys, and stays as long as one of them needs it.
func TestAReceiptStaysAsLongAsItIsUsed(t *testing.T) {
	w, one := turning(t)
	e := w.sign(w.orderChange(w.order("photos")), 0, 1)
	w.accept(e)
	two := w.birth(e.ID()).ID
	w.turn(one, 3, five)
	w.turn(two, 3, five)
	list := []authority.LiveEpoch{through(one, 1), through(two, 1)}
	slices.SortFunc(list, authority.LiveEpoch.Compare)
	first := w.erased("n1", list...)
	w.accept(first)
	uses := func(want uint32) {
		t.Helper()
		if got := w.s.Receipts()[first.ID().String()]; got != want {
			t.Errorf("it is used %d times, want %d", got, want)
		}
	}
	uses(2)
	w.turn(one, 3, five)
	w.accept(w.erased("n1", through(one, 2)))
	uses(1)
	w.turn(two, 3, five)
	w.accept(w.erased("n1", through(two, 2)))
	uses(0)
	if n := len(w.s.Receipts()); n != 2 {
		t.Errorf("%d receipts are kept", n)
	}
}

// A destroyed key with many epochs is proven by little, and by all of it.
func TestManyEpochsAreProven(t *testing.T) {
	w, id := turning(t)
	const turns = ledger.MaxRuns + 20
	for i := range turns { // each of another shape than the one before
		w.turn(id, 3, five, five[i%2])
	}
	w.accept(w.destroy(id, 0, 0, 1, 2))
	w.accept(w.beginEnd(id))
	for _, n := range five {
		if owes := w.s.Unerased(n, 9); len(owes) == 1 {
			w.accept(w.erased(n, owes[0]))
		}
	}
	proofs := w.proofsOf(id, 1<<20)
	d, err := ledger.ReadDestroyed(id, proofs)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for _, e := range d.Epochs[0] {
		if e.First != next || !e.Gone() && len(e.Struck) == 0 {
			t.Fatalf("%+v after epoch %d", e, next-1)
		}
		next = e.Last + 1
	}
	if next != turns+2 || len(d.Receipts) != 5 || len(proofs) != 1 || len(proofs[0].Values) > 12 {
		t.Errorf("%d epochs, %d receipts, %d values", next-1, len(d.Receipts), len(proofs[0].Values))
	}
	for i, v := range proofs[0].Values {
		p, err := ledger.ParseProof(proofs[0].Encode())
		if err != nil {
			t.Fatal(err)
		}
		p.Values = slices.Delete(p.Values, i, i+1)
		if _, err := ledger.ReadDestroyed(id, []*ledger.Proof{p}); err == nil {
			t.Errorf("without what stands at %s it is believed", v.Path)
		}
	}
}

// Bytes that would miscount are not the epochs of a key, wherever they come from.
func TestEpochsThatAreOverHaveTheirForm(t *testing.T) {
	good := func() *ledger.Past {
		return &ledger.Past{
			Key: api.KeyID{1}, Version: 1, First: 3, Shapes: []ledger.Shape{{T: 3, Holders: five}, {T: 3, Holders: five, Struck: []string{"n5"}}},
			Runs: []ledger.Run{{Last: 5}, {Last: 6, Shape: 1}}, By: []ledger.ErasedBy{{Node: "n1", Through: 6}, {Node: "n5", Through: 5}},
		}
	}
	if err := good().Check(); err != nil {
		t.Fatal(err)
	}
	for sentence, alter := range map[string]func(p *ledger.Past){
		"it begins before the first epoch":      func(p *ledger.Past) { p.First = 0 },
		"it has no shape":                       func(p *ledger.Past) { p.Shapes = nil },
		"it has too many shapes":                func(p *ledger.Past) { p.Shapes = slices.Repeat(p.Shapes[:1], ledger.MaxShapes+1) },
		"it has no run":                         func(p *ledger.Past) { p.Runs, p.By = nil, nil },
		"it has too many runs":                  func(p *ledger.Past) { p.Runs = make([]ledger.Run, ledger.MaxRuns+1) },
		"a run ends before it begins":           func(p *ledger.Past) { p.Runs[0].Last = 2 },
		"runs go back":                          func(p *ledger.Past) { p.Runs[1].Last = 5 },
		"a run is of no shape":                  func(p *ledger.Past) { p.Runs[1].Shape = 2 },
		"a threshold of nothing":                func(p *ledger.Past) { p.Shapes[0].T = 0 },
		"a threshold above the holders":         func(p *ledger.Past) { p.Shapes[0].T = 6 },
		"more holders than a key has":           func(p *ledger.Past) { p.Shapes[0].Holders = make([]string, 17) },
		"a receipt counts twice":                func(p *ledger.Past) { p.By[1] = p.By[0] },
		"a receipt of who never held a share":   func(p *ledger.Past) { p.By[0].Node = "n6" },
		"a receipt for epochs before the first": func(p *ledger.Past) { p.By[0].Through = 2 },
		"a receipt of who was struck":           func(p *ledger.Past) { p.Shapes[0].Struck = []string{"n5"} },
	} {
		p := good()
		alter(p)
		if p.Check() == nil {
			t.Errorf("%s: it is taken", sentence)
		}
	}
}
