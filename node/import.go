package node

import (
	"warifu.dev/api"
	"warifu.dev/consensus/ledger"
)

// importAnswer says how far the import of a key has come.
func importAnswer(s *ledger.State, q *api.ImportRequest) *api.ImportAnswer {
	a := &api.ImportAnswer{}
	o := s.OrderNamed(q.Name)
	if o == nil || o.Order.Import == nil {
		return a
	}
	a.Order, a.Key, a.Attempt = o.Entry, o.Key, o.Attempt
	id := q.Session
	if id.IsZero() {
		id = o.Live
	}
	ses := s.Session(id)
	if ses == nil || ses.Order != o.Hash {
		return a
	}
	a.Session, a.Run, a.LinkBefore, a.Roster = ses.ID, ses.Attempt, ses.LinkBefore, ses.Roster
	a.Phase, a.Joins = uint32(ses.Board.Phase()), ses.Joins
	a.Posted = ses.Board.View().HasPosted(ses.PlaceOf(ledger.Owner))
	a.Abandoned, _ = ses.Board.Abandoned()
	return a
}
