package ledger_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// misbehaviour is one way to be bad in a birth.
type misbehaviour struct {
	name string
	from dkg.Phase           // it begins when this phase opens
	do   func(*birth)        // it may run on; what it does not do, the honest and the evil do honestly
	fits func(t, h int) bool // nil for every t of every h
}

const (
	joining    = dkg.PhaseJoin
	committing = dkg.PhaseCommit
	dealing    = dkg.PhaseDeal
	judging    = dkg.PhaseVerdict
	confirming = dkg.PhaseConfirm
)

// misbehaviours lists them by the phase they begin in.
func misbehaviours() []misbehaviour {
	return slices.Concat(badJoins(), badCommits(), badCommitments(), badDeals(), badBoxes(), badVerdicts(), badReceipts(), coalitions(), badStatements())
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[(at+len(b))%len(b)] ^= 1
	return b
}

// claims replaces the list in a post by one that only says that it has 2^31 entries.
func claims(post, list []byte) []byte {
	skip := 1
	if list[0]&0x1f == 24 {
		skip = 2
	}
	return bytes.Replace(post, list, append([]byte{0x9a, 0x80, 0, 0, 0}, list[skip:]...), 1)
}

// A holder whose join is refused has not joined: it deals nothing and holds nothing.
func badJoins() []misbehaviour {
	spoiled := func(name string, spoil func(b *birth, j *dkg.Join), want error) misbehaviour {
		return misbehaviour{name: name, from: joining, do: func(b *birth) {
			j, err := dkg.DecodeJoin(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			spoil(b, j)
			b.refusePost(b.me, dkg.KindJoin, wire.Encode(j), want)
			b.silent(b.me, joining)
		}}
	}
	at := func(b *birth) int { return int(b.victim) - 1 }
	return []misbehaviour{
		spoiled("a join without receive keys", func(_ *birth, j *dkg.Join) { j.ReceiveKeys = nil }, dkg.ErrReceiveKeys), // R3
		spoiled("a join with a receive key too few", func(_ *birth, j *dkg.Join) { j.ReceiveKeys = j.ReceiveKeys[1:] }, dkg.ErrReceiveKeys),
		spoiled("a join with a receive key too many", func(_ *birth, j *dkg.Join) { j.ReceiveKeys = append(j.ReceiveKeys, nil) }, dkg.ErrReceiveKeys),
		spoiled("a join with one receive key for two dealers", func(b *birth, j *dkg.Join) {
			j.ReceiveKeys[at(b)] = j.ReceiveKeys[at(b)]
			j.ReceiveKeys[int(b.victim)%b.h] = j.ReceiveKeys[at(b)]
		}, dkg.ErrReceiveKeys),
		spoiled("a join with a receive key for its own dealing", func(b *birth, j *dkg.Join) { j.ReceiveKeys[b.me-1] = j.ReceiveKeys[at(b)] }, dkg.ErrReceiveKeys),
		spoiled("a join with a receive key off the curve", func(b *birth, j *dkg.Join) { j.ReceiveKeys[at(b)] = flipped(j.ReceiveKeys[at(b)], -1) }, dkg.ErrReceiveKey), // R4
		spoiled("a join with a receive key of zeros", func(b *birth, j *dkg.Join) { j.ReceiveKeys[at(b)] = make([]byte, dkg.ReceiveKeySize) }, dkg.ErrReceiveKey),
		spoiled("a join of another session", func(b *birth, j *dkg.Join) { j.Session = [32]byte{9} }, dkg.ErrSession), // R17
		{name: "a join that claims 2^31 receive keys", from: joining, do: func(b *birth) {
			j, err := dkg.DecodeJoin(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			b.refusePost(b.me, dkg.KindJoin, claims(wire.Encode(j), wire.Encode(j.ReceiveKeys)), wire.ErrMalformed)
			b.silent(b.me, joining)
		}},
		{name: "silence in the join phase", from: joining, do: func(b *birth) { b.silent(b.me, joining) }},
		{name: "two different joins", from: joining, do: func(b *birth) {
			b.bad(b.me)
			other, err := dkg.NewParticipant(b.session, b.me, nil, rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			ready, err := other.Step(b.view(), rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			b.take(b.me, dkg.KindJoin, b.body(b.me))
			b.refusePost(b.me, dkg.KindJoin, ready.Post.Body, board.ErrTwice)
		}},
		// It cannot open what it is sent, and its victim can open nothing more: a box
		// is bound to its recipient.
		{name: "a join with the receive keys of another holder", from: joining, do: func(b *birth) {
			j, err := dkg.DecodeJoin(b.body(b.victim))
			if err != nil {
				b.Fatal(err)
			}
			mine, err := dkg.DecodeJoin(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			for k := range j.ReceiveKeys {
				if len(j.ReceiveKeys[k]) > 0 && len(mine.ReceiveKeys[k]) > 0 {
					mine.ReceiveKeys[k] = j.ReceiveKeys[k]
				}
			}
			body := wire.Encode(mine)
			b.take(b.me, dkg.KindJoin, body)
			st := b.steal(b.me)
			st.Posts[0] = body
			b.restore(b.me, wire.Encode(st))
			b.silent(b.me, judging) // it could only complain with keys it does not have
			b.poor[b.me] = true
		}},
	}
}

// Who joined and did not commit is no dealer, and holds a share all the same.
func badCommits() []misbehaviour {
	spoiled := func(name string, spoil func(b *birth, c *dkg.Commit), want error) misbehaviour {
		return misbehaviour{name: name, from: committing, do: func(b *birth) {
			c, err := dkg.DecodeCommit(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			spoil(b, c)
			b.refusePost(b.me, dkg.KindCommit, wire.Encode(c), want)
			b.silent(b.me, committing)
		}}
	}
	return []misbehaviour{
		spoiled("a commit over another join list", func(_ *birth, c *dkg.Commit) { c.Previous[0] ^= 1 }, dkg.ErrPrevious),
		spoiled("a commit of another session", func(_ *birth, c *dkg.Commit) { c.Session[0] ^= 1 }, dkg.ErrSession), // R17
		{name: "silence in the commit phase", from: committing, do: func(b *birth) { b.silent(b.me, committing) }},
		{name: "a commit that has bytes after its end", from: committing, do: func(b *birth) {
			b.refusePost(b.me, dkg.KindCommit, append(b.body(b.me), 0), wire.ErrMalformed)
			b.silent(b.me, committing)
		}},
		{name: "a commit before the join phase is closed", from: joining, do: func(b *birth) {
			b.bad(b.me)
			b.refusePost(b.me, dkg.KindCommit, wire.Encode(dkg.Commit{Session: b.id}), board.ErrPhase)
		}},
		{name: "a commit by one that has not joined", from: joining, do: func(b *birth) {
			b.silent(b.me, joining)
			if len(b.honest()) < b.t {
				return // the join phase does not close
			}
			b.until(committing)
			b.refusePost(b.me, dkg.KindCommit, wire.Encode(dkg.Commit{Session: b.id, Previous: b.view().Previous}), board.ErrNotTakingPart)
		}},
		{name: "two different commits", from: committing, do: func(b *birth) {
			b.bad(b.me)
			c, err := dkg.DecodeCommit(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			b.take(b.me, dkg.KindCommit, wire.Encode(c))
			c.Hash[0] ^= 1
			b.refusePost(b.me, dkg.KindCommit, wire.Encode(c), board.ErrTwice)
		}},
		{name: "a commit to nothing, and no reveal", from: committing, do: func(b *birth) {
			b.take(b.me, dkg.KindCommit, wire.Encode(dkg.Commit{Session: b.id, Previous: b.view().Previous, Hash: [32]byte{1}}))
			b.silent(b.me, dealing)
			st := b.steal(b.me)
			st.Posts[dkg.KindCommit-1] = wire.Encode(dkg.Commit{Session: b.id, Previous: b.view().Previous, Hash: [32]byte{1}})
			b.restore(b.me, wire.Encode(st))
		}},
		{name: "another's commit copied, and then its deal", from: committing, do: func(b *birth) {
			theirs, err := dkg.DecodeCommit(b.body(b.victim))
			if err != nil {
				b.Fatal(err)
			}
			body := wire.Encode(theirs)
			b.take(b.me, dkg.KindCommit, body)
			st := b.steal(b.me)
			st.Posts[dkg.KindCommit-1] = body
			b.restore(b.me, wire.Encode(st))
			b.bad(b.me)
			b.until(dealing)
			deal := b.deal(b.victim)
			deal.Boxes[b.me-1], deal.Boxes[b.victim-1] = nil, make([]byte, dkg.BoxSize(1))
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(deal), dkg.ErrCommitment)
			b.silent(b.me, dealing)
		}},
	}
}

// R2: a dealer that commits to a polynomial of another length, or to what is no
// list of points, cannot reveal it. R4: nor to what the strict decoder refuses.
func badCommitments() []misbehaviour {
	committed := func(name string, list func(b *birth) [][]byte, want ...error) misbehaviour {
		return misbehaviour{name: name, from: committing, do: func(b *birth) {
			commitments := list(b)
			b.commitTo(b.me, commitments)
			deal := b.deal(b.me)
			deal.Commitments = [][][]byte{commitments}
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(deal), want...)
			b.silent(b.me, dealing)
		}}
	}
	long := func(name string, length func(t, h int) int) misbehaviour {
		m := committed(name, func(b *birth) [][]byte {
			_, list := b.coefficients(length(b.t, b.h))
			return list
		}, sharing.ErrCommitments)
		m.fits = func(t, h int) bool { return length(t, h) != t }
		return m
	}
	spoiled := func(name string, spoil func(b *birth, list [][]byte), want ...error) misbehaviour {
		return committed(name, func(b *birth) [][]byte {
			_, list := b.coefficients(b.t)
			spoil(b, list)
			return list
		}, want...)
	}
	zero := func(n int) []byte { return make([]byte, n) }
	return []misbehaviour{
		long("T = 0", func(int, int) int { return 0 }),
		long("T = 1", func(int, int) int { return 1 }),
		long("T = 2", func(int, int) int { return 2 }),
		long("T = t-1", func(t, _ int) int { return t - 1 }),
		long("T = t+1", func(t, _ int) int { return t + 1 }),
		long("T = n", func(_, h int) int { return h }),
		long("T = 64", func(int, int) int { return 64 }),
		{name: "T = 2^31", from: dealing, do: func(b *birth) {
			deal := b.deal(b.me)
			b.refusePost(b.me, dkg.KindDeal, claims(wire.Encode(deal), wire.Encode(deal.Commitments[0])), wire.ErrMalformed)
			b.silent(b.me, dealing)
		}},
		spoiled("the identity as constant term", func(_ *birth, l [][]byte) { l[0] = []byte{0} }, sharing.ErrCommitments),
		spoiled("the identity as leading coefficient", func(_ *birth, l [][]byte) { l[len(l)-1] = []byte{0} }, sharing.ErrCommitments),
		spoiled("the identity as 65 bytes", func(_ *birth, l [][]byte) { l[0] = append([]byte{4}, zero(64)...) }, sharing.ErrCommitments),
		spoiled("the byte 04 alone", func(_ *birth, l [][]byte) { l[0] = []byte{4} }, sharing.ErrCommitments),
		spoiled("an empty commitment", func(_ *birth, l [][]byte) { l[0] = nil }, sharing.ErrCommitments),
		spoiled("a commitment off the curve", func(_ *birth, l [][]byte) { l[1] = flipped(l[1], -1) }, sharing.ErrCommitments),
		spoiled("a commitment with x above p", func(_ *birth, l [][]byte) { l[1] = aboveP() }, sharing.ErrCommitments),
		spoiled("a compressed commitment", func(_ *birth, l [][]byte) { l[1] = group.Generator().Compressed() }, sharing.ErrCommitments),
		spoiled("a commitment with a byte more", func(_ *birth, l [][]byte) { l[1] = append(l[1], 0) }, sharing.ErrCommitments),
		// What the key would be if the last dealer could choose: it has the
		// commitments, and not the constant term.
		spoiled("a constant term that its dealer does not know", func(_ *birth, l [][]byte) { l[0] = group.SecondGenerator().Bytes() }, sharing.ErrProof), // R5
	}
}

// aboveP is a point of the curve whose x is written as x + p.
func aboveP() []byte {
	c := elliptic.P256().Params()
	for x := big.NewInt(1); ; x.Add(x, big.NewInt(1)) {
		y := new(big.Int).Exp(x, big.NewInt(3), c.P)
		y.Sub(y, new(big.Int).Mul(x, big.NewInt(3))).Add(y, c.B).Mod(y, c.P)
		if y.ModSqrt(y, c.P) == nil {
			continue
		}
		b := make([]byte, 65)
		b[0] = 4
		new(big.Int).Add(x, c.P).FillBytes(b[1:33])
		y.FillBytes(b[33:])
		return b
	}
}

// A deal that breaks a public rule is refused when it comes; its dealer is out.
func badDeals() []misbehaviour {
	spoiled := func(name string, spoil func(b *birth, d *dkg.Deal), want ...error) misbehaviour {
		return misbehaviour{name: name, from: dealing, do: func(b *birth) {
			deal := b.deal(b.me)
			spoil(b, deal)
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(deal), want...)
			b.silent(b.me, dealing)
		}}
	}
	proof := func(name string, of func(b *birth, d *dkg.Deal, x *group.Scalar) []byte) misbehaviour {
		return spoiled(name, func(b *birth, d *dkg.Deal) { d.Proofs[0] = of(b, d, b.polynomial(b.me).Constant()) }, sharing.ErrProof)
	}
	return []misbehaviour{
		{name: "silence in the deal phase", from: dealing, do: func(b *birth) { b.silent(b.me, dealing) }},
		// R5: the reveal is held against the commit.
		spoiled("a reveal that is all another than the commit", func(b *birth, d *dkg.Deal) {
			x, list := b.coefficients(b.t)
			d.Commitments[0] = list
			d.Proofs[0] = b.prove(b.session, b.me, d.Previous, x, list)
		}, dkg.ErrCommitment),
		spoiled("a reveal that differs in one coefficient", func(b *birth, d *dkg.Deal) {
			d.Commitments[0][b.t-1] = group.Generator().Bytes()
			d.Proofs[0] = b.prove(b.session, b.me, d.Previous, b.polynomial(b.me).Constant(), d.Commitments[0])
		}, dkg.ErrCommitment),
		spoiled("a reveal in another order", func(_ *birth, d *dkg.Deal) { slices.Reverse(d.Commitments[0]) }, dkg.ErrCommitment),
		// R5, R11: the proof of knowledge and what it is bound to.
		proof("no proof of knowledge", func(*birth, *dkg.Deal, *group.Scalar) []byte { return nil }),
		proof("a proof of zeros", func(*birth, *dkg.Deal, *group.Scalar) []byte { return make([]byte, sharing.ProofSize) }),
		proof("a proof with scalars above q", func(*birth, *dkg.Deal, *group.Scalar) []byte { return bytes.Repeat([]byte{0xff}, sharing.ProofSize) }),
		proof("a proof with a byte more", func(_ *birth, d *dkg.Deal, _ *group.Scalar) []byte { return append(d.Proofs[0], 0) }),
		// These are made by the real machine, somewhere else.
		proof("a proof of another session", func(b *birth, _ *dkg.Deal, _ *group.Scalar) []byte {
			s := b.session
			s.ID[0] ^= 1 // the id takes in the roster's version, the order and the attempt
			return b.elsewhere(s, b.me)
		}),
		proof("a proof of another cluster", func(b *birth, _ *dkg.Deal, _ *group.Scalar) []byte {
			s := b.session
			s.Cluster[0] ^= 1
			return b.elsewhere(s, b.me)
		}),
		proof("a proof of another dealer", func(b *birth, _ *dkg.Deal, _ *group.Scalar) []byte {
			return b.elsewhere(b.session, b.victim)
		}),
		proof("a proof for another threshold", func(b *birth, d *dkg.Deal, x *group.Scalar) []byte {
			s := b.session
			s.T++
			return b.prove(s, b.me, d.Previous, x, d.Commitments[0])
		}),
		proof("a proof over another list of commits", func(b *birth, d *dkg.Deal, x *group.Scalar) []byte {
			return b.prove(b.session, b.me, [32]byte{}, x, d.Commitments[0])
		}),
		proof("a proof over fewer commitments", func(b *birth, d *dkg.Deal, x *group.Scalar) []byte {
			return b.prove(b.session, b.me, d.Previous, x, d.Commitments[0][:b.t-1])
		}),
		proof("another dealer's proof", func(b *birth, _ *dkg.Deal, _ *group.Scalar) []byte { return b.deal(b.victim).Proofs[0] }),
		proof("a proof of another constant term", func(b *birth, d *dkg.Deal, x *group.Scalar) []byte {
			return b.prove(b.session, b.me, d.Previous, x.Add(group.SmallScalar(1)), d.Commitments[0])
		}),
		spoiled("a deal over another list of commits", func(_ *birth, d *dkg.Deal) { d.Previous[0] ^= 1 }, dkg.ErrPrevious),
		spoiled("a deal of another session", func(_ *birth, d *dkg.Deal) { d.Session[0] ^= 1 }, dkg.ErrSession), // R17
		{name: "another dealer's deal", from: dealing, do: func(b *birth) {
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(b.deal(b.victim)), dkg.ErrCommitment)
			b.silent(b.me, dealing)
		}},
		{name: "a deal of garbage", from: dealing, do: func(b *birth) {
			b.refusePost(b.me, dkg.KindDeal, bytes.Repeat([]byte{0xff}, 4096), wire.ErrMalformed)
			b.silent(b.me, dealing)
		}},
		{name: "a deal that is too large", from: dealing, do: func(b *birth) {
			b.refusePost(b.me, dkg.KindDeal, make([]byte, dkg.MaxBody+1), dkg.ErrTooLarge)
			b.silent(b.me, dealing)
		}},
		spoiled("a deal without boxes", func(_ *birth, d *dkg.Deal) { d.Boxes = nil }, dkg.ErrBoxes), // R3
		spoiled("a deal with a box too few", func(_ *birth, d *dkg.Deal) { d.Boxes = d.Boxes[1:] }, dkg.ErrBoxes),
		spoiled("a deal with a box too many", func(_ *birth, d *dkg.Deal) { d.Boxes = append(d.Boxes, make([]byte, dkg.BoxSize(1))) }, dkg.ErrBoxes),
		spoiled("a deal with an empty box", func(b *birth, d *dkg.Deal) { d.Boxes[b.victim-1] = nil }, dkg.ErrBoxes),
		spoiled("a deal with a box a byte too long", func(b *birth, d *dkg.Deal) { d.Boxes[b.victim-1] = append(d.Boxes[b.victim-1], 0) }, dkg.ErrBoxes),
		spoiled("a deal with a box for itself", func(b *birth, d *dkg.Deal) { d.Boxes[b.me-1] = make([]byte, dkg.BoxSize(1)) }, dkg.ErrBoxes),
		{name: "a deal before the commit phase is closed", from: committing, do: func(b *birth) {
			b.bad(b.me)
			_, list := b.coefficients(b.t)
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(dkg.Deal{Session: b.id, Commitments: [][][]byte{list}}), board.ErrPhase)
		}},
		// R19: the first valid one wins, not the first.
		{name: "a bogus signed deal before the real one", from: dealing, do: func(b *birth) {
			b.bad(b.me)
			body := b.body(b.me)
			deal := b.deal(b.me)
			deal.Proofs[0] = flipped(deal.Proofs[0], 0)
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(deal), sharing.ErrProof)
			b.take(b.me, dkg.KindDeal, body)
		}},
		{name: "one deal twice", from: dealing, do: func(b *birth) {
			b.bad(b.me)
			b.take(b.me, dkg.KindDeal, b.body(b.me))
			if b.phase() == dealing {
				b.refuse(b.log[len(b.log)-1], board.ErrTwice)
			}
		}},
		{name: "two deals with different boxes", from: dealing, do: func(b *birth) {
			b.bad(b.me)
			deal := b.deal(b.me)
			b.take(b.me, dkg.KindDeal, wire.Encode(deal))
			deal.Boxes[b.victim-1] = make([]byte, dkg.BoxSize(1))
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(deal), board.ErrTwice)
		}},
		{name: "a deal by one that has not committed", from: committing, do: func(b *birth) {
			b.silent(b.me, committing)
			if len(b.honest()) < b.t {
				return
			}
			b.until(dealing)
			_, list := b.coefficients(b.t)
			b.refusePost(b.me, dkg.KindDeal, wire.Encode(dkg.Deal{Session: b.id, Previous: b.view().Previous, Commitments: [][][]byte{list}}), board.ErrNotTakingPart)
		}},
	}
}

// A bad box passes the public checks. Its victim complains, everyone looks, and
// the dealer is out although it agreed with all the others.
func badBoxes() []misbehaviour {
	spoiled := func(name string, spoil func(b *birth, d *dkg.Deal)) misbehaviour {
		return misbehaviour{name: name, from: dealing, do: func(b *birth) {
			b.excluded(b.me)
			deal := b.deal(b.me)
			spoil(b, deal)
			b.take(b.me, dkg.KindDeal, wire.Encode(deal))
		}}
	}
	sealed := func(name string, box func(b *birth, x *group.Scalar) []byte) misbehaviour {
		return spoiled(name, func(b *birth, d *dkg.Deal) {
			d.Boxes[b.victim-1] = box(b, b.polynomial(b.me).Eval(b.victim))
		})
	}
	off := func(b *birth, d *dkg.Deal, recipients []sharing.Index) {
		for _, i := range recipients {
			if i != b.me {
				x := b.polynomial(b.me).Eval(i).Add(group.SmallScalar(1))
				d.Boxes[i-1] = b.seal(b.session, i, b.me, b.me, i, x.Bytes())
			}
		}
	}
	third := func(b *birth) sharing.Index { return b.victim%sharing.Index(b.h) + 1 } // neither me nor victim: h is 3 at least
	return []misbehaviour{
		spoiled("a sub-share off the polynomial for one", func(b *birth, d *dkg.Deal) { off(b, d, []sharing.Index{b.victim}) }),
		spoiled("sub-shares off the polynomial for t", func(b *birth, d *dkg.Deal) {
			off(b, d, slices.DeleteFunc(b.all(), func(i sharing.Index) bool { return i == b.me })[:min(b.t, b.h-1)])
		}),
		spoiled("sub-shares off the polynomial for all", func(b *birth, d *dkg.Deal) { off(b, d, b.all()) }),
		sealed("another's sub-share", func(b *birth, _ *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, b.me, b.victim, b.polynomial(b.me).Eval(third(b)).Bytes())
		}),
		sealed("a sub-share of zero", func(b *birth, _ *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, b.me, b.victim, make([]byte, 32))
		}),
		sealed("a sub-share above q", func(b *birth, _ *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, b.me, b.victim, bytes.Repeat([]byte{0xff}, 32))
		}),
		sealed("the order q as a sub-share", func(b *birth, _ *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, b.me, b.victim, elliptic.P256().Params().N.Bytes())
		}),
		// R8
		sealed("a box to the receive key made for another dealer", func(b *birth, x *group.Scalar) []byte {
			return b.seal(b.session, b.victim, third(b), b.me, b.victim, x.Bytes())
		}),
		sealed("a box to another holder's receive key", func(b *birth, x *group.Scalar) []byte {
			return b.seal(b.session, third(b), b.me, b.me, b.victim, x.Bytes())
		}),
		sealed("a box bound to another recipient", func(b *birth, x *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, b.me, third(b), x.Bytes())
		}),
		sealed("a box bound to another dealer", func(b *birth, x *group.Scalar) []byte {
			return b.seal(b.session, b.victim, b.me, third(b), b.victim, x.Bytes())
		}),
		sealed("a box bound to another session", func(b *birth, x *group.Scalar) []byte {
			s := b.session
			s.ID[0] ^= 1
			return b.seal(s, b.victim, b.me, b.me, b.victim, x.Bytes())
		}),
		spoiled("another recipient's box", func(b *birth, d *dkg.Deal) { d.Boxes[b.victim-1] = d.Boxes[third(b)-1] }),
		spoiled("two boxes swapped", func(b *birth, d *dkg.Deal) {
			d.Boxes[b.victim-1], d.Boxes[third(b)-1] = d.Boxes[third(b)-1], d.Boxes[b.victim-1]
		}),
		spoiled("a box with a flipped bit", func(b *birth, d *dkg.Deal) { d.Boxes[b.victim-1] = flipped(d.Boxes[b.victim-1], -1) }),
		spoiled("a box of zeros", func(b *birth, d *dkg.Deal) { d.Boxes[b.victim-1] = make([]byte, dkg.BoxSize(1)) }),
		spoiled("a box of random bytes", func(b *birth, d *dkg.Deal) {
			garbage := make([]byte, dkg.BoxSize(1))
			rand.Read(garbage)
			d.Boxes[b.victim-1] = garbage
		}),
		spoiled("an encapsulation that is no point", func(b *birth, d *dkg.Deal) {
			d.Boxes[b.victim-1] = append(bytes.Repeat([]byte{0xff}, 1153), d.Boxes[b.victim-1][1153:]...)
		}),
		// The victim is in it too and does not complain: it has no share, nobody else
		// is harmed, and both dealt well in public.
		{name: "a bad box whose victim keeps silent about it", from: dealing, do: func(b *birth) {
			b.bad(b.me, b.victim)
			deal := b.deal(b.me)
			off(b, deal, []sharing.Index{b.victim})
			b.take(b.me, dkg.KindDeal, wire.Encode(deal))
			if len(b.honest()) < b.t && b.phase() == dealing {
				for _, i := range b.all() {
					if i != b.me && b.phase() == dealing {
						b.take(i, dkg.KindDeal, b.body(i))
					}
				}
			}
			b.until(judging)
			b.take(b.victim, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: b.id, Previous: b.view().Previous}))
			b.poor[b.victim] = true
		}},
	}
}

// rawVerdict is a verdict whose one complaint names a dealer as these CBOR bytes.
func rawVerdict(b *birth, dealer, key []byte) []byte {
	previous := b.view().Previous
	v := wire.Encode(dkg.Verdict{Session: b.id, Previous: previous, Complaints: []dkg.Complaint{{Dealer: 1, ReceiveKey: key}}})
	one := wire.Encode(dkg.Complaint{Dealer: 1, ReceiveKey: key})
	other := slices.Concat(one[:2], dealer, one[3:])
	return bytes.Replace(v, one, other, 1)
}

// A complaint that is none is refused, and its author may still speak rightly; a
// false one is settled against it. No honest dealer is ever put out.
func badVerdicts() []misbehaviour {
	key := func(b *birth, dealer sharing.Index) []byte { return b.steal(b.me).Keys[dealer-1] }
	about := func(b *birth, dealer sharing.Index) dkg.Complaint {
		return dkg.Complaint{Dealer: dealer, ReceiveKey: key(b, dealer)}
	}
	others := func(b *birth) []sharing.Index {
		return slices.DeleteFunc(b.all(), func(i sharing.Index) bool { return i == b.me })
	}
	verdict := func(b *birth, list ...dkg.Complaint) []byte {
		return wire.Encode(dkg.Verdict{Session: b.id, Previous: b.view().Previous, Complaints: list})
	}
	refused := func(name string, list func(b *birth) []dkg.Complaint, want error) misbehaviour {
		return misbehaviour{name: name, from: judging, do: func(b *birth) {
			b.bad(b.me)
			b.refusePost(b.me, dkg.KindVerdict, verdict(b, list(b)...), want)
		}}
	}
	// R1: an index that is no holder's, or not the canonical number.
	index := func(name string, dealer func(b *birth) []byte, want error) misbehaviour {
		return misbehaviour{name: name, from: judging, do: func(b *birth) {
			b.bad(b.me)
			b.refusePost(b.me, dkg.KindVerdict, rawVerdict(b, dealer(b), key(b, b.victim)), want)
		}}
	}
	number := func(i int64) func(*birth) []byte { return func(*birth) []byte { return wire.Encode(i) } }
	bignum := func(plus uint64) func(*birth) []byte {
		return func(*birth) []byte {
			n := new(big.Int).Add(elliptic.P256().Params().N, new(big.Int).SetUint64(plus))
			return append([]byte{0xc2, 0x58, 32}, n.FillBytes(make([]byte, 32))...)
		}
	}
	return []misbehaviour{
		{name: "silence in the verdict phase", from: judging, do: func(b *birth) { b.silent(b.me, judging) }},
		{name: "a false complaint", from: judging, do: func(b *birth) {
			b.bad(b.me)
			b.take(b.me, dkg.KindVerdict, verdict(b, about(b, b.victim)))
			if got := b.s.Session(b.id).Board.Accused()[b.me]; got.Upheld != nil || !slices.Equal(got.Dismissed, []sharing.Index{b.victim}) {
				b.Errorf("accused %+v", got)
			}
		}},
		{name: "false complaints about everyone", from: judging, do: func(b *birth) {
			b.bad(b.me)
			var list []dkg.Complaint
			for _, i := range others(b) {
				list = append(list, about(b, i))
			}
			b.take(b.me, dkg.KindVerdict, verdict(b, list...))
		}},
		refused("a complaint about itself", func(b *birth) []dkg.Complaint {
			return []dkg.Complaint{{Dealer: b.me, ReceiveKey: key(b, b.victim)}}
		}, dkg.ErrComplaints),
		refused("one complaint twice in a verdict", func(b *birth) []dkg.Complaint { return []dkg.Complaint{about(b, b.victim), about(b, b.victim)} }, dkg.ErrComplaints),
		refused("complaints in descending order", func(b *birth) []dkg.Complaint {
			o := others(b)
			return []dkg.Complaint{about(b, o[1]), about(b, o[0])}
		}, dkg.ErrComplaints),
		refused("more complaints than dealers", func(b *birth) []dkg.Complaint {
			list := make([]dkg.Complaint, 64)
			for k := range list {
				list[k] = dkg.Complaint{Dealer: sharing.Index(k + 1), ReceiveKey: key(b, b.victim)}
			}
			return list
		}, dkg.ErrComplaints),
		refused("a complaint opened with the key for another dealer", func(b *birth) []dkg.Complaint {
			return []dkg.Complaint{{Dealer: b.victim, ReceiveKey: key(b, slices.DeleteFunc(others(b), func(i sharing.Index) bool { return i == b.victim })[0])}}
		}, dkg.ErrReceiveKey),
		refused("a complaint opened with a key of its own making", func(b *birth) []dkg.Complaint {
			sk, err := hpke.MLKEM768P256().GenerateKey()
			if err != nil {
				b.Fatal(err)
			}
			raw, err := sk.Bytes()
			if err != nil {
				b.Fatal(err)
			}
			return []dkg.Complaint{{Dealer: b.victim, ReceiveKey: raw}}
		}, dkg.ErrReceiveKey),
		refused("a complaint without an opening", func(b *birth) []dkg.Complaint { return []dkg.Complaint{{Dealer: b.victim}} }, dkg.ErrReceiveKey),
		refused("a complaint opened with a byte too few", func(b *birth) []dkg.Complaint {
			return []dkg.Complaint{{Dealer: b.victim, ReceiveKey: key(b, b.victim)[1:]}}
		}, dkg.ErrReceiveKey),
		index("a complaint about index 0", number(0), dkg.ErrComplaints),
		index("a complaint about index -1", number(-1), dkg.ErrComplaints),
		index("a complaint about index n+1", func(b *birth) []byte { return wire.Encode(b.h + 1) }, dkg.ErrComplaints),
		index("a complaint about index 2^32+1", number(1<<32+1), dkg.ErrComplaints),
		index("a complaint about index q", bignum(0), wire.ErrMalformed),
		index("a complaint about index q+1", bignum(1), wire.ErrMalformed),
		{name: "a complaint about one that has not dealt", from: dealing, do: func(b *birth) {
			b.silent(b.victim, dealing)
			if len(b.honest()) < b.t {
				return
			}
			b.until(judging)
			b.bad(b.me)
			b.refusePost(b.me, dkg.KindVerdict, verdict(b, about(b, b.victim)), dkg.ErrComplaints)
		}, fits: func(t, h int) bool { return t < h-1 || t == h }},
		{name: "an acceptance, and then a complaint", from: judging, do: func(b *birth) {
			b.bad(b.me)
			b.take(b.me, dkg.KindVerdict, verdict(b))
			b.refusePost(b.me, dkg.KindVerdict, verdict(b, about(b, b.victim)), board.ErrTwice)
		}},
		{name: "a complaint after the deadline", from: judging, do: func(b *birth) {
			b.silent(b.me, judging)
			late := verdict(b, about(b, b.victim))
			if len(b.honest()) < b.t {
				return
			}
			b.pass()
			if b.phase() == confirming {
				b.refusePost(b.me, dkg.KindVerdict, late, board.ErrPhase)
			}
		}},
		{name: "a verdict over another list of deals", from: judging, do: func(b *birth) {
			b.silent(b.me, judging)
			b.refusePost(b.me, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: b.id}), dkg.ErrPrevious)
		}},
		{name: "a verdict of another session", from: judging, do: func(b *birth) {
			b.silent(b.me, judging)
			b.refusePost(b.me, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: [32]byte{9}, Previous: b.view().Previous}), dkg.ErrSession)
		}},
		{name: "another's complaint repeated", from: dealing, do: func(b *birth) {
			// The victim's complaint is right; repeated by someone else it opens nothing.
			b.excluded(b.me)
			deal := b.deal(b.me)
			deal.Boxes[b.victim-1] = flipped(deal.Boxes[b.victim-1], -1)
			b.take(b.me, dkg.KindDeal, wire.Encode(deal))
			for b.phase() == dealing {
				b.pass()
			}
			theirs := b.body(b.victim)
			other := b.victim%sharing.Index(b.h) + 1
			b.refusePost(other, dkg.KindVerdict, theirs, dkg.ErrReceiveKey)
		}},
	}
}

// Who cannot prove a share has none, as far as anyone believes.
func badReceipts() []misbehaviour {
	refused := func(name string, body func(b *birth, r *dkg.Receipt) []byte, want ...error) misbehaviour {
		return misbehaviour{name: name, from: confirming, do: func(b *birth) {
			r, err := dkg.DecodeReceipt(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			b.silent(b.me, confirming)
			b.refusePost(b.me, dkg.KindReceipt, body(b, r), want...)
		}}
	}
	return []misbehaviour{
		{name: "silence in the confirm phase", from: confirming, do: func(b *birth) { b.silent(b.me, confirming) }},
		refused("a receipt without a proof", func(_ *birth, r *dkg.Receipt) []byte { r.Proofs[0] = nil; return wire.Encode(r) }, sharing.ErrProof),
		refused("a receipt with a false proof", func(_ *birth, r *dkg.Receipt) []byte { r.Proofs[0] = flipped(r.Proofs[0], -1); return wire.Encode(r) }, sharing.ErrProof),
		refused("a receipt over another transcript", func(_ *birth, r *dkg.Receipt) []byte { r.Transcript[0] ^= 1; return wire.Encode(r) }, dkg.ErrTranscript),
		refused("a receipt of another session", func(_ *birth, r *dkg.Receipt) []byte { r.Session[0] ^= 1; return wire.Encode(r) }, dkg.ErrSession),
		refused("another holder's receipt", func(b *birth, _ *dkg.Receipt) []byte { return b.body(b.victim) }, sharing.ErrProof),
		{name: "a receipt before the verdict is closed", from: judging, do: func(b *birth) {
			b.bad(b.me)
			b.refusePost(b.me, dkg.KindReceipt, wire.Encode(dkg.Receipt{Session: b.id}), board.ErrPhase)
		}},
		{name: "a false receipt before the real one", from: confirming, do: func(b *birth) {
			b.bad(b.me)
			r, err := dkg.DecodeReceipt(b.body(b.me))
			if err != nil {
				b.Fatal(err)
			}
			r.Proofs[0] = flipped(r.Proofs[0], 0)
			b.refusePost(b.me, dkg.KindReceipt, wire.Encode(r), sharing.ErrProof)
			b.take(b.me, dkg.KindReceipt, b.body(b.me))
			b.refusePost(b.me, dkg.KindReceipt, b.body2(b.me), board.ErrTwice)
		}},
	}
}

// body2 is what holder i has posted in the confirm phase.
func (b *birth) body2(i sharing.Index) []byte {
	b.Helper()
	return b.steal(i).Posts[dkg.KindReceipt-1]
}

// A coalition of t-1, the largest that has no key of its own.
func coalitions() []misbehaviour {
	last := func(b *birth) []sharing.Index {
		list := b.all()[b.h-b.t+1:]
		b.bad(list...)
		return list
	}
	// dealt has everyone but this one deal, and adds up their constant terms.
	dealt := func(b *birth, me sharing.Index) *group.Point {
		sum := group.Identity()
		for _, i := range b.all() {
			if i == me {
				continue
			}
			deal := b.deal(i)
			b.take(i, dkg.KindDeal, wire.Encode(deal))
			p, err := group.DecodePoint(deal.Commitments[0][0])
			if err != nil {
				b.Fatal(err)
			}
			sum = sum.Add(p)
		}
		return sum
	}
	return []misbehaviour{
		// R5: the last of t-1 colluders has seen every dealing and wants the key to be
		// one that it knows: x·G less all the others.
		{name: "a coalition of t-1 whose last one chooses the key", from: dealing, do: func(b *birth) {
			list := last(b)
			me := list[len(list)-1]
			deal := b.deal(me)
			others := dealt(b, me)
			x, mine := b.coefficients(b.t)
			mine[0] = group.BaseMul(x).Add(others.Neg()).Bytes()
			deal.Commitments[0] = mine
			b.refusePost(me, dkg.KindDeal, wire.Encode(deal), dkg.ErrCommitment)
			b.silent(me, dealing)
		}},
		{name: "a coalition of t-1 whose last one guessed the others", from: committing, do: func(b *birth) {
			list := last(b)
			me := list[len(list)-1]
			_, mine := b.coefficients(b.t)
			mine[0] = group.SecondGenerator().Neg().Bytes()
			b.commitTo(me, mine)
			dealt(b, me)
			deal := b.deal(me)
			deal.Commitments[0] = mine
			b.refusePost(me, dkg.KindDeal, wire.Encode(deal), sharing.ErrProof)
			b.silent(me, dealing)
		}},
		// R6: what they can do is to leave.
		{name: "a coalition of t-1 that drops out after it has seen the others", from: dealing, do: func(b *birth) {
			for _, i := range last(b) {
				b.silent(i, dealing)
			}
		}},
		{name: "a coalition of t-1 that deals one polynomial", from: committing, do: func(b *birth) {
			list := last(b)
			poly := b.steal(list[0]).Polynomials
			for _, i := range list[1:] {
				st := b.steal(i)
				st.Polynomials, st.Posts[dkg.KindCommit-1] = poly, nil
				b.restore(i, wire.Encode(st))
			}
		}},
		{name: "a coalition of t-1 that deals bad boxes to all others", from: dealing, do: func(b *birth) {
			list := last(b)
			for _, me := range list {
				b.excluded(me)
				deal := b.deal(me)
				for k := range deal.Boxes {
					if len(deal.Boxes[k]) > 0 && !b.evil[sharing.Index(k+1)] {
						deal.Boxes[k] = flipped(deal.Boxes[k], -1)
					}
				}
				b.take(me, dkg.KindDeal, wire.Encode(deal))
			}
		}},
		{name: "a coalition of t-1 that accuses everyone", from: judging, do: func(b *birth) {
			for _, me := range last(b) {
				var list []dkg.Complaint
				keys := b.steal(me).Keys
				for _, i := range b.all() {
					if i != me {
						list = append(list, dkg.Complaint{Dealer: i, ReceiveKey: keys[i-1]})
					}
				}
				b.take(me, dkg.KindVerdict, wire.Encode(dkg.Verdict{Session: b.id, Previous: b.view().Previous, Complaints: list}))
			}
		}},
		{name: "a coalition of t-1 that confirms nothing", from: confirming, do: func(b *birth) {
			for _, i := range last(b) {
				b.silent(i, confirming)
			}
		}},
		{name: "a coalition of t-1 that calls every phase late", from: joining, do: func(b *birth) {
			list := last(b)
			for b.phase() <= confirming {
				phase := b.phase()
				for _, i := range list {
					b.accept(b.say(node(i), authority.KindDeadline, authority.Deadline{Session: b.id, Phase: uint32(phase)}))
				}
				if b.phase() != phase {
					b.Fatalf("%d of %d closed the %v phase", len(list), b.t, phase)
				}
				if phase == confirming {
					return
				}
				b.pass()
			}
		}},
		{name: "a coalition of t-1 that abandons", from: committing, do: func(b *birth) {
			for _, i := range last(b) {
				b.accept(b.say(node(i), authority.KindAbandon, authority.Abandon{Session: b.id}))
			}
			if b.phase() != committing {
				b.Errorf("they have ended it in its %v phase", b.phase())
			}
		}},
	}
}

// What is signed and is no post: by others, about others, at another time.
func badStatements() []misbehaviour {
	said := func(name string, from dkg.Phase, do func(b *birth)) misbehaviour {
		return misbehaviour{name: name, from: from, do: func(b *birth) { b.bad(b.me); do(b) }}
	}
	outsider := func(b *birth) string { return node(sharing.Index(b.h + 1)) }
	deadline := func(b *birth, n string, phase uint32) *authority.Entry {
		return b.say(n, authority.KindDeadline, authority.Deadline{Session: b.id, Phase: phase})
	}
	return []misbehaviour{
		said("a post in another holder's name", dealing, func(b *birth) {
			body := authority.Post{Session: b.id, Kind: uint32(dkg.KindDeal), Body: b.body(b.victim)}
			b.refuse(b.sayFor(b.genesis.Cluster, b.nodes[node(b.me)], node(b.victim), authority.KindPost, body).Encode(), authority.ErrSignature)
		}),
		said("a post in another holder's frame", dealing, func(b *birth) {
			e := b.post(b.me, dkg.KindDeal, b.body(b.me))
			e.Author = node(b.victim)
			b.refuse(e.Encode(), authority.ErrStatement)
		}),
		said("a post for another cluster", dealing, func(b *birth) {
			body := authority.Post{Session: b.id, Kind: uint32(dkg.KindDeal), Body: b.body(b.me)}
			b.refuse(b.sayFor(api.ClusterID{9}, b.nodes[node(b.me)], node(b.me), authority.KindPost, body).Encode(), authority.ErrStatement)
		}),
		said("a post by a node that is no holder", dealing, func(b *birth) {
			b.refuse(b.say(outsider(b), authority.KindPost, authority.Post{Session: b.id, Kind: uint32(dkg.KindDeal), Body: b.body(b.me)}).Encode(), ledger.ErrNotHolder)
		}),
		said("a complaint by a node that is no holder", judging, func(b *birth) {
			b.refuse(b.say(outsider(b), authority.KindPost, authority.Post{Session: b.id, Kind: uint32(dkg.KindVerdict), Body: b.body(b.me)}).Encode(), ledger.ErrNotHolder)
		}),
		said("a post by a node that is not on the roster", joining, func(b *birth) {
			body := authority.Post{Session: b.id, Kind: uint32(dkg.KindJoin), Body: b.body(b.me)}
			b.refuse(b.sayFor(b.genesis.Cluster, newSigner(b.TB), "stranger", authority.KindPost, body).Encode(), authority.ErrStatement)
		}),
		said("a post to a session that never was", joining, func(b *birth) {
			b.refuse(b.say(node(b.me), authority.KindPost, authority.Post{Session: api.Digest{9}, Kind: uint32(dkg.KindJoin), Body: b.body(b.me)}).Encode(), ledger.ErrNoSession)
		}),
		said("posts of kinds that do not exist", judging, func(b *birth) {
			body := b.body(b.me)
			for _, kind := range []uint32{0, 6, 255, 256 + uint32(dkg.KindVerdict), 1<<32 - 1} {
				b.refuse(b.say(node(b.me), authority.KindPost, authority.Post{Session: b.id, Kind: kind, Body: body}).Encode(), board.ErrKind)
			}
		}),
		said("every post of the session so far, again", confirming, func(b *birth) {
			for _, e := range b.rehearse.posts() {
				if b.refuse(e); b.phase() != confirming {
					b.Fatalf("the board is in its %v phase", b.phase())
				}
			}
		}),
		said("an entry of 257 KiB", dealing, func(b *birth) {
			b.refusePost(b.me, dkg.KindDeal, make([]byte, authority.MaxEntrySize), authority.ErrEntry)
		}),
		said("a deadline twice", committing, func(b *birth) {
			e := deadline(b, node(b.me), uint32(committing))
			b.accept(e)
			b.refuse(e.Encode(), board.ErrTwice)
		}),
		said("a deadline of a phase that is closed", dealing, func(b *birth) {
			b.refuse(deadline(b, node(b.me), uint32(committing)).Encode(), board.ErrPhase)
		}),
		said("a deadline of a phase to come", dealing, func(b *birth) {
			b.refuse(deadline(b, node(b.me), uint32(judging)).Encode(), board.ErrPhase)
			b.refuse(deadline(b, node(b.me), 256+uint32(dealing)).Encode(), board.ErrPhase)
		}),
		said("a deadline by a node that is no holder", dealing, func(b *birth) {
			b.refuse(deadline(b, outsider(b), uint32(dealing)).Encode(), ledger.ErrNotHolder)
		}),
		said("a deadline in another holder's name", dealing, func(b *birth) {
			e := b.sayFor(b.genesis.Cluster, b.nodes[node(b.me)], node(b.victim), authority.KindDeadline, authority.Deadline{Session: b.id, Phase: uint32(dealing)})
			b.refuse(e.Encode(), authority.ErrSignature)
		}),
		said("an abandonment twice, and by one that is no holder", dealing, func(b *birth) {
			e := b.say(node(b.me), authority.KindAbandon, authority.Abandon{Session: b.id})
			b.accept(e)
			b.refuse(e.Encode(), board.ErrTwice)
			b.refuse(b.say(outsider(b), authority.KindAbandon, authority.Abandon{Session: b.id}).Encode(), ledger.ErrNotHolder)
		}),
		said("an activation before all have confirmed", confirming, func(b *birth) {
			b.refuse(b.say(node(b.me), authority.KindActivate, authority.Activate{Session: b.id}).Encode(), board.ErrNotReady)
		}),
		said("an activation in the deal phase", dealing, func(b *birth) {
			b.refuse(b.say(node(b.me), authority.KindActivate, authority.Activate{Session: b.id}).Encode(), board.ErrPhase)
		}),
		// R17
		said("the session's attempt opened again while it runs", dealing, func(b *birth) {
			for _, attempt := range []uint64{0, 1, 2, 1<<64 - 1} {
				b.refuse(b.say(node(b.me), authority.KindOpen, authority.Open{Order: b.order, Attempt: attempt}).Encode(), ledger.ErrOutOfTurn)
			}
		}),
		said("an order that nobody signed opened", dealing, func(b *birth) {
			b.refuse(b.say(node(b.me), authority.KindOpen, authority.Open{Order: api.Digest{9}, Attempt: 1}).Encode(), ledger.ErrNoOrder)
		}),
		said("a record signed before the key is born", confirming, func(b *birth) {
			k := b.rehearse.last.key
			b.refuse(b.say(node(b.me), authority.KindRecord, signedBy(b.recordSignature(node(b.me), k))).Encode(), ledger.ErrNoKey)
		}),
		said("false signatures of the key's record", confirming, func(b *birth) {
			b.finish()
			k := b.key
			forged := *k
			forged.Record.Y = group.Generator().Bytes()
			b.refuse(b.say(node(b.me), authority.KindRecord, signedBy(b.recordSignature(node(b.me), &forged))).Encode(), authority.ErrSignature)
			stolen := b.recordSignature(node(b.victim), k)
			b.refuse(b.say(node(b.me), authority.KindRecord, signedBy(stolen)).Encode(), authority.ErrSignature)
			b.refuse(b.say(outsider(b), authority.KindRecord, signedBy(b.recordSignature(outsider(b), k))).Encode(), ledger.ErrNotHolder)
			older := b.recordSignature(node(b.me), k)
			older.Epoch = binary.MaxVarintLen64
			b.refuse(b.say(node(b.me), authority.KindRecord, signedBy(older)).Encode(), ledger.ErrNoKey)
			mine := b.say(node(b.me), authority.KindRecord, signedBy(b.recordSignature(node(b.me), k)))
			b.accept(mine)
			b.refuse(mine.Encode(), ledger.ErrOutOfTurn)
		}),
	}
}

// posts are the honest posts of the rehearsal up to the confirm phase, as entries.
func (r *rehearsal) posts() [][]byte {
	w := r.at[confirming].w
	var out [][]byte
	for _, e := range w.log[r.last.begun:] {
		if parsed, err := authority.ParseEntry(e); err == nil && parsed.Kind == authority.KindPost {
			out = append(out, e)
		}
	}
	return out
}
