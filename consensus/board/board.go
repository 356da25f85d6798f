package board

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

var (
	// ErrPhase means that an entry does not belong to the phase that is open.
	ErrPhase = errors.New("board: not in this phase")
	// ErrKind means that a post is of a kind that does not exist.
	ErrKind = errors.New("board: no such kind of post")
	// ErrTwice means that the author's entry of this kind counts already.
	ErrTwice = errors.New("board: the author has said this already")
	// ErrNotTakingPart means that the author missed an earlier phase that this post needs.
	ErrNotTakingPart = errors.New("board: the author missed a phase that this post needs")
	// ErrNotReady means that the receipts do not suffice to activate.
	ErrNotReady = errors.New("board: not enough receipts to activate")
)

// posted is one post that counts.
type posted struct {
	hash [32]byte
	body any    // *dkg.Join, *dkg.Commit, *dkg.Dealing, *dkg.Judged, or for a receipt *dkg.Receipt of a symmetric key, and else nil
	raw  []byte // what was posted, while somebody may need it; of receipts only those of a symmetric key
}

// list is what a phase has collected, by place-1. A list is never changed once a
// board holds it.
type list [dkg.MaxParticipants]*posted

// marks says of each participant, by place-1, whether it has stated something.
type marks [dkg.MaxParticipants]bool

// Board is one ceremony's bulletin board. It never changes: what happens to it
// makes a new one, which shares most of the old.
type Board struct {
	session   dkg.Session
	phase     dkg.Phase
	previous  [32]byte                  // the hash of the list that closed the phase before
	posts     [dkg.KindReceipt + 1]list // by kind
	late      marks                     // who has signed that the open phase is past its deadline
	abandon   marks                     // who has signed that the session is to be abandoned
	outcome   *dkg.Outcome              // from the confirm phase on
	abandoned string                    // why
	events    [32]byte                  // running hash over all that was taken, in order
	known     *known                    // of the open phase; it follows from the posts
}

// New opens a board in its join phase. The ledger has validated the session; an
// invalid one is a bug and panics.
func New(s dkg.Session) *Board {
	if err := s.Validate(); err != nil {
		panic("board: " + err.Error())
	}
	return &Board{session: s, phase: dkg.PhaseJoin, events: tag.Hash(tag.BoardEvents, []byte("open"), s.ID[:]), known: newKnown()}
}

// Session returns what the board was opened for.
func (b *Board) Session() dkg.Session { return b.session }

// Phase returns the phase that is open.
func (b *Board) Phase() dkg.Phase { return b.phase }

// Abandoned reports whether the session has failed, and why, in one sentence.
func (b *Board) Abandoned() (reason string, ok bool) {
	return b.abandoned, b.phase == dkg.PhaseAbandoned
}

// Outcome returns the public half of the new shares, once QUAL is final.
func (b *Board) Outcome() (*dkg.Outcome, bool) { return b.outcome, b.outcome != nil }

// Receipts returns who has confirmed, ascending.
func (b *Board) Receipts() []sharing.Index { return b.who(dkg.KindReceipt) }

// Struck returns the new holders who have not confirmed, ascending. When the keys are
// activated they are not holders of that epoch.
func (b *Board) Struck() []sharing.Index {
	var struck []sharing.Index
	for i := sharing.Index(1); int(i) <= b.session.H; i++ {
		if b.posts[dkg.KindReceipt][i-1] == nil {
			struck = append(struck, i)
		}
	}
	return struck
}

// Late returns who has signed that the open phase is past its deadline, ascending.
func (b *Board) Late() []sharing.Index { return marked(&b.late) }

// Accused returns, for each holder that posted a verdict, whom it accused rightly
// and wrongly. It is for people to read; QUAL has taken it in.
func (b *Board) Accused() map[sharing.Index]dkg.Judged {
	accused := map[sharing.Index]dkg.Judged{}
	for k, p := range b.posts[dkg.KindVerdict] {
		if p == nil {
			continue
		}
		if j := p.body.(*dkg.Judged); len(j.Upheld)+len(j.Dismissed) > 0 {
			accused[sharing.Index(k+1)] = *j
		}
	}
	return accused
}

func (b *Board) who(kind dkg.Kind) []sharing.Index {
	var out []sharing.Index
	for k, p := range b.posts[kind] {
		if p != nil {
			out = append(out, sharing.Index(k+1))
		}
	}
	return out
}

func marked(set *marks) []sharing.Index {
	var out []sharing.Index
	for k, m := range set {
		if m {
			out = append(out, sharing.Index(k+1))
		}
	}
	return out
}

// next is the board after one more entry, which the running hash takes in.
func (b *Board) next(event string, author sharing.Index, hash []byte) *Board {
	n := *b
	n.events = tag.Hash(tag.BoardEvents, []byte(event), b.events[:], tag.Uint64(uint64(b.phase)), tag.Uint64(uint64(author)), hash)
	return &n
}

// Post takes a post of the open phase, and closes the phase if it was the last
// one awaited. A refusal is a named error, of this package or of sharing/dkg, and
// leaves the board as it was.
func (b *Board) Post(author sharing.Index, kind dkg.Kind, body []byte) (*Board, error) {
	if err := b.checkPost(author, kind); err != nil {
		return nil, fmt.Errorf("take a %v of holder %d: %w", kind, author, err)
	}
	hash := dkg.PostHash(b.session, author, kind, body)
	checked, err := b.known.post(b, author, kind, body, hash)
	if err != nil {
		return nil, fmt.Errorf("take a %v of holder %d: %w", kind, author, err)
	}
	n := b.next("post", author, hash[:])
	p := &posted{hash: hash, body: checked}
	if kind != dkg.KindReceipt || b.session.Symmetric != nil {
		p.raw = bytes.Clone(body)
	}
	n.posts[kind][author-1] = p
	n.advance()
	return n, nil
}

// checkPost is what can be said of a post without reading it.
func (b *Board) checkPost(author sharing.Index, kind dkg.Kind) error {
	if err := b.session.CheckPlace(author); err != nil {
		return err
	}
	switch {
	case kind.Phase() == 0:
		return ErrKind
	case kind.Phase() != b.phase:
		return fmt.Errorf("the board is in its %v phase: %w", b.phase, ErrPhase)
	case b.posts[kind][author-1] != nil:
		return ErrTwice
	case kind != dkg.KindJoin && !slices.Contains(b.awaited(), author):
		return ErrNotTakingPart
	}
	return nil
}

func (b *Board) check(author sharing.Index, kind dkg.Kind, body []byte) (any, error) {
	switch kind {
	case dkg.KindJoin:
		return dkg.CheckJoin(b.session, author, body)
	case dkg.KindCommit:
		return dkg.CheckCommit(b.session, author, b.previous, body)
	case dkg.KindDeal:
		commit := b.posts[dkg.KindCommit][author-1].body.(*dkg.Commit)
		return dkg.CheckDeal(b.session, author, b.previous, commit, bodies[dkg.Join](b, dkg.KindJoin), body)
	case dkg.KindVerdict:
		return dkg.CheckVerdict(b.session, author, b.previous, bodies[dkg.Join](b, dkg.KindJoin), bodies[dkg.Dealing](b, dkg.KindDeal), body)
	default:
		if err := dkg.CheckReceipt(b.session, author, b.outcome, body); err != nil || b.session.Symmetric == nil {
			return nil, err
		}
		return dkg.DecodeReceipt(body)
	}
}

// bodies returns the checked posts of a kind, one entry per participant, nil where
// there is none.
func bodies[T any](b *Board, kind dkg.Kind) []*T {
	out := make([]*T, b.session.Participants())
	for k := range out {
		if p := b.posts[kind][k]; p != nil {
			out[k] = p.body.(*T)
		}
	}
	return out
}

// PastDeadline takes holder author's signed statement that phase is past its
// deadline by its own clock. [dkg.Session.Statements] of them close a phase; in the
// confirm phase they allow to activate with R receipts.
func (b *Board) PastDeadline(author sharing.Index, phase dkg.Phase) (*Board, error) {
	if err := b.session.CheckPlace(author); err != nil {
		return nil, fmt.Errorf("take a statement about a deadline: %w", err)
	}
	if !b.session.States(author) {
		return nil, fmt.Errorf("take a statement about a deadline of the owner of an import: %w", dkg.ErrRole)
	}
	if phase != b.phase || phase < dkg.PhaseJoin || phase > dkg.PhaseConfirm {
		return nil, fmt.Errorf("take holder %d's statement that the %v phase is late, in the %v phase: %w", author, phase, b.phase, ErrPhase)
	}
	if b.late[author-1] {
		return nil, fmt.Errorf("take holder %d's statement that the %v phase is late: %w", author, phase, ErrTwice)
	}
	n := b.next("past-deadline", author, nil)
	n.late[author-1] = true
	n.advance()
	return n, nil
}

// Abandon takes holder author's signed statement that the session is to be
// abandoned. [dkg.Session.Statements] of them abandon it, at any time before it is done.
func (b *Board) Abandon(author sharing.Index) (*Board, error) {
	if err := b.session.CheckPlace(author); err != nil {
		return nil, fmt.Errorf("take a statement of abandonment: %w", err)
	}
	if !b.session.States(author) {
		return nil, fmt.Errorf("take a statement of abandonment of the owner of an import: %w", dkg.ErrRole)
	}
	if b.phase > dkg.PhaseConfirm {
		return nil, fmt.Errorf("take holder %d's statement of abandonment in the %v phase: %w", author, b.phase, ErrPhase)
	}
	if b.abandon[author-1] {
		return nil, fmt.Errorf("take holder %d's statement of abandonment: %w", author, ErrTwice)
	}
	n := b.next("abandon", author, nil)
	n.abandon[author-1] = true
	if got := len(marked(&n.abandon)); got >= b.session.Statements() {
		n.fail(fmt.Sprintf("%d holders abandoned it in the %v phase", got, b.phase))
	}
	return n, nil
}

// Expire abandons the session because its order's time is over by the ledger's
// time. Without it a board of h = t, where one silent holder leaves fewer than t
// to say that it is late, would stay open for ever.
func (b *Board) Expire() (*Board, error) {
	if b.phase > dkg.PhaseConfirm {
		return nil, fmt.Errorf("expire in the %v phase: %w", b.phase, ErrPhase)
	}
	n := b.next("expire", 0, nil)
	n.fail(fmt.Sprintf("its time ran out in the %v phase", b.phase))
	return n, nil
}

// ReadyToActivate reports whether Activate would be taken: every new holder has
// confirmed, or R have and enough participants say that the confirm phase is late.
func (b *Board) ReadyToActivate() bool {
	if b.phase != dkg.PhaseConfirm {
		return false
	}
	receipts := len(b.Receipts())
	return receipts == b.session.H || receipts >= b.session.Receipts() && b.isLate()
}

// Activate ends the ceremony: from here on the new shares may be used. Any holder may
// ask for it.
func (b *Board) Activate() (*Board, error) {
	if b.phase != dkg.PhaseConfirm {
		return nil, fmt.Errorf("activate in the %v phase: %w", b.phase, ErrPhase)
	}
	if !b.ReadyToActivate() {
		return nil, fmt.Errorf("activate with %d of %d receipts and %d of %d statements that it is late: %w",
			len(b.Receipts()), b.session.Receipts(), len(b.Late()), b.session.Statements(), ErrNotReady)
	}
	n := b.next("activate", 0, nil)
	n.phase = dkg.PhaseDone
	n.forget()
	return n, nil
}

// View returns what a participant needs to see.
func (b *Board) View() dkg.View {
	v := dkg.View{Session: b.session, Phase: b.phase, Previous: b.previous, Posted: make([]bool, b.session.Participants()), Outcome: b.outcome}
	if b.phase >= dkg.PhaseJoin && b.phase <= dkg.PhaseConfirm {
		for k := range v.Posted {
			v.Posted[k] = b.posts[b.phase][k] != nil
		}
	}
	if b.phase > dkg.PhaseJoin {
		v.Joins = bodies[dkg.Join](b, dkg.KindJoin)
	}
	if b.phase > dkg.PhaseCommit {
		v.Commits = bodies[dkg.Commit](b, dkg.KindCommit)
	}
	if b.phase > dkg.PhaseDeal {
		v.Deals = bodies[dkg.Dealing](b, dkg.KindDeal)
	}
	return v
}
