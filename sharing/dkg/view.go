package dkg

import "warifu.dev/sharing"

// View is what a participant sees of the board. Lists have an entry for each
// participant, by place, nil where there is none; each is filled once its phase has
// closed and empty before. Nothing in a view may be changed.
type View struct {
	Session  Session
	Phase    Phase
	Previous [32]byte // the hash of the list that closed the phase before; zeros in the join phase
	Posted   []bool   // by place: whose post of the open phase counts already

	Joins   []*Join
	Commits []*Commit
	Deals   []*Dealing
	Outcome *Outcome // from the confirm phase on
}

// HasPosted reports whether the participant at place i has posted in the open phase.
func (v View) HasPosted(i sharing.Index) bool {
	return i >= 1 && int(i) <= len(v.Posted) && v.Posted[i-1]
}
