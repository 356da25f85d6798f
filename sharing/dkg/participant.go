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
)

var (
	// ErrState means that a stored state cannot be read, or is another
	// participant's or session's.
	ErrState = errors.New("dkg: not a stored state of this participant and session")
	// ErrNotMine means that the board holds a post in this participant's name
	// that it did not prepare: its state is old or lost, or a second copy runs.
	ErrNotMine = errors.New("dkg: the board holds a post in our name that is not ours")
	// ErrNoShare means that the qualified dealings do not give this participant
	// its share, because it let a bad one pass in the verdict phase.
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
	me      sharing.Index
	keys    []secret.Bytes // h private receive keys, by dealer; empty at me
	poly    *sharing.Polynomial
	posts   [KindReceipt + 1][]byte // by kind; nil while not prepared
	share   *group.Scalar           // nil before the confirm phase
	dirty   bool                    // changed since the last State
}

// Ready is what is to be done now.
type Ready struct {
	// Post goes to the board, or nil if it is not this participant's turn. The
	// same bytes are asked for again until the board shows them.
	Post *Post
	// Persist means that [Participant.State] must be durable before Post is sent
	// and before Share is relied on.
	Persist bool
	// Share is this holder's share of the new key, a copy, once QUAL is final and
	// the share was checked against its verification key. It comes together with
	// the receipt, and must be safely stored before the receipt is sent.
	Share *group.Scalar
}

// NewParticipant draws the receive keys and the polynomial of holder me from rand.
// Its state must be stored before anything is posted, as the first [Ready] says.
func NewParticipant(s Session, me sharing.Index, rand io.Reader) (*Participant, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	if err := s.params().CheckIndex(me); err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	p := &Participant{session: s, me: me, keys: make([]secret.Bytes, s.H), dirty: true}
	for k := range p.keys {
		if sharing.Index(k+1) == me {
			continue
		}
		seed := make([]byte, ReceiveSecretSize)
		if _, err := io.ReadFull(rand, seed); err != nil {
			return nil, fmt.Errorf("begin a ceremony: draw a receive key: %w", err)
		}
		p.keys[k] = secret.New(seed)
	}
	poly, err := sharing.NewPolynomial(rand, s.T)
	if err != nil {
		return nil, fmt.Errorf("begin a ceremony: %w", err)
	}
	p.poly = poly
	return p, nil
}

// state is how a participant rests. All of it is secret.
type state struct {
	Session    [32]byte      `cbor:"1,keyasint"`
	Cluster    [32]byte      `cbor:"2,keyasint"`
	T          int           `cbor:"3,keyasint"`
	H          int           `cbor:"4,keyasint"`
	F          int           `cbor:"5,keyasint"`
	Me         sharing.Index `cbor:"6,keyasint"`
	Keys       [][]byte      `cbor:"7,keyasint"`
	Polynomial []byte        `cbor:"8,keyasint"`
	Posts      [][]byte      `cbor:"9,keyasint"`  // by kind from [KindJoin] on; empty while not prepared
	Share      []byte        `cbor:"10,keyasint"` // empty before the confirm phase
}

// State returns all that [Restore] needs, and counts as stored what it returns:
// if storing it fails, the participant is to be thrown away. The caller wipes it.
func (p *Participant) State() secret.Bytes {
	poly := p.poly.Bytes()
	defer poly.Wipe()
	st := state{
		Session: p.session.ID, Cluster: p.session.Cluster, T: p.session.T, H: p.session.H, F: p.session.F,
		Me: p.me, Polynomial: poly.Reveal(), Posts: p.posts[KindJoin:],
	}
	for _, k := range p.keys {
		st.Keys = append(st.Keys, k.Reveal())
	}
	if p.share != nil {
		st.Share = p.share.Bytes()
		defer clear(st.Share)
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
	defer func() {
		clear(st.Polynomial)
		clear(st.Share)
		for _, k := range st.Keys {
			clear(k)
		}
	}()
	if (Session{ID: st.Session, Cluster: st.Cluster, T: st.T, H: st.H, F: st.F}) != s || st.Me != me || s.Validate() != nil ||
		s.params().CheckIndex(me) != nil || len(st.Keys) != s.H || len(st.Posts) != int(KindReceipt) {
		return nil, fmt.Errorf("restore a participant: %w", ErrState)
	}
	p := &Participant{session: s, me: me, keys: make([]secret.Bytes, s.H)}
	for k, key := range st.Keys {
		if want := sharing.Index(k+1) != me; want != (len(key) == ReceiveSecretSize) || !want && len(key) != 0 {
			return nil, fmt.Errorf("restore a participant: receive key %d: %w", k+1, ErrState)
		}
		p.keys[k] = secret.Clone(key)
	}
	poly, err := sharing.DecodePolynomial(secret.New(st.Polynomial), s.T)
	if err != nil {
		return nil, fmt.Errorf("restore a participant: %w: %w", ErrState, err)
	}
	p.poly = poly
	for k, body := range st.Posts {
		if len(body) != 0 {
			p.posts[int(KindJoin)+k] = body
		}
	}
	if len(st.Share) != 0 {
		if p.share, err = group.DecodeNonZeroScalar(st.Share); err != nil {
			return nil, fmt.Errorf("restore a participant: %w: %w", ErrState, err)
		}
	}
	return p, nil
}

// Wipe overwrites every secret; p must not be used afterwards. It is called once
// the ceremony is done or abandoned, so that neither the log nor a backup can
// rebuild a share.
func (p *Participant) Wipe() {
	for _, k := range p.keys {
		k.Wipe()
	}
	p.poly.Wipe()
	if p.share != nil {
		p.share.Wipe()
	}
}

// Step looks at the board and says what is to be done. It is deterministic given
// the state, except where something is prepared for the first time: rand then
// gives a proof its fresh half, and a sealed box draws its own. Asked again with
// the same view, it says the same.
func (p *Participant) Step(v View, rand io.Reader) (Ready, error) {
	if v.Session != p.session {
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
			ready.Share = p.shareCopy()
		}
		return ready, err
	case PhaseDone:
		return Ready{Persist: p.dirty, Share: p.shareCopy()}, nil
	}
	return Ready{}, nil
}

// post returns the post of this kind, made once and kept. It returns nothing for
// a participant that missed a phase it needed, and for one whose post is there.
func (p *Participant) post(v View, kind Kind, prepare func() (any, error)) (Ready, error) {
	if err := p.checkMine(v); err != nil {
		return Ready{}, fmt.Errorf("look at the board in its %v phase: %w", v.Phase, err)
	}
	out := kind > KindJoin && v.Joins[p.me-1] == nil || kind == KindDeal && v.Commits[p.me-1] == nil
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
	j := Join{Session: p.session.ID, ReceiveKeys: make([][]byte, p.session.H)}
	for k, key := range p.keys {
		if sharing.Index(k+1) == p.me {
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

func (p *Participant) commit(v View) any {
	return Commit{
		Session: p.session.ID, Previous: v.Previous,
		Hash: CommitmentHash(p.session, p.me, p.poly.Commit().Bytes()),
	}
}

func (p *Participant) deal(v View, rand io.Reader) (any, error) {
	c := p.poly.Commit()
	d := &Deal{Session: p.session.ID, Previous: v.Previous, Commitments: c.Bytes(), Boxes: make([][]byte, p.session.H)}
	a0 := p.poly.Constant()
	defer a0.Wipe()
	proof, err := sharing.Prove(rand, tag.DealProofNonce, tag.DealProof, a0, c.Constant(), proofBinding(p.session, p.me, d)...)
	if err != nil {
		return nil, err
	}
	d.Proof = proof
	for k, j := range v.Joins {
		recipient := sharing.Index(k + 1)
		if j == nil || recipient == p.me {
			continue
		}
		x := p.poly.Eval(recipient)
		d.Boxes[k], err = sealBox(p.session, p.me, recipient, j.ReceiveKeys[p.me-1], x)
		x.Wipe()
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// subShare opens what dealer sent us and holds it against the dealer's commitments.
// For our own dealing it asks the polynomial.
func (p *Participant) subShare(v View, dealer sharing.Index) (x *group.Scalar, ok bool, err error) {
	if dealer == p.me {
		return p.poly.Eval(p.me), true, nil
	}
	sk, err := decodeReceiveSecret(p.keys[dealer-1].Reveal())
	if err != nil {
		return nil, false, err
	}
	d := v.Deals[dealer-1]
	x, err = openBox(p.session, dealer, p.me, sk, d.boxes[p.me-1])
	if err != nil {
		return nil, false, nil
	}
	if !d.commitments.Verify(p.me, x) {
		x.Wipe()
		return nil, false, nil
	}
	return x, true, nil
}

func (p *Participant) verdict(v View) (any, error) {
	verdict := Verdict{Session: p.session.ID, Previous: v.Previous}
	for k, d := range v.Deals {
		dealer := sharing.Index(k + 1)
		if d == nil || dealer == p.me {
			continue
		}
		x, ok, err := p.subShare(v, dealer)
		if err != nil {
			return nil, err
		}
		if ok {
			x.Wipe()
			continue
		}
		verdict.Complaints = append(verdict.Complaints, Complaint{Dealer: dealer, ReceiveKey: p.keys[k].Reveal()})
	}
	return verdict, nil
}

// receipt adds up what the qualified dealt to us, and proves it.
func (p *Participant) receipt(v View, rand io.Reader) (any, error) {
	o := v.Outcome
	sum := group.SmallScalar(0)
	defer func() {
		if p.share != sum {
			sum.Wipe()
		}
	}()
	for _, dealer := range o.Qual {
		x, ok, err := p.subShare(v, dealer)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("dealer %d: %w", dealer, ErrNoShare)
		}
		next := sum.Add(x)
		sum.Wipe()
		x.Wipe()
		sum = next
	}
	if !group.BaseMul(sum).Equal(o.YI[p.me-1]) {
		return nil, fmt.Errorf("the sum does not match our verification key: %w", ErrNoShare)
	}
	proof, err := sharing.Prove(rand, tag.ReceiptNonce, tag.Receipt, sum, o.YI[p.me-1], receiptBinding(p.session, p.me, o.Transcript)...)
	if err != nil {
		return nil, err
	}
	p.share = sum
	return Receipt{Session: p.session.ID, Transcript: o.Transcript, Proof: proof}, nil
}

func (p *Participant) shareCopy() *group.Scalar {
	if p.share == nil {
		return nil
	}
	return p.share.Add(group.SmallScalar(0))
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
