package ledger_test

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// node is the id of the holder with this index. The one after the last holder is
// on the roster and holds nothing.
func node(i sharing.Index) string { return fmt.Sprintf("n%d", i) }

// rehearsal is one honest birth of a key with t of h, kept at the beginning of
// each of its phases, so that every misbehaviour can begin where it belongs.
type rehearsal struct {
	t, h        int
	order, next api.Digest // the key to be born, and another of the same shape
	id          api.Digest // the session
	at          map[dkg.Phase]moment
	last        *birth // the birth when it was done
}

// moment is the world when a phase opens, and what each holder has sealed, its
// post for this phase included.
type moment struct {
	w      *world
	states map[sharing.Index][]byte
}

// stage makes a cluster of h nodes and one more, bears its root key with 2 of h,
// and orders two keys for every threshold: one to be born among the evil, and the
// next, which is 2-of-3 unless everything is to be run.
func stage(tb testing.TB, h int) (w *world, orders, nexts map[int]api.Digest) {
	tb.Helper()
	w = newWorldOf(tb, h+1, h, 2)
	orders, nexts = map[int]api.Digest{}, map[int]api.Digest{}
	w.birthOf(w.rootOrder())
	order := func(name string, t, h int) api.Digest {
		o := authority.Order{
			Cluster: w.genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: fmt.Sprintf("%s%d", name, t),
			T: uint32(t), F: uint32(min(1, h-t)), Holders: w.genesis.Root.Holders[:h], PhaseSeconds: 60,
		}
		e := w.sign(w.orderChange(o), 0, 1)
		w.accept(e)
		return e.ID()
	}
	small := order("small", 2, 3)
	for t := 2; t <= h; t++ {
		orders[t], nexts[t] = order("key", t, h), small
		if *everything {
			nexts[t] = order("next", t, h)
		}
	}
	return w, orders, nexts
}

// birthOf bears a key with honest holders.
func (w *world) birthOf(order api.Digest) *birth {
	w.Helper()
	b := w.begin(order)
	b.finish()
	if b.key == nil {
		w.Fatalf("an honest birth with %d holders ended in its %v phase", b.h, b.phase())
	}
	return b
}

// rehearse runs the honest birth of an order and keeps its moments.
func rehearse(w *world, order, next api.Digest) *rehearsal {
	w.Helper()
	b := w.fork().begin(order)
	r := &rehearsal{t: b.t, h: b.h, order: order, next: next, id: b.id, at: map[dkg.Phase]moment{}}
	for b.phase() <= dkg.PhaseConfirm {
		m := moment{states: map[sharing.Index][]byte{}}
		for i := range b.parts {
			b.step(i)
			m.states[i] = bytes.Clone(b.parts[i].State().Reveal())
		}
		m.w = b.world.fork()
		r.at[b.phase()] = m
		if b.phase() == dkg.PhaseConfirm {
			break
		}
		b.pass()
	}
	b.finish()
	r.last = b
	return r
}

// birth is a session that runs through Apply with real participants. A test takes
// over some holders, who are then evil; the others stay honest.
type birth struct {
	*world
	t, h     int
	session  dkg.Session
	order    api.Digest
	next     api.Digest
	id       api.Digest
	me       sharing.Index // the evil one, where one is enough
	victim   sharing.Index
	rehearse *rehearsal

	parts  map[sharing.Index]*dkg.Participant
	shares map[sharing.Index]*group.Scalar
	evil   map[sharing.Index]bool
	mute   map[sharing.Index]map[dkg.Phase]bool // says nothing in this phase
	out    map[sharing.Index]bool               // must not be in QUAL
	poor   map[sharing.Index]bool               // cannot have a share

	first *ledger.State // where it began, and how long the log was
	begun int
	key   *ledger.Key // once it is born
}

func (w *world) newBirth(order, id api.Digest) *birth {
	o := w.s.OrderByHash(order)
	return &birth{
		world: w, t: int(o.Order.T), h: len(o.Order.Holders), order: order, id: id, session: w.s.Session(id).Board.Session(),
		parts: map[sharing.Index]*dkg.Participant{}, shares: map[sharing.Index]*group.Scalar{},
		evil: map[sharing.Index]bool{}, mute: map[sharing.Index]map[dkg.Phase]bool{},
		out: map[sharing.Index]bool{}, poor: map[sharing.Index]bool{},
		first: w.s, begun: len(w.log),
	}
}

// begin opens a session of an order.
func (w *world) begin(order api.Digest) *birth {
	w.Helper()
	o := w.s.OrderByHash(order)
	w.accept(w.say(o.Order.Holders[0], authority.KindOpen, authority.Open{Order: order, Attempt: o.Attempt + 1}))
	b := w.newBirth(order, w.s.OrderByHash(order).Live)
	for i := sharing.Index(1); int(i) <= b.h; i++ {
		p, err := dkg.NewParticipant(b.session, i, nil, rand.Reader)
		if err != nil {
			w.Fatal(err)
		}
		b.parts[i] = p
	}
	return b
}

// from goes on from a phase of the rehearsal. Every holder is restarted from what
// it sealed.
func (r *rehearsal) from(tb testing.TB, phase dkg.Phase, me sharing.Index) *birth {
	tb.Helper()
	m := r.at[phase]
	w := m.w.fork()
	w.TB = tb
	b := w.newBirth(r.order, r.id)
	b.next, b.rehearse = r.next, r
	b.me, b.victim = me, me%sharing.Index(r.h)+1
	for i, state := range m.states {
		b.restore(i, state)
	}
	return b
}

func (b *birth) restore(i sharing.Index, state []byte) {
	b.Helper()
	p, err := dkg.Restore(b.session, i, secret.Clone(state))
	if err != nil {
		b.Fatalf("restore holder %d: %v", i, err)
	}
	b.parts[i] = p
}

func (b *birth) phase() dkg.Phase { return b.s.Session(b.id).Board.Phase() }

func (b *birth) view() dkg.View { return b.s.Session(b.id).Board.View() }

func (b *birth) all() []sharing.Index {
	out := make([]sharing.Index, b.h)
	for k := range out {
		out[k] = sharing.Index(k + 1)
	}
	return out
}

func (b *birth) honest() []sharing.Index {
	return slices.DeleteFunc(b.all(), func(i sharing.Index) bool { return b.evil[i] })
}

// bad makes holders evil: they sign no deadline and end nothing.
func (b *birth) bad(list ...sharing.Index) {
	for _, i := range list {
		b.evil[i] = true
	}
}

// silent makes an evil holder say nothing in these phases.
func (b *birth) silent(i sharing.Index, phases ...dkg.Phase) {
	b.bad(i)
	if b.mute[i] == nil {
		b.mute[i] = map[dkg.Phase]bool{}
	}
	for _, p := range phases {
		b.mute[i][p] = true
	}
}

// excluded says that an evil dealer must not qualify.
func (b *birth) excluded(i sharing.Index) {
	b.bad(i)
	b.out[i] = true
}

// step asks holder i what it would do now.
func (b *birth) step(i sharing.Index) dkg.Ready {
	b.Helper()
	ready, err := b.parts[i].Step(b.view(), rand.Reader)
	if err != nil {
		b.Fatalf("holder %d in the %v phase: %v", i, b.phase(), err)
	}
	if ready.Shares != nil {
		b.shares[i] = ready.Shares[0]
	}
	return ready
}

// body is what holder i would post now.
func (b *birth) body(i sharing.Index) []byte {
	b.Helper()
	ready := b.step(i)
	if ready.Post == nil {
		b.Fatalf("holder %d has nothing to post in the %v phase", i, b.phase())
	}
	return ready.Post.Body
}

// post is a holder's post, whatever it says.
func (b *birth) post(i sharing.Index, kind dkg.Kind, body []byte) *authority.Entry {
	b.Helper()
	return b.say(node(i), authority.KindPost, authority.Post{Session: b.id, Kind: uint32(kind), Body: body})
}

func (b *birth) take(i sharing.Index, kind dkg.Kind, body []byte) {
	b.Helper()
	b.accept(b.post(i, kind, body))
}

func (b *birth) refusePost(i sharing.Index, kind dkg.Kind, body []byte, want ...error) {
	b.Helper()
	b.refuse(b.post(i, kind, body).Encode(), want...)
}

// pass lets every holder that may speak post in the open phase. If it is then
// still open, the honest say that it is late.
func (b *birth) pass(except ...sharing.Index) {
	b.Helper()
	phase := b.phase()
	for _, i := range b.all() {
		if b.phase() != phase || b.mute[i][phase] || slices.Contains(except, i) {
			continue
		}
		if ready := b.step(i); ready.Post != nil {
			b.take(i, ready.Post.Kind, ready.Post.Body)
		}
	}
	if len(except) > 0 || b.phase() != phase || b.s.Session(b.id).Board.ReadyToActivate() {
		return
	}
	for _, i := range b.honest() {
		if b.phase() == phase && len(b.s.Session(b.id).Board.Late()) < b.t {
			b.accept(b.say(node(i), authority.KindDeadline, authority.Deadline{Session: b.id, Phase: uint32(phase)}))
		}
	}
}

// until runs to a phase, which must be reached.
func (b *birth) until(phase dkg.Phase) {
	b.Helper()
	for b.phase() < phase {
		p := b.phase()
		if b.pass(); b.phase() == p {
			b.Fatalf("the %v phase does not end", p)
		}
	}
	if b.phase() != phase {
		b.Fatalf("the board is in its %v phase, not in %v", b.phase(), phase)
	}
}

// finish runs the session to its end: born, abandoned, or stuck, where the honest
// abandon it if they are t, and time does otherwise.
func (b *birth) finish() (end string) {
	b.Helper()
	if b.key != nil {
		return "born"
	}
	for b.phase() < dkg.PhaseConfirm {
		p := b.phase()
		if b.pass(); b.phase() == p {
			return b.stuck()
		}
	}
	if b.phase() == dkg.PhaseAbandoned {
		return "abandoned, too few dealers"
	}
	b.pass()
	if !b.s.Session(b.id).Board.ReadyToActivate() {
		return b.stuck()
	}
	b.accept(b.say(node(b.honest()[0]), authority.KindActivate, authority.Activate{Session: b.id}))
	b.key = b.s.Key(authority.KeyIDOf(b.id))
	return "born"
}

func (b *birth) stuck() string {
	b.Helper()
	if honest := b.honest(); len(honest) >= b.t {
		for _, i := range honest[:b.t] {
			b.accept(b.say(node(i), authority.KindAbandon, authority.Abandon{Session: b.id}))
		}
		return "abandoned by the honest"
	}
	// Two of the cluster's nodes move ledger time; the next open ends the session.
	for _, i := range []sharing.Index{1, 2} {
		b.accept(b.say(node(i), authority.KindAnchor, authority.Anchor{Counter: 1 << 20, Time: created + 700*1000}))
	}
	if !b.s.Expired(b.s.Session(b.id)) {
		b.Error("the session does not expire")
	}
	return "abandoned when its time was over"
}

// enough is R, the receipts that activate a key: max(t+f, ⌊(h+f)/2⌋+1), and all if h = t.
func (b *birth) enough() int {
	if b.h == b.t {
		return b.h
	}
	return max(b.t+1, (b.h+1)/2+1) // f = 1
}

// expected is how the session must end, by the rules alone: who was silent when,
// who must be out, who can have a share.
func (b *birth) expected() (end string, qual []sharing.Index) {
	taking := func(in []sharing.Index, phase dkg.Phase) (out []sharing.Index) {
		for _, i := range in {
			if !b.mute[i][phase] {
				out = append(out, i)
			}
		}
		return out
	}
	stuck := "abandoned by the honest"
	if len(b.honest()) < b.t {
		stuck = "abandoned when its time was over"
	}
	joined := taking(b.all(), dkg.PhaseJoin)
	awaited, posted := b.all(), joined
	for phase := dkg.PhaseJoin; phase <= dkg.PhaseVerdict; phase++ {
		switch phase {
		case dkg.PhaseCommit:
			awaited, posted = joined, taking(joined, phase)
		case dkg.PhaseDeal:
			awaited, posted = posted, taking(posted, phase)
			qual = slices.Clone(posted)
		case dkg.PhaseVerdict:
			awaited, posted = joined, taking(joined, phase)
		}
		if len(posted) < len(awaited) && len(b.honest()) < b.t {
			return stuck, nil
		}
		if len(posted) < b.t {
			if phase == dkg.PhaseJoin {
				return stuck, nil
			}
			return "abandoned, too few dealers", nil
		}
	}
	qual = slices.DeleteFunc(qual, func(i sharing.Index) bool { return b.out[i] || b.mute[i][dkg.PhaseVerdict] })
	if len(qual) < b.t {
		return "abandoned, too few dealers", nil
	}
	receipts := slices.DeleteFunc(taking(joined, dkg.PhaseConfirm), func(i sharing.Index) bool { return b.poor[i] })
	if len(receipts) == b.h || len(receipts) >= b.enough() && len(b.honest()) >= b.t {
		return "born", qual
	}
	return stuck, nil
}

// settle ends the session and holds everything that honest nodes can check.
func (b *birth) settle() (end string) {
	b.Helper()
	want, qual := b.expected()
	for i := range b.poor {
		b.silent(i, dkg.PhaseConfirm)
	}
	end = b.finish()
	if end != want {
		b.Errorf("it ended %q, want %q", end, want)
	}
	b.agree()
	if b.key != nil {
		out, _ := b.s.Session(b.id).Board.Outcome()
		if !slices.Equal(out.Qual, qual) {
			b.Errorf("QUAL is %v, want %v", out.Qual, qual) // R7
		}
		b.opens()
	}
	b.goesOn()
	return end
}

// agree applies the same entries on another node: the same log, the same state.
func (b *birth) agree() {
	b.Helper()
	other, at := b.first, b.index-uint64(len(b.log)-b.begun)
	for k, e := range b.log[b.begun:] {
		other, _ = other.Apply(at+uint64(k)+1, e)
	}
	if other.Root() != b.s.Root() || other.Position() != b.s.Position() {
		b.Error("two honest nodes read one log and do not agree")
	}
}

// opens holds every honest share against its verification key, and opens an
// envelope with t of them.
func (b *birth) opens() {
	b.Helper()
	out, _ := b.s.Session(b.id).Board.Outcome()
	partials, quorum := map[sharing.Index]*group.Point{}, b.honest()
	for _, i := range b.all() {
		x := b.shares[i]
		if x == nil || b.poor[i] {
			if !b.evil[i] {
				b.Errorf("holder %d has no share", i)
			}
			continue
		}
		if !group.BaseMul(x).Equal(out.Keys[0].YI[i-1]) {
			b.Errorf("the share of holder %d does not match its verification key", i)
		}
		if b.evil[i] {
			quorum = append(quorum, i) // only where the honest are fewer than t
		}
	}
	if len(quorum) < b.t {
		b.Fatalf("%d have a share of a key that was born with %d of %d", len(quorum), b.t, b.h)
	}
	pk, err := tdh2.NewPublicKey(b.genesis.Cluster, b.key.ID, 1, b.t, b.h, out.Keys[0].Y)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := tdh2.Wrap(rand.Reader, pk, nil, secret.New([]byte("a data key of 32 bytes, to be had")))
	if err != nil {
		b.Fatal(err)
	}
	e, err := tdh2.Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	v, err := pk.Verify(e, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range quorum[:b.t] {
		partials[i] = v.Partial(b.shares[i])
	}
	dek, err := pk.Open(v, partials)
	if err != nil || string(dek.Reveal()) != "a data key of 32 bytes, to be had" {
		b.Errorf("%v do not open an envelope: %v", quorum[:b.t], err)
	}
}

// goesOn shows that the session is over for ever, and that the next one succeeds:
// another attempt, or the next key. The evil stay away from it if it can do
// without them.
func (b *birth) goesOn() {
	b.Helper()
	order, attempt := b.order, b.s.OrderByHash(b.order).Attempt
	if b.key != nil {
		order = b.next
	}
	next := b.world.begin(order)
	if next.id == b.id {
		b.Error("the next session has the id of this one") // R15, R17
	}
	if _, gone := b.s.Session(b.id).Board.Abandoned(); gone != (b.key == nil) {
		b.Errorf("the session is in its %v phase", b.phase())
	}
	// R17: what was said in the old session is refused, there and here.
	old := b.rehearse.join(1)
	b.refusePost(1, dkg.KindJoin, old, ledger.ErrNoSession)
	next.refusePost(1, dkg.KindJoin, old, dkg.ErrSession)
	b.refuse(b.say(node(b.victim), authority.KindDeadline, authority.Deadline{Session: b.id, Phase: uint32(dkg.PhaseJoin)}).Encode(), ledger.ErrNoSession)
	b.refuse(b.say(node(b.victim), authority.KindActivate, authority.Activate{Session: b.id}).Encode(), ledger.ErrNoSession)
	b.refuse(b.say(node(b.victim), authority.KindOpen, authority.Open{Order: b.order, Attempt: attempt}).Encode(), ledger.ErrOutOfTurn)
	if next.h-len(b.evil) >= next.enough() {
		for i := range b.evil {
			next.silent(i, dkg.PhaseJoin, dkg.PhaseConfirm)
		}
	}
	want, qual := next.expected()
	if end := next.finish(); end != "born" || want != "born" {
		b.Fatalf("the next session ended %q", end)
	}
	if out, _ := next.s.Session(next.id).Board.Outcome(); !slices.Equal(out.Qual, qual) {
		b.Errorf("in the next session QUAL is %v, want %v", out.Qual, qual)
	}
	next.opens()
}

// stolen is what a participant rests as. An evil holder reads and alters its own.
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
}

func steal(tb testing.TB, state []byte) *stolen {
	tb.Helper()
	var st stolen
	if err := wire.Decode(state, &st); err != nil {
		tb.Fatal(err)
	}
	return &st
}

func (b *birth) steal(i sharing.Index) *stolen {
	b.Helper()
	return steal(b.TB, b.parts[i].State().Reveal())
}

// join is the post of a holder in the rehearsal's join phase.
func (r *rehearsal) join(i sharing.Index) []byte {
	return steal(r.last.TB, r.at[dkg.PhaseJoin].states[i]).Posts[0]
}

// polynomial is what holder i deals.
func (b *birth) polynomial(i sharing.Index) *sharing.Polynomial {
	b.Helper()
	p, err := sharing.DecodePolynomial(secret.New(b.steal(i).Polynomials[0]), b.t)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// deal is the deal that holder i would post, to be spoiled.
func (b *birth) deal(i sharing.Index) *dkg.Deal {
	b.Helper()
	d, err := dkg.DecodeDeal(b.body(i))
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// commitTo makes holder i commit to this list, whatever it is, and go on as if it
// were its own. The deal phase is then open.
func (b *birth) commitTo(i sharing.Index, commitments [][]byte) {
	b.Helper()
	b.bad(i)
	body := wire.Encode(dkg.Commit{
		Session: b.id, Previous: b.view().Previous, Hash: dkg.CommitmentHash(b.session, i, [][][]byte{commitments}),
	})
	b.take(i, dkg.KindCommit, body)
	st := b.steal(i)
	st.Posts[dkg.KindCommit-1] = body
	b.restore(i, wire.Encode(st))
	b.until(dkg.PhaseDeal)
}

// coefficients are the commitments to a fresh polynomial of this length, from none on.
func (b *birth) coefficients(length int) (x *group.Scalar, commitments [][]byte) {
	b.Helper()
	x, err := group.RandomScalar(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for k := range length {
		c := x
		if k > 0 {
			if c, err = group.RandomScalar(rand.Reader); err != nil {
				b.Fatal(err)
			}
		}
		commitments = append(commitments, group.BaseMul(c).Bytes())
	}
	return x, commitments
}

func bound(s dkg.Session, parts ...[]byte) [][]byte {
	return append([][]byte{s.ID[:], s.Cluster[:], tag.Uint64(uint64(s.T)), tag.Uint64(uint64(s.H)), tag.Uint64(uint64(s.F)), tag.Uint64(uint64(s.N)), make([]byte, 32)}, parts...)
}

// prove is a second implementation of the proof of knowledge, which lies where it
// is told to.
func (b *birth) prove(s dkg.Session, dealer sharing.Index, previous [32]byte, x *group.Scalar, commitments [][]byte) []byte {
	b.Helper()
	hash := dkg.CommitmentHash(s, dealer, [][][]byte{commitments})
	binding := bound(s, tag.Uint64(uint64(dealer)), previous[:], hash[:], tag.Uint64(0))
	proof, err := sharing.Prove(rand.Reader, tag.DealProofNonce, tag.DealProof, x, group.BaseMul(x), binding...)
	if err != nil {
		b.Fatal(err)
	}
	return proof
}

// seal is a second implementation of a box: to the receive key that owner made for
// dealer by, bound to s, dealer and recipient.
func (b *birth) seal(s dkg.Session, owner, by, dealer, recipient sharing.Index, plain []byte) []byte {
	b.Helper()
	pk, err := hpke.MLKEM768P256().NewPublicKey(b.view().Joins[owner-1].ReceiveKeys[by-1])
	if err != nil {
		b.Fatal(err)
	}
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), tag.List(tag.DealBox))
	if err != nil {
		b.Fatal(err)
	}
	box, err := sender.Seal(tag.List(tag.DealBox, bound(s, tag.Uint64(uint64(dealer)), tag.Uint64(uint64(recipient)))...), plain)
	if err != nil {
		b.Fatal(err)
	}
	return append(enc, box...)
}

// elsewhere is the proof of knowledge that the real machine makes for the
// polynomial of b.me in the session s, in the place of another dealer.
func (b *birth) elsewhere(s dkg.Session, dealer sharing.Index) []byte {
	b.Helper()
	st := b.steal(dealer)
	st.Session, st.Cluster = s.ID, s.Cluster
	st.Polynomials, st.Posts[dkg.KindDeal-1] = b.steal(b.me).Polynomials, nil
	p, err := dkg.Restore(s, dealer, secret.New(wire.Encode(st)))
	if err != nil {
		b.Fatal(err)
	}
	v := b.view()
	v.Session = s
	ready, err := p.Step(v, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	d, err := dkg.DecodeDeal(ready.Post.Body)
	if err != nil {
		b.Fatal(err)
	}
	return d.Proofs[0]
}
