package board

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// imported begins the import of a key that is whole, x; the owner stands at place h+1.
func imported(t *testing.T, threshold, h int, x *group.Scalar) (c *ceremony, owner sharing.Index) {
	t.Helper()
	s := session(threshold, h, "import")
	var err error
	if s.Old, err = dkg.NewImport(h, [32]byte{7}, group.BaseMul(x)); err != nil {
		t.Fatal(err)
	}
	owner = sharing.Index(h + 1)
	return beginWith(t, s, map[sharing.Index][]*group.Scalar{owner: {x}}), owner
}

func whole(t testing.TB, b []byte) *group.Scalar {
	t.Helper()
	x, err := group.DecodeNonZeroScalar(append(make([]byte, group.ScalarSize-len(b)), b...))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// What was wrapped under the key that is whole, before its shares were dealt, any t
// shares open and no t-1; and so it is after a refresh, whose shares the owner did not
// deal.
func TestAnImportedKeyIsTheOneThatWasWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := rapid.IntRange(2, 6).Draw(rt, "h")
		threshold := rapid.IntRange(2, h).Draw(rt, "t")
		x := whole(t, append([]byte{1}, rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(rt, "x")...))
		c, owner := imported(t, threshold, h, x)

		pk, err := tdh2.NewPublicKey(c.s.Cluster, [32]byte{7}, 1, threshold, h, group.BaseMul(x))
		if err != nil {
			t.Fatal(err)
		}
		context, dek := []byte("album"), bytes.Repeat([]byte{9}, 32)
		envelope, err := tdh2.Wrap(c.rand, pk, context, secret.Clone(dek))
		if err != nil {
			t.Fatal(err)
		}
		opens := func(e *epoch, n int) bool {
			parsed, err := tdh2.Parse(envelope)
			if err != nil {
				t.Fatal(err)
			}
			v, err := pk.Verify(parsed, context)
			if err != nil {
				t.Fatal(err)
			}
			partials := map[sharing.Index]*group.Point{}
			from := rapid.IntRange(0, h-1).Draw(rt, "from")
			for k := range n {
				k = (from + k) % h
				partials[sharing.Index(k+1)] = v.Partial(e.shares[k+1][0])
			}
			got, err := pk.Open(v, partials)
			return err == nil && bytes.Equal(got.Reveal(), dek)
		}

		c.finish(owner)
		nodes := make([]int, h)
		for k := range nodes {
			nodes[k] = k + 1
		}
		e := epochOf(c, nodes, 1)
		if !e.keys[0].Y.Equal(group.BaseMul(x)) {
			t.Error("it is another key")
		}
		if c.shares[owner] != nil {
			t.Error("the owner has a share")
		}
		refresh, places := e.begin(t, threshold, nodes...)
		refresh.finish(all(h)...)
		for _, e := range []*epoch{e, epochOf(refresh, places, 2)} {
			if !opens(e, threshold) || opens(e, threshold-1) {
				t.Errorf("%d-of-%d: t shares open it: %v, t-1 do: %v", threshold, h, opens(e, threshold), opens(e, threshold-1))
			}
		}
		apart(t, e, epochOf(refresh, places, 2))
	})
}

// Whatever else an owner deals than the ordered key, to all who joined, is refused.
func TestAnOwnerDealsTheOrderedKeyToAll(t *testing.T) {
	x := whole(t, []byte("whole"))
	c, owner := imported(t, 3, 5, x)
	c.until(dkg.PhaseCommit)
	other := fresh(c, 3) // another key, of which the owner proves that it knows it
	c.alter(owner, func(st *stolen) { st.Polynomials[0] = other })
	c.accept(owner, dkg.KindCommit, c.body(owner))
	c.refuse(owner, dkg.KindDeal, c.body(owner), dkg.ErrKeyChanged)

	c, owner = imported(t, 3, 5, x)
	c.until(dkg.PhaseCommit)
	c.accept(owner, dkg.KindCommit, c.body(owner))
	for what, tt := range map[string]struct {
		spoil func(*dkg.Deal)
		want  error
	}{
		"to a holder fewer":               {func(d *dkg.Deal) { d.Boxes[4] = nil }, dkg.ErrBoxes},
		"to a shorter list":               {func(d *dkg.Deal) { d.Boxes = d.Boxes[:4] }, dkg.ErrBoxes},
		"to the owner as well":            {func(d *dkg.Deal) { d.Boxes = append(d.Boxes, d.Boxes[0]) }, dkg.ErrBoxes},
		"a lower threshold":               {func(d *dkg.Deal) { d.Commitments[0] = d.Commitments[0][:2] }, sharing.ErrCommitments},
		"a higher threshold":              {func(d *dkg.Deal) { d.Commitments[0] = append(d.Commitments[0], d.Commitments[0][1]) }, sharing.ErrCommitments},
		"without the proof that it knows": {func(d *dkg.Deal) { d.Proofs[0] = make([]byte, len(d.Proofs[0])) }, sharing.ErrProof},
	} {
		deal, err := dkg.DecodeDeal(c.body(owner))
		if err != nil {
			t.Fatal(err)
		}
		if tt.spoil(deal); t.Failed() {
			t.Fatal(what)
		}
		c.refuse(owner, dkg.KindDeal, wire.Encode(deal), tt.want)
	}
	c.finish(owner)
}

// Nobody but the owner deals, and the owner does nothing else: it does not judge what it
// dealt, and of its word no phase closes and no session ends.
func TestTheOwnerAloneDealsAndOnlyDeals(t *testing.T) {
	c, owner := imported(t, 2, 3, whole(t, []byte("whole")))
	c.until(dkg.PhaseCommit)
	for i := sharing.Index(1); i < owner; i++ {
		if ready := c.step(i); ready.Post != nil {
			t.Errorf("holder %d posts a %v", i, ready.Post.Kind)
		}
		c.refuse(i, dkg.KindCommit, wire.Encode(dkg.Commit{Session: c.s.ID, Previous: c.b.View().Previous}), ErrNotTakingPart)
	}
	for _, phase := range []dkg.Phase{dkg.PhaseCommit, dkg.PhaseDeal, dkg.PhaseVerdict, dkg.PhaseConfirm} {
		c.until(phase)
		if _, err := c.b.PastDeadline(owner, phase); !errors.Is(err, dkg.ErrRole) {
			t.Errorf("the owner says that the %v phase is late: %v", phase, err)
		}
		if _, err := c.b.Abandon(owner); !errors.Is(err, dkg.ErrRole) {
			t.Errorf("the owner abandons the session: %v", err)
		}
	}
	c.finish(owner)
}

// A complaint that holds ends the import; one that does not changes nothing.
func TestAnImportEndsWithAComplaint(t *testing.T) {
	for _, lie := range []bool{true, false} {
		c, owner := imported(t, 2, 3, whole(t, []byte("whole")))
		c.until(dkg.PhaseDeal)
		deal, err := dkg.DecodeDeal(c.body(owner))
		if err != nil {
			t.Fatal(err)
		}
		if lie {
			deal.Boxes[1] = (&dealer{c: c, me: owner}).seal(2, 2, whole(t, []byte("other")).Bytes())
		}
		c.accept(owner, dkg.KindDeal, wire.Encode(deal))
		if !lie { // the holder at place 2 accuses the owner all the same
			c.silent[2] = true
			c.accept(1, dkg.KindVerdict, c.body(1))
			c.accept(2, dkg.KindVerdict, wire.Encode(dkg.Verdict{
				Session: c.s.ID, Previous: c.b.View().Previous,
				Complaints: []dkg.Complaint{{Dealer: owner, ReceiveKey: c.receiveSecrets(2)[owner-1]}},
			}))
			c.accept(3, dkg.KindVerdict, c.body(3))
			if c.b.Phase() != dkg.PhaseConfirm || fmt.Sprint(c.b.Accused()[2].Dismissed) != fmt.Sprint([]sharing.Index{owner}) {
				t.Errorf("a false complaint: the %v phase, %+v", c.b.Phase(), c.b.Accused())
			}
			continue
		}
		c.post()
		reason, abandoned := c.b.Abandoned()
		if !abandoned || fmt.Sprint(c.b.Accused()[2].Upheld) != fmt.Sprint([]sharing.Index{owner}) {
			t.Errorf("a wrong sub-share: the %v phase, %+v", c.b.Phase(), c.b.Accused())
		}
		if want := "0 dealers are left after the verdict phase, 1 are needed"; reason != want {
			t.Errorf("it is abandoned because %q, want %q", reason, want)
		}
	}
}

// An owner who is silent after the commit has dealt nothing.
func TestAnImportEndsWhenTheOwnerIsSilent(t *testing.T) {
	c, owner := imported(t, 2, 3, whole(t, []byte("whole")))
	c.until(dkg.PhaseDeal)
	c.silent[owner] = true
	c.post()
	if _, abandoned := c.b.Abandoned(); !abandoned {
		t.Errorf("the %v phase is open", c.b.Phase())
	}
}

// A holder that is down at the import has no share, and a refresh gives it one.
func TestAnImportGoesOnWithoutAHolder(t *testing.T) {
	c, owner := imported(t, 3, 5, whole(t, []byte("whole")))
	c.silent[5] = true
	c.finish(owner)
	if fmt.Sprint(c.b.Struck()) != "[5]" {
		t.Errorf("struck: %v", c.b.Struck())
	}
	e := epochOf(c, []int{1, 2, 3, 4, 5}, 1)
	refresh, _ := e.begin(t, 3, 1, 2, 3, 4, 5)
	refresh.finish(1, 2, 3, 4)
	refresh.same(e)
}
