package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tprf"
)

var (
	// ErrPrevious means that a post was made over another list than the one that
	// closed the phase before.
	ErrPrevious = errors.New("dkg: the post stands on another list of the phase before")
	// ErrReceiveKeys means that a join does not carry one receive key per dealer, or
	// that one who receives nothing carries any.
	ErrReceiveKeys = errors.New("dkg: the join must hold one receive key per dealer, each its own")
	// ErrRole means that one who deals nothing deals, that one who receives nothing
	// judges or confirms, or that the owner of an import speaks of time or abandonment.
	ErrRole = errors.New("dkg: this is not the author's part in the ceremony")
	// ErrKeyChanged means that what an old holder deals is not its old share, or what an
	// owner deals not the key that was ordered: with it the new shares would be of
	// another key.
	ErrKeyChanged = errors.New("dkg: the dealing would change the key")
	// ErrCommitment means that the revealed commitments are not the ones committed to.
	ErrCommitment = errors.New("dkg: the deal does not match its commit")
	// ErrBoxes means that a deal does not hold one box for each recipient that joined.
	ErrBoxes = errors.New("dkg: the deal must hold one box for each recipient that joined, and no other")
	// ErrComplaints means that a verdict's complaints are not a list about other
	// dealers of this ceremony, ascending, none twice.
	ErrComplaints = errors.New("dkg: the complaints must name dealers of this ceremony, ascending, never the complainer")
	// ErrTranscript means that a receipt speaks of another transcript.
	ErrTranscript = errors.New("dkg: the receipt is for another transcript")
)

// CommitmentHash is what a [Commit] carries: the hash of the commitments to all
// polynomials of the batch, bound to session and dealer, so that no dealer can take
// over another's.
func CommitmentHash(s Session, dealer sharing.Index, commitments [][][]byte) [32]byte {
	parts := [][]byte{indexBytes(dealer)}
	for _, vector := range commitments {
		parts = append(parts, tag.Uint64(uint64(len(vector))))
		parts = append(parts, vector...)
	}
	return tag.Hash(tag.DealCommitment, s.bind(parts...)...)
}

// proofBinding is what the proof of knowledge for the key at place k of the batch is
// bound to, beyond the point (R5, R11). commitments is the [CommitmentHash], which
// covers every point of the deal.
func proofBinding(s Session, dealer sharing.Index, previous, commitments [32]byte, k int) [][]byte {
	return s.bind(indexBytes(dealer), previous[:], commitments[:], tag.Uint64(uint64(k)))
}

func receiptBinding(s Session, holder sharing.Index, transcript [32]byte, k int) [][]byte {
	return s.bind(indexBytes(holder), transcript[:], tag.Uint64(uint64(k)))
}

func checkHead(s Session, author sharing.Index, session [32]byte) error {
	if err := s.CheckPlace(author); err != nil {
		return err
	}
	if session != s.ID {
		return ErrSession
	}
	return nil
}

// CheckJoin reads the join of author and holds it against the session.
func CheckJoin(s Session, author sharing.Index, body []byte) (*Join, error) {
	j, err := DecodeJoin(body)
	if err != nil {
		return nil, err
	}
	if err := checkHead(s, author, j.Session); err != nil {
		return nil, fmt.Errorf("check the join of holder %d: %w", author, err)
	}
	if n := s.Participants(); len(j.ReceiveKeys) != n { // R3
		return nil, fmt.Errorf("check the join of holder %d: %d receive keys for %d participants: %w", author, len(j.ReceiveKeys), n, ErrReceiveKeys)
	}
	seen := make(map[string]bool, len(j.ReceiveKeys))
	for k, key := range j.ReceiveKeys {
		dealer := sharing.Index(k + 1)
		if !s.sendsBox(dealer, author) {
			if len(key) != 0 {
				return nil, fmt.Errorf("check the join of holder %d: a key for %d, who sends it nothing: %w", author, dealer, ErrReceiveKeys)
			}
			continue
		}
		if _, err := decodeReceiveKey(key); err != nil {
			return nil, fmt.Errorf("check the join of holder %d: key for dealer %d: %w", author, dealer, err)
		}
		if seen[string(key)] {
			return nil, fmt.Errorf("check the join of holder %d: the key for dealer %d stands there twice: %w", author, dealer, ErrReceiveKeys)
		}
		seen[string(key)] = true
	}
	return j, nil
}

// CheckCommit reads the commit of author. previous is the hash of the closed join list.
func CheckCommit(s Session, author sharing.Index, previous [32]byte, body []byte) (*Commit, error) {
	c, err := DecodeCommit(body)
	if err != nil {
		return nil, err
	}
	if err := checkHead(s, author, c.Session); err != nil {
		return nil, fmt.Errorf("check the commit of holder %d: %w", author, err)
	}
	if !s.Deals(author) {
		return nil, fmt.Errorf("check the commit of holder %d: %w", author, ErrRole)
	}
	if c.Previous != previous {
		return nil, fmt.Errorf("check the commit of holder %d: %w", author, ErrPrevious)
	}
	return c, nil
}

// Dealing is a deal that passed [CheckDeal], its only maker besides the zero value.
type Dealing struct {
	commitments []sharing.Commitments // one for each key
	sets        map[tprf.Set][]byte   // of a symmetric key: the hash of the contribution to each of the dealer's sets
	boxes       [][]byte
}

// Commitments returns the dealer's t commitments for each key of the batch. They
// must not be changed.
func (d *Dealing) Commitments() []sharing.Commitments { return d.commitments }

// CheckDeal reads the deal of dealer. previous is the hash of the closed commit
// list, commit the dealer's entry there, joins (one per participant, nil where
// nobody joined) the closed join list. What is in the boxes only their recipients can
// check: that is what the verdict is for.
func CheckDeal(s Session, dealer sharing.Index, previous [32]byte, commit *Commit, joins []*Join, body []byte) (*Dealing, error) {
	d, err := DecodeDeal(body)
	if err != nil {
		return nil, err
	}
	if err := checkHead(s, dealer, d.Session); err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	if !s.Deals(dealer) {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrRole)
	}
	if d.Previous != previous {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrPrevious)
	}
	if s.Symmetric != nil {
		return checkSetDeal(s, dealer, commit, joins, d)
	}
	if len(d.Commitments) != s.N || len(d.Proofs) != s.N { // R3
		return nil, fmt.Errorf("check the deal of holder %d: %d commitments and %d proofs for %d keys: %w", dealer, len(d.Commitments), len(d.Proofs), s.N, ErrBatch)
	}
	commitments := make([]sharing.Commitments, s.N)
	for k := range commitments {
		if commitments[k], err = sharing.DecodeCommitments(d.Commitments[k], s.T); err != nil { // R2: exactly t, before all else
			return nil, fmt.Errorf("check the deal of holder %d: key %d of the batch: %w", dealer, k+1, err)
		}
	}
	hash := CommitmentHash(s, dealer, d.Commitments)
	if hash != commit.Hash { // R5
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrCommitment)
	}
	if err := checkBoxes(s, dealer, joins, d.Boxes); err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	for k, c := range commitments {
		if s.Old != nil && !c.Constant().Equal(s.Old.verificationKey(k, dealer)) {
			return nil, fmt.Errorf("check the deal of holder %d: key %d of the batch: %w", dealer, k+1, ErrKeyChanged)
		}
		if err := sharing.VerifySchnorr(tag.DealProof, c.Constant(), d.Proofs[k], proofBinding(s, dealer, d.Previous, hash, k)...); err != nil {
			return nil, fmt.Errorf("check the deal of holder %d: key %d of the batch: %w", dealer, k+1, err)
		}
	}
	return &Dealing{commitments: commitments, boxes: d.Boxes}, nil
}

// checkBoxes holds that there is one box for each recipient that joined.
func checkBoxes(s Session, dealer sharing.Index, joins []*Join, boxes [][]byte) error {
	if len(boxes) != s.H { // R3
		return fmt.Errorf("%d boxes for %d holders: %w", len(boxes), s.H, ErrBoxes)
	}
	for k, box := range boxes {
		recipient, want := sharing.Index(k+1), 0
		if joins[k] != nil {
			want = s.boxSize(dealer, recipient)
		}
		if len(box) != want {
			return fmt.Errorf("box of %d bytes for holder %d: %w", len(box), recipient, ErrBoxes)
		}
	}
	return nil
}

// Judged is a verdict that passed [CheckVerdict], with each complaint settled.
type Judged struct {
	Upheld    []sharing.Index // dealers who cheated the author
	Dismissed []sharing.Index // dealers whom the author accused although the box was good
}

// CheckVerdict reads the verdict of author and settles its complaints. previous is
// the hash of the closed deal list; joins and deals have h entries each, nil
// where there is none.
func CheckVerdict(s Session, author sharing.Index, previous [32]byte, joins []*Join, deals []*Dealing, body []byte) (*Judged, error) {
	v, err := DecodeVerdict(body)
	if err != nil {
		return nil, err
	}
	if err := checkHead(s, author, v.Session); err != nil {
		return nil, fmt.Errorf("check the verdict of holder %d: %w", author, err)
	}
	if !s.Receives(author) {
		return nil, fmt.Errorf("check the verdict of holder %d: %w", author, ErrRole)
	}
	if v.Previous != previous {
		return nil, fmt.Errorf("check the verdict of holder %d: %w", author, ErrPrevious)
	}
	// Ascending, so at most one per dealer. All are held against the rules before the first box
	// is opened, which costs more.
	last := sharing.Index(0)
	for _, c := range v.Complaints {
		if s.CheckPlace(c.Dealer) != nil || c.Dealer <= last || c.Dealer == author || deals[c.Dealer-1] == nil {
			return nil, fmt.Errorf("check the verdict of holder %d: complaint about %d: %w", author, c.Dealer, ErrComplaints)
		}
		last = c.Dealer
	}
	j := &Judged{}
	for _, c := range v.Complaints {
		upheld, err := SettleComplaint(s, c.Dealer, author, joins[author-1], deals[c.Dealer-1], c.ReceiveKey)
		if err != nil {
			return nil, fmt.Errorf("check the verdict of holder %d: %w", author, err)
		}
		if upheld {
			j.Upheld = append(j.Upheld, c.Dealer)
		} else {
			j.Dismissed = append(j.Dismissed, c.Dealer)
		}
	}
	return j, nil
}

// SettleComplaint opens the box that dealer sent to complainer with the revealed
// key, and reports whether the dealer is to blame: the box does not open, or one of
// the sub-shares in it does not match the dealer's commitments. A key other than the posted
// one is no complaint at all: [ErrReceiveKey].
func SettleComplaint(s Session, dealer, complainer sharing.Index, join *Join, deal *Dealing, revealed []byte) (upheld bool, err error) {
	sk, err := decodeReceiveSecret(revealed)
	if err != nil {
		return false, fmt.Errorf("settle a complaint about dealer %d: %w", dealer, err)
	}
	if string(sk.PublicKey().Bytes()) != string(join.ReceiveKeys[dealer-1]) {
		return false, fmt.Errorf("settle a complaint about dealer %d: %w", dealer, ErrReceiveKey)
	}
	if s.Symmetric != nil {
		list, ok := deal.openContributions(s, dealer, complainer, sk)
		wipeContributions(list)
		return !ok, nil
	}
	list, err := openBox(s, dealer, complainer, sk, deal.boxes[complainer-1])
	if err != nil {
		return true, nil
	}
	return !deal.verify(complainer, list), nil
}

// verify reports whether all of list, one sub-share for each key, are what recipient
// was to be dealt.
func (d *Dealing) verify(recipient sharing.Index, list []*group.Scalar) bool {
	for k, c := range d.commitments {
		if !c.Verify(recipient, list[k]) {
			return false
		}
	}
	return true
}

// CheckReceipt reads the receipt of author and holds it against the outcome.
func CheckReceipt(s Session, author sharing.Index, o *Outcome, body []byte) error {
	r, err := DecodeReceipt(body)
	if err != nil {
		return err
	}
	if err := checkHead(s, author, r.Session); err != nil {
		return fmt.Errorf("check the receipt of holder %d: %w", author, err)
	}
	if !s.Receives(author) {
		return fmt.Errorf("check the receipt of holder %d: %w", author, ErrRole)
	}
	if r.Transcript != o.Transcript {
		return fmt.Errorf("check the receipt of holder %d: %w", author, ErrTranscript)
	}
	if s.Symmetric != nil {
		if err := r.checkSets(s, author); err != nil {
			return fmt.Errorf("check the receipt of holder %d: %w", author, err)
		}
		return nil
	}
	if len(r.Sets) != 0 {
		return fmt.Errorf("check the receipt of holder %d: %w", author, ErrSets)
	}
	if len(r.Proofs) != s.N { // R3
		return fmt.Errorf("check the receipt of holder %d: %d proofs for %d keys: %w", author, len(r.Proofs), s.N, ErrBatch)
	}
	for k, proof := range r.Proofs {
		if err := sharing.VerifySchnorr(tag.Receipt, o.Keys[k].YI[author-1], proof, receiptBinding(s, author, o.Transcript, k)...); err != nil {
			return fmt.Errorf("check the receipt of holder %d: key %d of the batch: %w", author, k+1, err)
		}
	}
	return nil
}
