package board

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

// ceremony drives honest participants and a board, in memory. A test takes over
// single holders with silent, and posts in their name.
type ceremony struct {
	*testing.T
	s      dkg.Session
	b      *Board
	parts  map[sharing.Index]*dkg.Participant
	rand   *rand.ChaCha8
	silent map[sharing.Index]bool
	shares map[sharing.Index][]*group.Scalar // by place, then by key
	sets   map[sharing.Index]*tprf.Share     // of a symmetric key
	posts  []entry                           // everything that was taken
}

type entry struct {
	author sharing.Index
	kind   dkg.Kind
	body   []byte
}

func session(t, h int, name string) dkg.Session {
	f := min(1, h-t)
	return dkg.Session{
		ID:      tag.Hash(tag.SelfTest, []byte(name)),
		Cluster: tag.Hash(tag.SelfTest, []byte("cluster")),
		T:       t, H: h, F: f, N: 1,
	}
}

func begin(t *testing.T, s dkg.Session) *ceremony {
	t.Helper()
	return beginWith(t, s, nil)
}

// beginWith begins a ceremony whose dealers, by place, have these old shares.
func beginWith(t *testing.T, s dkg.Session, old map[sharing.Index][]*group.Scalar) *ceremony {
	t.Helper()
	var seed [32]byte
	if binary.BigEndian.PutUint32(seed[:], uint32(s.T<<8|s.H)); s.Old != nil {
		seed = s.ID // other coefficients than at the birth
	}
	c := &ceremony{
		T: t, s: s, b: New(s), rand: rand.NewChaCha8(seed), parts: map[sharing.Index]*dkg.Participant{},
		silent: map[sharing.Index]bool{}, shares: map[sharing.Index][]*group.Scalar{}, sets: map[sharing.Index]*tprf.Share{},
	}
	for _, i := range c.everyone() {
		p, err := dkg.NewParticipant(s, i, old[i], c.rand)
		if s.Symmetric != nil && !s.Receives(i) {
			p, err = dkg.NewOwner(s, seedName, seedOf(s))
		}
		if err != nil {
			t.Fatal(err)
		}
		c.parts[i] = p
	}
	return c
}

func (c *ceremony) everyone() []sharing.Index { return all(c.s.Participants()) }

// step asks participant i, restarts it from its state, and asks again: both must
// say the same, byte for byte.
func (c *ceremony) step(i sharing.Index) dkg.Ready {
	c.Helper()
	v := c.b.View()
	ready, err := c.parts[i].Step(v, c.rand)
	if err != nil {
		c.Fatalf("holder %d in the %v phase: %v", i, v.Phase, err)
	}
	if ready.Post == nil && ready.Shares == nil && ready.Sets == nil {
		return ready
	}
	stored := c.parts[i].State()
	restarted, err := dkg.Restore(c.s, i, stored)
	if err != nil {
		c.Fatalf("restart holder %d in the %v phase: %v", i, v.Phase, err)
	}
	again, err := restarted.Step(v, c.rand)
	if err != nil {
		c.Fatalf("restarted holder %d in the %v phase: %v", i, v.Phase, err)
	}
	switch {
	case again.Persist:
		c.Errorf("holder %d in the %v phase: a restarted participant changed its state", i, v.Phase)
	case (ready.Post == nil) != (again.Post == nil), (ready.Shares == nil) != (again.Shares == nil):
		c.Errorf("holder %d in the %v phase: a restarted participant says something else", i, v.Phase)
	case ready.Post != nil && (ready.Post.Kind != again.Post.Kind || string(ready.Post.Body) != string(again.Post.Body)):
		c.Errorf("holder %d in the %v phase: a restarted participant posts other bytes", i, v.Phase)
	case !sameShares(ready.Shares, again.Shares), !sameSets(ready.Sets, again.Sets):
		c.Errorf("holder %d in the %v phase: a restarted participant has another share", i, v.Phase)
	}
	c.parts[i] = restarted
	if ready.Shares != nil {
		c.shares[i] = ready.Shares
	}
	if ready.Sets != nil {
		c.sets[i] = ready.Sets
	}
	return ready
}

func sameSets(a, b *tprf.Share) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

func sameShares(a, b []*group.Scalar) bool {
	return slices.EqualFunc(a, b, func(x, y *group.Scalar) bool { return x.Equal(y) })
}

// body is what participant i would post now.
func (c *ceremony) body(i sharing.Index) []byte {
	c.Helper()
	ready := c.step(i)
	if ready.Post == nil {
		c.Fatalf("holder %d has nothing to post in the %v phase", i, c.b.Phase())
	}
	return ready.Post.Body
}

// accept puts a post that must be taken on the board.
func (c *ceremony) accept(i sharing.Index, kind dkg.Kind, body []byte) {
	c.Helper()
	next, err := c.b.Post(i, kind, body)
	if err != nil {
		c.Fatalf("%v of holder %d: %v", kind, i, err)
	}
	c.b = next
	c.posts = append(c.posts, entry{i, kind, body})
}

// refuse holds that a post is refused by this name and leaves the board alone.
func (c *ceremony) refuse(i sharing.Index, kind dkg.Kind, body []byte, want error) {
	c.Helper()
	before := c.b.Digest()
	next, err := c.b.Post(i, kind, body)
	if next != nil || !errors.Is(err, want) {
		c.Errorf("%v of holder %d: got %v, want %v", kind, i, err, want)
	}
	if c.b.Digest() != before {
		c.Errorf("%v of holder %d was refused and changed the board", kind, i)
	}
}

// late makes as many honest participants as it takes say that the open phase is past its deadline.
func (c *ceremony) late() {
	c.Helper()
	phase, said := c.b.Phase(), 0
	for _, i := range c.everyone() {
		if c.silent[i] || said == c.s.Statements() {
			continue
		}
		next, err := c.b.PastDeadline(i, phase)
		if err != nil {
			c.Fatal(err)
		}
		c.b, said = next, said+1
	}
}

// post lets all who are not silent post in the open phase, and closes it by the
// clock if it did not close by itself.
func (c *ceremony) post() {
	c.Helper()
	phase := c.b.Phase()
	for _, i := range c.everyone() {
		if c.silent[i] || c.b.Phase() != phase {
			continue
		}
		if ready := c.step(i); ready.Post != nil {
			c.accept(i, ready.Post.Kind, ready.Post.Body)
		}
	}
	if c.b.Phase() == phase && !c.b.ReadyToActivate() && len(c.silent) <= c.s.Participants()-c.s.Statements() {
		c.late()
	}
}

// until posts phase after phase until phase is open.
func (c *ceremony) until(phase dkg.Phase) *ceremony {
	c.Helper()
	for c.b.Phase() < phase {
		c.post()
	}
	if c.b.Phase() != phase {
		reason, _ := c.b.Abandoned()
		c.Fatalf("the %v phase is open, wanted %v (%s)", c.b.Phase(), phase, reason)
	}
	return c
}

// finish confirms, activates, and asks the participants once more.
func (c *ceremony) finish(qual ...sharing.Index) {
	c.Helper()
	c.confirm(qual...)
	done, err := c.b.Activate()
	if err != nil {
		c.Fatal(err)
	}
	c.b = done
	for i, x := range c.sets {
		if ready := c.step(i); ready.Post != nil || !sameSets(ready.Sets, x) {
			c.Errorf("holder %d says something else after the end", i)
		}
	}
	for i, x := range c.shares {
		if ready := c.step(i); ready.Post != nil || !sameShares(ready.Shares, x) {
			c.Errorf("holder %d says something else after the end", i)
		}
	}
}

// confirm runs through the confirm phase and holds the outcome against all that
// honest holders can check: QUAL, and the shares of each key.
func (c *ceremony) confirm(qual ...sharing.Index) {
	c.Helper()
	c.until(dkg.PhaseConfirm)
	c.post()
	o, ok := c.b.Outcome()
	if !ok {
		c.Fatal("no outcome")
	}
	if fmt.Sprint(o.Qual) != fmt.Sprint(qual) { // R7
		c.Errorf("QUAL is %v, want %v", o.Qual, qual)
	}
	var holders []sharing.Index
	for i := sharing.Index(1); int(i) <= c.s.H; i++ {
		if !c.silent[i] {
			holders = append(holders, i)
		}
	}
	if c.s.Symmetric != nil {
		c.holdSets(holders)
		return
	}
	for k := range c.s.N {
		c.hold(holders, k, o.Keys[k])
	}
}

// hold holds the shares of one key of the batch against its public half: every share
// against its Y_i, t of them and t of the Y_i against Y.
func (c *ceremony) hold(holders []sharing.Index, k int, public dkg.Public) {
	c.Helper()
	shares := map[sharing.Index]*group.Scalar{}
	for _, i := range holders {
		if len(c.shares[i]) != c.s.N {
			c.Fatalf("holder %d has %d shares of %d keys", i, len(c.shares[i]), c.s.N)
		}
		if shares[i] = c.shares[i][k]; !group.BaseMul(shares[i]).Equal(public.YI[i-1]) {
			c.Errorf("the share of holder %d does not match its verification key", i)
		}
	}
	for j := 0; j+c.s.T <= len(holders); j++ {
		quorum := holders[j : j+c.s.T]
		if key := interpolated(c, quorum, shares); !group.BaseMul(key).Equal(public.Y) {
			c.Errorf("the shares of %v do not make the key", quorum)
		}
		delta := sharing.Delta(c.s.T, c.s.H)
		points := make([]*group.Point, c.s.T)
		for l, i := range quorum {
			points[l] = public.YI[i-1]
		}
		w, err := sharing.Interpolate(delta, quorum, points)
		if err != nil {
			c.Fatal(err)
		}
		if !w.Equal(public.Y.Mul(group.SmallScalar(delta))) {
			c.Errorf("the verification keys of %v do not make Δ·Y", quorum)
		}
	}
}

// interpolated is Σ λ_i·x_i over a quorum, written out.
func interpolated(tb testing.TB, quorum []sharing.Index, shares map[sharing.Index]*group.Scalar) *group.Scalar {
	tb.Helper()
	lambda, err := sharing.Lagrange(quorum)
	if err != nil {
		tb.Fatal(err)
	}
	key := group.SmallScalar(0)
	for j, i := range quorum {
		key = key.Add(lambda[j].Mul(shares[i]))
	}
	return key
}

// stolen is what a participant rests as. A thief reads it, a liar alters its own.
type stolen struct {
	Session     [32]byte `cbor:"1,keyasint"`
	Cluster     [32]byte `cbor:"2,keyasint"`
	T           int      `cbor:"3,keyasint"`
	H           int      `cbor:"4,keyasint"`
	F           int      `cbor:"5,keyasint"`
	N           int      `cbor:"6,keyasint"`
	Old         [32]byte `cbor:"7,keyasint"`
	Me          int      `cbor:"8,keyasint"`
	Keys        [][]byte `cbor:"9,keyasint"`
	Polynomials [][]byte `cbor:"10,keyasint"`
	Posts       [][]byte `cbor:"11,keyasint"`
	Shares      [][]byte `cbor:"12,keyasint"`

	Key           []byte `cbor:"13,keyasint,omitempty"`
	Version       uint32 `cbor:"14,keyasint,omitempty"`
	Contributions []byte `cbor:"15,keyasint,omitempty"`
	SetKeys       []byte `cbor:"16,keyasint,omitempty"`
	Seed          []byte `cbor:"17,keyasint,omitempty"`
}

func (c *ceremony) steal(i sharing.Index) *stolen {
	c.Helper()
	var st stolen
	if err := wire.Decode(c.parts[i].State().Reveal(), &st); err != nil {
		c.Fatal(err)
	}
	return &st
}

// receiveSecrets looks into the stored state of holder i, as its thief would.
func (c *ceremony) receiveSecrets(i sharing.Index) [][]byte {
	c.Helper()
	return c.steal(i).Keys
}

// alter makes participant i go on from another state than its own.
func (c *ceremony) alter(i sharing.Index, change func(*stolen)) {
	c.Helper()
	st := c.steal(i)
	change(st)
	p, err := dkg.Restore(c.s, i, secret.New(wire.Encode(st)))
	if err != nil {
		c.Fatal(err)
	}
	c.parts[i] = p
}

// dealer is a second implementation of a dealing, which can be told to lie at
// every place.
type dealer struct {
	c           *ceremony
	me          sharing.Index
	poly        *sharing.Polynomial
	commitments [][]byte
}

func (c *ceremony) dealer(me sharing.Index, threshold int) *dealer {
	c.Helper()
	d := &dealer{c: c, me: me}
	var err error
	if d.poly, err = sharing.NewPolynomial(c.rand, max(threshold, 2)); err != nil {
		c.Fatal(err)
	}
	d.commitments = d.poly.Commit().Bytes()[:threshold]
	c.silent[me] = true
	return d
}

func (d *dealer) commit() []byte {
	return wire.Encode(dkg.Commit{Session: d.c.s.ID, Previous: d.c.b.View().Previous, Hash: dkg.CommitmentHash(d.c.s, d.me, [][][]byte{d.commitments})})
}

func bind(s dkg.Session, parts ...[]byte) [][]byte {
	old := s.Old.Digest()
	list := [][]byte{s.ID[:], s.Cluster[:], tag.Uint64(uint64(s.T)), tag.Uint64(uint64(s.H)), tag.Uint64(uint64(s.F)), tag.Uint64(uint64(s.N)), old[:]}
	if k := s.Symmetric; k != nil {
		if list = append(list, k.Key[:], tag.Uint64(uint64(k.Version))); s.Imported() {
			list = append(list, k.Seed[:])
		}
	}
	return append(list, parts...)
}

func (d *dealer) prove(s dkg.Session, me sharing.Index, previous [32]byte) []byte {
	d.c.Helper()
	hash := dkg.CommitmentHash(s, me, [][][]byte{d.commitments})
	binding := bind(s, tag.Uint64(uint64(me)), previous[:], hash[:], tag.Uint64(0))
	proof, err := sharing.Prove(d.c.rand, tag.DealProofNonce, tag.DealProof, d.poly.Constant(), d.poly.Commit().Constant(), binding...)
	if err != nil {
		d.c.Fatal(err)
	}
	return proof
}

func (d *dealer) seal(recipient, aadRecipient sharing.Index, plain []byte) []byte {
	d.c.Helper()
	pk, err := hpke.MLKEM768P256().NewPublicKey(d.c.b.View().Joins[recipient-1].ReceiveKeys[d.me-1])
	if err != nil {
		d.c.Fatal(err)
	}
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), tag.List(tag.DealBox))
	if err != nil {
		d.c.Fatal(err)
	}
	box, err := sender.Seal(tag.List(tag.DealBox, bind(d.c.s, tag.Uint64(uint64(d.me)), tag.Uint64(uint64(aadRecipient)))...), plain)
	if err != nil {
		d.c.Fatal(err)
	}
	return append(enc, box...)
}

func (d *dealer) deal() *dkg.Deal {
	d.c.Helper()
	v := d.c.b.View()
	deal := &dkg.Deal{Session: d.c.s.ID, Previous: v.Previous, Commitments: [][][]byte{d.commitments}, Boxes: make([][]byte, d.c.s.H)}
	deal.Proofs = [][]byte{d.prove(d.c.s, d.me, v.Previous)}
	for k, j := range v.Joins {
		if i := sharing.Index(k + 1); j != nil && i != d.me {
			deal.Boxes[k] = d.seal(i, i, d.poly.Eval(i).Bytes())
		}
	}
	return deal
}

func all(h int, without ...sharing.Index) []sharing.Index {
	var out []sharing.Index
next:
	for i := sharing.Index(1); int(i) <= h; i++ {
		for _, w := range without {
			if i == w {
				continue next
			}
		}
		out = append(out, i)
	}
	return out
}

// receipt is a liar's honest receipt: it holds a real share like everyone else.
func (d *dealer) receipt() []byte {
	d.c.Helper()
	o, _ := d.c.b.Outcome()
	v := d.c.b.View()
	sum := group.SmallScalar(0)
	for _, i := range o.Qual {
		sk, err := hpke.MLKEM768P256().NewPrivateKey(d.c.receiveSecrets(d.me)[i-1])
		if err != nil {
			d.c.Fatal(err)
		}
		var box []byte
		for _, e := range d.c.posts {
			if e.author == i && e.kind == dkg.KindDeal {
				deal, err := dkg.DecodeDeal(e.body)
				if err != nil {
					d.c.Fatal(err)
				}
				box = deal.Boxes[d.me-1]
			}
		}
		enc := len(box) - group.ScalarSize - 16
		r, err := hpke.NewRecipient(box[:enc], sk, hpke.HKDFSHA256(), hpke.AES256GCM(), tag.List(tag.DealBox))
		if err != nil {
			d.c.Fatal(err)
		}
		plain, err := r.Open(tag.List(tag.DealBox, bind(d.c.s, tag.Uint64(uint64(i)), tag.Uint64(uint64(d.me)))...), box[enc:])
		if err != nil {
			d.c.Fatal(err)
		}
		x, err := group.DecodeScalar(plain)
		if err != nil || !v.Deals[i-1].Commitments()[0].Verify(d.me, x) {
			d.c.Fatalf("the box of dealer %d does not hold a sub-share (%v)", i, err)
		}
		sum = sum.Add(x)
	}
	proof, err := sharing.Prove(d.c.rand, tag.ReceiptNonce, tag.Receipt, sum, o.Keys[0].YI[d.me-1], bind(d.c.s, tag.Uint64(uint64(d.me)), o.Transcript[:], tag.Uint64(0))...)
	if err != nil {
		d.c.Fatal(err)
	}
	return wire.Encode(dkg.Receipt{Session: d.c.s.ID, Transcript: o.Transcript, Proofs: [][]byte{proof}})
}
