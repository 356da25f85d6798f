package board

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// epoch is a batch of keys as some nodes hold them. A node is a number here: its
// index changes from epoch to epoch.
type epoch struct {
	t      int
	nodes  []int                   // the holder list, by index-1
	keys   []dkg.OldKey            // one for each key
	shares map[int][]*group.Scalar // by node; none of who was struck
}

// epochOf is what a finished ceremony made, for nodes by place.
func epochOf(c *ceremony, nodes []int, number uint64) *epoch {
	c.Helper()
	o, ok := c.b.Outcome()
	if !ok {
		c.Fatal("no outcome")
	}
	e := &epoch{t: c.s.T, nodes: nodes[:c.s.H], shares: map[int][]*group.Scalar{}}
	for k, p := range o.Keys {
		e.keys = append(e.keys, dkg.OldKey{Key: [32]byte{byte(k + 1)}, Version: 1, Epoch: number, Public: p})
	}
	for _, i := range c.b.Receipts() {
		e.shares[nodes[i-1]] = c.shares[i]
	}
	return e
}

// born is the first epoch of n keys.
func born(t *testing.T, threshold, n int, nodes ...int) *epoch {
	t.Helper()
	s := session(threshold, len(nodes), "born")
	s.N = n
	c := begin(t, s)
	c.finish(all(s.H)...)
	return epochOf(c, nodes, 1)
}

// again is a session that deals the shares of e to these nodes, and who stands at
// which place in it.
func (e *epoch) again(t testing.TB, threshold int, nodes ...int) (s dkg.Session, places []int) {
	t.Helper()
	places = slices.Clone(nodes)
	for _, node := range e.nodes {
		if e.shares[node] != nil && !slices.Contains(nodes, node) {
			places = append(places, node)
		}
	}
	holders := make([]sharing.Index, len(places))
	for k, node := range places {
		if e.shares[node] != nil {
			holders[k] = sharing.Index(slices.Index(e.nodes, node) + 1)
		}
	}
	old, err := dkg.NewOld(e.t, len(e.nodes), holders, e.keys)
	if err != nil {
		t.Fatal(err)
	}
	s = session(threshold, len(nodes), fmt.Sprint("again", e.keys[0].Epoch))
	s.N, s.Old = len(e.keys), old
	return s, places
}

// begin begins the ceremony of such a session.
func (e *epoch) begin(t *testing.T, threshold int, nodes ...int) (c *ceremony, places []int) {
	t.Helper()
	s, places := e.again(t, threshold, nodes...)
	old := map[sharing.Index][]*group.Scalar{}
	for k, node := range places {
		old[sharing.Index(k+1)] = e.shares[node]
	}
	return beginWith(t, s, old), places
}

// dealers are the places that deal, but for these.
func (c *ceremony) dealers(without ...sharing.Index) []sharing.Index {
	return slices.DeleteFunc(c.everyone(), func(i sharing.Index) bool { return !c.s.Deals(i) || slices.Contains(without, i) })
}

// same holds that the outcome is of the same keys.
func (c *ceremony) same(e *epoch) {
	c.Helper()
	o, _ := c.b.Outcome()
	for k, key := range e.keys {
		if !o.Keys[k].Y.Equal(key.Y) {
			c.Errorf("key %d of the batch has another public key", k+1)
		}
		for _, y := range o.Keys[k].YI {
			if slices.ContainsFunc(key.YI, y.Equal) {
				c.Errorf("key %d of the batch: a verification key of the old epoch stands in the new", k+1)
			}
		}
	}
}

// apart holds that no t of both epochs together, fewer than t of each, make a key.
func apart(t testing.TB, a, b *epoch) {
	t.Helper()
	for k := range a.keys {
		for _, size := range []int{a.t, b.t} {
			for mine := uint(1); mine < 1<<len(a.nodes); mine++ {
				mixed(t, a, b, k, mine, size)
			}
		}
	}
}

// mixed takes the shares of mine from a and fills up with those of b, by ascending
// index, to size.
func mixed(t testing.TB, a, b *epoch, k int, mine uint, size int) {
	t.Helper()
	shares := map[sharing.Index]*group.Scalar{}
	var quorum []sharing.Index
	take := func(e *epoch, j int) {
		if i := sharing.Index(j + 1); shares[i] == nil && e.shares[e.nodes[j]] != nil {
			shares[i] = e.shares[e.nodes[j]][k]
			quorum = append(quorum, i)
		}
	}
	for j := range a.nodes {
		if mine>>j&1 == 1 {
			take(a, j)
		}
	}
	fromA := len(quorum)
	for j := 0; j < len(b.nodes) && len(quorum) < size; j++ {
		take(b, j)
	}
	if fromA == 0 || fromA >= a.t || len(quorum) != size || size-fromA >= b.t {
		return
	}
	if group.BaseMul(interpolated(t, quorum, shares)).Equal(a.keys[k].Y) {
		t.Errorf("the shares %v of two epochs make key %d of the batch", quorum, k+1)
	}
}

// R10: a refresh leaves the key, and nothing else. R9 is the ledger's.
func TestARefreshLeavesTheKeyAndNothingElse(t *testing.T) {
	for _, tt := range []struct{ t, h int }{{2, 2}, {2, 3}, {3, 5}, {4, 5}, {5, 9}} {
		t.Run(fmt.Sprintf("%d-of-%d", tt.t, tt.h), func(t *testing.T) {
			nodes := make([]int, tt.h)
			for k := range nodes {
				nodes[k] = k + 1
			}
			e := born(t, tt.t, 2, nodes...)
			epochs := []*epoch{e}
			for n := uint64(2); n <= 3; n++ {
				last := epochs[len(epochs)-1]
				c, places := last.begin(t, tt.t, nodes...)
				c.finish(all(tt.h)...)
				c.same(last)
				epochs = append(epochs, epochOf(c, places, n))
			}
			apart(t, epochs[0], epochs[1])
			apart(t, epochs[1], epochs[2])
			apart(t, epochs[0], epochs[2])
			if tt.t != 3 {
				return
			}
			one := map[sharing.Index]*group.Scalar{} // one share of each epoch
			for k, e := range epochs {
				one[sharing.Index(k+1)] = e.shares[nodes[k]][0]
			}
			if group.BaseMul(interpolated(t, all(3), one)).Equal(e.keys[0].Y) {
				t.Error("three shares of three epochs make the key")
			}
		})
	}
}

// R10: other holders in another order, another t, and back.
func TestAReshareGivesTheKeyToOthers(t *testing.T) {
	e := born(t, 3, 2, 1, 2, 3, 4, 5)
	for name, tt := range map[string]struct {
		t     int
		nodes []int
	}{
		"to more of whom more are needed":          {4, []int{1, 2, 3, 4, 5, 6, 7}},
		"to fewer":                                 {2, []int{4, 2, 1, 3}},
		"to all others":                            {3, []int{11, 12, 13, 14, 15}},
		"to others of whom one stays, in the end":  {2, []int{11, 12, 13, 5}},
		"to the same in another order":             {3, []int{5, 4, 3, 2, 1}},
		"to all of sixteen":                        {16, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		"to the two who stay, and both are needed": {2, []int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			c, places := e.begin(t, tt.t, tt.nodes...)
			c.finish(c.dealers()...)
			c.same(e)
			next := epochOf(c, places, 2)
			apart(t, e, next)
			back, places := next.begin(t, 3, 1, 2, 3, 4, 5)
			back.finish(back.dealers()...)
			back.same(next)
			apart(t, e, epochOf(back, places, 3))
		})
	}
}

// A holder that was struck deals nothing, and the next refresh gives it a share.
func TestARefreshRepairsWhoWasStruck(t *testing.T) {
	e := born(t, 3, 1, 1, 2, 3, 4, 5)
	c, places := e.begin(t, 3, 1, 2, 3, 4, 5)
	c.until(dkg.PhaseConfirm)
	c.silent[2] = true
	c.finish(all(5)...)
	struck := epochOf(c, places, 2)
	if fmt.Sprint(c.b.Struck()) != "[2]" || struck.shares[2] != nil {
		t.Fatalf("struck %v", c.b.Struck())
	}
	c, places = struck.begin(t, 3, 1, 2, 3, 4, 5)
	if c.s.Deals(2) || !c.s.Receives(2) {
		t.Error("who was struck deals")
	}
	c.finish(1, 3, 4, 5)
	c.same(e)
	if repaired := epochOf(c, places, 3); repaired.shares[2] == nil {
		t.Error("who was struck has no share")
	}
}

// leavers is 3-of-5 to 2-of-4 with nodes 4 and 5 leaving and 6 and 7 new: places 1
// and 2 stay, 3 and 4 are new, 5, 6 and 7 leave.
func leavers(t *testing.T, n int) (e *epoch, c *ceremony) {
	t.Helper()
	e = born(t, 3, n, 1, 2, 3, 4, 5)
	c, _ = e.begin(t, 2, 1, 2, 6, 7)
	return e, c
}

// Whoever is out is out for all keys of the batch, and the rest make the same keys.
func TestAReshareSurvivesEachLiar(t *testing.T) {
	const n = 3
	for name, tt := range map[string]struct {
		from  dkg.Phase
		lie   func(c *ceremony, liar sharing.Index)
		qual  bool // it stays in QUAL
		place sharing.Index
	}{
		"a constant term that is not the old share": {from: dkg.PhaseCommit, lie: func(c *ceremony, liar sharing.Index) {
			c.alter(liar, func(st *stolen) { st.Polynomials[1] = fresh(c, c.s.T) })
			c.accept(liar, dkg.KindCommit, c.body(liar))
			c.silent[liar] = true
			c.until(dkg.PhaseDeal)
			c.refuse(liar, dkg.KindDeal, c.body(liar), dkg.ErrKeyChanged)
		}},
		"the old shares of two keys, swapped": {from: dkg.PhaseCommit, lie: func(c *ceremony, liar sharing.Index) {
			c.alter(liar, func(st *stolen) {
				st.Polynomials[0], st.Polynomials[1] = st.Polynomials[1], st.Polynomials[0]
			})
			c.accept(liar, dkg.KindCommit, c.body(liar))
			c.silent[liar] = true
			c.until(dkg.PhaseDeal)
			c.refuse(liar, dkg.KindDeal, c.body(liar), dkg.ErrKeyChanged)
		}},
		"deals that are not of this batch": {from: dkg.PhaseDeal, lie: func(c *ceremony, liar sharing.Index) {
			for what, tt := range map[string]struct {
				spoil func(*dkg.Deal)
				want  error
			}{ // R3
				"a key too few":                    {func(d *dkg.Deal) { d.Commitments, d.Proofs = d.Commitments[1:], d.Proofs[1:] }, dkg.ErrBatch},
				"a key too many":                   {func(d *dkg.Deal) { d.Commitments = append(d.Commitments, d.Commitments[0]) }, dkg.ErrBatch},
				"a proof too few":                  {func(d *dkg.Deal) { d.Proofs = d.Proofs[1:] }, dkg.ErrBatch},
				"a proof too many":                 {func(d *dkg.Deal) { d.Proofs = append(d.Proofs, d.Proofs[0]) }, dkg.ErrBatch},
				"no key":                           {func(d *dkg.Deal) { d.Commitments, d.Proofs = nil, nil }, dkg.ErrBatch},
				"a box for a key fewer":            {func(d *dkg.Deal) { d.Boxes[boxed(c, liar)] = d.Boxes[boxed(c, liar)][32:] }, dkg.ErrBoxes},
				"a box for one who leaves":         {func(d *dkg.Deal) { d.Boxes = append(d.Boxes, d.Boxes[boxed(c, liar)]) }, dkg.ErrBoxes},
				"the old t for the last key":       {func(d *dkg.Deal) { d.Commitments[n-1] = append(d.Commitments[n-1], d.Commitments[0][0]) }, sharing.ErrCommitments}, // R2
				"a lower t for one key":            {func(d *dkg.Deal) { d.Commitments[1] = d.Commitments[1][1:] }, sharing.ErrCommitments},
				"two proofs in each other's place": {func(d *dkg.Deal) { d.Proofs[0], d.Proofs[1] = d.Proofs[1], d.Proofs[0] }, sharing.ErrProof},
				"two keys in each other's place":   {func(d *dkg.Deal) { d.Commitments[0], d.Commitments[1] = d.Commitments[1], d.Commitments[0] }, dkg.ErrCommitment},
			} {
				deal, err := dkg.DecodeDeal(c.body(liar))
				if err != nil {
					c.Fatal(err)
				}
				if tt.spoil(deal); deal == nil {
					c.Fatal(what)
				}
				c.refuse(liar, dkg.KindDeal, wire.Encode(deal), tt.want)
			}
			c.silent[liar] = true
		}},
		"a wrong sub-share of the last key for one": {from: dkg.PhaseDeal, lie: func(c *ceremony, liar sharing.Index) {
			deal, err := dkg.DecodeDeal(c.body(liar))
			if err != nil {
				c.Fatal(err)
			}
			victim := sharing.Index(boxed(c, liar) + 1)
			var plain []byte
			for k := range n {
				poly, err := sharing.DecodePolynomial(secret.New(c.steal(liar).Polynomials[k]), c.s.T)
				if err != nil {
					c.Fatal(err)
				}
				x := poly.Eval(victim)
				if k == n-1 {
					x = x.Add(group.SmallScalar(1))
				}
				plain = append(plain, x.Bytes()...)
			}
			deal.Boxes[victim-1] = (&dealer{c: c, me: liar}).seal(victim, victim, plain)
			c.accept(liar, dkg.KindDeal, wire.Encode(deal))
			c.until(dkg.PhaseVerdict)
			c.until(dkg.PhaseConfirm)
			if got := c.b.Accused()[victim]; fmt.Sprint(got.Upheld) != fmt.Sprint([]sharing.Index{liar}) {
				c.Errorf("holder %d accused %+v", victim, got)
			}
		}},
		"silence in the join phase":   {from: dkg.PhaseJoin, lie: func(c *ceremony, liar sharing.Index) { c.silent[liar] = true }},
		"silence in the commit phase": {from: dkg.PhaseCommit, lie: func(c *ceremony, liar sharing.Index) { c.silent[liar] = true }},
		"silence in the deal phase":   {from: dkg.PhaseDeal, lie: func(c *ceremony, liar sharing.Index) { c.silent[liar] = true }},
	} {
		for _, liar := range []sharing.Index{1, 6} { // one who stays, one who leaves
			t.Run(fmt.Sprintf("%s, at place %d", name, liar), func(t *testing.T) {
				e, c := leavers(t, n)
				c.until(tt.from)
				tt.lie(c, liar)
				c.until(dkg.PhaseConfirm)
				c.finish(c.dealers(liar)...)
				c.same(e)
			})
		}
	}
}

// fresh is a stored polynomial of somebody's own making.
func fresh(c *ceremony, threshold int) []byte {
	c.Helper()
	poly, err := sharing.NewPolynomial(c.rand, threshold)
	if err != nil {
		c.Fatal(err)
	}
	return poly.Bytes().Reveal()
}

// boxed is the place, less one, of somebody whom this dealer sends a box.
func boxed(c *ceremony, dealer sharing.Index) int {
	if dealer == 1 {
		return 1
	}
	return 0
}

// Each says what is its part, and nothing else.
func TestEveryoneKeepsToItsPart(t *testing.T) {
	const stays, newcomer, leaver = sharing.Index(1), sharing.Index(3), sharing.Index(6)
	_, c := leavers(t, 2)
	join := func(i sharing.Index) *dkg.Join {
		j, err := dkg.DecodeJoin(c.body(i))
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	keys := func(i sharing.Index) (from []int) {
		for k, key := range join(i).ReceiveKeys {
			if len(key) > 0 {
				from = append(from, k+1)
			}
		}
		return from
	}
	for i, want := range map[sharing.Index]string{stays: "[2 5 6 7]", newcomer: "[1 2 5 6 7]", leaver: "[]"} {
		if got := fmt.Sprint(keys(i)); got != want {
			t.Errorf("place %d has receive keys for %v, want %v", i, got, want)
		}
	}
	spoiled := func(i sharing.Index, spoil func(*dkg.Join)) []byte {
		j := join(i)
		spoil(j)
		return wire.Encode(j)
	}
	some := join(stays).ReceiveKeys[1]
	c.refuse(leaver, dkg.KindJoin, spoiled(leaver, func(j *dkg.Join) { j.ReceiveKeys[0] = some }), dkg.ErrReceiveKeys)
	c.refuse(newcomer, dkg.KindJoin, spoiled(newcomer, func(j *dkg.Join) { j.ReceiveKeys[3] = some }), dkg.ErrReceiveKeys) // the other newcomer deals nothing
	c.refuse(newcomer, dkg.KindJoin, spoiled(newcomer, func(j *dkg.Join) { j.ReceiveKeys = j.ReceiveKeys[:4] }), dkg.ErrReceiveKeys)
	c.refuse(newcomer, dkg.KindJoin, spoiled(newcomer, func(j *dkg.Join) { j.ReceiveKeys[5] = nil }), dkg.ErrReceiveKey)
	for _, i := range []sharing.Index{0, 8, -1, 32, 33} { // R1
		c.refuse(i, dkg.KindJoin, c.body(stays), sharing.ErrIndex)
	}

	silentIn := func(phase dkg.Phase, i sharing.Index) {
		t.Helper()
		c.until(phase)
		if ready := c.step(i); ready.Post != nil {
			t.Errorf("place %d posts a %v", i, ready.Post.Kind)
		}
	}
	silentIn(dkg.PhaseCommit, newcomer)
	c.refuse(newcomer, dkg.KindCommit, wire.Encode(dkg.Commit{Session: c.s.ID, Previous: c.b.View().Previous}), ErrNotTakingPart)
	if _, err := dkg.CheckCommit(c.s, newcomer, c.b.View().Previous, c.body(stays)); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("a newcomer's commit: %v", err)
	}
	silentIn(dkg.PhaseDeal, newcomer)
	c.refuse(newcomer, dkg.KindDeal, c.body(stays), ErrNotTakingPart)
	if _, err := dkg.CheckDeal(c.s, newcomer, c.b.View().Previous, &dkg.Commit{}, c.b.View().Joins, c.body(stays)); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("a newcomer's deal: %v", err)
	}
	silentIn(dkg.PhaseVerdict, leaver)
	verdict := c.body(stays)
	c.refuse(leaver, dkg.KindVerdict, verdict, ErrNotTakingPart)
	if _, err := dkg.CheckVerdict(c.s, leaver, c.b.View().Previous, c.b.View().Joins, c.b.View().Deals, verdict); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("a leaver's verdict: %v", err)
	}
	silentIn(dkg.PhaseConfirm, leaver)
	receipt := c.body(stays)
	c.refuse(leaver, dkg.KindReceipt, receipt, ErrNotTakingPart)
	o, _ := c.b.Outcome()
	if err := dkg.CheckReceipt(c.s, leaver, o, receipt); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("a leaver's receipt: %v", err)
	}
	short, err := dkg.DecodeReceipt(receipt)
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.Clone(short.Proofs)
	for _, proofs := range [][][]byte{nil, whole[:1], {whole[0], whole[1], whole[1]}} { // R3
		short.Proofs = proofs
		c.refuse(stays, dkg.KindReceipt, wire.Encode(short), dkg.ErrBatch)
	}
	short.Proofs = [][]byte{whole[1], whole[0]}
	c.refuse(stays, dkg.KindReceipt, wire.Encode(short), sharing.ErrProof)
	c.finish(c.dealers()...)
	for i := range c.shares {
		if !c.s.Receives(i) {
			t.Errorf("place %d, which leaves, has shares", i)
		}
	}
}

// Phases close, and sessions end, by the larger of both t; QUAL needs the old one.
func TestAReshareCountsByTheRightThreshold(t *testing.T) {
	e := born(t, 3, 1, 1, 2, 3, 4, 5)
	for _, tt := range []struct {
		t          int
		nodes      []int
		statements int
	}{
		{2, []int{1, 2, 3, 4}, 3},
		{4, []int{1, 2, 3, 4, 5, 6, 7}, 4},
	} {
		t.Run(fmt.Sprintf("3-of-5 to %d-of-%d", tt.t, len(tt.nodes)), func(t *testing.T) {
			c, _ := e.begin(t, tt.t, tt.nodes...)
			for i := sharing.Index(1); int(i) <= tt.statements; i++ {
				c.accept(i, dkg.KindJoin, c.body(i))
			}
			late, gone := c.b, c.b
			for i := sharing.Index(1); int(i) <= tt.statements; i++ {
				if _, abandoned := gone.Abandoned(); late.Phase() != dkg.PhaseJoin || abandoned {
					t.Fatalf("%d statements suffice", i-1)
				}
				var err, err2 error
				late, err = late.PastDeadline(i, dkg.PhaseJoin)
				gone, err2 = gone.Abandon(i)
				if err != nil || err2 != nil {
					t.Fatal(err, err2)
				}
			}
			if _, abandoned := gone.Abandoned(); late.Phase() != dkg.PhaseCommit || !abandoned {
				t.Errorf("%d statements do not suffice", tt.statements)
			}
		})
	}
	t.Run("two old holders of three are too few to deal, whoever receives", func(t *testing.T) {
		c, _ := e.begin(t, 2, 1, 2, 6, 7)
		for _, i := range []sharing.Index{5, 6, 7} { // the old 3, 4 and 5 are not there
			c.silent[i] = true
		}
		for _, i := range []sharing.Index{1, 2, 3, 4} {
			c.accept(i, dkg.KindJoin, c.body(i))
		}
		c.late()
		if c.b.Phase() != dkg.PhaseJoin {
			t.Fatalf("the %v phase is open", c.b.Phase())
		}
		c.accept(5, dkg.KindJoin, c.body(5))
		if c.b.Phase() != dkg.PhaseCommit {
			t.Fatalf("the %v phase is open", c.b.Phase())
		}
		c.accept(1, dkg.KindCommit, c.body(1))
		c.accept(2, dkg.KindCommit, c.body(2))
		c.late()
		if _, abandoned := c.b.Abandoned(); !abandoned {
			t.Errorf("two dealers went on to the %v phase", c.b.Phase())
		}
	})
	t.Run("one new holder of two is too few to receive, whoever deals", func(t *testing.T) {
		c, _ := e.begin(t, 2, 6, 7, 8, 9)
		for _, i := range []sharing.Index{1, 5, 6, 7, 8, 9} {
			c.accept(i, dkg.KindJoin, c.body(i))
		}
		c.late()
		if c.b.Phase() != dkg.PhaseJoin {
			t.Fatalf("the %v phase is open", c.b.Phase())
		}
		c.accept(2, dkg.KindJoin, c.body(2))
		if c.b.Phase() != dkg.PhaseCommit {
			t.Fatalf("the %v phase is open", c.b.Phase())
		}
	})
}

// Any shapes, any holders, some of them struck before, some silent from some phase
// on, some dealing another constant: the same keys for whoever has a share, or an end.
func TestAnyReshareKeepsTheKeyOrEnds(t *testing.T) {
	ends := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		shape := func(name string) (threshold, h int) {
			h = rapid.IntRange(2, 6).Draw(rt, name+" h")
			return rapid.IntRange(2, h).Draw(rt, name+" t"), h
		}
		universe := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
		someNodes := func(name string, h int) []int { return rapid.Permutation(universe).Draw(rt, name)[:h] }
		tOld, hOld := shape("old")
		tNew, hNew := shape("new")
		e := born(t, tOld, rapid.IntRange(1, 3).Draw(rt, "keys"), someNodes("old nodes", hOld)...)
		for _, node := range e.nodes[:rapid.IntRange(0, hOld-tOld).Draw(rt, "struck")] {
			delete(e.shares, node)
		}
		c, places := e.begin(t, tNew, someNodes("new nodes", hNew)...)
		out := rapid.SliceOfNDistinct(rapid.SampledFrom(c.everyone()), 0, 2, rapid.ID[sharing.Index]).Draw(rt, "bad")
		from := dkg.Phase(rapid.IntRange(int(dkg.PhaseJoin), int(dkg.PhaseConfirm)).Draw(rt, "from"))
		liars := rapid.Bool().Draw(rt, "liars")
		end := c.badFrom(from, out, liars)
		if ends[end]++; end == "the keys" {
			c.same(e)
			next := epochOf(c, places, 2)
			if len(next.shares) < c.s.Receipts() {
				rt.Fatalf("%d have shares", len(next.shares))
			}
			apart(t, e, next)
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
	t.Log(ends)
	if ends["the keys"] < 20 {
		t.Error("hardly any reshare came to its end")
	}
}

// badFrom runs a ceremony in which these participants say nothing from a phase on or,
// as liars, deal what is not their old share. It returns how it ended.
func (c *ceremony) badFrom(from dkg.Phase, bad []sharing.Index, liars bool) string {
	c.Helper()
	for {
		phase := c.b.Phase()
		for _, i := range bad {
			switch {
			case liars && phase == dkg.PhaseCommit && c.s.Deals(i):
				c.alter(i, func(st *stolen) { st.Polynomials[0] = fresh(c, c.s.T) })
			case liars && phase == dkg.PhaseDeal && c.s.Deals(i):
				c.refuse(i, dkg.KindDeal, c.body(i), dkg.ErrKeyChanged)
				c.silent[i] = true
			case !liars && phase >= from:
				c.silent[i] = true
			}
		}
		c.post()
		if reason, abandoned := c.b.Abandoned(); abandoned {
			if dealers := c.dealers(bad...); len(dealers) >= c.s.MinDealers() {
				c.Errorf("abandoned with the dealers %v: %s", dealers, reason)
			}
			return "abandoned"
		}
		if c.b.Phase() == dkg.PhaseConfirm && phase == dkg.PhaseConfirm || c.b.Phase() == phase {
			break
		}
	}
	if c.b.Phase() != dkg.PhaseConfirm {
		return "stuck in the " + c.b.Phase().String() + " phase"
	}
	for k, key := range c.s.Old.Keys {
		if o, _ := c.b.Outcome(); !o.Keys[k].Y.Equal(key.Y) {
			c.Errorf("key %d of the batch has changed", k+1)
		}
	}
	if !c.b.ReadyToActivate() && len(c.b.Late()) == 0 && len(c.everyone())-len(c.silent) >= c.s.Statements() {
		c.late()
	}
	done, err := c.b.Activate()
	if err != nil {
		return "too few receipts"
	}
	o, _ := done.Outcome()
	for k := range c.s.N {
		c.hold(done.Receipts(), k, o.Keys[k])
	}
	c.b = done
	return "the keys"
}
