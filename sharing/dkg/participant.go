package dkg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

var (
	// ErrState means that a stored state cannot be read, or is another
	// participant's or session's.
	ErrState = errors.New("dkg: not a stored state of this participant and session")
	// ErrNotMine means that the board holds a post in this participant's name
	// that it did not prepare: its state is old or lost, or a second copy runs.
	ErrNotMine = errors.New("dkg: the board holds a post in our name that is not ours")
	// ErrNoShare means that the qualified dealings do not give this participant
	// its shares, because it let a bad one pass in the verdict phase.
	ErrNoShare = errors.New("dkg: the qualified dealings do not give our share")
)

// Participant is the secret machine of one holder in one session: it looks at the
// board and says what to post next. It is not safe for concurrent use, and never
// prints.
//
// It does not remember the board, only what is secret and what it prepared. So it
// can be thrown away at any moment and be made again from its stored state.
type Participant struct {
	session Session
	me      sharing.Index           // our place
	keys    []secret.Bytes          // private receive keys, by the dealer's place; empty where nobody sends us anything
	polys   []*sharing.Polynomial   // one for each key; none if we do not deal, or deal contributions
	sets    secret.Bytes            // of a symmetric key: our contribution to each of our sets, in the order of [tprf.Held]; an owner's to all
	posts   [KindReceipt + 1][]byte // by kind; nil while not prepared
	shares  []*group.Scalar         // one for each key; none before the confirm phase
	setKeys *tprf.Share             // of a symmetric key; nil before the confirm phase
	dirty   bool                    // changed since the last State
}

// Ready is what is to be done now.
type Ready struct {
	// Post goes to the board, or nil if it is not this participant's turn. The
	// same bytes are asked for again until the board shows them.
	Post *Post
	// Persist means that [Participant.State] must be durable before Post is sent
	// and before Shares are relied on.
	Persist bool
	// Shares are this holder's shares, one for each key of the batch, copies that the
	// caller wipes, once QUAL is final and each was checked against its verification
	// key; before that, nil. They come together with the receipt, and must be safely
	// stored before the receipt is sent.
	Shares []*group.Scalar
	// Sets is this holder's share of a symmetric key, in the place of Shares.
	Sets *tprf.Share
}

// NewParticipant draws the receive keys and the polynomials of the participant at
// place me from rand. Its state must be stored before anything is posted, as the
// first [Ready] says. old are its shares of the old epoch, one for each key of the
// batch: the constant terms of what it deals. They are copied. At a birth, and for
// a newcomer, there are none.
func NewParticipant(s Session, me sharing.Index, old []*group.Scalar, rand io.Reader) (*Participant, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	if err := s.CheckPlace(me); err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	if err := checkOldShares(s, me, old); err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	if s.Symmetric.imported() && s.Deals(me) {
		return nil, fmt.Errorf("begin a ceremony as the owner of a seed: %w", ErrSeed)
	}
	p := &Participant{session: s, me: me, keys: make([]secret.Bytes, s.Participants()), dirty: true}
	for k := range p.keys {
		if !s.sendsBox(sharing.Index(k+1), me) {
			continue
		}
		seed := make([]byte, ReceiveSecretSize)
		if _, err := io.ReadFull(rand, seed); err != nil {
			p.Wipe()
			return nil, fmt.Errorf("begin a ceremony: draw a receive key: %w", err)
		}
		p.keys[k] = secret.New(seed)
	}
	if s.Symmetric != nil {
		contributions := make([]byte, len(p.givenSets())*ContributionSize)
		p.sets = secret.New(contributions)
		if _, err := io.ReadFull(rand, contributions); err != nil {
			p.Wipe()
			return nil, fmt.Errorf("begin a ceremony: draw contributions: %w", err)
		}
	}
	for k := range p.dealt() {
		poly, err := newPolynomial(s, k, old, rand)
		if err != nil {
			p.Wipe()
			return nil, fmt.Errorf("begin a ceremony: %w", err)
		}
		p.polys = append(p.polys, poly)
	}
	return p, nil
}

// checkOldShares holds what the caller gives as our old shares against what the
// ledger says of them.
func checkOldShares(s Session, me sharing.Index, old []*group.Scalar) error {
	want := 0
	if s.Old != nil && s.Deals(me) {
		want = s.N
	}
	if len(old) != want {
		return fmt.Errorf("%d old shares, %d are to be dealt again: %w", len(old), want, ErrOldShares)
	}
	for k, x := range old {
		if x == nil || !group.BaseMul(x).Equal(s.Old.verificationKey(k, me)) {
			return fmt.Errorf("key %d of the batch: %w", k+1, ErrOldShares)
		}
	}
	return nil
}

func newPolynomial(s Session, k int, old []*group.Scalar, rand io.Reader) (*sharing.Polynomial, error) {
	if s.Old == nil {
		return sharing.NewPolynomial(rand, s.T)
	}
	return sharing.NewPolynomialFor(rand, s.T, old[k])
}

// dealt is how many polynomials we deal: one for each key, or none.
func (p *Participant) dealt() int {
	if p.session.Deals(p.me) && p.session.Symmetric == nil {
		return p.session.N
	}
	return 0
}

// state is how a participant rests. All of it is secret, but for the posts, which
// have been or will be seen by all.
type state struct {
	Session     [32]byte      `cbor:"1,keyasint"`
	Cluster     [32]byte      `cbor:"2,keyasint"`
	T           int           `cbor:"3,keyasint"`
	H           int           `cbor:"4,keyasint"`
	F           int           `cbor:"5,keyasint"`
	N           int           `cbor:"6,keyasint"`
	Old         [32]byte      `cbor:"7,keyasint"` // zeros at a birth
	Me          sharing.Index `cbor:"8,keyasint"`
	Keys        [][]byte      `cbor:"9,keyasint"`
	Polynomials [][]byte      `cbor:"10,keyasint"`
	Posts       [][]byte      `cbor:"11,keyasint"` // by kind from [KindJoin] on; empty while not prepared
	Shares      [][]byte      `cbor:"12,keyasint"` // none before the confirm phase

	// Of a symmetric key.
	Key           []byte `cbor:"13,keyasint,omitempty"`
	Version       uint32 `cbor:"14,keyasint,omitempty"`
	Contributions []byte `cbor:"15,keyasint,omitempty"` // none of who deals nothing
	SetKeys       []byte `cbor:"16,keyasint,omitempty"` // none before the confirm phase
	Seed          []byte `cbor:"17,keyasint,omitempty"` // of an import: what its order says
}

func (st *state) wipe() {
	for _, list := range [][][]byte{st.Keys, st.Polynomials, st.Shares} {
		for _, b := range list {
			clear(b)
		}
	}
	clear(st.Contributions)
	clear(st.SetKeys)
}

// State returns all that [Restore] needs, and counts as stored what it returns:
// if storing it fails, the participant is to be thrown away. The caller wipes it.
func (p *Participant) State() secret.Bytes {
	s := p.session
	st := state{
		Session: s.ID, Cluster: s.Cluster, T: s.T, H: s.H, F: s.F, N: s.N, Old: s.Old.Digest(),
		Me: p.me, Posts: p.posts[KindJoin:],
	}
	defer st.wipe()
	for _, k := range p.keys {
		st.Keys = append(st.Keys, bytes.Clone(k.Reveal()))
	}
	for _, poly := range p.polys {
		st.Polynomials = append(st.Polynomials, poly.Bytes().Reveal())
	}
	for _, x := range p.shares {
		st.Shares = append(st.Shares, x.Bytes())
	}
	if k := s.Symmetric; k != nil {
		st.Key, st.Version, st.Contributions = k.Key[:], k.Version, bytes.Clone(p.sets.Reveal())
		if k.imported() {
			st.Seed = k.Seed[:]
		}
		if p.setKeys != nil {
			st.SetKeys = p.setKeys.Bytes().Reveal()
		}
	}
	p.dirty = false
	return secret.New(wire.Encode(st))
}

// Restore makes the participant again whose state this is. stored may be wiped
// afterwards.
func Restore(s Session, me sharing.Index, stored secret.Bytes) (*Participant, error) {
	var st state
	if err := wire.Decode(stored.Reveal(), &st); err != nil {
		return nil, fmt.Errorf("restore a participant: %w", ErrState)
	}
	defer st.wipe()
	if s.Validate() != nil || s.CheckPlace(me) != nil || st.Me != me || st.Old != s.Old.Digest() ||
		!s.Equal(Session{ID: st.Session, Cluster: st.Cluster, T: st.T, H: st.H, F: st.F, N: st.N, Old: s.Old, Symmetric: st.symmetric()}) {
		return nil, fmt.Errorf("restore a participant: %w", ErrState)
	}
	p := &Participant{session: s, me: me, keys: make([]secret.Bytes, s.Participants())}
	if err := p.restore(&st); err != nil {
		p.Wipe()
		return nil, fmt.Errorf("restore a participant: %w: %w", ErrState, err)
	}
	return p, nil
}

func (p *Participant) restore(st *state) error {
	s := p.session
	if len(st.Keys) != len(p.keys) || len(st.Posts) != int(KindReceipt) || len(st.Polynomials) != p.dealt() {
		return ErrBatch
	}
	for k, key := range st.Keys {
		want := 0
		if s.sendsBox(sharing.Index(k+1), p.me) {
			want = ReceiveSecretSize
		}
		if len(key) != want {
			return fmt.Errorf("receive key %d: %w", k+1, ErrReceiveKey)
		}
		p.keys[k] = secret.Clone(key)
	}
	for _, b := range st.Polynomials {
		poly, err := sharing.DecodePolynomial(secret.New(b), s.T)
		if err != nil {
			return err
		}
		p.polys = append(p.polys, poly)
	}
	for k, body := range st.Posts {
		if len(body) != 0 {
			p.posts[int(KindJoin)+k] = body
		}
	}
	if n := len(st.Shares); n != 0 && (n != s.N || !s.Receives(p.me)) {
		return fmt.Errorf("%d shares: %w", n, ErrBatch)
	}
	for _, b := range st.Shares {
		x, err := group.DecodeNonZeroScalar(b)
		if err != nil {
			return err
		}
		p.shares = append(p.shares, x)
	}
	return p.restoreSets(st)
}

// Wipe overwrites every secret; p must not be used afterwards. It is called once
// the ceremony is done or abandoned, so that neither the log nor a backup can
// rebuild a share.
func (p *Participant) Wipe() {
	for _, k := range p.keys {
		k.Wipe()
	}
	for _, poly := range p.polys {
		poly.Wipe()
	}
	wipe(p.shares)
	p.sets.Wipe()
	if p.setKeys != nil {
		p.setKeys.Wipe()
	}
}

// Step looks at the board and says what is to be done. It is deterministic given
// the state, except where something is prepared for the first time: rand then
// gives a proof its fresh half, and a sealed box draws its own. Asked again with
// the same view, it says the same.
func (p *Participant) Step(v View, rand io.Reader) (Ready, error) {
	if !v.Session.Equal(p.session) {
		return Ready{}, fmt.Errorf("look at the board: %w", ErrSession)
	}
	switch v.Phase {
	case PhaseJoin:
		return p.post(v, KindJoin, p.join)
	case PhaseCommit:
		return p.post(v, KindCommit, func() (any, error) { return p.commit(v), nil })
	case PhaseDeal:
		return p.post(v, KindDeal, func() (any, error) { return p.deal(v, rand) })
	case PhaseVerdict:
		return p.post(v, KindVerdict, func() (any, error) { return p.verdict(v) })
	case PhaseConfirm:
		ready, err := p.post(v, KindReceipt, func() (any, error) { return p.receipt(v, rand) })
		if err == nil {
			ready.Shares, ready.Sets = p.shareCopies(), p.setKeys.Clone()
		}
		return ready, err
	case PhaseDone:
		return Ready{Persist: p.dirty, Shares: p.shareCopies(), Sets: p.setKeys.Clone()}, nil
	}
	return Ready{}, nil
}

// post returns the post of this kind, made once and kept. It returns nothing for
// a participant whose part it is not, that missed a phase it needed, or whose post is
// there.
func (p *Participant) post(v View, kind Kind, prepare func() (any, error)) (Ready, error) {
	if err := p.checkMine(v); err != nil {
		return Ready{}, fmt.Errorf("look at the board in its %v phase: %w", v.Phase, err)
	}
	out := kind > KindJoin && v.Joins[p.me-1] == nil || kind == KindDeal && v.Commits[p.me-1] == nil ||
		(kind == KindCommit || kind == KindDeal) && !p.session.Deals(p.me) ||
		(kind == KindVerdict || kind == KindReceipt) && !p.session.Receives(p.me)
	if out || v.HasPosted(p.me) {
		return Ready{Persist: p.dirty}, nil
	}
	if p.posts[kind] == nil {
		body, err := prepare()
		if err != nil {
			return Ready{}, fmt.Errorf("prepare a %v: %w", kind, err)
		}
		p.posts[kind], p.dirty = wire.Encode(body), true
	}
	return Ready{Post: &Post{Kind: kind, Body: bytes.Clone(p.posts[kind])}, Persist: p.dirty}, nil
}

// checkMine refuses a board on which somebody posted in our name.
func (p *Participant) checkMine(v View) error {
	if v.Joins != nil {
		if j := v.Joins[p.me-1]; j != nil && !bytes.Equal(wire.Encode(j), p.posts[KindJoin]) {
			return fmt.Errorf("the join: %w", ErrNotMine)
		}
	}
	if v.Commits != nil {
		if c := v.Commits[p.me-1]; c != nil && !bytes.Equal(wire.Encode(c), p.posts[KindCommit]) {
			return fmt.Errorf("the commit: %w", ErrNotMine)
		}
	}
	return nil // a deal that matches our commit has our commitments
}

func (p *Participant) join() (any, error) {
	j := Join{Session: p.session.ID, ReceiveKeys: make([][]byte, len(p.keys))}
	for k, key := range p.keys {
		if !p.session.sendsBox(sharing.Index(k+1), p.me) {
			continue
		}
		sk, err := decodeReceiveSecret(key.Reveal())
		if err != nil {
			return nil, err
		}
		j.ReceiveKeys[k] = sk.PublicKey().Bytes()
	}
	return j, nil
}

// commitments are those to all our polynomials, or contributions, encoded.
func (p *Participant) commitments() [][][]byte {
	if p.session.Symmetric != nil {
		return p.setCommitments()
	}
	out := make([][][]byte, len(p.polys))
	for k, poly := range p.polys {
		out[k] = poly.Commit().Bytes()
	}
	return out
}

func (p *Participant) commit(v View) any {
	return Commit{
		Session: p.session.ID, Previous: v.Previous,
		Hash: CommitmentHash(p.session, p.me, p.commitments()),
	}
}

func (p *Participant) deal(v View, rand io.Reader) (any, error) {
	d := &Deal{
		Session: p.session.ID, Previous: v.Previous, Commitments: p.commitments(),
		Proofs: make([][]byte, len(p.polys)), Boxes: make([][]byte, p.session.H),
	}
	hash := CommitmentHash(p.session, p.me, d.Commitments)
	for k, poly := range p.polys {
		proof, err := proveConstant(poly, rand, proofBinding(p.session, p.me, v.Previous, hash, k))
		if err != nil {
			return nil, err
		}
		d.Proofs[k] = proof
	}
	for k := range d.Boxes {
		recipient, join := sharing.Index(k+1), v.Joins[k]
		if join == nil || !p.session.sendsBox(p.me, recipient) {
			continue
		}
		box, err := p.box(recipient, join.ReceiveKeys[p.me-1])
		if err != nil {
			return nil, err
		}
		d.Boxes[k] = box
	}
	return d, nil
}

// box seals what recipient is dealt by us.
func (p *Participant) box(recipient sharing.Index, receiveKey []byte) ([]byte, error) {
	if p.session.Symmetric != nil {
		return p.setBox(recipient, receiveKey)
	}
	list := p.eval(recipient)
	defer wipe(list)
	return sealBox(p.session, p.me, recipient, receiveKey, list)
}

// proveConstant proves that we know the constant term of what we deal.
func proveConstant(poly *sharing.Polynomial, rand io.Reader, binding [][]byte) ([]byte, error) {
	a0 := poly.Constant()
	defer a0.Wipe()
	return sharing.Prove(rand, tag.DealProofNonce, tag.DealProof, a0, group.BaseMul(a0), binding...)
}

// eval returns what recipient is dealt by us, for each key.
func (p *Participant) eval(recipient sharing.Index) []*group.Scalar {
	list := make([]*group.Scalar, len(p.polys))
	for k, poly := range p.polys {
		list[k] = poly.Eval(recipient)
	}
	return list
}

// subShares opens what dealer sent us and holds all of it against the dealer's
// commitments. For our own dealing it asks the polynomials. ok is false, and list
// nil, if anything is wrong.
func (p *Participant) subShares(v View, dealer sharing.Index) (list []*group.Scalar, ok bool, err error) {
	if dealer == p.me {
		return p.eval(p.me), true, nil
	}
	sk, err := decodeReceiveSecret(p.keys[dealer-1].Reveal())
	if err != nil {
		return nil, false, err
	}
	d := v.Deals[dealer-1]
	list, err = openBox(p.session, dealer, p.me, sk, d.boxes[p.me-1])
	if err != nil {
		return nil, false, nil
	}
	if !d.verify(p.me, list) {
		wipe(list)
		return nil, false, nil
	}
	return list, true, nil
}

func (p *Participant) verdict(v View) (any, error) {
	verdict := Verdict{Session: p.session.ID, Previous: v.Previous}
	for k, d := range v.Deals {
		dealer := sharing.Index(k + 1)
		if d == nil || !p.session.sendsBox(dealer, p.me) {
			continue
		}
		ok, err := p.dealtRightly(v, dealer)
		if err != nil {
			return nil, err
		}
		if ok {
			continue
		}
		verdict.Complaints = append(verdict.Complaints, Complaint{Dealer: dealer, ReceiveKey: p.keys[k].Reveal()})
	}
	return verdict, nil
}

// dealtRightly reports whether dealer's box for us holds what it committed to.
func (p *Participant) dealtRightly(v View, dealer sharing.Index) (bool, error) {
	if p.session.Symmetric != nil {
		list, ok, err := p.contributions(v, dealer)
		wipeContributions(list)
		return ok, err
	}
	list, ok, err := p.subShares(v, dealer)
	wipe(list)
	return ok, err
}

// receipt makes our new shares of what the qualified dealt to us, and proves them.
func (p *Participant) receipt(v View, rand io.Reader) (any, error) {
	if p.session.Symmetric != nil {
		return p.setReceipt(v)
	}
	o := v.Outcome
	dealt := make([][]*group.Scalar, len(o.Qual)) // by dealer, then by key
	defer func() {
		for _, list := range dealt {
			wipe(list)
		}
	}()
	for j, dealer := range o.Qual {
		list, ok, err := p.subShares(v, dealer)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("dealer %d: %w", dealer, ErrNoShare)
		}
		dealt[j] = list
	}
	weights, err := p.session.weights(o.Qual)
	if err != nil {
		return nil, err
	}
	shares, receipt := make([]*group.Scalar, p.session.N), Receipt{Session: p.session.ID, Transcript: o.Transcript}
	whole := false
	defer func() {
		if !whole {
			wipe(shares)
		}
	}()
	for k := range shares {
		column := make([]*group.Scalar, len(dealt))
		for j := range dealt {
			column[j] = dealt[j][k]
		}
		if shares[k], err = sharing.InterpolateShares(weights, column); err != nil {
			return nil, err
		}
		proof, err := p.confirm(o, k, shares[k], rand)
		if err != nil {
			return nil, fmt.Errorf("key %d of the batch: %w", k+1, err)
		}
		receipt.Proofs = append(receipt.Proofs, proof)
	}
	p.shares, whole = shares, true
	return receipt, nil
}

// confirm proves our share of the key at place k of the batch, once it is held against
// its verification key.
func (p *Participant) confirm(o *Outcome, k int, x *group.Scalar, rand io.Reader) ([]byte, error) {
	if !group.BaseMul(x).Equal(o.Keys[k].YI[p.me-1]) {
		return nil, fmt.Errorf("the sum does not match our verification key: %w", ErrNoShare)
	}
	return sharing.Prove(rand, tag.ReceiptNonce, tag.Receipt, x, o.Keys[k].YI[p.me-1], receiptBinding(p.session, p.me, o.Transcript, k)...)
}

// weights are what each qualified dealer's part counts: one at a birth, whose outcome
// is the sum, and later the coefficients at zero of the old indices.
func (s Session) weights(qual []sharing.Index) ([]*group.Scalar, error) {
	if s.Old != nil {
		return sharing.Lagrange(s.Old.indices(qual))
	}
	ones := make([]*group.Scalar, len(qual))
	for k := range ones {
		ones[k] = group.SmallScalar(1)
	}
	return ones, nil
}

func (p *Participant) shareCopies() []*group.Scalar {
	if p.shares == nil {
		return nil
	}
	out := make([]*group.Scalar, len(p.shares))
	for k, x := range p.shares {
		out[k] = x.Add(group.SmallScalar(0))
	}
	return out
}

// String implements [fmt.Stringer].
func (p Participant) String() string { return secret.Redacted }

// GoString implements [fmt.GoStringer].
func (p Participant) GoString() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (p Participant) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// LogValue implements [slog.LogValuer].
func (p Participant) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalCBOR always fails: a participant is stored by [Participant.State], on purpose.
func (p Participant) MarshalCBOR() ([]byte, error) { return nil, secret.ErrNotEncodable }
