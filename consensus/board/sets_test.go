package board

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tprf"
)

func symmetricSession(t, h int, name string) dkg.Session {
	s := session(t, h, name)
	s.Symmetric = &dkg.SymmetricKey{Key: tag.Hash(tag.SelfTest, []byte("key")), Version: 1}
	return s
}

func (c *ceremony) params() sharing.Params { return sharing.Params{T: c.s.T, H: c.s.H} }

// contribution is what a holder gives to the key of a set, as it rests in its state; the
// owner of a seed gives to all.
func (c *ceremony) contribution(i sharing.Index, set tprf.Set) []byte {
	c.Helper()
	given := tprf.Held(c.params(), i)
	if !c.s.Receives(i) {
		given = tprf.Sets(c.params())
	}
	k := slices.Index(given, set)
	return c.steal(i).Contributions[k*32 : (k+1)*32]
}

// holdSets holds the shares of a symmetric key against its definition, written out: the
// members of each set have the key that the contributions of its qualified members give,
// which the board has the hash of; and any t holders know one function.
func (c *ceremony) holdSets(holders []sharing.Index) {
	c.Helper()
	o, _ := c.b.Outcome()
	if len(o.Keys) != 0 {
		c.Errorf("%d public keys of a symmetric key", len(o.Keys))
	}
	record := c.b.SetHashes()
	for k, set := range tprf.Sets(c.params()) {
		var all []byte
		for _, i := range o.Qual {
			if set.Has(i) || !c.s.Receives(i) {
				all = append(all, c.contribution(i, set)...)
			}
		}
		info := tag.List(tag.SetKeyDerived, c.s.Cluster[:], c.s.Symmetric.Key[:], tag.Uint64(1), tag.Uint64(uint64(c.s.H)), tag.Uint64(uint64(c.s.T)), tag.Uint64(uint64(set)))
		key, err := hkdf.Key(sha256.New, all, nil, string(info), 32)
		if err != nil {
			c.Fatal(err)
		}
		if hash := tprf.SetKeyHash(c.s.ID, set, secret.New(key)); !bytes.Equal(record[k], hash[:]) {
			c.Errorf("the board has another hash of the key of the set %b", set)
		}
	}
	for _, i := range holders {
		if c.sets[i] == nil {
			c.Fatalf("holder %d has no share", i)
		}
		if !c.sets[i].Fits(c.s.ID, record) {
			c.Errorf("the share of holder %d is not of this key", i)
		}
	}
	x := tprf.ItemInput(tprf.Key{}, []byte("context"), "principal", [32]byte{7})
	var value *tprf.Value
	for j := 0; j+c.s.T <= len(holders); j++ {
		asked, sums := tprf.Set(0), map[sharing.Index]tprf.Value{}
		for _, i := range holders[j : j+c.s.T] {
			asked |= 1 << (i - 1)
		}
		work, err := tprf.Assign(c.params(), asked, 1)
		if err != nil {
			c.Fatal(err)
		}
		for _, i := range holders[j : j+c.s.T] {
			if sums[i], err = c.sets[i].Sum(work[i], x); err != nil {
				c.Fatal(err)
			}
		}
		f, err := tprf.Combine(c.params(), sums)
		if err != nil {
			c.Fatal(err)
		}
		if value != nil && *value != f {
			c.Errorf("the holders %v know another function", holders[j:j+c.s.T])
		}
		value = &f
	}
}

// Every participant is restarted from its state at each step on the way.
func TestAnHonestSymmetricBirthGivesEveryHolderItsSets(t *testing.T) {
	for h := 2; h <= 6; h++ {
		for threshold := 2; threshold <= h; threshold++ {
			t.Run(fmt.Sprintf("%d-of-%d", threshold, h), func(t *testing.T) {
				c := begin(t, symmetricSession(threshold, h, "honest"))
				c.finish(all(h)...)
				if struck := c.b.Struck(); struck != nil {
					t.Errorf("%v were struck", struck)
				}
			})
		}
	}
	t.Run("5-of-9", func(t *testing.T) { begin(t, symmetricSession(5, 9, "honest")).finish(all(9)...) })
}

// Of two sessions none has a key of the other: versions are independent.
func TestTwoSymmetricBirthsHaveNoKeyInCommon(t *testing.T) {
	a, b := begin(t, symmetricSession(3, 5, "one")), begin(t, symmetricSession(3, 5, "other"))
	a.finish(all(5)...)
	b.rand.Seed([32]byte{9})
	for i := range b.parts {
		p, err := dkg.NewParticipant(b.s, i, nil, b.rand)
		if err != nil {
			t.Fatal(err)
		}
		b.parts[i] = p
	}
	b.finish(all(5)...)
	one, other := a.sets[1].Bytes(), b.sets[1].Bytes()
	for k := 0; k < one.Len(); k += 32 {
		if bytes.Contains(other.Reveal(), one.Reveal()[k:k+32]) {
			t.Errorf("set key %d is the same", k/32)
		}
	}
}

// box seals what dealer says to recipient, as d.seal does.
func (c *ceremony) box(dealer, recipient sharing.Index, plain []byte) []byte {
	c.Helper()
	pk, err := hpke.MLKEM768P256().NewPublicKey(c.b.View().Joins[recipient-1].ReceiveKeys[dealer-1])
	if err != nil {
		c.Fatal(err)
	}
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), tag.List(tag.DealBox))
	if err != nil {
		c.Fatal(err)
	}
	box, err := sender.Seal(tag.List(tag.DealBox, bind(c.s, tag.Uint64(uint64(dealer)), tag.Uint64(uint64(recipient)))...), plain)
	if err != nil {
		c.Fatal(err)
	}
	return append(enc, box...)
}

// dealtTo is what evil's honest deal has in its box for a recipient.
func (c *ceremony) dealtTo(recipient sharing.Index) []byte {
	c.Helper()
	var plain []byte
	for _, set := range tprf.Held(c.params(), evil) {
		if set.Has(recipient) {
			plain = append(plain, c.contribution(evil, set)...)
		}
	}
	return plain
}

// A dealer that gives one member another contribution than it committed to, or a box that
// does not open, is complained about, and everyone sees that the complaint is right.
func TestALyingDealerOfContributionsIsExcluded(t *testing.T) {
	for name, spoil := range map[string]func(*ceremony, *dkg.Deal){
		"another contribution to one set": func(c *ceremony, d *dkg.Deal) {
			plain := c.dealtTo(1)
			plain[len(plain)-1] ^= 1
			d.Boxes[0] = c.box(evil, 1, plain)
		},
		"two contributions in each other's place": func(c *ceremony, d *dkg.Deal) {
			plain := c.dealtTo(1)
			d.Boxes[0] = c.box(evil, 1, slices.Concat(plain[32:64], plain[:32], plain[64:]))
		},
		"a box for another member":               func(c *ceremony, d *dkg.Deal) { d.Boxes[0] = c.box(evil, 1, c.dealtTo(2)) },
		"a box that was moved":                   func(_ *ceremony, d *dkg.Deal) { d.Boxes[0] = d.Boxes[1] },
		"a flipped bit":                          func(_ *ceremony, d *dkg.Deal) { d.Boxes[0] = flip(d.Boxes[0], len(d.Boxes[0])-1) },
		"an encapsulation that is not a point":   func(_ *ceremony, d *dkg.Deal) { d.Boxes[0] = make([]byte, len(d.Boxes[0])) },
		"bad boxes for two, one of which is off": func(_ *ceremony, d *dkg.Deal) { d.Boxes[0], d.Boxes[1] = d.Boxes[1], d.Boxes[0] },
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, symmetricSession(3, 5, "bad box")).until(dkg.PhaseDeal)
			d, err := dkg.DecodeDeal(c.body(evil))
			if err != nil {
				t.Fatal(err)
			}
			spoil(c, d)
			c.accept(evil, dkg.KindDeal, wire.Encode(d))
			c.silent[evil] = true
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

// A deal that breaks a public rule is refused by name, and its dealer is out.
func TestABadDealOfContributionsIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*dkg.Deal)
		want  error
	}{
		"no commitments":            {func(d *dkg.Deal) { d.Commitments = nil }, dkg.ErrSets}, // R3
		"an empty list":             {func(d *dkg.Deal) { d.Commitments[0] = nil }, dkg.ErrSets},
		"a set too few":             {func(d *dkg.Deal) { d.Commitments[0] = d.Commitments[0][1:] }, dkg.ErrSets},
		"a set too many":            {func(d *dkg.Deal) { d.Commitments[0] = append(d.Commitments[0], make([]byte, 32)) }, dkg.ErrSets},
		"two lists":                 {func(d *dkg.Deal) { d.Commitments = append(d.Commitments, d.Commitments[0]) }, dkg.ErrSets},
		"a hash of 33 bytes":        {func(d *dkg.Deal) { d.Commitments[0][0] = make([]byte, 33) }, dkg.ErrSets},
		"a proof of knowledge":      {func(d *dkg.Deal) { d.Proofs = [][]byte{make([]byte, 64)} }, dkg.ErrSets},
		"another hash than before":  {func(d *dkg.Deal) { d.Commitments[0][2] = make([]byte, 32) }, dkg.ErrCommitment}, // R5
		"two hashes exchanged":      {func(d *dkg.Deal) { l := d.Commitments[0]; l[0], l[1] = l[1], l[0] }, dkg.ErrCommitment},
		"over another list":         {func(d *dkg.Deal) { d.Previous[0] ^= 1 }, dkg.ErrPrevious},
		"of another session":        {func(d *dkg.Deal) { d.Session[0] ^= 1 }, dkg.ErrSession}, // R17
		"no boxes":                  {func(d *dkg.Deal) { d.Boxes = nil }, dkg.ErrBoxes},
		"an empty box":              {func(d *dkg.Deal) { d.Boxes[0] = nil }, dkg.ErrBoxes},
		"a box of one contribution": {func(d *dkg.Deal) { d.Boxes[0] = d.Boxes[0][:dkg.BoxSize(1)] }, dkg.ErrBoxes},
		"a box for itself":          {func(d *dkg.Deal) { d.Boxes[2] = d.Boxes[0] }, dkg.ErrBoxes},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, symmetricSession(3, 5, "bad deal")).until(dkg.PhaseDeal)
			d, err := dkg.DecodeDeal(c.body(evil))
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(d)
			c.refuse(evil, dkg.KindDeal, wire.Encode(d), tt.want)
			c.silent[evil] = true
			c.finish(all(5, evil)...)
		})
	}
}

func TestAFalseComplaintAboutContributionsIsDismissed(t *testing.T) {
	c := begin(t, symmetricSession(3, 5, "false complaint")).until(dkg.PhaseVerdict)
	c.accept(evil, dkg.KindVerdict, wire.Encode(dkg.Verdict{
		Session: c.s.ID, Previous: c.b.View().Previous,
		Complaints: []dkg.Complaint{{Dealer: 1, ReceiveKey: c.receiveSecrets(evil)[0]}},
	}))
	c.until(dkg.PhaseConfirm)
	if got := c.b.Accused()[evil]; fmt.Sprint(got.Dismissed) != "[1]" || got.Upheld != nil {
		t.Errorf("the board says %+v", got)
	}
	c.finish(all(5)...)
}

func TestASilentDealerOfContributionsIsLeftOut(t *testing.T) {
	for _, phase := range []dkg.Phase{dkg.PhaseJoin, dkg.PhaseCommit, dkg.PhaseDeal, dkg.PhaseVerdict} {
		t.Run(phase.String(), func(t *testing.T) {
			c := begin(t, symmetricSession(3, 5, "silent"))
			c.until(phase).silent[evil] = true
			c.finish(all(5, evil)...)
			if got := c.b.Struck(); fmt.Sprint(got) != "[3]" {
				t.Errorf("struck are %v", got)
			}
		})
	}
}

// lie puts evil's receipt on the board with another hash for the set at place k.
func (c *ceremony) lie(k int) {
	c.Helper()
	r, err := dkg.DecodeReceipt(c.body(evil))
	if err != nil {
		c.Fatal(err)
	}
	r.Sets[k][0] ^= 1
	c.accept(evil, dkg.KindReceipt, wire.Encode(r))
	c.silent[evil] = true
}

// Receipts that differ end the session once all are in: nothing of it is used, and the
// reason names the set and who said what.
func TestAWrongReceiptEndsTheSession(t *testing.T) {
	for _, first := range []bool{true, false} {
		c := begin(t, symmetricSession(3, 5, "wrong receipt")).until(dkg.PhaseConfirm)
		if first {
			c.lie(0)
		}
		for _, i := range all(5, evil) {
			c.accept(i, dkg.KindReceipt, c.body(i))
		}
		if !first {
			c.lie(0)
		}
		reason, ok := c.b.Abandoned()
		if want := "of the set of holders 1, 2, 3 not all have the same key: 1, 2 against 3"; !ok || reason != want {
			t.Errorf("it says %q (%v), want %q", reason, ok, want)
		}
		if _, err := c.b.Activate(); !errors.Is(err, ErrPhase) {
			t.Errorf("activated all the same: %v", err)
		}
		if _, ok := c.b.Outcome(); ok {
			t.Error("there is an outcome")
		}
		if strings.Contains(fmt.Sprintf("%x", c.b.Encode()), fmt.Sprintf("%x", c.sets[1].Hashes(c.s.ID)[0])) {
			t.Error("the receipts are kept")
		}
	}
}

// With R receipts that differ nothing is activated, and the clocks end it.
func TestAWrongReceiptAmongThoseThatSufficeEndsTheSession(t *testing.T) {
	c := begin(t, symmetricSession(3, 5, "wrong receipt")).until(dkg.PhaseConfirm)
	c.lie(0)
	for _, i := range []sharing.Index{1, 2, 4} {
		c.accept(i, dkg.KindReceipt, c.body(i))
	}
	if b, err := c.b.Activate(); !errors.Is(err, ErrNotReady) {
		t.Errorf("activated: %v (%v)", b, err)
	}
	c.late()
	if reason, ok := c.b.Abandoned(); !ok || !strings.HasSuffix(reason, "1, 2 against 3") {
		t.Errorf("it says %q (%v)", reason, ok)
	}
}

func TestAReceiptSpeaksOfEachOfItsSets(t *testing.T) {
	c := begin(t, symmetricSession(3, 5, "receipts")).until(dkg.PhaseConfirm)
	for name, row := range map[string]struct {
		spoil func(*dkg.Receipt)
		want  error
	}{
		"no hashes":          {func(r *dkg.Receipt) { r.Sets = nil }, dkg.ErrSets}, // R3
		"a hash too few":     {func(r *dkg.Receipt) { r.Sets = r.Sets[1:] }, dkg.ErrSets},
		"a hash too many":    {func(r *dkg.Receipt) { r.Sets = append(r.Sets, r.Sets[0]) }, dkg.ErrSets},
		"a hash of 31 bytes": {func(r *dkg.Receipt) { r.Sets[0] = r.Sets[0][1:] }, dkg.ErrSets},
		"a proof":            {func(r *dkg.Receipt) { r.Proofs = [][]byte{make([]byte, 64)} }, dkg.ErrSets},
		"another transcript": {func(r *dkg.Receipt) { r.Transcript[0] ^= 1 }, dkg.ErrTranscript},
		"another session":    {func(r *dkg.Receipt) { r.Session[0] ^= 1 }, dkg.ErrSession},
	} {
		r, err := dkg.DecodeReceipt(c.body(evil))
		if err != nil {
			t.Fatal(err)
		}
		row.spoil(r)
		t.Log(name)
		c.refuse(evil, dkg.KindReceipt, wire.Encode(r), row.want)
	}
	c.finish(all(5)...)
	other := begin(t, session(3, 5, "receipts")).until(dkg.PhaseConfirm)
	r, err := dkg.DecodeReceipt(other.body(evil))
	if err != nil {
		t.Fatal(err)
	}
	r.Sets = [][]byte{make([]byte, 32)}
	other.refuse(evil, dkg.KindReceipt, wire.Encode(r), dkg.ErrSets)
}
