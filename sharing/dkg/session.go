package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

const (
	// MaxBatch bounds how many keys one session serves, so that a deal fits in a
	// ledger entry of 256 KiB whatever the shape: see [MaxBody].
	MaxBatch = 100
	// MaxParticipants bounds who takes part in a reshare: 16 new holders, and 16 old
	// ones of whom none stays.
	MaxParticipants = 2 * sharing.MaxHolders
)

var (
	// ErrFaulty means that f is out of the range that t and h leave it.
	ErrFaulty = errors.New("dkg: the number of tolerated faulty holders does not fit threshold and holders")
	// ErrBatch means that the number of keys is not within 1..[MaxBatch], or that
	// something does not speak of every key of the batch.
	ErrBatch = errors.New("dkg: not one for each key of the batch")
	// ErrSession means that something belongs to another session (R17).
	ErrSession = errors.New("dkg: this belongs to another session")
)

// Session is one attempt at a ceremony. All of it is fixed by the signed order
// and by where the attempt was opened; nothing of it comes from a dealer (R2).
//
// Those who take part stand at the places 1..[Session.Participants]. The places
// 1..H are the indices of the shares that will be. Above H stand old holders who
// leave: they deal, and receive nothing. So does the owner of an import.
type Session struct {
	ID      [32]byte // names this attempt; that of a failed one is never used again (R15, R17)
	Cluster [32]byte
	T       int  // how many of the new shares suffice
	H       int  // how many holders there will be
	F       int  // how many of them may be in an attacker's hands
	N       int  // how many keys, 1..MaxBatch; all of them have these T, H and F
	Old     *Old // the epoch whose shares are dealt again, the key of an import, or nil for a birth

	// Symmetric is given when a symmetric key is born or imported, and names it: there is
	// one, and no old epoch.
	Symmetric *SymmetricKey
}

// Validate holds 2 <= t <= h <= 16, 1 <= n <= 100 and 1 <= f <= min(h-t, t-1), where
// f = 0 is allowed, and needed, only if h = t. An old epoch must be of as many keys,
// and of at least h participants, of whom those above h deal.
func (s Session) Validate() error {
	if err := s.params().Validate(); err != nil {
		return fmt.Errorf("check the session's shape: %w", err)
	}
	lowest := 1
	if s.H == s.T {
		lowest = 0
	}
	if highest := min(s.H-s.T, s.T-1); s.F < lowest || s.F > highest {
		return fmt.Errorf("check the session's shape: f = %d with %d-of-%d: %w", s.F, s.T, s.H, ErrFaulty)
	}
	if s.N < 1 || s.N > MaxBatch {
		return fmt.Errorf("check the session's shape: %d keys: %w", s.N, ErrBatch)
	}
	if s.Symmetric != nil {
		return s.validateSymmetric()
	}
	if s.Old == nil {
		return nil
	}
	if len(s.Old.Keys) != s.N {
		return fmt.Errorf("check the session's shape: %d old keys of %d: %w", len(s.Old.Keys), s.N, ErrBatch)
	}
	if len(s.Old.Holders) < s.H {
		return fmt.Errorf("check the session's shape: %d participants, %d new holders: %w", len(s.Old.Holders), s.H, ErrOld)
	}
	for k, index := range s.Old.Holders[s.H:] {
		if index == 0 {
			return fmt.Errorf("check the session's shape: place %d neither deals nor receives: %w", s.H+k+1, ErrOld)
		}
	}
	if s.Old.imported() && len(s.Old.Holders) != s.H+1 {
		return fmt.Errorf("check the session's shape: the owner of an import is no holder: %w", ErrOld)
	}
	return nil
}

// Equal reports whether o is the same session.
func (s Session) Equal(o Session) bool {
	return s.ID == o.ID && s.Cluster == o.Cluster && s.T == o.T && s.H == o.H && s.F == o.F && s.N == o.N &&
		s.Old.Digest() == o.Old.Digest() && s.Symmetric.equal(o.Symmetric)
}

func (s Session) params() sharing.Params { return sharing.Params{T: s.T, H: s.H} }

// Participants is how many take part: the new holders, and old ones who leave.
func (s Session) Participants() int {
	switch {
	case s.Symmetric.imported():
		return s.H + 1
	case s.Old == nil:
		return s.H
	}
	return len(s.Old.Holders)
}

// Imported says whether a key that is whole is shared, by its owner at place h+1.
func (s Session) Imported() bool { return s.Old.imported() || s.Symmetric.imported() }

// CheckPlace refuses a place outside 1..[Session.Participants].
func (s Session) CheckPlace(i sharing.Index) error {
	if n := s.Participants(); i < 1 || int(i) > n {
		return fmt.Errorf("place %d is not within 1..%d: %w", int(i), n, sharing.ErrIndex)
	}
	return nil
}

// Deals reports whether the participant at place i deals: everyone at a birth, later
// whoever holds a share of the old epoch, and the owner of an import.
func (s Session) Deals(i sharing.Index) bool {
	switch {
	case s.CheckPlace(i) != nil:
		return false
	case s.Symmetric.imported():
		return !s.Receives(i)
	}
	return s.Old == nil || s.Old.Holders[i-1] != 0
}

// Receives reports whether the participant at place i will hold shares.
func (s Session) Receives(i sharing.Index) bool { return s.params().CheckIndex(i) == nil }

// States reports whether the participant at place i may say that a phase is late, or
// that the session is to be abandoned: everyone but the owner of an import. Of the nodes
// fewer than t are bad; the owner is none of them, and need not be good.
func (s Session) States(i sharing.Index) bool {
	return s.CheckPlace(i) == nil && (!s.Imported() || s.Receives(i))
}

// sendsBox reports whether dealer seals sub-shares for recipient.
func (s Session) sendsBox(dealer, recipient sharing.Index) bool {
	if s.Symmetric != nil && s.H == s.T && !s.Imported() { // every set has one member, which draws its key
		return false
	}
	return dealer != recipient && s.Deals(dealer) && s.Receives(recipient)
}

// MinDealers is how many qualified dealers make an outcome: t, and of an old epoch
// its own t, since fewer old shares say nothing about the key. Of an import the owner is.
func (s Session) MinDealers() int {
	switch {
	case s.Imported():
		return 1
	case s.Old == nil:
		return s.T
	}
	return s.Old.T
}

// Statements is how many participants close a phase as late, or abandon the session:
// the larger of the old and the new t. With fewer bad nodes than either t, which
// every key is promised for, one honest clock is among so many; and so many must be
// alive anyway, t_old to deal and t_new to receive.
func (s Session) Statements() int { return max(s.T, s.MinDealers()) }

// Receipts is R, the number of share receipts that activates the key once the
// confirm deadline has passed: max(t+f, ⌊(h+f)/2⌋+1), and all if h = t. With
// fewer, liars among those who confirmed could leave too few real shares. They are
// receipts of the new epoch's holders, so t, h and f are the new ones.
func (s Session) Receipts() int {
	if s.H == s.T {
		return s.H
	}
	return max(s.T+s.F, (s.H+s.F)/2+1)
}

// bind is what every hash of this session begins with.
func (s Session) bind(parts ...[]byte) [][]byte {
	old := s.Old.Digest()
	list := [][]byte{
		s.ID[:], s.Cluster[:], tag.Uint64(uint64(s.T)), tag.Uint64(uint64(s.H)), tag.Uint64(uint64(s.F)), tag.Uint64(uint64(s.N)), old[:],
	}
	if k := s.Symmetric; k != nil {
		list = append(list, k.Key[:], tag.Uint64(uint64(k.Version)))
		if k.imported() {
			list = append(list, k.Seed[:])
		}
	}
	return append(list, parts...)
}

func indexBytes(i sharing.Index) []byte { return tag.Uint64(uint64(i)) }
