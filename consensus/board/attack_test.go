package board

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"
	"math"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

const evil = sharing.Index(3)

// A deal that breaks a public rule is refused by name. Its dealer, who has
// committed, is excluded when the phase closes, and the others finish without it.
func TestABadDealIsRefusedAndTheRunCompletes(t *testing.T) {
	other := session(3, 5, "another session")
	for name, tt := range map[string]struct {
		threshold int // of the dealer's polynomial
		spoil     func(*dealer, *dkg.Deal)
		want      error
	}{
		// R2
		"no commitments":                 {0, func(*dealer, *dkg.Deal) {}, sharing.ErrCommitments},
		"one commitment":                 {1, func(*dealer, *dkg.Deal) {}, sharing.ErrCommitments},
		"a lower threshold":              {2, func(*dealer, *dkg.Deal) {}, sharing.ErrCommitments},
		"a higher threshold":             {4, func(*dealer, *dkg.Deal) {}, sharing.ErrCommitments},
		"threshold n":                    {5, func(*dealer, *dkg.Deal) {}, sharing.ErrCommitments},
		"another commitment than before": {3, func(d *dealer, deal *dkg.Deal) { deal.Commitments[0] = d.c.dealer(evil, 3).commitments }, dkg.ErrCommitment},
		"one coefficient changed": {3, func(_ *dealer, deal *dkg.Deal) {
			deal.Commitments[0] = append(deal.Commitments[0][:2:2], group.Generator().Bytes())
		}, dkg.ErrCommitment},
		// R4
		"the identity as a commitment":  {3, func(_ *dealer, deal *dkg.Deal) { deal.Commitments[0] = [][]byte{{0}, {0}, {0}} }, sharing.ErrCommitments},
		"a commitment off the curve":    {3, func(_ *dealer, deal *dkg.Deal) { deal.Commitments[0][1] = flip(deal.Commitments[0][1], 64) }, sharing.ErrCommitments},
		"a compressed commitment":       {3, func(d *dealer, deal *dkg.Deal) { deal.Commitments[0][0] = d.poly.Commit()[0].Compressed() }, sharing.ErrCommitments},
		"no proof of knowledge":         {3, func(_ *dealer, deal *dkg.Deal) { deal.Proofs[0] = nil }, sharing.ErrProof},
		"a proof of zeros":              {3, func(_ *dealer, deal *dkg.Deal) { deal.Proofs[0] = make([]byte, sharing.ProofSize) }, sharing.ErrProof},
		"a proof from another session":  {3, func(d *dealer, deal *dkg.Deal) { deal.Proofs[0] = d.prove(other, evil, deal.Previous) }, sharing.ErrProof},
		"a proof of another dealer":     {3, func(d *dealer, deal *dkg.Deal) { deal.Proofs[0] = d.prove(d.c.s, 4, deal.Previous) }, sharing.ErrProof},
		"a proof over another list":     {3, func(d *dealer, deal *dkg.Deal) { deal.Proofs[0] = d.prove(d.c.s, evil, [32]byte{}) }, sharing.ErrProof},
		"a deal over another list":      {3, func(_ *dealer, deal *dkg.Deal) { deal.Previous[0] ^= 1 }, dkg.ErrPrevious},
		"a deal for another session":    {3, func(_ *dealer, deal *dkg.Deal) { deal.Session = other.ID }, dkg.ErrSession}, // R17
		"no boxes":                      {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes = nil }, dkg.ErrBoxes},          // R3
		"a box too few":                 {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes = deal.Boxes[:4] }, dkg.ErrBoxes},
		"a box too many":                {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes = append(deal.Boxes, deal.Boxes[0]) }, dkg.ErrBoxes},
		"an empty box":                  {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0] = nil }, dkg.ErrBoxes},
		"a box that is a byte too long": {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0] = append(deal.Boxes[0], 0) }, dkg.ErrBoxes},
		"a box for itself":              {3, func(_ *dealer, deal *dkg.Deal) { deal.Boxes[2] = deal.Boxes[0] }, dkg.ErrBoxes},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, session(3, 5, "bad deal")).until(dkg.PhaseCommit)
			d := c.dealer(evil, tt.threshold)
			c.accept(evil, dkg.KindCommit, d.commit())
			c.until(dkg.PhaseDeal)
			deal := d.deal()
			tt.spoil(d, deal)
			c.refuse(evil, dkg.KindDeal, wire.Encode(deal), tt.want)
			c.finish(all(5, evil)...)
		})
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// R2: lists that only claim to be long.
func TestADealThatClaimsManyCommitmentsIsRefused(t *testing.T) {
	c := begin(t, session(3, 5, "bad deal")).until(dkg.PhaseCommit)
	d := c.dealer(evil, 3)
	c.accept(evil, dkg.KindCommit, d.commit())
	c.until(dkg.PhaseDeal)
	deal := d.deal()
	list := wire.Encode(deal.Commitments[0])
	claim := append([]byte{0x9a, 0x80, 0, 0, 0}, list[1:]...) // 2^31 of them, says the head
	c.refuse(evil, dkg.KindDeal, bytes.Replace(wire.Encode(deal), list, claim, 1), wire.ErrMalformed)
	for len(deal.Commitments[0]) < dkg.MaxBody/group.PointSize {
		deal.Commitments[0] = append(deal.Commitments[0], deal.Commitments[0]...)
	}
	c.refuse(evil, dkg.KindDeal, wire.Encode(deal), dkg.ErrTooLarge)
	c.finish(all(5, evil)...)
}

// R19: what was refused does not stand in the way of the real one.
func TestARefusedDealDoesNotBlockTheRealOne(t *testing.T) {
	c := begin(t, session(3, 5, "again")).until(dkg.PhaseDeal)
	body := c.body(evil)
	deal, err := dkg.DecodeDeal(body)
	if err != nil {
		t.Fatal(err)
	}
	deal.Proofs[0] = flip(deal.Proofs[0], 0)
	c.refuse(evil, dkg.KindDeal, wire.Encode(deal), sharing.ErrProof)
	c.accept(evil, dkg.KindDeal, body)
	c.finish(all(5)...)
}

// A deal whose box is bad passes the public checks; its victim complains, and
// everyone sees that it is right.
func TestABadBoxIsComplainedAboutAndItsDealerExcluded(t *testing.T) {
	for name, spoil := range map[string]func(*dealer, *dkg.Deal){
		"a wrong sub-share": func(d *dealer, deal *dkg.Deal) {
			deal.Boxes[0] = d.seal(1, 1, d.poly.Eval(2).Bytes())
		},
		"a sub-share above the group order": func(d *dealer, deal *dkg.Deal) {
			deal.Boxes[0] = d.seal(1, 1, bytes.Repeat([]byte{0xff}, 32))
		},
		"a box for another recipient": func(d *dealer, deal *dkg.Deal) { // R8
			deal.Boxes[0] = d.seal(1, 2, d.poly.Eval(1).Bytes())
		},
		"a box that was moved":                   func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0] = deal.Boxes[1] },
		"a flipped bit":                          func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0] = flip(deal.Boxes[0], dkg.BoxSize(1)-1) },
		"an encapsulation that is not a point":   func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0] = make([]byte, dkg.BoxSize(1)) },
		"bad boxes for two, one of which is off": func(_ *dealer, deal *dkg.Deal) { deal.Boxes[0], deal.Boxes[1] = deal.Boxes[1], deal.Boxes[0] },
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, session(3, 5, "bad box")).until(dkg.PhaseCommit)
			d := c.dealer(evil, 3)
			c.accept(evil, dkg.KindCommit, d.commit())
			c.until(dkg.PhaseDeal)
			deal := d.deal()
			spoil(d, deal)
			c.accept(evil, dkg.KindDeal, wire.Encode(deal))
			c.until(dkg.PhaseVerdict)
			// It even agrees with everyone, so only the complaint excludes it.
			c.accept(evil, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: c.s.ID, Previous: c.b.View().Previous}))
			c.until(dkg.PhaseConfirm)
			if got := c.b.Accused()[1]; fmt.Sprint(got.Upheld) != "[3]" || got.Dismissed != nil {
				t.Errorf("holder 1 accused %+v", got)
			}
			c.finish(all(5, evil)...)
		})
	}
}

func TestAFalseComplaintIsDismissed(t *testing.T) {
	c := begin(t, session(3, 5, "false complaint")).until(dkg.PhaseVerdict)
	secrets := c.receiveSecrets(evil)
	previous := c.b.View().Previous
	verdict := func(list ...dkg.Complaint) []byte {
		return wire.Encode(dkg.Verdict{Session: c.s.ID, Previous: previous, Complaints: list})
	}
	about := func(dealer sharing.Index) dkg.Complaint {
		return dkg.Complaint{Dealer: dealer, ReceiveKey: secrets[(dealer+4)%5]}
	}
	// Not complaints at all.
	c.refuse(evil, dkg.KindVerdict, verdict(dkg.Complaint{Dealer: 1, ReceiveKey: secrets[1]}), dkg.ErrReceiveKey)
	c.refuse(evil, dkg.KindVerdict, verdict(dkg.Complaint{Dealer: 1, ReceiveKey: make([]byte, 32)}), dkg.ErrReceiveKey)
	c.refuse(evil, dkg.KindVerdict, verdict(dkg.Complaint{Dealer: 1}), dkg.ErrReceiveKey)
	c.refuse(evil, dkg.KindVerdict, verdict(about(1), about(1)), dkg.ErrComplaints)
	c.refuse(evil, dkg.KindVerdict, verdict(about(2), about(1)), dkg.ErrComplaints)
	c.refuse(evil, dkg.KindVerdict, verdict(about(1), about(2), about(4), about(5), about(5)), dkg.ErrComplaints)
	for _, i := range []sharing.Index{evil, 0, -1, 6, 17, math.MaxInt64, math.MinInt64} { // R1
		c.refuse(evil, dkg.KindVerdict, verdict(dkg.Complaint{Dealer: i, ReceiveKey: secrets[0]}), dkg.ErrComplaints)
	}
	// Complaints, and lies.
	c.accept(evil, dkg.KindVerdict, verdict(about(1), about(5)))
	if got := c.b.Accused()[evil]; got.Upheld != nil || fmt.Sprint(got.Dismissed) != "[1 5]" {
		t.Errorf("accused %+v", got)
	}
	c.finish(all(5)...)
}

func TestWhoIsSilentIsExcluded(t *testing.T) {
	for name, tt := range map[string]struct {
		from dkg.Phase
		qual []sharing.Index
	}{
		"who never joins":                {dkg.PhaseJoin, all(5, evil)},
		"who joins and never commits":    {dkg.PhaseCommit, all(5, evil)},
		"who commits and never deals":    {dkg.PhaseDeal, all(5, evil)},
		"who deals and gives no verdict": {dkg.PhaseVerdict, all(5, evil)},
		"who does not confirm":           {dkg.PhaseConfirm, all(5)},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, session(3, 5, "silent")).until(tt.from)
			c.silent[evil] = true
			c.finish(tt.qual...)
			if fmt.Sprint(c.b.Struck()) != "[3]" {
				t.Errorf("struck %v", c.b.Struck())
			}
		})
	}
	// Silence in one phase excludes from dealing, not from holding.
	c := begin(t, session(3, 5, "slow")).until(dkg.PhaseVerdict)
	c.silent[evil] = true
	c.until(dkg.PhaseConfirm)
	c.silent[evil] = false
	c.finish(all(5, evil)...)
	if c.b.Struck() != nil {
		t.Errorf("struck %v", c.b.Struck())
	}
}

func TestTooFewDealersAbandonTheSession(t *testing.T) {
	for _, from := range []dkg.Phase{dkg.PhaseCommit, dkg.PhaseDeal, dkg.PhaseVerdict} {
		c := begin(t, session(3, 5, "too few")).until(from)
		for i := sharing.Index(1); i <= 2; i++ {
			c.accept(i, dkg.Kind(from), c.body(i))
		}
		c.late()
		reason, ok := c.b.Abandoned()
		if !ok || c.b.Phase() != dkg.PhaseAbandoned || reason == "" {
			t.Errorf("%v: two of three dealers, and the board is in its %v phase", from, c.b.Phase())
		}
		if _, ok := c.b.Outcome(); ok {
			t.Errorf("%v: an abandoned session has an outcome", from)
		}
		c.refuse(3, dkg.Kind(from), []byte{0}, ErrPhase)
		if _, err := c.b.Activate(); !errors.Is(err, ErrPhase) {
			t.Errorf("%v: activate: %v", from, err)
		}
		if ready := c.step(1); ready.Post != nil || ready.Shares != nil {
			t.Errorf("%v: a participant goes on after the end", from)
		}
	}
}

func TestTheJoinPhaseWaitsForAThreshold(t *testing.T) {
	c := begin(t, session(3, 5, "join"))
	c.accept(1, dkg.KindJoin, c.body(1))
	c.accept(2, dkg.KindJoin, c.body(2))
	c.late()
	if c.b.Phase() != dkg.PhaseJoin {
		t.Fatalf("the join phase closed with two of three")
	}
	c.accept(5, dkg.KindJoin, c.body(5))
	if c.b.Phase() != dkg.PhaseCommit {
		t.Fatalf("the join phase is open although it is late and three joined")
	}
	c.silent[3], c.silent[4] = true, true
	c.refuse(3, dkg.KindCommit, nil, ErrNotTakingPart)
	c.until(dkg.PhaseConfirm)
	c.post()
	if c.b.ReadyToActivate() {
		t.Error("three receipts of five activate a key with f = 1")
	}
}

func TestDeadlinesAndAbandonmentTakeTHolders(t *testing.T) {
	c := begin(t, session(3, 5, "statements"))
	for i := sharing.Index(1); i <= 4; i++ {
		c.accept(i, dkg.KindJoin, c.body(i))
	}
	say := func(b *Board, i sharing.Index, phase dkg.Phase, want error) *Board {
		t.Helper()
		next, err := b.PastDeadline(i, phase)
		if !errors.Is(err, want) {
			t.Errorf("holder %d, %v phase: got %v, want %v", i, phase, err, want)
		}
		if err != nil {
			return b
		}
		return next
	}
	b := say(c.b, 1, dkg.PhaseJoin, nil)
	b = say(b, 1, dkg.PhaseJoin, ErrTwice)
	b = say(b, 1, dkg.PhaseCommit, ErrPhase)
	for _, i := range []sharing.Index{0, 6, -1, 1 << 32} { // R1
		b = say(b, i, dkg.PhaseJoin, sharing.ErrIndex)
		if _, err := b.Abandon(i); !errors.Is(err, sharing.ErrIndex) {
			t.Errorf("abandon by %d: %v", i, err)
		}
	}
	b = say(b, 5, dkg.PhaseJoin, nil)
	if b.Phase() != dkg.PhaseJoin {
		t.Error("two statements closed a phase")
	}
	b = say(b, 2, dkg.PhaseJoin, nil)
	if b.Phase() != dkg.PhaseCommit || b.Late() != nil {
		t.Error("three statements did not close the phase, or counted for the next")
	}

	for k := range 3 {
		if _, ok := b.Abandoned(); ok {
			t.Errorf("%d holders abandoned it", k)
		}
		next, err := b.Abandon(sharing.Index(k + 1))
		if err != nil {
			t.Fatal(err)
		}
		b = next
		if _, err := b.Abandon(sharing.Index(k + 1)); err == nil {
			t.Error("a holder abandoned it twice")
		}
	}
	if _, ok := b.Abandoned(); !ok {
		t.Error("three holders did not abandon it")
	}
	b = say(b, 1, dkg.PhaseAbandoned, ErrPhase)
	if _, err := b.Abandon(5); !errors.Is(err, ErrPhase) {
		t.Errorf("abandon after the end: %v", err)
	}
	done := begin(t, session(3, 5, "done"))
	done.finish(all(5)...)
	if _, err := done.b.Abandon(5); !errors.Is(err, ErrPhase) {
		t.Errorf("abandon after the end: %v", err)
	}
	if _, err := done.b.Activate(); !errors.Is(err, ErrPhase) {
		t.Errorf("activate twice: %v", err)
	}
}

// Every post is tried early, late, twice, from a wrong index, of a wrong kind, and
// in another session.
func TestPostsOutOfPlaceAreRefused(t *testing.T) {
	foreign := begin(t, session(3, 5, "foreign"))
	foreign.finish(all(5)...)
	byPhase := map[dkg.Kind][]byte{}
	for _, e := range foreign.posts {
		if e.author == 2 {
			byPhase[e.kind] = e.body
		}
	}
	c := begin(t, session(3, 5, "here"))
	for c.b.Phase() <= dkg.PhaseConfirm && !c.b.ReadyToActivate() {
		kind := dkg.Kind(c.b.Phase())
		for k := dkg.KindJoin; k <= dkg.KindReceipt; k++ {
			if k != kind {
				c.refuse(2, k, byPhase[k], ErrPhase)
			}
		}
		c.refuse(2, kind, byPhase[kind], dkg.ErrSession) // R17
		c.refuse(2, kind, nil, wire.ErrMalformed)
		c.refuse(2, kind, append(c.body(2), 0), wire.ErrMalformed)
		c.refuse(2, kind, make([]byte, dkg.MaxBody+1), dkg.ErrTooLarge)
		c.refuse(2, 0, c.body(2), ErrKind)
		c.refuse(2, dkg.KindReceipt+1, c.body(2), ErrKind)
		for _, i := range []sharing.Index{0, -1, 6, 16, 17, 1 << 31, math.MaxInt64, math.MinInt64} { // R1
			c.refuse(i, kind, c.body(2), sharing.ErrIndex)
		}
		mine := c.body(2)
		if stale, ok := overAnotherList(t, kind, mine); ok {
			c.refuse(2, kind, stale, dkg.ErrPrevious)
		}
		c.accept(2, kind, mine)
		c.refuse(2, kind, mine, ErrTwice)
		for _, i := range []sharing.Index{1, 3, 4, 5} {
			c.accept(i, kind, c.body(i))
		}
		if kind != dkg.KindReceipt {
			c.refuse(2, kind, mine, ErrPhase)
		}
	}
}

// overAnotherList is a post as one would make it who had seen another list.
func overAnotherList(t *testing.T, kind dkg.Kind, body []byte) (stale []byte, ok bool) {
	t.Helper()
	switch kind {
	case dkg.KindCommit:
		p, err := dkg.DecodeCommit(body)
		if err != nil {
			t.Fatal(err)
		}
		p.Previous[0] ^= 1
		return wire.Encode(p), true
	case dkg.KindDeal:
		p, err := dkg.DecodeDeal(body)
		if err != nil {
			t.Fatal(err)
		}
		p.Previous[0] ^= 1
		return wire.Encode(p), true
	case dkg.KindVerdict:
		p, err := dkg.DecodeVerdict(body)
		if err != nil {
			t.Fatal(err)
		}
		p.Previous[0] ^= 1
		return wire.Encode(p), true
	}
	return nil, false
}

// One holder's posts do not serve another.
func TestPostsOfAnotherHolderAreRefused(t *testing.T) {
	c := begin(t, session(3, 5, "borrowed"))
	c.refuse(evil, dkg.KindJoin, c.body(1), dkg.ErrReceiveKey)
	c.until(dkg.PhaseCommit)
	c.accept(evil, dkg.KindCommit, c.body(1)) // a hash shows nothing, until it is to be opened
	c.silent[evil] = true
	c.until(dkg.PhaseDeal)
	deal, err := dkg.DecodeDeal(c.body(1))
	if err != nil {
		t.Fatal(err)
	}
	deal.Boxes[0], deal.Boxes[2] = deal.Boxes[1], nil
	c.refuse(evil, dkg.KindDeal, wire.Encode(deal), dkg.ErrCommitment)
	c.until(dkg.PhaseConfirm)
	c.refuse(evil, dkg.KindReceipt, c.body(1), sharing.ErrProof)
	receipt, err := dkg.DecodeReceipt(c.body(1))
	if err != nil {
		t.Fatal(err)
	}
	receipt.Transcript[0] ^= 1 // R7
	c.refuse(1, dkg.KindReceipt, wire.Encode(receipt), dkg.ErrTranscript)
	c.finish(all(5, evil)...)
}

func TestBadJoinsAreRefused(t *testing.T) {
	c := begin(t, session(3, 5, "bad join"))
	for name, tt := range map[string]struct {
		spoil func(*dkg.Join)
		want  error
	}{
		"no keys":          {func(j *dkg.Join) { j.ReceiveKeys = nil }, dkg.ErrReceiveKeys}, // R3
		"a key too few":    {func(j *dkg.Join) { j.ReceiveKeys = j.ReceiveKeys[:4] }, dkg.ErrReceiveKeys},
		"a key too many":   {func(j *dkg.Join) { j.ReceiveKeys = append(j.ReceiveKeys, j.ReceiveKeys[0]) }, dkg.ErrReceiveKeys},
		"a key for itself": {func(j *dkg.Join) { j.ReceiveKeys[2] = j.ReceiveKeys[0] }, dkg.ErrReceiveKeys},
		"one key for two":  {func(j *dkg.Join) { j.ReceiveKeys[0] = j.ReceiveKeys[1] }, dkg.ErrReceiveKeys},
		"an empty key":     {func(j *dkg.Join) { j.ReceiveKeys[0] = nil }, dkg.ErrReceiveKey},
		"a key off the curve": {func(j *dkg.Join) {
			j.ReceiveKeys[0] = flip(j.ReceiveKeys[0], dkg.ReceiveKeySize-1)
		}, dkg.ErrReceiveKey},
		"a key of ones": {func(j *dkg.Join) { j.ReceiveKeys[0] = bytes.Repeat([]byte{0xff}, dkg.ReceiveKeySize) }, dkg.ErrReceiveKey},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := dkg.DecodeJoin(c.body(evil))
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(j)
			c.refuse(evil, dkg.KindJoin, wire.Encode(j), tt.want)
		})
	}
}

// R5: n-t+1 colluders wait until all others have dealt. The last of them wants the
// group key to be one that it knows, or the others' to cancel out.
func TestTheLastPosterCannotChooseTheKey(t *testing.T) {
	for h := 3; h <= 9; h++ {
		for threshold := 2; threshold <= h; threshold++ {
			t.Run(fmt.Sprintf("%d-of-%d", threshold, h), func(t *testing.T) {
				last := sharing.Index(h)
				// What it would need to post is known only when the others have dealt.
				c := begin(t, session(threshold, h, "rogue")).until(dkg.PhaseCommit)
				d := c.dealer(last, threshold)
				c.accept(last, dkg.KindCommit, d.commit())
				c.until(dkg.PhaseDeal)
				c.dealOthers(last)
				deal := d.deal()
				rogue := d.poly.Commit().Constant()
				for i := sharing.Index(1); i < last; i++ {
					rogue = rogue.Add(c.dealt(i).Constant().Neg())
				}
				deal.Commitments[0] = append([][]byte{rogue.Bytes()}, deal.Commitments[0][1:]...)
				c.refuse(last, dkg.KindDeal, wire.Encode(deal), dkg.ErrCommitment)
				c.without(last)

				// Even one that had guessed them could not prove that it knows its constant.
				c = begin(t, session(threshold, h, "rogue")).until(dkg.PhaseCommit)
				d = c.dealer(last, threshold)
				rogue = d.poly.Commit().Constant().Add(group.SecondGenerator().Neg())
				d.commitments = append([][]byte{rogue.Bytes()}, d.commitments[1:]...)
				c.accept(last, dkg.KindCommit, d.commit())
				c.until(dkg.PhaseDeal)
				c.dealOthers(last)
				c.refuse(last, dkg.KindDeal, wire.Encode(d.deal()), sharing.ErrProof)
				c.without(last)
			})
		}
	}
}

// without holds that the others go on as far as their number allows: to a key, to
// one that waits for the last receipt if h = t+1, or to the end of the session if
// all were needed.
func (c *ceremony) without(last sharing.Index) {
	c.Helper()
	switch c.s.H - c.s.T {
	case 0:
		// The others are fewer than t and cannot close the phase: the ledger's time does.
		c.post()
		if c.b.Phase() != dkg.PhaseDeal {
			c.Errorf("%d holders of %d closed the phase", c.s.T-1, c.s.H)
		}
		expired, err := c.b.Expire()
		if err != nil {
			c.Fatal(err)
		}
		if _, ok := expired.Abandoned(); !ok || expired.Digest() == c.b.Digest() {
			c.Errorf("the board is in its %v phase", expired.Phase())
		}
		if _, err := expired.Expire(); !errors.Is(err, ErrPhase) {
			c.Errorf("expire twice: %v", err)
		}
	case 1:
		c.confirm(all(c.s.H, last)...)
		if c.b.ReadyToActivate() {
			c.Error("ready without the last receipt")
		}
	default:
		c.finish(all(c.s.H, last)...)
	}
}

func (c *ceremony) dealOthers(last sharing.Index) {
	c.Helper()
	for i := sharing.Index(1); i < last; i++ {
		c.accept(i, dkg.KindDeal, c.body(i))
	}
}

// dealt returns what holder i revealed, as everyone can read it.
func (c *ceremony) dealt(i sharing.Index) sharing.Commitments {
	c.Helper()
	for _, e := range c.posts {
		if e.author == i && e.kind == dkg.KindDeal {
			deal, err := dkg.DecodeDeal(e.body)
			if err != nil {
				c.Fatal(err)
			}
			commitments, err := sharing.DecodeCommitments(deal.Commitments[0], c.s.T)
			if err != nil {
				c.Fatal(err)
			}
			return commitments
		}
	}
	c.Fatalf("holder %d has not dealt", i)
	return nil
}

// A participant whose state is lost or old does not go on under a name that has
// already said something else.
func TestAParticipantRefusesAPostInItsNameThatIsNotIts(t *testing.T) {
	for _, phase := range []dkg.Phase{dkg.PhaseCommit, dkg.PhaseDeal} {
		c := begin(t, session(3, 5, "twin")).until(phase)
		if phase == dkg.PhaseDeal {
			old := begin(t, session(3, 5, "twin")).until(dkg.PhaseCommit) // the same keys, no commit yet
			c.parts[1] = old.parts[1]
		} else {
			fresh, err := dkg.NewParticipant(c.s, 1, nil, c.rand)
			if err != nil {
				t.Fatal(err)
			}
			c.parts[1] = fresh
		}
		if _, err := c.parts[1].Step(c.b.View(), c.rand); !errors.Is(err, dkg.ErrNotMine) {
			t.Errorf("%v: got %v, want %v", phase, err, dkg.ErrNotMine)
		}
	}
	c := begin(t, session(3, 5, "one"))
	if _, err := c.parts[1].Step(New(session(3, 5, "two")).View(), c.rand); !errors.Is(err, dkg.ErrSession) {
		t.Errorf("got %v, want %v", err, dkg.ErrSession)
	}
}

// Who slept through the verdict cannot complain any more, and says so instead of
// confirming a share that it does not have.
func TestAVictimThatSleptHasNoShare(t *testing.T) {
	c := begin(t, session(3, 5, "slept")).until(dkg.PhaseCommit)
	d := c.dealer(evil, 3)
	c.accept(evil, dkg.KindCommit, d.commit())
	c.until(dkg.PhaseDeal)
	deal := d.deal()
	deal.Boxes[0] = flip(deal.Boxes[0], 0)
	c.accept(evil, dkg.KindDeal, wire.Encode(deal))
	c.until(dkg.PhaseVerdict)
	c.accept(evil, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: c.s.ID, Previous: c.b.View().Previous}))
	c.silent[1] = true
	c.until(dkg.PhaseConfirm)
	if _, err := c.parts[1].Step(c.b.View(), c.rand); !errors.Is(err, dkg.ErrNoShare) {
		t.Errorf("got %v, want %v", err, dkg.ErrNoShare)
	}
}

// The private key of a receive key is what a complaint shows, and nothing that
// another dealer sent opens with it.
func TestAComplaintShowsOneBoxOnly(t *testing.T) {
	c := begin(t, session(3, 5, "one box")).until(dkg.PhaseVerdict)
	secrets := c.receiveSecrets(evil)
	v := c.b.View()
	seen := map[string]bool{}
	for k, s := range secrets {
		if sharing.Index(k+1) == evil {
			continue
		}
		sk, err := hpke.MLKEM768P256().NewPrivateKey(s)
		if err != nil {
			t.Fatal(err)
		}
		if pk := string(sk.PublicKey().Bytes()); seen[pk] || pk != string(v.Joins[evil-1].ReceiveKeys[k]) {
			t.Errorf("the key for dealer %d is not its own", k+1)
		} else {
			seen[pk] = true
		}
	}
}
