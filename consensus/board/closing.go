package board

import (
	"fmt"
	"slices"

	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// awaited returns whose post the open phase waits for: every holder's join, the
// deal of all who committed, and otherwise the post of all who joined.
func (b *Board) awaited() []sharing.Index {
	switch b.phase {
	case dkg.PhaseJoin:
		all := make([]sharing.Index, b.session.H)
		for k := range all {
			all[k] = sharing.Index(k + 1)
		}
		return all
	case dkg.PhaseDeal:
		return b.who(dkg.KindCommit)
	default:
		return b.who(dkg.KindJoin)
	}
}

// complete reports whether the open phase has what it waits for, or is late.
func (b *Board) complete() bool {
	posts := len(b.who(dkg.Kind(b.phase)))
	if posts == len(b.awaited()) {
		return true
	}
	late := len(b.Late()) >= b.session.T
	return late && (b.phase != dkg.PhaseJoin || posts >= b.session.T)
}

// advance closes the open phase of a board that nobody else has seen yet, if it is
// complete. The next one begins empty, so there is never a second to close. The
// confirm phase ends by [Board.Activate] only.
func (b *Board) advance() {
	if b.phase >= dkg.PhaseConfirm || !b.complete() {
		return
	}
	kind := dkg.Kind(b.phase)
	b.previous = dkg.ClosedHash(b.session, b.phase, b.previous, b.hashes(kind))
	b.late = [sharing.MaxHolders]bool{}
	closed := b.phase
	b.phase++
	qual := b.who(kind)
	if closed == dkg.PhaseVerdict {
		qual = b.qual()
	}
	if len(qual) < b.session.T {
		b.fail(fmt.Sprintf("%d dealers are left after the %v phase, %d are needed", len(qual), closed, b.session.T))
		return
	}
	if closed == dkg.PhaseVerdict {
		outcome, err := dkg.NewOutcome(b.session, qual, bodies[dkg.Dealing](b, dkg.KindDeal), b.previous)
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
// Of a verdict only what it said about whom is kept: it showed receive keys.
func (b *Board) forget() {
	b.posts[dkg.KindJoin], b.posts[dkg.KindCommit], b.posts[dkg.KindDeal] = list{}, list{}, list{}
	for k, p := range b.posts[dkg.KindVerdict] {
		if p != nil {
			b.posts[dkg.KindVerdict][k] = &posted{hash: p.hash, body: p.body}
		}
	}
}

// qual returns the dealers who dealt, gave their verdict, and were not rightly
// accused, ascending (R7).
func (b *Board) qual() []sharing.Index {
	var bad []sharing.Index
	for _, p := range b.posts[dkg.KindVerdict] {
		if p != nil {
			bad = append(bad, p.body.(*dkg.Judged).Upheld...)
		}
	}
	var qual []sharing.Index
	for _, i := range b.who(dkg.KindDeal) {
		if b.posts[dkg.KindVerdict][i-1] != nil && !slices.Contains(bad, i) {
			qual = append(qual, i)
		}
	}
	return qual
}
