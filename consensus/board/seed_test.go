package board

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/tprf"
)

// seedName is the name under which the seed of a test is imported.
const seedName = "tallies"

func seedOf(s dkg.Session) secret.Bytes {
	seed := tag.Hash(tag.SelfTest, []byte("seed"), s.ID[:])
	return secret.New(seed[:])
}

// seeded begins the import of a symmetric key, of a seed; its owner stands at place h+1.
func seeded(t *testing.T, threshold, h int) (c *ceremony, owner sharing.Index) {
	t.Helper()
	s := symmetricSession(threshold, h, "import")
	var err error
	if s.Symmetric.Seed, err = dkg.SeedCommitment(s.Cluster, seedName, threshold, h, seedOf(s)); err != nil {
		t.Fatal(err)
	}
	return begin(t, s), sharing.Index(h + 1)
}

// Holders have what the owner computes of its seed and of what everyone knows, written
// out; and any t of them know one function.
func TestAnImportedSeedMakesTheKeyOfEverySet(t *testing.T) {
	shapes := [][2]int{{5, 9}}
	for h := 2; h <= 5; h++ {
		for threshold := 2; threshold <= h; threshold++ {
			shapes = append(shapes, [2]int{threshold, h})
		}
	}
	for _, shape := range shapes {
		threshold, h := shape[0], shape[1]
		t.Run(fmt.Sprintf("%d-of-%d", threshold, h), func(t *testing.T) {
			c, owner := seeded(t, threshold, h)
			c.finish(owner)
			if c.sets[owner] != nil {
				t.Error("the owner has a share")
			}
			derive := func(secret []byte, info []byte) []byte {
				key, err := hkdf.Key(sha256.New, secret, nil, string(info), 32)
				if err != nil {
					t.Fatal(err)
				}
				return key
			}
			for i, share := range c.sets {
				var want []byte
				for _, set := range tprf.Held(c.params(), i) {
					shape := [][]byte{tag.Uint64(uint64(h)), tag.Uint64(uint64(threshold)), tag.Uint64(uint64(set))}
					part := derive(seedOf(c.s).Reveal(), tag.List(tag.SeedPart, append([][]byte{c.s.Cluster[:], []byte(seedName)}, shape...)...))
					want = append(want, derive(part, tag.List(tag.SetKeyDerived, append([][]byte{c.s.Cluster[:], c.s.Symmetric.Key[:], tag.Uint64(1)}, shape...)...))...)
				}
				if !bytes.Equal(share.Bytes().Reveal(), want) {
					t.Errorf("holder %d has other keys than its owner computes", i)
				}
			}
			b, err := Decode(c.s.ID, c.s.Cluster, c.b.Encode())
			if err != nil || b.Digest() != c.b.Digest() {
				t.Errorf("the board is decoded as another: %v", err)
			}
		})
	}
}

// Whatever else an owner deals than what follows from the ordered seed, to all who
// joined, is refused.
func TestAnOwnerDealsTheOrderedSeedToAll(t *testing.T) {
	c, owner := seeded(t, 3, 5)
	c.until(dkg.PhaseCommit)
	c.alter(owner, func(st *stolen) { st.Contributions[0] ^= 1 }) // of another seed, in one set
	c.accept(owner, dkg.KindCommit, c.body(owner))
	c.refuse(owner, dkg.KindDeal, c.body(owner), dkg.ErrKeyChanged)

	c, owner = seeded(t, 3, 5)
	c.until(dkg.PhaseCommit)
	c.accept(owner, dkg.KindCommit, c.body(owner))
	for what, tt := range map[string]struct {
		spoil func(*dkg.Deal)
		want  error
	}{
		"to a holder fewer":       {func(d *dkg.Deal) { d.Boxes[4] = nil }, dkg.ErrBoxes},
		"to the owner as well":    {func(d *dkg.Deal) { d.Boxes = append(d.Boxes, d.Boxes[0]) }, dkg.ErrBoxes},
		"of a set less":           {func(d *dkg.Deal) { d.Commitments[0] = d.Commitments[0][1:] }, dkg.ErrSets}, // R3
		"of a set more":           {func(d *dkg.Deal) { d.Commitments[0] = append(d.Commitments[0], d.Commitments[0][0]) }, dkg.ErrSets},
		"of nothing":              {func(d *dkg.Deal) { d.Commitments = nil }, dkg.ErrSets},
		"with a proof":            {func(d *dkg.Deal) { d.Proofs = [][]byte{make([]byte, 64)} }, dkg.ErrSets},
		"other than it committed": {func(d *dkg.Deal) { l := d.Commitments[0]; l[0], l[1] = l[1], l[0] }, dkg.ErrCommitment},
	} {
		deal, err := dkg.DecodeDeal(c.body(owner))
		if err != nil {
			t.Fatal(err)
		}
		tt.spoil(deal)
		t.Log(what)
		c.refuse(owner, dkg.KindDeal, wire.Encode(deal), tt.want)
	}
	c.finish(owner)
}

// Nobody but the owner deals, and of its word no phase closes and no session ends. A
// holder that is down is struck.
func TestTheOwnerOfASeedAloneDealsAndOnlyDeals(t *testing.T) {
	c, owner := seeded(t, 3, 5)
	c.silent[5] = true
	c.until(dkg.PhaseCommit)
	for i := sharing.Index(1); i < owner-1; i++ {
		if ready := c.step(i); ready.Post != nil {
			t.Errorf("holder %d posts a %v", i, ready.Post.Kind)
		}
		c.refuse(i, dkg.KindCommit, wire.Encode(dkg.Commit{Session: c.s.ID, Previous: c.b.View().Previous}), ErrNotTakingPart)
	}
	if _, err := c.b.PastDeadline(owner, dkg.PhaseCommit); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("the owner says that it is late: %v", err)
	}
	if _, err := c.b.Abandon(owner); !errors.Is(err, dkg.ErrRole) {
		t.Errorf("the owner abandons the session: %v", err)
	}
	c.finish(owner)
	if fmt.Sprint(c.b.Struck()) != "[5]" {
		t.Errorf("struck: %v", c.b.Struck())
	}
}

// A box of anything but what the owner committed to is complained about, and ends the
// import; a false complaint changes nothing.
func TestTheImportOfASeedEndsWithAComplaint(t *testing.T) {
	c, owner := seeded(t, 2, 3)
	c.until(dkg.PhaseDeal)
	deal, err := dkg.DecodeDeal(c.body(owner))
	if err != nil {
		t.Fatal(err)
	}
	deal.Boxes[1] = c.box(owner, 2, make([]byte, 64))
	c.accept(owner, dkg.KindDeal, wire.Encode(deal))
	c.post()
	if _, abandoned := c.b.Abandoned(); !abandoned || fmt.Sprint(c.b.Accused()[2].Upheld) != fmt.Sprint([]sharing.Index{owner}) {
		t.Errorf("wrong keys: the %v phase, %+v", c.b.Phase(), c.b.Accused())
	}

	c, owner = seeded(t, 2, 3)
	c.until(dkg.PhaseVerdict)
	c.accept(2, dkg.KindVerdict, wire.Encode(dkg.Verdict{
		Session: c.s.ID, Previous: c.b.View().Previous,
		Complaints: []dkg.Complaint{{Dealer: owner, ReceiveKey: c.receiveSecrets(2)[owner-1]}},
	}))
	c.finish(owner)
	if fmt.Sprint(c.b.Accused()[2].Dismissed) != fmt.Sprint([]sharing.Index{owner}) {
		t.Errorf("a false complaint: %+v", c.b.Accused())
	}

	c, owner = seeded(t, 2, 3)
	c.until(dkg.PhaseDeal).silent[owner] = true
	c.post()
	if _, abandoned := c.b.Abandoned(); !abandoned {
		t.Errorf("without the owner the %v phase is open", c.b.Phase())
	}
}

// What is said of the seed is part of the session: a board of another one is another.
func TestTheSeedIsPartOfTheBoard(t *testing.T) {
	c, _ := seeded(t, 2, 3)
	other := c.s
	k := *c.s.Symmetric
	k.Seed[0] ^= 1
	other.Symmetric = &k
	if New(other).Digest() == c.b.Digest() || c.s.Equal(other) {
		t.Error("a board of another seed is the same")
	}
	k.Seed = [32]byte{}
	if New(other).Digest() == c.b.Digest() || other.Imported() {
		t.Error("a birth is an import")
	}
}
