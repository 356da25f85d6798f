package ledger

import (
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Bounds of what is before the custodians.
const (
	// MaxProposalsOf bounds the proposals that one custodian has open: as many as a
	// person can keep an eye on, and 2 MiB of state.
	MaxProposalsOf = 8
	// MaxEndedOf bounds those of one custodian that were cancelled or have failed, and
	// have not expired: of a kind that one custodian passes, one cancels as well.
	MaxEndedOf = 64
	// MaxProposals is how many all custodians can have open. Each has room of its own,
	// so that nobody shuts out the others.
	MaxProposals = authority.MaxCustodians * MaxProposalsOf
	// MaxProposalLife bounds how far ahead of ledger time a proposal expires, in
	// milliseconds: 90 days. Until then it has its place, and if it was cancelled, its
	// id is kept.
	MaxProposalLife = 90 * 24 * 3600 * 1000
	// maxProposed bounds the body of a proposed change, in bytes: with the signatures
	// of all custodians it still is an entry.
	maxProposed = authority.MaxEntrySize - (authority.MaxSignatures+1)*128
)

// Reasons for which a proposal or a vote is a no-op. Those which say that the same was
// taken before wrap [ErrTaken], too.
var (
	// ErrProposed means that another custodian has put this change before the others.
	ErrProposed = errors.New("another custodian has proposed this change")
	// ErrTooManyProposals means that the custodian has as many proposals open as it may,
	// or as many that ended without passing and have not expired.
	ErrTooManyProposals = errors.New("this custodian has as many proposals open as one may")
	// ErrTooFar means that the proposal would expire later than one may.
	ErrTooFar = errors.New("the proposal would expire too far ahead")
	// ErrNoProposal means that no such change is before the custodians: there never
	// was one, or it has expired and is forgotten.
	ErrNoProposal = errors.New("no such proposal: it never was, or has expired and is forgotten")
	// ErrPassed means that the change has passed.
	ErrPassed = errors.New("the proposal has passed")
	// ErrFailed means that the proposal had its count, and its change could not be applied.
	ErrFailed = errors.New("the proposal had its count, and its change could not be applied")
	// ErrCancelled means that the custodians have cancelled it: its id never passes.
	ErrCancelled = errors.New("the proposal was cancelled, and its change is never taken")
	// ErrVoted means that the custodian has voted so before.
	ErrVoted = errors.New("this custodian has voted so before")
)

// earlier is why an entry is a no-op that was taken before, at this index.
type earlier struct {
	error
	index uint64
}

func (e *earlier) Unwrap() error { return e.error }

// What has become of a proposal.
const (
	ProposalOpen      = "open"
	ProposalPassed    = "passed"    // its change is taken
	ProposalFailed    = "failed"    // it had its count, and its change was refused then
	ProposalCancelled = "cancelled" // its change is never taken
)

// Proposal is a change that is, or was, before the custodians. Its id is the
// change's.
type Proposal struct {
	Change    api.Digest            `cbor:"1,keyasint"`
	Kind      string                `cbor:"2,keyasint"`
	Body      []byte                `cbor:"3,keyasint,omitempty"` // what custodians sign; empty once it has ended
	By        authority.Fingerprint `cbor:"4,keyasint"`
	Index     uint64                `cbor:"5,keyasint"`
	NotAfter  int64                 `cbor:"6,keyasint"`
	Approvals []Ballot              `cbor:"7,keyasint,omitempty"` // in the order in which they came
	Cancels   []Ballot              `cbor:"8,keyasint,omitempty"`
	State     string                `cbor:"9,keyasint"`
	Ended     uint64                `cbor:"10,keyasint,omitempty"` // Raft index
	Why       string                `cbor:"11,keyasint,omitempty"` // one of the names in failures
}

// Ballot is one custodian's vote.
type Ballot struct {
	Signature authority.Signature `cbor:"1,keyasint"`
	Index     uint64              `cbor:"2,keyasint"`
}

func (v *Proposal) digest() api.Digest { return digestOf(v) }

// failures names, for ever, why a change that had its count was not applied. Sentences
// may change with the program; what is part of the state may not.
var failures = []struct {
	err  error
	name string
}{
	{ErrStaleBase, "stale-base"},
	{ErrNameTaken, "name-taken"},
	{ErrTooMany, "too-many"},
	{ErrLifted, "lifted"},
	{ErrNoDenial, "no-denial"},
	{ErrTooLarge, "too-large"},
	{ErrTooOften, "too-often"},
	{ErrMove, "move"},
	{ErrByState, "by-state"},
	{ErrVersion, "version"},
	{ErrRotating, "rotating"},
	{ErrOver, "expired-key"},
	{ErrDying, "dying"},
	{ErrNoDestroy, "no-destroy"},
	{ErrNoKey, "no-key"},
	{ErrManyPools, "too-many-pools"},
	{authority.ErrPool, "pool"},
	{authority.ErrKeyLife, "key-life"},
	{authority.ErrDestroy, "destroy"},
	{ErrTooManyRenewals, "too-many-renewals"},
	{ErrUnfinished, "unfinished"},
	{ErrFinished, "finished"},
	{ErrShares, "shares"},
	{authority.ErrMembership, "membership"},
	{authority.ErrStranded, "stranded"},
	{authority.ErrCustody, "custody"},
	{authority.ErrRegion, "region"},
	{authority.ErrOrder, "order"},
	{authority.ErrRevoke, "denial"},
	{authority.ErrChange, "change"},
}

// failureName is the name of a failure, or "refused" for one that has none.
func failureName(err error) string {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return "refused"
}

// Proposal returns what is known of a proposal, or nil. One that has expired may
// still be there.
func (s *State) Proposal(id api.Digest) *Proposal { return get[*Proposal](s, pathProposal+id.String()) }

// Proposals lists every proposal that is not forgotten yet, by id.
func (s *State) Proposals() []*Proposal { return list[*Proposal](s, pathProposal) }

// PastDue says whether a proposal has expired, by ledger time.
func (s *State) PastDue(p *Proposal) bool { return s.Time() > p.NotAfter }

// takeProposal puts a change before the custodians, if it would be taken now, and
// forgets those that have expired.
func (s *State) takeProposal(d *draft, index uint64, e *authority.Entry) error {
	v, err := authority.VerifyProposal(s.Custody(), e)
	if err != nil {
		return err
	}
	id, c := v.Entry.ID(), v.Change
	switch p := s.Proposal(id); {
	case p != nil && p.State == ProposalCancelled:
		return ErrCancelled
	case p != nil && p.By == v.By:
		return &earlier{ErrTaken, p.Index}
	case p != nil:
		return ErrProposed
	case s.Taken(id) != nil:
		return ErrPassed
	case c.NotAfter > s.Time()+MaxProposalLife:
		return fmt.Errorf("%w: at %d, at most %d is possible", ErrTooFar, c.NotAfter, s.Time()+MaxProposalLife)
	case len(v.Entry.Body) > maxProposed:
		return fmt.Errorf("%w: a change of %d bytes", ErrTooLarge, len(v.Entry.Body))
	}
	open, ended := 0, 0
	for _, p := range s.Proposals() {
		if s.PastDue(p) {
			d.remove(pathProposal + p.Change.String())
		} else if p.State == ProposalOpen && p.By == v.By {
			open++
		} else if p.State != ProposalPassed && p.By == v.By { // what has passed is bounded as changes are
			ended++
		}
	}
	if open >= MaxProposalsOf {
		return fmt.Errorf("%w: %d", ErrTooManyProposals, open)
	}
	if ended >= MaxEndedOf {
		return fmt.Errorf("%w: %d were cancelled or have failed, and have not expired", ErrTooManyProposals, ended)
	}
	if err := s.bring(d.trial(), index, v.Entry, c, v.Entry.Encode()); err != nil {
		return err
	}
	p := &Proposal{
		Change: id, Kind: c.Kind, Body: v.Entry.Body, By: v.By, Index: index, NotAfter: c.NotAfter, State: ProposalOpen,
	}
	for _, sig := range v.Entry.Signatures {
		p.Approvals = append(p.Approvals, Ballot{Signature: sig, Index: index})
	}
	s.settle(d, index, p)
	return nil
}

// takeVote counts a custodian's vote on a proposal that is open.
func (s *State) takeVote(d *draft, index uint64, e *authority.Entry) error {
	v, err := authority.ParseVote(s.Custody(), e)
	if err != nil {
		return err
	}
	p := s.Proposal(v.Proposal)
	switch {
	case p == nil && s.Taken(v.Proposal) != nil:
		return ErrPassed
	case p == nil:
		return ErrNoProposal
	}
	next := *p
	votes := &next.Approvals
	if v.Kind == authority.KindCancel {
		votes = &next.Cancels
	}
	for _, b := range *votes {
		if b.Signature.Signer == v.Custodian {
			return &earlier{fmt.Errorf("%w: %w", ErrVoted, ErrTaken), b.Index}
		}
	}
	switch {
	case p.State == ProposalPassed:
		return ErrPassed
	case p.State == ProposalFailed:
		return fmt.Errorf("%w: %s", ErrFailed, p.Why)
	case p.State == ProposalCancelled:
		return ErrCancelled
	case s.PastDue(p):
		return fmt.Errorf("%w: not after %d, ledger time is %d", ErrExpired, p.NotAfter, s.Time())
	}
	var sig authority.Signature
	if v.Kind == authority.KindCancel {
		sig, err = authority.VerifyCancel(s.Custody(), e, v)
	} else {
		sig, err = authority.VerifyApproval(s.Custody(), e, v, p.Body)
	}
	if err != nil {
		return err
	}
	*votes = append(slices.Clone(*votes), Ballot{Signature: sig, Index: index})
	s.settle(d, index, &next)
	return nil
}

// settle writes down a proposal with its newest vote, and ends it when one side has
// its count. A change that has its count is a signed change, and is taken as one; if
// it is refused then, the proposal has failed, and says why by name.
func (s *State) settle(d *draft, index uint64, p *Proposal) {
	need := s.Required(p)
	end := func(state string) { p.State, p.Ended, p.Body = state, index, nil }
	switch approvals := s.standing(p.Approvals); {
	case len(s.standing(p.Cancels)) >= need:
		end(ProposalCancelled)
	case len(approvals) >= need:
		trial := d.trial()
		e, err := authority.ProposedEntry(p.Body, approvals)
		if err == nil {
			err = s.takeChange(trial, index, e, e.Encode())
		}
		if err != nil {
			end(ProposalFailed)
			p.Why = failureName(err)
			break
		}
		d.adopt(trial)
		d.passed = e.Encode()
		end(ProposalPassed)
	}
	d.put(pathProposal+p.Change.String(), p)
}

// Required is how many votes pass a proposal that is open, or cancel it.
func (s *State) Required(p *Proposal) int {
	if e, err := authority.ProposedEntry(p.Body, nil); err == nil {
		if c, err := authority.ParseChange(e); err == nil {
			return s.Custody().RequiredForChange(c)
		}
	}
	return s.Custody().RequiredFor(p.Kind)
}

// standing are the signatures of votes whose custodians still are custodians.
func (s *State) standing(votes []Ballot) []authority.Signature {
	var out []authority.Signature
	for _, b := range votes {
		if s.Custody().CustodianByKey(b.Signature.Signer) != nil {
			out = append(out, b.Signature)
		}
	}
	return out
}

// overtake ends a proposal whose change was handed in whole, with all signatures.
func (s *State) overtake(d *draft, index uint64, id api.Digest) {
	if p := s.Proposal(id); p != nil && p.State == ProposalOpen {
		next := *p
		next.State, next.Ended, next.Body = ProposalPassed, index, nil
		d.put(pathProposal+id.String(), &next)
	}
}
