package board

import (
	"fmt"
	"slices"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// awaited returns whose post the open phase waits for: everyone's join, then of those
// who joined the commits of the dealers, the deals of all who committed, and the
// verdicts and receipts of those who will hold shares.
func (b *Board) awaited() []sharing.Index {
	switch b.phase {
	case dkg.PhaseJoin:
		all := make([]sharing.Index, b.session.Participants())
		for k := range all {
			all[k] = sharing.Index(k + 1)
		}
		return all
	case dkg.PhaseCommit:
		return slices.DeleteFunc(b.who(dkg.KindJoin), func(i sharing.Index) bool { return !b.session.Deals(i) })
	case dkg.PhaseDeal:
		return b.who(dkg.KindCommit)
	default:
		return slices.DeleteFunc(b.who(dkg.KindJoin), func(i sharing.Index) bool { return !b.session.Receives(i) })
	}
}

// Awaits reports whether the open phase waits for a post of the participant at a place.
func (b *Board) Awaits(i sharing.Index) bool {
	return b.phase <= dkg.PhaseConfirm && slices.Contains(b.awaited(), i) && b.posts[b.phase][i-1] == nil
}

// complete reports whether the open phase has what it waits for, or is late.
func (b *Board) complete() bool {
	if len(b.who(dkg.Kind(b.phase))) == len(b.awaited()) {
		return true
	}
	return b.isLate() && (b.phase != dkg.PhaseJoin || b.enoughJoined())
}

// isLate reports whether enough have signed that the open phase is past its deadline.
func (b *Board) isLate() bool { return len(b.Late()) >= b.session.Statements() }

// enoughJoined reports whether those who joined could deal and hold the new shares.
func (b *Board) enoughJoined() bool {
	dealers, receivers := 0, 0
	for _, i := range b.who(dkg.KindJoin) {
		if b.session.Deals(i) {
			dealers++
		}
		if b.session.Receives(i) {
			receivers++
		}
	}
	return dealers >= b.session.MinDealers() && receivers >= b.session.T
}

// advance closes the open phase of a board that nobody else has seen yet, if it is
// complete. The next one begins empty, so there is never a second to close. The
// confirm phase ends by [Board.Activate] only.
func (b *Board) advance() {
	b.endDisputed()
	if b.phase >= dkg.PhaseConfirm || !b.complete() {
		return
	}
	kind := dkg.Kind(b.phase)
	b.previous = dkg.ClosedHash(b.session, b.phase, b.previous, b.hashes(kind))
	b.late = marks{}
	closed, known := b.phase, b.known
	b.phase++
	b.known = newKnown()
	if closed == dkg.PhaseJoin {
		return
	}
	qual := b.who(kind)
	if closed == dkg.PhaseVerdict {
		qual = b.qual()
	}
	if len(qual) < b.session.MinDealers() {
		b.fail(fmt.Sprintf("%d dealers are left after the %v phase, %d are needed", len(qual), closed, b.session.MinDealers()))
		return
	}
	if closed == dkg.PhaseVerdict {
		outcome, err := known.outcome(b, qual)
		if err != nil {
			b.fail(err.Error())
			return
		}
		b.outcome = outcome
	}
}

func (b *Board) fail(reason string) {
	b.phase, b.abandoned, b.outcome = dkg.PhaseAbandoned, reason, nil
	b.forget()
}

// forget lets go of the posts that nobody needs once the ceremony has ended: they
// are most of a board's size, and all that is sealed. The digest still covers them.
// Of a verdict only what it said about whom is kept: it showed receive keys. What a
// receipt of a symmetric key says stands in the key's record.
func (b *Board) forget() {
	b.known = nil
	if b.session.Symmetric != nil {
		for k, p := range b.posts[dkg.KindReceipt] {
			if p != nil {
				b.posts[dkg.KindReceipt][k] = &posted{hash: p.hash}
			}
		}
	}
	b.posts[dkg.KindJoin], b.posts[dkg.KindCommit], b.posts[dkg.KindDeal] = list{}, list{}, list{}
	for k, p := range b.posts[dkg.KindVerdict] {
		if p != nil {
			b.posts[dkg.KindVerdict][k] = &posted{hash: p.hash, body: p.body}
		}
	}
}

// qual returns the dealers who dealt, gave their verdict unless they receive nothing
// that they could judge, and were not rightly accused, ascending (R7).
func (b *Board) qual() []sharing.Index {
	var bad []sharing.Index
	for _, p := range b.posts[dkg.KindVerdict] {
		if p != nil {
			bad = append(bad, p.body.(*dkg.Judged).Upheld...)
		}
	}
	var qual []sharing.Index
	for _, i := range b.who(dkg.KindDeal) {
		judged := b.posts[dkg.KindVerdict][i-1] != nil || !b.session.Receives(i)
		if judged && !slices.Contains(bad, i) {
			qual = append(qual, i)
		}
	}
	return qual
}
