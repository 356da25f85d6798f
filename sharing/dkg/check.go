package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

var (
	// ErrPrevious means that a post was made over another list than the one that
	// closed the phase before.
	ErrPrevious = errors.New("dkg: the post stands on another list of the phase before")
	// ErrReceiveKeys means that a join does not carry one receive key per dealer.
	ErrReceiveKeys = errors.New("dkg: the join must hold one receive key per dealer, each its own")
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

// CommitmentHash is what a [Commit] carries: the hash of the commitments, bound
// to session and dealer, so that no dealer can take over another's.
func CommitmentHash(s Session, dealer sharing.Index, commitments [][]byte) [32]byte {
	return tag.Hash(tag.DealCommitment, s.bind(append([][]byte{indexBytes(dealer)}, commitments...)...)...)
}

// proofBinding is what the proof of knowledge is bound to, beyond the point (R5, R11).
func proofBinding(s Session, dealer sharing.Index, d *Deal) [][]byte {
	return s.bind(append([][]byte{indexBytes(dealer), d.Previous[:]}, d.Commitments...)...)
}

func receiptBinding(s Session, holder sharing.Index, transcript [32]byte) [][]byte {
	return s.bind(indexBytes(holder), transcript[:])
}

func checkHead(s Session, author sharing.Index, session [32]byte) error {
	if err := s.params().CheckIndex(author); err != nil {
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
	if len(j.ReceiveKeys) != s.H { // R3
		return nil, fmt.Errorf("check the join of holder %d: %d receive keys for %d dealers: %w", author, len(j.ReceiveKeys), s.H, ErrReceiveKeys)
	}
	seen := make(map[string]bool, s.H)
	for k, key := range j.ReceiveKeys {
		dealer := sharing.Index(k + 1)
		if dealer == author {
			if len(key) != 0 {
				return nil, fmt.Errorf("check the join of holder %d: a key for its own dealing: %w", author, ErrReceiveKeys)
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
	if c.Previous != previous {
		return nil, fmt.Errorf("check the commit of holder %d: %w", author, ErrPrevious)
	}
	return c, nil
}

// Dealing is a deal that passed [CheckDeal], its only maker besides the zero value.
type Dealing struct {
	commitments sharing.Commitments
	boxes       [][]byte
}

// Commitments returns the dealer's t commitments. They must not be changed.
func (d *Dealing) Commitments() sharing.Commitments { return d.commitments }

// CheckDeal reads the deal of dealer. previous is the hash of the closed commit
// list, commit the dealer's entry there, joins (h of them, nil where nobody
// joined) the closed join list. What is in the boxes only their recipients can
// check: that is what the verdict is for.
func CheckDeal(s Session, dealer sharing.Index, previous [32]byte, commit *Commit, joins []*Join, body []byte) (*Dealing, error) {
	d, err := DecodeDeal(body)
	if err != nil {
		return nil, err
	}
	if err := checkHead(s, dealer, d.Session); err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	if d.Previous != previous {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrPrevious)
	}
	commitments, err := sharing.DecodeCommitments(d.Commitments, s.T) // R2: exactly t, before all else
	if err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	if CommitmentHash(s, dealer, d.Commitments) != commit.Hash { // R5
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, ErrCommitment)
	}
	if len(d.Boxes) != s.H { // R3
		return nil, fmt.Errorf("check the deal of holder %d: %d boxes for %d holders: %w", dealer, len(d.Boxes), s.H, ErrBoxes)
	}
	for k, box := range d.Boxes {
		recipient, want := sharing.Index(k+1), BoxSize
		if recipient == dealer || joins[k] == nil {
			want = 0
		}
		if len(box) != want {
			return nil, fmt.Errorf("check the deal of holder %d: box of %d bytes for holder %d: %w", dealer, len(box), recipient, ErrBoxes)
		}
	}
	if err := sharing.VerifySchnorr(tag.DealProof, commitments.Constant(), d.Proof, proofBinding(s, dealer, d)...); err != nil {
		return nil, fmt.Errorf("check the deal of holder %d: %w", dealer, err)
	}
	return &Dealing{commitments: commitments, boxes: d.Boxes}, nil
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
	if v.Previous != previous {
		return nil, fmt.Errorf("check the verdict of holder %d: %w", author, ErrPrevious)
	}
	// Ascending, so at most h-1. All are held against the rules before the first box
	// is opened, which costs more.
	last := sharing.Index(0)
	for _, c := range v.Complaints {
		if s.params().CheckIndex(c.Dealer) != nil || c.Dealer <= last || c.Dealer == author || deals[c.Dealer-1] == nil {
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
// key, and reports whether the dealer is to blame: the box does not open, or what
// it holds does not match the dealer's commitments. A key other than the posted
// one is no complaint at all: [ErrReceiveKey].
func SettleComplaint(s Session, dealer, complainer sharing.Index, join *Join, deal *Dealing, revealed []byte) (upheld bool, err error) {
	sk, err := decodeReceiveSecret(revealed)
	if err != nil {
		return false, fmt.Errorf("settle a complaint about dealer %d: %w", dealer, err)
	}
	if string(sk.PublicKey().Bytes()) != string(join.ReceiveKeys[dealer-1]) {
		return false, fmt.Errorf("settle a complaint about dealer %d: %w", dealer, ErrReceiveKey)
	}
	x, err := openBox(s, dealer, complainer, sk, deal.boxes[complainer-1])
	if err != nil {
		return true, nil
	}
	return !deal.commitments.Verify(complainer, x), nil
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
	if r.Transcript != o.Transcript {
		return fmt.Errorf("check the receipt of holder %d: %w", author, ErrTranscript)
	}
	if err := sharing.VerifySchnorr(tag.Receipt, o.YI[author-1], r.Proof, receiptBinding(s, author, o.Transcript)...); err != nil {
		return fmt.Errorf("check the receipt of holder %d: %w", author, err)
	}
	return nil
}
